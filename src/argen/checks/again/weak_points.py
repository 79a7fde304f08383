"""Weak points of edges that networks inferred again show."""

from __future__ import annotations

import numpy as np

from argen.checks.again.scores import OFF_ALPHA
from argen.checks.again.sensitivity import LARGEST_LOST
from argen.checks.again.stability import LEAST_DIRECTION, LEAST_FREQUENCY
from argen.checks.findings import Tables, WeakPoint, edge_rows, time_course
from argen.network import CausalNetwork
from argen.pvalues import adjust, p_of


def turning_edges(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges that point the other way in resampled cells."""
    return [
        WeakPoint(
            row["source"], row["target"], row["direction_frequency"],
            f"points the other way in {100 * (1 - row['direction_frequency']):.0f} % of the "
            "resamples that have it",
            time_course(row["source"], row["target"]),
        )
        for row in edge_rows(network, tables["stability"])
        if row.get("direction_frequency", 1.0) < LEAST_DIRECTION
    ]  # fmt: skip


def unstable_edges(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges that resampled cells seldom have."""
    return [
        WeakPoint(
            row["source"], row["target"], row["frequency"],
            f"comes back in {100 * row['frequency']:.0f} % of the resamples only",
            "the same edge in a larger screen, or in a replicate,",
        )
        for row in edge_rows(network, tables["stability"])
        if row["frequency"] < LEAST_FREQUENCY
    ]  # fmt: skip


def frail_edges(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges that other sensible choices lose."""
    survival = tables["survival"]
    frail = survival[survival["edge"] & (survival["share_called"] < 1 - LARGEST_LOST)]
    return [
        WeakPoint(
            row["source"], row["target"], row["share_called"],
            f"is found under {100 * row['share_called']:.0f} % of other choices only (lost: "
            f"{row['lost']})",
            "the same edge under these choices, with more cells,",
        )
        for row in edge_rows(network, frail)
    ]  # fmt: skip


def unforeseen_guides(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges that do not foresee what a guide of their source does that was left out."""
    table = tables["held_out"]
    table = table[(table["given"] == "own gene") & table["p_value"].notna()]
    off = table[adjust(table["p_value"].to_numpy(dtype=np.float64), "holm") < OFF_ALPHA]
    worst = off.sort_values("p_value").drop_duplicates(["entry", "target"])
    return [
        WeakPoint(
            row["source"], row["target"], row["p_value"],
            f"does not foresee what guide {row['held']} does to {row['target']} when it is left "
            f"out ({row['observed']:.2g} where {row['predicted']:.2g} is predicted, "
            f"{p_of(row['p_value'])})",
            f"a new guide of {row['source']} that the edge foresees",
        )
        for row in edge_rows(network, worst.rename(columns={"entry": "source"}))
    ]  # fmt: skip
