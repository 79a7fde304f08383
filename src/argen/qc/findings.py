"""What quality control says, in the words of the checks."""

from __future__ import annotations

import pandas as pd

from argen.checks import (
    FEWEST_MOVED_MORE,
    OWN_EFFECT_ALPHA,
    Finding,
    idle_findings,
    knockdown_findings,
    transcript_findings,
)
from argen.data import ENOUGH_CONTROLS, PerturbSeqData
from argen.errors import counted, listed
from argen.network import WORKS, Severity, left_out_findings
from argen.qc.candidates import FEWEST_EXPECTED
from argen.qc.cells import FARTHEST

_CONTROLS = "controls (every perturbation has cells to be compared with)"
_SINGLE = "cells (each droplet held one)"
# Share of cells that look like two from which it is worth a word.
MANY_DOUBTFUL = 0.01
_HIDDEN = "nodes (what is left out is hidden)"


def quality_findings(
    data: PerturbSeqData,
    candidates: pd.DataFrame,
    knockdown: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
) -> list[Finding]:
    """Say what is to be known before nodes are chosen, and what the choice means.

    Parameters
    ----------
    candidates
        With ``chosen`` and ``reason``; first those that are measured.
    knockdown
        From ``checks.knockdown_table``.
    tables
        Guides and doublet_like.
    """
    measured = candidates.iloc[: data.n_nodes]
    return [
        *_choice_findings(measured),
        *left_out_findings(data.left_out),
        *_dead_findings(measured),
        *knockdown_findings(knockdown),
        *transcript_findings(knockdown),
        *_protein_findings(measured, knockdown),
        *_control_findings(data, measured),
        *idle_findings(tables["guides"]),
        *_doublet_findings(data, measured, tables["doublet_like"]),
    ]


def quality_lines(
    data: PerturbSeqData,
    candidates: pd.DataFrame,
    knockdown: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
) -> list[str]:
    """Say in a line each what was looked at."""
    measured, left = candidates.iloc[: data.n_nodes], knockdown["percent_remaining"]
    n_out = len(candidates) - len(measured)
    lines = [
        f"candidates: {int(measured['chosen'].sum())} of {len(measured)} chosen"
        + (f"; {n_out} more could not be nodes" if n_out else "")
    ]
    for reason, rows in measured[~measured["chosen"]].groupby("reason", sort=False):
        lines.append(f"  out, {reason}: {listed(rows['candidate'])}")
    lines.append(
        f"knock-down: {left.min():.0f} to {left.max():.0f} % of each gene's expression left "
        f"(median {left.median():.0f} %); {int(knockdown['failed'].sum())} of {len(knockdown)} "
        "not shown"
    )
    guides = tables["guides"]
    if len(guides):
        working = f"{int(guides['works'].sum())} of {len(guides)} change their gene"
        lines.append(f"guides: {working} (adjusted p < {OWN_EFFECT_ALPHA:g})")
    elif data.guides is None:
        lines.append("guides: not compared, as the guides of the cells are not known")
    else:
        lines.append("guides: not compared, as cells carry several perturbations, or all are rare")
    for column, rows in tables["batches"].groupby("column", sort=False):
        fewest = int(rows["n_controls"].min())
        lines.append(f"controls: at least {fewest:,} in each of {len(rows)} levels of {column}")
    lines.append(
        f"cells that look like two: {len(tables['doublet_like']):,} of {data.n_cells:,}, depth and "
        f"genes both more than {FARTHEST:g} deviations above the controls"
    )
    return lines


def _choice_findings(measured: pd.DataFrame) -> list[Finding]:
    """Say what leaving candidates out does, or that too few are left."""
    out = measured[~measured["chosen"]]
    if len(measured) - len(out) < 2:
        evidence = f"{len(measured) - len(out)} of {len(measured)} candidates pass all rules, and a"
        evidence += " network needs two."
        advice = "Loosen the rules: candidates.tsv says which one each candidate fails."
        return [Finding(_HIDDEN, evidence, advice, "serious")]
    if not len(out):
        return []
    are = "is no node" if len(out) == 1 else "are no nodes"
    evidence = f"{len(out)} of {len(measured)} candidates {are}: {listed(out['candidate'])}."
    advice = "An effect that passes through them counts as direct between the nodes."
    return [Finding(_HIDDEN, evidence, advice, "note")]


