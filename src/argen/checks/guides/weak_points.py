"""Weak points of edges that the guides of their source show."""

from __future__ import annotations

import numpy as np
import pandas as pd

from argen.checks.findings import Tables, WeakPoint, edge_rows
from argen.checks.guides.agreement import needed_guides
from argen.errors import listed
from argen.network import CausalNetwork
from argen.pvalues import p_of

# Where so much of the effect is left without a guide, at such a p-value, cells are missing rather
# than agreement.
LEAST_LEFT, FAINT = 0.5, 0.2
# Below it a guide is seen to change the target by itself.
TARGET_ALPHA = 0.05


def needed_guide_points(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges that are not there without one of their source's guides."""
    left_out, points = tables["leave_one_guide_out"], []
    whole = left_out[left_out["left_out"] == ""].set_index(["source", "target"])["effect"]
    for (source, target), rows in needed_guides(left_out).items():
        guides, p_value = rows["left_out"].tolist(), float(rows["p_value"].max())
        at_work = _at_work(network, tables, source, target)
        without = f"without {'any of ' if len(guides) > 1 else ''}{listed(guides)}"
        of_all = float(whole[source, target])
        least = float(rows["effect"].iloc[int(rows["p_value"].argmax())])
        settles = f"another guide of {source} that does the same"
        if (rows["effect"] / of_all).min() >= LEAST_LEFT and p_value < FAINT:
            shows = f"is too unsure {without} ({least:.2g}, where all give {of_all:.2g}; "
            settles = f"more cells with the other guides of {source}, or {settles}"
        elif (
            at_work["works"].sum() == 1
            and guides == at_work.loc[at_work["works"], "guide"].tolist()
        ):
            shows = f"rests on guide {guides[0]} alone ("
        else:
            shows = f"does not hold {without} ("
        shows += f"{p_of(p_value)} from the other guides of {source}{_said(at_work, target)})"
        points.append(WeakPoint(source, target, p_value, shows, settles))
    return points


def lost_in_all_cells(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges that are not significant where each guide is taken as it is, in all of its cells."""
    whole = tables["leave_one_guide_out"].query("left_out == ''")
    points = []
    for row in edge_rows(network, whole[whole["p_value"] >= TARGET_ALPHA]):
        source, p_value = row["source"], float(row["p_value"])
        corrected = ", those that escape too" if network.escape_corrected else ""
        shows = (
            f"is not significant where the guides of {source} are instruments of their own, in all "
            f"of their cells{corrected} ({row['effect']:.2g}, {p_of(p_value)})"
        )
        settles = f"more cells with guides of {source}, or guides that work in more of their cells,"
        points.append(WeakPoint(source, row["target"], p_value, shows, settles))
    return points


def disagreeing_guides(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges about which the guides of the source disagree."""
    points = []
    for row in edge_rows(network, tables["guide_agreement"].query("disagree")):
        source, target, odd = row["source"], row["target"], row["odd_guide"]
        shows = (
            f"comes from guides of {source} that disagree about {target} beyond their strength "
            f"(adjusted {p_of(row['p_adjusted'])}{f', {odd} against the others' if odd else ''}"
            f"{_said(_at_work(network, tables, source, target), target)})"
        )
        settles = f"a further guide of {source} that sides with one of them"
        if odd:
            settles = f"the same edge without {odd}, and from a new guide of {source},"
        points.append(WeakPoint(source, target, row["p_adjusted"], shows, settles))
    return points


def unexplained_targets(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges into genes whose candidates do not explain what all guides do to them."""
    return [
        WeakPoint(
            row["source"], row["target"], row["p_adjusted"],
            "is into a gene whose candidates do not explain what their guides do to it "
            f"(adjusted {p_of(row['p_adjusted'])})",
            f"the same edge with the missing parent of {row['target']} on the panel, or without "
            "the guide that acts elsewhere,",
        )
        for row in edge_rows(network, tables["overidentification"].query("rejected"))
    ]  # fmt: skip


def _at_work(network: CausalNetwork, tables: Tables, source: str, target: str) -> pd.DataFrame:
    """Guides of the source, and whether each changes the target by itself, as all of them do."""
    table = tables.get("guides", pd.DataFrame(columns=["source", "target", "effect", "p_value"]))
    own = table[(table["source"] == source) & (table["target"] == target)]
    effect = network.screen.effect[network.nodes.index(source), network.genes.index(target)]
    same = np.sign(own["effect"]) == np.sign(effect)
    return own.assign(works=same & (own["p_value"] < TARGET_ALPHA))


def _said(guides: pd.DataFrame, target: str) -> str:
    n = int(guides["works"].sum())
    change = f"changes {target} by itself" if n == 1 else f"change {target} by themselves"
    return f"; {n} of {len(guides)} guides {change}" if len(guides) else ""
