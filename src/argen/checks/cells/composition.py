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
    rows = []
    for node, name in enumerate(data.nodes):
        perturbed = data.perturbed(node)
        reference = data.controls if data.one_per_cell else ~perturbed
        counts = data.counts.part(node, node + 1)
        share, share_perturbed = (
            counts.totals(cells)[0] / data.library_size[cells].sum() if cells.any() else np.nan
            for cells in (reference, perturbed)
        )
        inside = share < 1.0 and share_perturbed < 1.0
        lent = (1.0 - share_perturbed) / (1.0 - share) - 1.0 if inside else np.nan
        rows.append((name, share, share_perturbed, lent))
    return pd.DataFrame(rows, columns=["node", "share", "share_perturbed", "lent"])


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
