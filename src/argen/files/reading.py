"""One guard for files that are read: whatever is wrong with them, one message says it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from argen.errors import InputError, first_line


@contextmanager
def reading(path: str | Path, expected: str) -> Iterator[None]:
    """Turn whatever a reader raises into an ``InputError`` that names the file.

    Libraries raise some thirty kinds of exceptions on damaged files. Have nothing but the reading
    of a file within the block, so that no fault of the program is taken for one of the file.

    Parameters
    ----------
    expected
        What the file was to be, as the end of a sentence: "expected ...".
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries, on what is then refused or checked
            yield
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(
            f"{str(path)!r} may not be read: ask for permission to read it."
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"There is no file {str(path)!r}: expected {expected}.") from error
    except Exception as error:
        raise InputError(
            f"{str(path)!r} cannot be read ({first_line(error)}): expected {expected}."
        ) from error
