"""The options of the command line: what they are called, mean and may be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cyclopts import Group, Parameter, Token, convert

INPUT = Group(
    "Input columns",
    help=(
        "Without any of these, what argen inspect recognises is taken and printed, if nothing is "
        "ambiguous. Lists are typed as A,B; genes also as a file with one a line. For several "
        "labels of the controls, repeat --control."
    ),
    sort_key=1,
)
METHOD = Group("Method", sort_key=2)
MODEL = Group("Random network", sort_key=2)
CHECKS = Group("Checks", sort_key=3)
CHOICE = Group("Choice of nodes", sort_key=3)
_RUN = Group("Where and how to run", sort_key=3)
OUTPUT = Group("Output", sort_key=4)

Format = Literal["pdf", "svg", "png"]


@Parameter(name="*", group=_RUN)
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where the fits are computed; no result depends on it.

    Parameters
    ----------
    resume
        Go on with a run that was ended, from the finished blocks in the folder of the results.
    executor
        "serial": in this process, with its threads; "dask": on the workers of a Dask cluster.
    scheduler
        Address of a running Dask scheduler, as tcp://host:8786; when left out, workers are
        started on this machine.
    workers
        Worker processes to start on this machine, each with --threads threads, or one.
    """

    resume: bool = False
    executor: Literal["serial", "dask"] = "serial"
    scheduler: str | None = None
    workers: int | None = None


def exactly(kind: Any, tokens: Sequence[Token]) -> Any:
    """Convert what was typed, but take neither 1.5 for a whole number nor nothing for a path."""
    for text in (token.value for token in tokens):
        if kind in (int, int | None) and re.fullmatch(r"[+-]?\d+", text) is None:
            raise ValueError(f"expected a whole number, not {text!r}")
        if kind is Path and not text:
            raise ValueError("expected a path, not an empty text")
    return convert(kind, tokens)
