"""Weak points of edges that the cells of their source show."""

from __future__ import annotations

from argen.checks.cells.balance import LIBRARY_SIZE
from argen.checks.findings import Tables, WeakPoint, edge_rows, p_of
from argen.network import CausalNetwork


def moved_columns(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges whose source moves a covariate, or whose cells differ in what is no covariate."""
    odd = tables["balance"]
    odd = odd[odd["unbalanced"] & (odd["role"] != "covariate")].sort_values("p_value")
    points = []
    for row in edge_rows(network, odd.rename(columns={"node": "source"})):
        source, target, column = row["source"], row["target"], str(row["column"])
        if row["role"] == "consequence":
            what = f"is adjusted for {column}, which the perturbation of {source} may move"
            settles = f"the same edge without the covariate {column}"
            scenario = f"without covariate {column}"
        else:
            what = f"compares cells that carry {source} with controls that differ in {column}"
            settles = f"the same edge with {column} as a covariate"
            is_size = row["role"] == "library size"
            scenario = f"with {LIBRARY_SIZE} as covariate" if is_size else ""
        shows = f"{what} (adjusted {p_of(row['p_adjusted'])})"
        points.append(WeakPoint(source, target, row["p_adjusted"], shows, settles, scenario))
    return points
