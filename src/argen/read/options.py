"""Options of the reader: their types, checked before anything is opened."""

from __future__ import annotations

import numbers
from collections.abc import Iterable

import numpy as np

from argen.errors import InputError, first_few


def check_name(value: object, option: str, *, optional: bool = True) -> None:
    """Refuse anything but text, or None where an option may be left out."""
    if not isinstance(value, str) and not (optional and value is None):
        raise InputError(f"{option} must be text, not {_shown(value)}.")


def name_list(value: object, option: str) -> list[str]:
    """Return one name, or several, as a list without repetitions."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Iterable):
        raise InputError(f"{option} must be a name or a list of names, not {_shown(value)}.")
    names = list(value)
    for name in names:
        if not isinstance(name, str):
            raise InputError(
                f"{option} must be text, but holds {_shown(name)}. Labels and names are compared "
                f"as text: write {str(name)!r}."
            )
    repeated = {name: None for name in names if names.count(name) > 1}
    if repeated:
        raise InputError(f"{option} names {first_few(repeated)} more than once. Name it once.")
    return [str(name) for name in names]


def check_min_cells(value: object) -> None:
    """Refuse anything but a whole number from 1."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise InputError(f"min_cells must be a whole number from 1, not {_shown(value)}.")


def _shown(value: object) -> str:
    text = repr(value).splitlines()[0]
    return f"{text if len(text) <= 40 else text[:40] + '...'} ({type(value).__name__})"


def check_separator(value: str | None) -> str | None:
    """Refuse a separator without a character."""
    if value == "":
        raise InputError("separator must have a character, such as '+'.")
    return value


def check_mean(value: object) -> float:
    """Refuse anything but a number from 0."""
    if not isinstance(value, int | float | np.number) or isinstance(value, bool) or not value >= 0:
        raise InputError(f"min_sink_mean must be a number from 0, not {_shown(value)}.")
    return float(value)


def optional_names(value: object, option: str) -> str | list[str] | None:
    """Return None, one text, or a list of names without repetitions."""
    return value if value is None or isinstance(value, str) else name_list(value, option)


def sink_names(value: object) -> str | list[str] | None:
    """Return None, ``"all"``, or a list of names."""
    if value is None or (isinstance(value, str) and value == "all"):
        return value
    return name_list(value, "sinks")