def _dead_findings(measured: pd.DataFrame) -> list[Finding]:
    """Name the genes of which even a complete knock-down could hardly be seen."""
    dead = measured[measured["expected_counts"] < FEWEST_EXPECTED]
    if not len(dead):
        return []
    shown = [f"{row.candidate} ({row.expected_counts:.1f})" for row in dead.itertuples()]
    evidence = (
        f"{len(dead)} of {len(measured)} genes have fewer than {FEWEST_EXPECTED:g} counts to "
    )
    evidence += f"lose in the cells of their perturbation: {listed(shown)}."
    advice = "Even a complete knock-down could hardly be seen there: more cells, or deeper "
    return [Finding(WORKS, evidence, advice + "sequencing, would show it.", "warning")]


def _protein_findings(measured: pd.DataFrame, knockdown: pd.DataFrame) -> list[Finding]:
    """Name the perturbations that change a few other genes, and not their own."""
    few = (knockdown["failed"] & (knockdown["n_moved_more"] < FEWEST_MOVED_MORE)).to_numpy()
    working = measured[few & (measured["n_descendants"].to_numpy() > 0)]
    if not len(working):
        return []
    working = working.sort_values("n_descendants", ascending=False, kind="stable")
    shown = [f"{row.candidate} ({row.n_descendants:.0f})" for row in working.itertuples()]
    evidence = f"Of the perturbations that do not change their own gene {len(working)} "
    evidence += f"{'changes' if len(working) == 1 else 'change'} others: {listed(shown)}."
    advice = "A knock-out may destroy a protein and leave its transcript: it works, and still its "
    advice += "gene's effects cannot be measured against its own expression."
    return [Finding(WORKS, evidence, advice, "note")]


def _control_findings(data: PerturbSeqData, measured: pd.DataFrame) -> list[Finding]:
    """Say where controls are few, or none in the batches of a perturbation."""
    found, typical = [], float(measured["n_cells"].median())
    if data.n_controls < typical:
        share = 100.0 * typical / (typical + data.n_controls)
        evidence = f"There are {data.n_controls:,} control cells, fewer than a perturbation has "
        evidence += f"({typical:,.0f} in the median): {share:.0f} % of the variance of its effects "
        evidence += "comes from the controls, the same error for all perturbations."
        advice = f"Add control cells: from {5 * typical:,.0f} on, standard errors are within a "
        few: Severity = "warning" if data.n_controls < ENOUGH_CONTROLS else "note"
        found.append(Finding(_CONTROLS, evidence, advice + "tenth of the least.", few))
    alone = measured[measured["cells_without_controls"] > 0]
    if len(alone):
        alone = alone.assign(share=alone["cells_without_controls"] / alone["n_cells"])
        alone = alone.sort_values("share", ascending=False, kind="stable")
        shown = [
            f"{row.candidate} ({row.cells_without_controls:,} of {row.n_cells:,} cells)"
            for row in alone.itertuples()
        ]
        evidence = f"{len(alone)} of {len(measured)} perturbations have cells in batches without a "
        evidence += f"control: {listed(shown)}."
        advice = "As a covariate the batch takes these cells out of the comparison; else they are "
        advice += "compared with controls of other batches: leave them out with --cells."
        found.append(Finding(_CONTROLS, evidence, advice, "warning"))
    return found


def _doublet_findings(
    data: PerturbSeqData, measured: pd.DataFrame, doubtful: pd.DataFrame
) -> list[Finding]:
    """Say how many cells look like two, and in which perturbations most do."""
    if len(doubtful) < MANY_DOUBTFUL * data.n_cells:
        return []
    most = measured.sort_values("doublet_like", ascending=False, kind="stable").head(3)
    shown = [
        f"{row['candidate']} ({100 * row['doublet_like']:.1f} %)"
        for row in most.to_dict("records")
        if row["doublet_like"] > 0
    ]
    share = 100.0 * len(doubtful) / data.n_cells
    evidence = (
        f"{counted(len(doubtful), 'cell')} ({share:.1f} %) with the depth and the genes of two"
    )
    evidence += f", most among those of {listed(shown)}." if shown else "."
    advice = "None is left out, and few doublets can be told by depth: a score such as Scrublet's, "
    advice += "made before, can be used with --cells, or looked at with --also."
    return [Finding(_SINGLE, evidence, advice, "note")]
