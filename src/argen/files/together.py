"""Files that are written together are there together, or not at all.

They are written into ``.argen-unfinished-*`` within their folder, which nobody reads. When all are
complete and on the disk, a new folder with them takes the place of the old one in one step
(``swap``).

Where the system has no such step, ``.argen-unfinished-*`` is renamed to ``.argen-complete``: from
then on its files are those of the folder. They are moved into place one by one,
``argen_files.json`` last. A process that ends before the step leaves the folder as it was; one that
ends after it leaves files to be moved, which whoever opens the folder next does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from argen.errors import InputError, WriteError
from argen.files.locks import locked
from argen.files.manifest import (
    COMPLETE,
    MANIFEST,
    entry_of,
    read_manifest,
    write_manifest,
)
from argen.files.swap import swapped

_UNFINISHED = ".argen-unfinished-"


@contextmanager
def writing(folder: str | Path, part: str | None = None) -> Iterator[Path]:
    """Give a folder to write files into, and move them all to their own when the block ends.

    Within such a block, to write into the folder that it gives is to write with it.

    Parameters
    ----------
    folder
        Made if need be. What argen did not write there stays.
    part
        What the files are, for the list of the folder; those of the same part that are not
        written again are removed. None: the files are listed only if they were before.

    Raises
    ------
    WriteError
        When something cannot be written; then the folder is as it was.
    """
    folder = Path(folder)
    if _is_given(folder):
        yield folder
        return
    with _together(folder, part, replaced=True) as beside:
        yield beside


@contextmanager
def writing_file(path: str | Path, part: str | None = None) -> Iterator[Path]:
    """Give a file to write to, and move it to its place when the block ends.

    Parameters
    ----------
    part
        What the file is, for the list of its folder where there is one. None: it is listed only
        if it was before.
    """
    path = Path(path)
    if path.exists():
        path = Path(os.path.realpath(path))  # what a link leads to is replaced, and not the link
    if _is_given(path.parent) or (path.exists() and not path.is_file()):  # such as /dev/stdout
        with _refused(path):
            yield path
        return
    if (path.parent / MANIFEST).exists():
        with _together(path.parent, part, replaced=False) as beside:
            yield beside / path.name
        return
    beside = path.parent / f".argen-{os.getpid()}-{_short(path.name)}{path.suffix}"
    with _refused(path):
        _remove_left(path)
        try:
            yield beside
            _to_disk(beside)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def _together(folder: Path, part: str | None, *, replaced: bool) -> Iterator[Path]:
    """Give a folder beside, and publish what is in it; ``replaced``: instead of the whole part."""
    with locked(folder), _refused(folder):
        finish(folder)
        for left in folder.glob(f"{_UNFINISHED}*"):  # by a process that was ended
            shutil.rmtree(left, ignore_errors=True)
        beside = folder / f"{_UNFINISHED}{os.getpid()}"
        beside.mkdir()
        try:
            yield beside
            _publish(folder, beside, part, replaced=replaced)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _publish(folder: Path, beside: Path, part: str | None, *, replaced: bool) -> None:
    """List what was written, bring it to the disk, and make it the files of the folder."""
    written = sorted(beside.iterdir())
    for path in written:
        if (folder / path.name).is_dir():
            raise InputError(
                f"{str(folder / path.name)!r} is a folder, where a file is to be written: move it "
                "or name another place."
            )
    entries = before = read_manifest(folder)
    if part is not None or before:
        gone = part if replaced else None
        entries = {n: e for n, e in before.items() if gone is None or e["part"] != gone}
        for path in written:
            own = part if part is not None else before.get(path.name, {}).get("part")
            if own is not None:
                entries[path.name] = entry_of(path, own)
        written.append(write_manifest(beside, entries))
    for path in (*written, beside):
        _to_disk(path)
    if not swapped(folder, beside, gone=before.keys() - entries.keys()):
        beside.rename(folder / COMPLETE)
        finish(folder)
    with contextlib.suppress(OSError):  # it is done, whatever the disk says of its names
        _to_disk(folder.parent)


def finish(folder: Path) -> None:
    """Move into place what an earlier process has completed; call it with the folder locked."""
    complete = folder / COMPLETE
    if complete.is_symlink() or not complete.is_dir():
        return
    names = [path.name for path in complete.iterdir() if path.is_file()]
    if MANIFEST in names:
        for name in read_manifest(folder).keys() - read_manifest(complete).keys():
            (folder / name).unlink(missing_ok=True)
    for name in sorted(names, key=lambda name: name == MANIFEST):
        (complete / name).replace(folder / name)
    complete.rmdir()


def where_it_is(path: Path) -> Path:
    """Return where a file of a folder is to be read, once an earlier process is made up for."""
    folder = path.parent
    if (folder / COMPLETE).is_dir():
        # Without the right to write, or while another process does it, it is read where it is.
        with contextlib.suppress(InputError, OSError), locked(folder):
            finish(folder)
        if (folder / COMPLETE / path.name).is_file():
            return folder / COMPLETE / path.name
    return path


def _is_given(folder: Path) -> bool:
    """Whether a folder is one that ``writing`` gave."""
    return folder.name.startswith(_UNFINISHED)


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Say in one line what the operating system has against it."""
    try:
        yield
    except OSError as error:
        raise WriteError.of(path, error) from error


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a power cut."""
    try:
        opened = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EIO, errno.EDQUOT):
            raise
    finally:
        os.close(opened)


def _remove_left(path: Path) -> None:
    """Remove what processes have left that were ended while they wrote the same file."""
    pattern = re.compile(rf"\.argen-(\d+)-{_short(path.name)}{re.escape(path.suffix)}")
    for left in path.parent.glob(".argen-*"):
        found = pattern.fullmatch(left.name)
        if found and not _runs(int(found[1])):
            left.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _short(name: str) -> str:
    return f"{zlib.crc32(os.fsencode(name)):08x}"
