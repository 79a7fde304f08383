"""What an inspection finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from argen.errors import counted, listed
from argen.inspection.words import (
    MOST_SHOWN,
    as_command,
    as_python,
    row,
    section,
    shown_sizes,
    wrapped,
)
from argen.read import ReadOptions

Certainty = Literal["sure", "likely"]


@dataclass(frozen=True, slots=True)
class Guess:
    """What something in a file is taken for, and why."""

    role: str  # counts, symbols, target, control, guide, depth, batch, mito
    name: str  # of the matrix, column, table or label
    evidence: str
    certainty: Certainty


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Inspection:
    """What is in a file, what it looks like, and what of it must be asked.

    Without ``questions`` the options are what ``argen fit`` takes by itself. With them they are a
    proposal. They are None where something that a fit needs was not found, or could be two things.
    """

    source: str
    n_cells: int
    n_genes: int
    conventions: tuple[str, ...]
    guesses: tuple[Guess, ...]
    matrices: pd.DataFrame  # matrix, n_genes, raw, holds
    columns: pd.DataFrame  # column, of, type, n_values, missing, first, role
    targets: pd.DataFrame  # target, n_cells, measured
    controls: pd.DataFrame  # label, n_cells, taken: as control, or not
    missing: tuple[str, ...]
    questions: tuple[str, ...]
    findings: tuple[str, ...]
    options: ReadOptions | None

    def guess(self, role: str) -> str | None:
        """Return the name that was taken for a role, or None."""
        return next((guess.name for guess in self.guesses if guess.role == role), None)

    def summary(self) -> str:
        """Return all of it in one page of 80 columns."""
        head = f"{self.source}: {counted(self.n_cells, 'cell')}, {counted(self.n_genes, 'gene')}"
        lines = wrapped(head)
        if self.conventions:
            lines += wrapped(f"Looks like {', and '.join(self.conventions)}.")
        lines += ["", *self._rows()]
        others = self.columns.loc[self.columns["role"] == "", "column"]
        if len(others):
            lines += wrapped(f"Other columns: {listed(others, 12)}.")
        lines += self._cells()
        lines += section("Missing", self.missing)
        lines += section("I cannot tell", self.questions)
        lines += section("Worth knowing", self.findings)
        if self.options is None:
            return "\n".join([*lines, "", "No command can be proposed before that is known."])
        then = "If the guesses are right, fit it with" if self.questions else "Fit it with"
        lines += ["", f"{then}:", "", self.command(), "", "or in Python:", "", self.python()]
        return "\n".join(lines)

    def _rows(self) -> Iterator[str]:
        shown = self.matrices.sort_values("raw", ascending=False, kind="stable")
        for one in shown.head(MOST_SHOWN).itertuples():
            is_raw = one.raw or one.matrix == self.guess("counts")
            yield from row("counts" if is_raw else "no counts", str(one.matrix), str(one.holds))
        if len(shown) > MOST_SHOWN:
            more = len(shown) - MOST_SHOWN
            yield f"{more} more {'matrix' if more == 1 else 'matrices'}"
        for guess in self.guesses:
            if guess.role != "counts":
                sure = "" if guess.certainty == "sure" else f" ({guess.certainty})"
                yield from row(guess.role, guess.name, f"{guess.evidence}{sure}")

    def _cells(self) -> Iterator[str]:
        targets, taken = self.targets, self.controls[self.controls["taken"]]
        if len(targets):
            sizes, is_measured = targets["n_cells"], targets["measured"]
            measured, others = targets[is_measured], targets[~is_measured]
            yield ""
            yield from wrapped(
                f"Targets: {len(targets):,}, with {sizes.min():,} to {sizes.max():,} cells (median "
                f"{sizes.median():,.0f}). {len(measured):,} of them are measured: "
                f"{shown_sizes(measured, 'target')}."
            )
            if len(others):
                yield from wrapped(f"Not measured: {shown_sizes(others, 'target')}.")
        if len(taken):
            n_cells = int(taken["n_cells"].sum())
            yield from wrapped(
                f"Controls: {counted(n_cells, 'cell')}, {shown_sizes(taken, 'label')}."
            )

    def command(self) -> str:
        """Return the command that fits the network, or nothing where it cannot be said."""
        return "" if self.options is None else as_command(self.source, self.options)

    def python(self) -> str:
        """Return the call in Python that reads the screen, or nothing where it cannot be said."""
        return "" if self.options is None else as_python(self.source, self.options)

    def __repr__(self) -> str:
        asked = f"{len(self.missing)} missing, {counted(len(self.questions), 'question')}"
        return (
            f"Inspection({self.source!r}, {counted(self.n_cells, 'cell')}, "
            f"{counted(self.n_genes, 'gene')}, {asked})"
        )

    def __str__(self) -> str:
        return self.summary()
