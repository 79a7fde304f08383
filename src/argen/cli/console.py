"""What every command prints on, and where it may write.

Nothing else prints, so this is where names from files lose what a terminal would obey.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from argen.cli.progress import Report, shown_progress
from argen.errors import InputError, WriteError, printable
from argen.files import finish, locked


class SafeConsole(Console):
    """A console on which no text can do anything but be read."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts with what a terminal would obey in them escaped."""
        texts = (printable(thing) if isinstance(thing, str) else thing for thing in objects)
        super().print(*texts, **options)


out = SafeConsole(highlight=False, markup=False, soft_wrap=True)
err = SafeConsole(stderr=True, highlight=False, markup=False, soft_wrap=True)


def progress(*, quiet: bool = False) -> AbstractContextManager[Report | None]:
    """Open what shows how far a command is."""
    return shown_progress(err, quiet=quiet)


@contextmanager
def results_in(folder: Path | None) -> Iterator[None]:
    """Have a folder for results, which no other run writes into; None: nothing is to be written.

    Whether they can be written is found out before they are computed.
    """
    if folder is None:
        yield
        return
    if os.path.isfile(folder):
        raise InputError(f"--out {str(folder)!r} is a file: expected a folder.")
    with locked(folder):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
            finish(folder)
        except OSError as error:
            raise WriteError.of(folder, error) from error
        yield
