"""What is known of each candidate: cells, expression, and what its perturbation does to it."""

from __future__ import annotations

import pandas as pd

from argen.data import PerturbSeqData
from argen.errors import FitStatus
from argen.steps import DescendantScreen

# None left of so many has a p-value of about 2 exp(-5) = .013: of fewer, even a complete knock-down
# can hardly be seen.
FEWEST_EXPECTED = 5.0
_OF_KNOCKDOWN = [
    "effect", "percent_remaining", "percent_low", "percent_high", "first_stage_f", "p_value",
    "p_adjusted",
]  # fmt: skip
_OF_PENETRANCE = [
    "penetrance", "penetrance_low", "penetrance_high", "escape_corrected", "penetrance_borrowed",
]  # fmt: skip


def measured_candidates(
    data: PerturbSeqData, screen: DescendantScreen, knockdown: pd.DataFrame
) -> pd.DataFrame:
    """Return one row for each gene that is perturbed and measured, in their sequence.

    ``control_mean`` is the mean count in control cells; ``expected_counts`` is what the cells of
    the perturbation would hold of its gene in all if it did nothing and they were like controls:
    ``sum_control Y / sum_control C * sum_perturbed C``.

    Parameters
    ----------
    knockdown
        From ``checks.knockdown_table``.
    """
    controls = data.controls
    totals = data.counts.part(0, data.n_nodes).totals(controls)
    sizes = data.perturbations.T @ data.library_size
    kept = [name for name in _OF_KNOCKDOWN + _OF_PENETRANCE if name in knockdown]
    table = pd.DataFrame(
        {
            "candidate": list(data.nodes),
            "n_cells": data.n_perturbed,
            "control_mean": totals / max(int(controls.sum()), 1),
            "expected_counts": totals * sizes / data.library_size[controls].sum(),
        }
    )
    own = screen.knockdown
    table = pd.concat([table, knockdown[kept].assign(log10_p=own.log10_p)], axis=1)
    table["n_descendants"] = screen.is_descendant[:, : data.n_nodes].sum(axis=1)
    table["status"] = [FitStatus(status).name for status in own.status]
    return table


def other_candidates(left_out: pd.DataFrame) -> pd.DataFrame:
    """Return what was perturbed and cannot be a node, and why: candidate, n_cells, reason."""
    rows = left_out[left_out["kind"].isin(["node", "target"])]
    table = rows[["name", "n_cells", "reason"]].rename(columns={"name": "candidate"})
    return table.reset_index(drop=True)
