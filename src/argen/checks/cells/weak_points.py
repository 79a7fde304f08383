"""Weak points of edges that the cells of their source show."""

from __future__ import annotations

import numpy as np

from argen.checks.cells.balance import LIBRARY_SIZE
from argen.checks.cells.composition import MOST_LENT
from argen.checks.findings import Tables, WeakPoint, edge_rows
from argen.network import CausalNetwork
from argen.pvalues import p_of

# A total effect that is a smaller multiple of what the source lends to all genes is in doubt.
TIMES_LENT = 2.0


def moved_columns(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges whose source moves a covariate, or whose cells differ in what is no covariate."""
    odd = tables["balance"]
    odd = odd[odd["unbalanced"] & (odd["role"] != "covariate")].sort_values("p_value")
    points = []
    for row in edge_rows(network, odd.rename(columns={"node": "source"})):
        source, target, column = row["source"], row["target"], str(row["column"])
        if row["role"] == "consequence":
            what = f"is adjusted for {column}, which the perturbation of {source} may move"
            settles = f"the same edge without the covariate {column} (argen check --sensitivity)"
            scenario = f"without covariate {column}"
        else:
            what = f"compares cells with guides of {source} with controls that differ in {column}"
            settles = f"the same edge with {column} as a covariate (argen check --sensitivity)"
            is_size = row["role"] == "library size"
            scenario = f"with {LIBRARY_SIZE} as covariate" if is_size else ""
        shows = f"{what} (adjusted {p_of(row['p_adjusted'])})"
        points.append(WeakPoint(source, target, row["p_adjusted"], shows, settles, scenario))
    return points


def lent_effects(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges whose total effect may be what the loss of the source lends to every other gene."""
    number = {gene: k for k, gene in enumerate(network.genes)}
    points = []
    for row in edge_rows(network, tables["composition"].rename(columns={"node": "source"})):
        source, target, lent = row["source"], row["target"], float(np.log1p(row["lent"]))
        total = network.screen.effect[number[source], number[target]]
        if abs(row["lent"]) > MOST_LENT and 0.0 < total / lent < TIMES_LENT:
            shows = (
                f"has a total effect of {100 * np.expm1(total):+.2g} %, of which "
                f"{100 * row['lent']:+.2g} % come with the loss of {source}, a large part of the "
                "library size"
            )
            settles = f"the same edge with a library size that leaves {source} out"
            points.append(WeakPoint(source, target, row["lent"], shows, settles))
    return points
