"""What every command prints on, and where it may write."""

from __future__ import annotations

import os
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console

from argen.cli.progress import Report, shown_progress
from argen.errors import InputError

out = Console(highlight=False, markup=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def progress(*, quiet: bool = False) -> AbstractContextManager[Report | None]:
    """Open what shows how far a command is."""
    return shown_progress(err, quiet=quiet)


def make_folder(folder: Path) -> None:
    """Find out whether results can be written, before they are computed."""
    if os.path.isfile(folder):
        raise InputError(f"--out {str(folder)!r} is a file: expected a folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(path: Path, error: OSError) -> InputError:
    """Say why the user may not write there."""
    why = os.strerror(error.errno) if error.errno else error
    return InputError(f"--out {str(path)!r} cannot be written: {why}. Name another place.")
