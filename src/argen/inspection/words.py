"""Words of an inspection: rows and sections of the page, the command, the call in Python."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from argen.read import ReadOptions

_WIDTH = 80
_ROLE, _NAME = 15, 24
# Of targets, controls and matrices that are shown one by one.
MOST_SHOWN = 6


def shown_sizes(table: pd.DataFrame, column: str) -> str:
    """Return the first names of a table with their cells."""
    said = [
        f"{name} ({n:,})"
        for name, n in zip(table[column], table["n_cells"], strict=True)
    ]  # fmt: skip
    more = f" and {len(said) - MOST_SHOWN:,} more" if len(said) > MOST_SHOWN else ""
    return (", ".join(said[:MOST_SHOWN]) or "none") + more


def section(title: str, said: Iterable[str]) -> Iterator[str]:
    """Lines of a list under a title; none where there is nothing to say."""
    listed = list(said)
    if listed:
        yield from ("", f"{title}:")
    for text in listed:
        yield from textwrap.wrap(
            visible(text), _WIDTH, initial_indent="- ", subsequent_indent="  ",
            break_on_hyphens=False,
        )  # fmt: skip


def row(role: str, name: str, evidence: str) -> Iterator[str]:
    """Lines of a role, what has it, and the evidence."""
    name, evidence = visible(name), visible(evidence)
    indent = " " * (_ROLE + _NAME)
    lines = textwrap.wrap(evidence, _WIDTH - len(indent), break_on_hyphens=False) or [""]
    if len(name) >= _NAME:
        yield f"{role:<{_ROLE}}{name}"
    else:
        yield f"{role:<{_ROLE}}{name:<{_NAME}}{lines.pop(0)}".rstrip()
    yield from (f"{indent}{line}" for line in lines)


def wrapped(text: str) -> list[str]:
    """Lines of a paragraph."""
    return textwrap.wrap(
        visible(text), _WIDTH, subsequent_indent="  ", break_on_hyphens=False
    )  # fmt: skip


def visible(text: str) -> str:
    """Return a name of a file so that it writes nothing but itself on a terminal."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


def as_command(source: str, options: ReadOptions) -> str:
    """Return ``argen fit`` with these options, quoted for a shell."""
    words = ["argen fit", _quoted(source if is_file(source) else "screen.h5ad")]
    for flag, value in flags(options):
        joint = "=" if value.startswith("-") else " "
        words.append(f"{flag}{joint}{_quoted(value)}" if value else flag)
    lines, line = [], words[0]
    for word in words[1:]:
        if len(line) + len(word) + 3 > _WIDTH:
            lines.append(f"{line} \\")
            line = f"    {word}"
        else:
            line = f"{line} {word}"
    return "\n".join([*lines, line])


def flags(options: ReadOptions) -> Iterator[tuple[str, str]]:
    """Options as they are typed, with nothing after those that are said by being there."""
    for name, value in _given(options):
        if isinstance(value, tuple) and name == "covariates":
            value = ",".join(value)
        flag = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, tuple) else (value,):
            yield flag, "" if one is True else str(one)


def is_file(source: str) -> bool:
    """Whether a screen is in a file, and not an object."""
    return not source.endswith(" object")


def _quoted(text: str) -> str:
    if text.isprintable():
        return shlex.quote(text)
    escaped = text.encode("unicode_escape").decode("ascii").replace("'", "\\'")
    return f"$'{escaped}'"


def as_python(source: str, options: ReadOptions) -> str:
    """Return the call that reads the screen with these options."""
    lines = [f"    {name}={_literal(value)}," for name, value in _given(options)]
    file = ascii_or_repr(source) if is_file(source) else "adata"
    return "\n".join(
        [
            "options = argen.ReadOptions(",
            *lines,
            ")",
            f"data = argen.read_perturbseq({file}, options)",
        ]
    )


def ascii_or_repr(text: str) -> str:
    """Return text as Python writes it, with double quotes where that takes no escapes."""
    return f'"{text}"' if text.isprintable() and not set(text) & {'"', "\\"} else repr(text)


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]" if len(value) > 1 else _literal(value[0])
    return ascii_or_repr(str(value)) if isinstance(value, str | Path) else repr(value)


def _given(options: ReadOptions) -> Iterator[tuple[str, Any]]:
    """Options that are not as they are by default."""
    for one in fields(options):
        value = getattr(options, one.name)
        if value != one.default and value != ():
            yield one.name, value
