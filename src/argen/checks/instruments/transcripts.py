"""Perturbations that act without lowering the transcript of their gene as far as they act."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtr

from argen.arrays import IntArray
from argen.errors import counted, listed, shown
from argen.network import Finding
from argen.pvalues import adjust
from argen.steps import DescendantScreen

# Of the test that a gene moves by more than the perturbed one, by Holm's method over the genes.
MORE_ALPHA = 0.05
# So many genes that do are hardly off-target effects, or direct effects above 1, of a few.
FEWEST_MOVED_MORE = 3
_IN_TRANSCRIPT = "size (a perturbation lowers its transcript as far as it acts)"


def n_moved_more(screen: DescendantScreen) -> IntArray:
    """Count the genes that each perturbation moves by more than its own, beyond doubt: (n_nodes,).

    With T_kj the total effect of perturbation k on gene j, and T_kk that on its own, ``|T_kj| <=
    |T_kk|`` is tested by ``(|T_kj| - |T_kk|) / (s_kj^2 + s_kk^2)^(1/2)``, one-sided, at 5 % over
    all genes by Holm's method.
    """
    effect, std_error = screen.with_own
    own, own_error = screen.knockdown.effect, screen.knockdown.std_error
    with np.errstate(invalid="ignore"):
        z = (np.abs(effect) - np.abs(own)[:, None]) / np.hypot(std_error, own_error[:, None])
    np.fill_diagonal(z, np.nan)
    surer = [adjust(ndtr(-of_node), "holm") < MORE_ALPHA for of_node in z]
    return np.array([np.count_nonzero(row) for row in surer], dtype=np.int64)


def transcript_findings(table: pd.DataFrame) -> list[Finding]:
    """Name the perturbations that move several genes by more than their own.

    Parameters
    ----------
    table
        From ``knockdown_table``.
    """
    beyond = table[table["n_moved_more"] >= FEWEST_MOVED_MORE]
    if not len(beyond):
        return []
    named = [
        f"{shown(row['node'])} ({row['percent_remaining']:.0f} % left; "
        f"{counted(row['n_moved_more'], 'gene')})"
        for row in beyond.sort_values("n_moved_more", ascending=False, kind="stable").to_dict(
            "records"
        )
    ]
    move = "moves" if len(beyond) == 1 else "move"
    own = "its own gene" if len(beyond) == 1 else "their own"
    evidence = f"{len(beyond)} of {counted(len(table), 'perturbation')} {move} other genes by more "
    evidence += f"than {own}, beyond doubt: {listed(named)}."
    advice = "A knock-out can destroy the protein and leave the transcript, which then says little "
    advice += "of how much was done: sizes of edges out of this gene, per unit of log transcript, "
    advice += "are too large, and only that they exist and their signs are left. If it is a "
    advice += "knock-down, a guide may act elsewhere, or effects grow along the way."
    return [Finding(_IN_TRANSCRIPT, evidence, advice, "warning")]
