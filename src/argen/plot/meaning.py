"""Figures of what a network means: modules, known pairs, strength by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from argen.analysis import compare_strength, modules
from argen.network import CausalNetwork
from argen.plot.style import (
    NEUTRAL,
    OTHER,
    POSITIVE,
    axes_or_new,
    label_ticks,
    name_style,
    plain_log_scale,
    shown_name,
)
from argen.pvalues import p_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_GROUPS = 60


def draw_modules(
    network: CausalNetwork, *, smallest: int = 3, seed: int = 1, ax: Axes | None = None
) -> Axes:
    """Draw the size of each module, and how many of its edges stay within it.

    Parameters
    ----------
    smallest, seed
        Of ``argen.analysis.modules``.
    """
    table = modules(network, smallest=smallest, seed=seed)
    of_gene = table.set_index("gene")["module"]
    ends = [network.edges[end].map(of_gene).to_numpy() for end in ("source", "target")]
    numbers = sorted(set(of_gene[of_gene > 0]))
    ax = axes_or_new(ax, float(np.clip(2 + 0.3 * len(numbers), 4, 9)), 3.6)
    sizes = [int((of_gene == k).sum()) for k in numbers]
    within = [int(((ends[0] == k) & (ends[1] == k)).sum()) for k in numbers]
    across = [int(((ends[0] == k) != (ends[1] == k)).sum()) for k in numbers]
    place = np.arange(len(numbers))
    for shift, values, colour, hatch, label in (
        (-0.27, sizes, NEUTRAL, "", "genes"),
        (0.0, within, POSITIVE, "///", "edges within"),
        (0.27, across, OTHER, "...", "edges to others"),
    ):
        ax.bar(place + shift, values, 0.27, color=colour, hatch=hatch, edgecolor="white",
               label=label)  # fmt: skip
    label_ticks(ax, "x", [str(k) for k in numbers], most=MOST_GROUPS)
    n_alone = int((of_gene == 0).sum())
    ax.set(xlabel=f"module ({n_alone} genes are in none)", ylabel="number")
    if numbers:
        ax.legend(fontsize=8)
    return ax


def draw_evidence(comparison: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the odds ratio of each group of pairs for known pairs, with its counts and test.

    Parameters
    ----------
    comparison
        From ``argen.analysis.evidence.compare``, one table or several together. What is infinite
        or 0 is drawn at the end of the axis, with an arrow.
    """
    several = len(set(comparison["evidence"])) > 1
    names = [
        f"{row['evidence']}: {row['group']}" if several else str(row["group"])
        for row in comparison.to_dict("records")
    ]
    ax = axes_or_new(ax, 5.5, float(np.clip(1.4 + 0.28 * len(names), 2.2, 12)))
    ratio = comparison["odds_ratio"].to_numpy(dtype=np.float64)
    usual = ratio[np.isfinite(ratio) & (ratio > 0)]
    low, high = (0.1, 10.0) if not len(usual) else (usual.min() / 3, usual.max() * 3)
    low, high = min(low, 0.3), max(high, 3.0)
    place = np.arange(len(names))
    shown = np.clip(np.nan_to_num(ratio, nan=1.0, posinf=high), low, high)
    called = (comparison["group"] == "called").to_numpy()
    for rows, colour, marker in ((called, POSITIVE, "o"), (~called, NEUTRAL, "s")):
        ax.plot(shown[rows], place[rows], marker, color=colour, markersize=6)
    for k, row in enumerate(comparison.to_dict("records")):
        arrow = " →" if ratio[k] > high else "← " if ratio[k] < low else ""
        text = f"{arrow} {row['n_known']} of {row['n_pairs']}, {p_of(row['p_value'])}"
        ax.annotate(text, (shown[k], k), (6, 5), textcoords="offset points", fontsize=7)
    ax.axvline(1.0, color=NEUTRAL, linewidth=0.8)
    plain_log_scale(ax.xaxis)
    ax.set(xlim=(low / 1.5, high * 6), xlabel="odds ratio for known pairs")
    label_ticks(ax, "y", [shown_name(name, 40) for name in names], most=MOST_GROUPS)
    ax.set_ylim(len(names) - 0.4, -0.6)
    return ax


def draw_strength(network: CausalNetwork, classes: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the sizes of edges in each class of gene pairs, with the test between classes.

    Parameters
    ----------
    classes
        Columns source, target and class, such as from ``argen.analysis.places``.
    """
    edges = network.edges.assign(size=lambda t: t["effect"].abs())
    edges = edges[np.isfinite(edges["size"])].merge(classes, on=["source", "target"])
    parts = {str(name): part["size"].to_numpy() for name, part in edges.groupby("class")}
    ax = axes_or_new(ax, float(np.clip(2 + 0.9 * len(parts), 4, 9)), 3.8)
    rng = np.random.default_rng(0)
    for k, values in enumerate(parts.values()):
        ax.boxplot(values, positions=[k], widths=0.6, showfliers=False,
                   medianprops={"color": POSITIVE, "linewidth": 2})  # fmt: skip
        ax.plot(k + rng.uniform(-0.2, 0.2, len(values)), values, ".", color=NEUTRAL, markersize=4)
    names = [shown_name(name) + f"\n({len(values)})" for name, values in parts.items()]
    ax.set_xticks(range(len(names)), names, fontsize=8, **name_style())
    tests = compare_strength(network, classes)
    p_values = tests["p_value"].to_numpy(dtype=np.float64)
    title = f"Kruskal-Wallis {p_of(p_values[0])}" if len(p_values) else ""
    ax.set(ylabel="size of the effect", title=title)
    return ax
