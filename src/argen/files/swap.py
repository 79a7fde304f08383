"""One folder in the place of another, in one step, where the system can.

Files that are moved one by one are for an instant those of two runs. Two folders that give each
other their names are not. So the files that stay are linked into a new folder, beside those that
are new, and that folder takes the name.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

# So many files of others are linked; with more, such as where results are among all of a user's
# files, the new ones are moved one by one.
_MOST_LINKS = 10_000
_EXCHANGE, _HERE = 2, -100  # RENAME_EXCHANGE and AT_FDCWD of Linux; RENAME_SWAP of macOS is 2 too


def swapped(folder: Path, beside: Path, gone: Collection[str]) -> bool:
    """Put the files of ``beside`` into a folder that it is in, all in one step.

    Parameters
    ----------
    gone
        Names in the folder that are not to stay.

    Returns
    -------
    bool
        Whether it was done. Otherwise nothing was: the folder is where someone works, its parent
        may not be written, or the system has no such step or no links.
    """
    new = _beside(folder)
    try:
        if folder.is_symlink() or os.path.samefile(folder, Path.cwd()):
            return False
        shutil.rmtree(new, ignore_errors=True)  # left by a process that was ended
        new.mkdir()
        _fill(new, folder, beside, gone)
        if not _exchange(new, folder):
            raise OSError("there is no such step")
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        return False
    with contextlib.suppress(OSError):  # then the old folder stays, with what could not be moved
        _keep_newer(new, folder, beside.name, gone)
        shutil.rmtree(new)
    return True


def _fill(new: Path, folder: Path, beside: Path, gone: Collection[str]) -> None:
    """Link the new files, and those that stay, into the new folder."""
    n_links = [0]
    for path in beside.iterdir():
        os.link(path, new / path.name)
    for path in folder.iterdir():
        if path != beside and path.name not in gone and not os.path.lexists(new / path.name):
            _link(path, new / path.name, n_links)
    shutil.copystat(folder, new)
    before, after = folder.stat(), new.stat()
    if (before.st_uid, before.st_gid) != (after.st_uid, after.st_gid):
        os.chown(new, before.st_uid, before.st_gid)


def _beside(folder: Path) -> Path:
    name = zlib.crc32(os.fsencode(folder.name))
    return Path(os.path.realpath(folder)).parent / f".argen-swapped-{name:08x}"


def _link(path: Path, new: Path, n_links: list[int]) -> None:
    """Give a file, or all files of a folder, another name as well."""

    def link(source: str, target: str) -> None:
        n_links[0] += 1
        if n_links[0] > _MOST_LINKS:
            raise OSError("too many files")
        os.link(source, target, follow_symlinks=False)

    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, new, symlinks=True, copy_function=link)
    else:
        link(str(path), str(new))


def _keep_newer(old: Path, folder: Path, beside: str, gone: Collection[str]) -> None:
    """Move what others have put into the old folder since its files were linked."""
    for path in old.iterdir():
        is_newer = path.name not in {beside, *gone} and not os.path.lexists(folder / path.name)
        if is_newer:
            path.rename(folder / path.name)


def _exchange(one: Path, other: Path) -> bool:
    """Give two folders each other's name."""
    library: Any = ctypes.CDLL(None, use_errno=True)
    exchange: Callable[..., int] | None
    if sys.platform == "darwin":
        exchange = getattr(library, "renamex_np", None)
        return exchange is not None and exchange(bytes(one), bytes(other), _EXCHANGE) == 0
    exchange = getattr(library, "renameat2", None)
    paths = (_HERE, bytes(one), _HERE, bytes(other))
    return exchange is not None and exchange(*paths, _EXCHANGE) == 0
