"""One run at a time in a folder."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from argen.errors import ArgenWarning, InputError, WriteError

LOCK = ".argen-lock"
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_BUSY = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK}


@dataclass
class _Held:
    """A lock of this process."""

    process: int
    thread: int
    n_times: int = 1


_held: dict[str, _Held] = {}


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Make a folder if need be, and keep all others from writing into it.

    The operating system ends the lock with the process, however that ends. A thread may lock a
    folder again that it has locked already. The name of the process is in the file ``.argen-lock``.

    Raises
    ------
    WriteError
        When the folder cannot be made or written.
    InputError
        When another process, or another thread of this one, writes into it.
    """
    folder = Path(folder)
    key, here = os.path.realpath(folder), (os.getpid(), threading.get_ident())
    held = _held.get(key)
    if held is not None and held.process == here[0]:
        if held.thread != here[1]:
            raise InputError(_busy(folder, "another thread of this process"))
        held.n_times += 1
        try:
            yield
        finally:
            held.n_times -= 1
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = _acquired(folder)
    except OSError as error:
        raise WriteError.of(folder, error) from error
    _held[key] = _Held(*here)
    try:
        yield
    finally:
        del _held[key]
        with contextlib.suppress(OSError):  # before the lock ends, so that nobody holds it then
            (folder / LOCK).unlink()
        os.close(opened)


def _acquired(folder: Path) -> int:
    """Open the file of the lock, take it, and write into it whose it is."""
    path = folder / LOCK
    while True:
        opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(opened)
        except OSError as error:
            holder = os.pread(opened, 1000, 0).decode("utf-8", "replace").strip()
            os.close(opened)
            if error.errno in _BUSY:
                raise InputError(_busy(folder, holder or "another process")) from None
            if error.errno not in _NO_LOCKS:
                raise
            warnings.warn(
                f"The file system of {str(folder)!r} has no locks: make sure that no second run "
                "writes there.",
                ArgenWarning,
                stacklevel=5,
            )
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if _is_still(path, opened):
            break
        os.close(opened)  # its last holder has just removed it
    with contextlib.suppress(OSError):  # such as a full disk: the lock holds without a name
        os.truncate(opened, 0)
        os.pwrite(opened, _name().encode(), 0)
    return opened


def _is_still(path: Path, opened: int) -> bool:
    """Whether an open file is the one that has the name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(opened))
    except FileNotFoundError:
        return False


def _lock(opened: int) -> None:
    """Take the lock of an open file, or raise at once."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _name() -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"process {os.getpid()} on {socket.gethostname()}, since {since}\n"


def _busy(folder: Path, holder: str) -> str:
    return (
        f"{str(folder)!r} is in use: {holder} writes into it. Wait until that run is done, or end "
        "it, or name another folder."
    )
