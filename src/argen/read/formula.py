"""Which columns a covariate formula needs."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from argen.errors import InputError, first_few, first_line, nearest

# A text, a name between backticks, or a word with dots and what makes it more than a name.
_TOKEN = re.compile(
    r"""'[^']*'|"[^"]*"|`(?P<quoted>[^`]+)`|"""
    r"""(?<![\w.])(?P<word>[^\W\d][\w.]*)\s*(?P<after>\(|=(?!=))?"""
)
# Q("name") is the older way to write `name`, which hides the column in a text.
_HIDES_NAMES = "Q"


def formula_columns(formula: str, columns: Iterable[object]) -> list[str]:
    """Return the columns that a formula names, in its order.

    The formula library's own list misses those inside ``poly(x, 2)`` and the like, and cuts
    names at dots.

    Raises
    ------
    InputError
        When the formula cannot be read, or names no column, one that is not there, or an
        unknown function.
    """
    from formulaic import Formula
    from formulaic.transforms import TRANSFORMS

    try:
        Formula(formula)
    except Exception as error:  # the parser raises errors of its own and of Python's
        raise InputError(
            f"The covariate formula {formula!r} cannot be read: {first_line(error)}. Write, for "
            "example, '~ p_mito + C(lane)', with names with spaces between backticks."
        ) from error
    known = [str(name) for name in columns]
    functions = set(TRANSFORMS) - {_HIDES_NAMES}
    found = (_column(token, formula, known, functions) for token in _TOKEN.finditer(formula))
    needed = {name: None for name in found if name is not None}
    if not needed:
        raise InputError(f"The covariate formula {formula!r} names no column.")
    return list(needed)


def _column(
    token: re.Match[str], formula: str, known: list[str], functions: set[str]
) -> str | None:
    """Return the column that a token stands for, or None when it stands for something else."""
    name = token["quoted"] or token["word"]
    if name is None or token["after"] == "=" or keyword.iskeyword(name):
        return None
    if token["after"] == "(":
        return _column_of_method(name, formula, known, functions)
    if name in known:
        return name
    if token["quoted"] is None:
        root = name.split(".")[0]
        if root in known:  # an attribute of the column
            return root
        if root in functions:
            return None
    raise InputError(
        f"There is no column {name!r} in obs for the covariate formula {formula!r}."
        f"{nearest(name, known)} Columns: {first_few(known, 15)}. Put names with spaces or dots "
        "between backticks."
    )


def _column_of_method(name: str, formula: str, known: list[str], functions: set[str]) -> str | None:
    root = name.split(".")[0]
    if root in functions:
        return None
    if root in known and root != name:
        return root
    raise InputError(
        f"The covariate formula {formula!r} calls {name!r}, which is not a function of formulas: "
        f"expected one of {', '.join(sorted(functions))}."
    )
