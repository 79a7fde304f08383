"""Errors, warnings, and the status that every fit carries."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from enum import IntEnum


def printable(text: str) -> str:
    r"""Return a text that a terminal shows and does not obey; lines and tabs stay.

    Names come from files. What is neither a letter nor a sign, such as the beginning of an escape
    sequence or what turns the direction of writing, is shown as ``\x1b`` or ``\u202e``.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def shown(name: object) -> str:
    """Return a name as it can stand in a line of text: nothing in it ends the line."""
    text = str(name)
    return (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    )


class _Said:
    """Has a message that a terminal shows and does not obey."""

    def __init__(self, *said: object) -> None:
        super().__init__(*(printable(part) if isinstance(part, str) else part for part in said))


class ArgenError(_Said, Exception):
    """Base class of every error that argen raises on purpose."""


class InputError(ArgenError, ValueError):
    """The input or an option is not what the method needs; the message says what to do."""


class WriteError(InputError):
    """Files cannot be written where they were to go; the message says why."""

    @classmethod
    def of(cls, path: object, error: OSError) -> WriteError:
        """Say what the operating system has against it."""
        why = os.strerror(error.errno) if error.errno else first_line(error)
        return cls(
            f"{str(path)!r} cannot be written: {why}. Name another place, or make room; what was "
            "there is as it was."
        )


class ArgenWarning(_Said, UserWarning):
    """Something was left out or replaced, and the result names it."""


class FitStatus(IntEnum):
    """What became of one fit; ``.advice`` says what it means for the reader.

    Members are ordered by severity, so that the status of an estimate built from several
    fits is the largest of theirs. From ``NOT_CONVERGED`` on there is no p-value.
    """

    OK = 0
    POISSON_FALLBACK = 1
    HALF_COUNT = 2
    ZERO_COUNTS_PERTURBED = 3
    ZERO_COUNTS_CONTROL = 4
    NOT_CONVERGED = 5
    NOT_IDENTIFIED = 6
    ZERO_COUNTS = 7

    @property
    def advice(self) -> str:
        """One sentence: what happened and what can be done."""
        return _ADVICE[self]

    @property
    def has_p_value(self) -> bool:
        """Whether an estimate with this status comes with a valid p-value."""
        return self < FitStatus.NOT_CONVERGED


_ADVICE = {
    FitStatus.OK: "Fitted.",
    FitStatus.POISSON_FALLBACK: (
        "The counts are not overdispersed, so a negative-binomial dispersion cannot be "
        "estimated; the Poisson fit was used."
    ),
    FitStatus.HALF_COUNT: (
        "A perturbed group has no count of a gene; half a count was added to the group, so that "
        "its coefficient is finite, with the Poisson variance. Where the source itself lost all "
        "its counts the effect comes out too large; where the target did, too small."
    ),
    FitStatus.ZERO_COUNTS_PERTURBED: (
        "The perturbed cells have no count of the target: the effect is minus infinity; the "
        "p-value is that of a test that needs no effect."
    ),
    FitStatus.ZERO_COUNTS_CONTROL: (
        "The control cells have no count of the target: the effect is plus infinity; the "
        "p-value is that of a test that needs no effect."
    ),
    FitStatus.NOT_CONVERGED: (
        "The fit did not converge; look for a covariate that separates the cells with counts "
        "from those without."
    ),
    FitStatus.NOT_IDENTIFIED: (
        "The effect is collinear with a covariate or with other candidates, or another candidate "
        "of the target has no proxy: the data cannot tell them apart. Add control cells, or drop "
        "the covariate or the gene."
    ),
    FitStatus.ZERO_COUNTS: "No cell of this fit has a count of the target; nothing can be said.",
}


def nearest(name: str, known: Iterable[object]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or an empty string."""
    name, names = str(name), [str(item) for item in known]
    by_lower = {item.lower(): item for item in reversed(names)}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean {by_lower[found[0]]!r}?" if found else ""


def first_few(items: Iterable[object], n_shown: int = 3) -> str:
    """Return the first offenders of a list, and how many more there are."""
    listed = list(items)
    shown = ", ".join(repr(str(item)) for item in listed[:n_shown])
    more = len(listed) - n_shown
    return f"{shown} and {more} more" if more > 0 else shown


def first_line(error: Exception) -> str:
    """Return what an error of another library says, in one line."""
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts: ``1 cell``, ``1,200 cells``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(items: Iterable[object], n_shown: int = 5) -> str:
    """Return the first of some items in words, and how many more there are."""
    words = [shown(item) for item in items]
    more = f" and {len(words) - n_shown} more" if len(words) > n_shown else ""
    return ", ".join(words[:n_shown]) + more
