"""Composition: whether a gene is so large a part of its cells' counts that its loss moves all."""

from __future__ import annotations

import numpy as np
import pandas as pd

from argen.data import PerturbSeqData
from argen.errors import listed
from argen.network import Finding

# What all other genes may seem to move by when one is knocked down.
MOST_LENT = 0.02
_SIZE = "library size (that of a cell does not depend on its perturbation)"


def composition_table(data: PerturbSeqData) -> pd.DataFrame:
    """Return what each perturbed gene lends to all others when it is lost, one row a node.

    ``share`` and ``share_perturbed`` are the gene's part of the library sizes where it is not
    perturbed and where it is. If nothing else changes, every other gene's part then grows by
    ``lent`` = (1 - share_perturbed) / (1 - share) - 1. It is missing where the library sizes are
    smaller than the counts, as size factors are.
    """
    counts, size = data.counts.part(0, data.n_nodes), data.library_size
    of_node = (counts.part(k, k + 1).totals(data.perturbed(k))[0] for k in range(data.n_nodes))
    perturbed, perturbed_size = np.fromiter(of_node, np.float64), data.perturbations.T @ size
    if data.one_per_cell:
        others, others_size = counts.totals(data.controls), size[data.controls].sum()
    else:
        others, others_size = counts.totals() - perturbed, size.sum() - perturbed_size
    with np.errstate(invalid="ignore", divide="ignore"):  # without such cells
        share, share_perturbed = others / others_size, perturbed / perturbed_size
        lent = (1.0 - share_perturbed) / (1.0 - share) - 1.0
    inside = (share < 1.0) & (share_perturbed < 1.0)
    return pd.DataFrame(
        {
            "node": list(data.nodes),
            "share": share,
            "share_perturbed": share_perturbed,
            "lent": np.where(inside, lent, np.nan),
        }
    )


def composition_findings(table: pd.DataFrame) -> list[Finding]:
    """Say which genes are too large a part of the library size to be lost unnoticed."""
    large = table[table["lent"].abs() > MOST_LENT]
    if not len(large):
        return []
    large = large.sort_values("lent", key=lambda lent: -lent.abs())
    of_each = zip(large["node"], 100 * large["share"], 100 * large["lent"], strict=True)
    shown = [
        f"{node} ({share:.0f} %; without it, all others {lent:+.0f} %)"
        for node, share, lent in of_each
    ]
    evidence = (
        f"{len(large)} of {len(table)} perturbed genes have so large a part of the library size "
        f"that all other genes seem to move when they do: {listed(shown)}."
    )
    advice = (
        "That passes for effects on every gene, for a response program, or for cells that escape. "
        "Give the library size of all measured genes, where these are only some of them "
        "(--library-size), or one that leaves these genes out."
    )
    return [Finding(_SIZE, evidence, advice, "warning")]
