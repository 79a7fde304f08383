"""Weak points of edges that null screens show."""

from __future__ import annotations

import numpy as np

from argen.checks.findings import Tables, WeakPoint
from argen.network import CausalNetwork
from argen.pvalues import less_inflated, p_of


def inflated_edges(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges that would miss their bar if statistics were divided as null screens ask for."""
    needed = float(tables["calibration"]["inflation_needed"].max())
    edges = network.edges
    if needed <= 1.0 or not len(edges):
        return []
    p_value = edges["p_adjusted"].where(edges["p_adjusted"].notna(), edges["p_value"])
    deflated = less_inflated(p_value.to_numpy(dtype=np.float64), needed)
    return [
        WeakPoint(
            row["source"], row["target"], p,
            f"would miss its bar of {row['level']:.2g} if p-values were what null screens ask for "
            f"({p_of(p)} after division by {needed:.2f})",
            "the same edge from other batches of cells",
        )
        for row, p in zip(edges.to_dict("records"), deflated.tolist(), strict=True)
        if p > row["level"]
    ]  # fmt: skip
