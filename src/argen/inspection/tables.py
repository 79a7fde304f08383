"""The tables of an inspection: guesses, matrices, columns, targets, controls."""

from __future__ import annotations

import numpy as np
import pandas as pd

from argen.errors import counted
from argen.inspection import names, roles
from argen.inspection.candidates import Candidate
from argen.inspection.parts import Parts, is_sure
from argen.inspection.proposal import control_entries
from argen.inspection.result import Certainty, Guess
from argen.read import MatrixLook, OpenAnnData


def guesses_of(parts: Parts) -> list[Guess]:
    """Everything that was recognised."""
    counts, target = parts.counts, parts.target
    guesses: list[Guess] = []
    if counts is not None:
        guesses.append(Guess("counts", counts.name, counts.holds, "sure"))
    if target is not None:
        guesses += _target_guesses(target, parts.n_controls)
    for role, column in (("guide", parts.guide), ("depth", parts.depth), ("mito", parts.mito)):
        if column is not None:
            certainty: Certainty = "sure" if column.grade == 0 else "likely"
            guesses.append(Guess(role, column.name, column.evidence, certainty))
    guesses += [Guess("batch", one.name, one.evidence, "likely") for one in parts.batches]
    return guesses


def _target_guesses(target: Candidate, n_controls: int) -> list[Guess]:
    sizes = target.targets()
    said = [f"{len(target.measured):,} of {len(sizes):,} targets are measured genes"]
    if target.symbols is not None:
        said.append(f"by var[{target.symbols!r}]")
    if names.rank(target.name, names.TARGET) is not None:
        said.append("a usual name")
    guesses = [Guess("target", target.name, "; ".join(said), "sure" if len(said) > 1 else "likely")]
    if target.joined is not None:
        joined = target.joined
        guesses.append(
            Guess(
                "separator",
                repr(joined.separator),
                f"{joined.n_explained:,} of {counted(joined.n_labels, 'label')} with it, such "
                f"as {joined.example!r}",
                "sure" if joined.n_explained == joined.n_labels else "likely",
            )
        )
    if target.largest > 1:
        guesses.append(
            Guess("guide counts", target.name, "a table of counts, from which guides are called",
                  "likely")
        )  # fmt: skip
    if target.rule is not None:
        guesses.append(Guess("guide pattern", target.rule.pattern, str(target.rule), "likely"))
    if target.renamed:
        label, gene = next(iter(target.renamed.items()))
        guesses.append(
            Guess(
                "match genes",
                "close",
                f"{counted(len(target.renamed), 'label')} with another case or version, such as "
                f"{label!r} for {gene}",
                "likely",
            )
        )
    found = target.controls.found
    if found:
        certainty: Certainty = "sure" if all(map(is_sure, found)) else "likely"
        shown = ", ".join(control_entries(target)[:4])
        guesses.append(
            Guess(
                "control",
                shown,
                f"{counted(n_controls, 'cell')}, {counted(len(found), 'label')}",
                certainty,
            )
        )
    return guesses


def matrix_table(looks: list[MatrixLook]) -> pd.DataFrame:
    """Every matrix, and what its first cells hold."""
    rows = [(look.name, len(look.genes), look.is_raw, look.holds) for look in looks]
    return pd.DataFrame(rows, columns=["matrix", "n_genes", "raw", "holds"])


def column_table(opened: OpenAnnData, guesses: list[Guess]) -> pd.DataFrame:
    """Every column of obs and table of obsm, with its role."""
    role = {guess.name: guess.role for guess in guesses}
    rows = []
    for name, values in opened.obs.items():
        n_values = int(values.nunique())
        rows.append(
            (name, "obs", str(values.dtype), n_values, int(values.isna().sum()),
             roles.names_of(values.iloc[:100]), role.get(str(name), ""))
        )  # fmt: skip
    for key in map(str, opened.obsm):
        shape = getattr(opened.obsm[key], "shape", (0, 0))
        rows.append((key, "obsm", f"{shape[-1]} columns", int(shape[-1]), 0, "", role.get(key, "")))
    columns = ["column", "of", "type", "n_values", "missing", "first", "role"]
    return pd.DataFrame(rows, columns=columns)


def target_table(target: Candidate | None) -> pd.DataFrame:
    """Every target with its cells."""
    sizes = pd.Series(dtype=np.int64) if target is None else target.targets()
    measured = set() if target is None else set(target.measured)
    return pd.DataFrame(
        {
            "target": list(sizes.index),
            "n_cells": sizes.to_numpy(),
            "measured": [name in measured for name in sizes.index],
        }
    )


def control_table(target: Candidate | None) -> pd.DataFrame:
    """Every label of controls with its cells, and those that are asked about."""
    rows = []
    if target is not None and target.is_table:
        n_cells = int(target.control_cells().sum())
        shown = ", ".join(target.controls.found) or "none"
        rows = [(f"{shown} in obsm[{target.name!r}] and no target", n_cells, True)]
    elif target is not None:
        every = zip(target.sizes.index, target.sizes, target.is_control(), strict=True)
        rows = [
            (label, int(size), bool(is_control))
            for label, size, is_control in every
            if is_control or label in target.controls.no_guide
        ]
    table = pd.DataFrame(rows, columns=["label", "n_cells", "taken"])
    return table.sort_values("n_cells", ascending=False, kind="stable", ignore_index=True)
