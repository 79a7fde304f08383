"""Numbers of the graph: degrees, centrality, stability of edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd

from argen.analysis import centrality_table, degree_table
from argen.errors import InputError, first_few, nearest
from argen.network import CausalNetwork
from argen.plot.style import (
    NEGATIVE,
    NEUTRAL,
    OTHER,
    POSITIVE,
    axes_or_new,
    edge_name,
    name_style,
    show_legend,
    shown_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Centrality = Literal["degree", "betweenness", "closeness", "pagerank", "katz", "hub", "authority"]
# More names along an axis could not be read.
MOST_LABELS = 45


def draw_degrees(network: CausalNetwork, *, ax: Axes | None = None) -> Axes:
    """Draw how many genes have how many parents, and how many children."""
    table = degree_table(network)
    ax = axes_or_new(ax, 5.2, 3.6)
    most = int(table[["parents", "children"]].to_numpy().max(initial=0))
    degrees = np.arange(most + 1)
    for column, colour, shift, hatch in (
        ("parents", POSITIVE, -0.2, ""),
        ("children", NEGATIVE, 0.2, "///"),
    ):
        n_genes = np.bincount(table[column], minlength=most + 1)
        ax.bar(degrees + shift, n_genes, 0.4, color=colour, hatch=hatch, edgecolor="white",
               label=f"{column} (mean {table[column].mean():.2f})")  # fmt: skip
    ax.set(xlabel="number of parents, or of children", ylabel="genes")
    ax.locator_params(axis="both", integer=True)
    show_legend(ax)
    return ax


def centrality(network: CausalNetwork, measure: Centrality = "pagerank") -> pd.Series:
    """Return a column of ``argen.analysis.centrality_table``, largest first, by gene."""
    if measure not in get_args(Centrality):
        raise InputError(
            f"measure must be one of {first_few(get_args(Centrality), 7)}, not {measure!r}."
            f"{nearest(str(measure), get_args(Centrality))}"
        )
    values = centrality_table(network).set_index("gene")[measure]
    return values.sort_values(ascending=False, kind="stable")


def draw_centrality(
    network: CausalNetwork, measure: Centrality = "pagerank", *, ax: Axes | None = None
) -> Axes:
    """Draw the distribution of a centrality over genes, and name the three most central.

    Parameters
    ----------
    measure
        A column of ``argen.analysis.centrality_table``.
    """
    values = centrality(network, measure)
    ax = axes_or_new(ax, 5.2, 3.6)
    n_genes, edges, _ = ax.hist(values, bins=min(30, max(5, len(values) // 3)), color=POSITIVE,
                                edgecolor="white")  # fmt: skip
    top = float(np.max(n_genes, initial=1.0))
    for number, (gene, value) in enumerate(values.head(3).items()):
        ax.annotate(
            shown_name(str(gene)), (value, 0), (value, top * (0.3 + 0.2 * number)), ha="right",
            fontsize=8, arrowprops={"arrowstyle": "-", "color": NEUTRAL}, **name_style(),
        )  # fmt: skip
    ax.set(xlabel=measure, ylabel="genes", xlim=(None, edges[-1] + 0.02 * np.ptp(edges)))
    return ax


def stability_table(stability: pd.DataFrame) -> pd.DataFrame:
    """Return the edges of a table with columns source, target and frequency, most stable first.

    Raises
    ------
    InputError
        When a column is missing, or a frequency is no share from 0 to 1.
    """
    missing = {"source", "target", "frequency"} - set(stability.columns)
    if missing:
        raise InputError(
            f"The table of stability lacks the columns {first_few(sorted(missing))}: expected "
            "source, target and frequency, the share of resamples that have the edge."
        )
    shares = pd.to_numeric(stability["frequency"], errors="coerce").astype(np.float64)
    if not (is_share := shares.between(0, 1)).all():
        wrong = stability.loc[~is_share, "frequency"]
        raise InputError(f"frequency must be a share from 0 to 1, not {first_few(wrong)}.")
    ranked = stability.assign(frequency=shares).sort_values(
        "frequency", ascending=False, kind="stable"
    )
    return ranked.reset_index(drop=True)


def draw_stability(
    network: CausalNetwork,
    stability: pd.DataFrame,
    *,
    level: float = 0.5,
    ax: Axes | None = None,
) -> Axes:
    """Draw in which share of resamples each edge was found again, the most stable first.

    Pairs that are no edges of the network are drawn apart.

    Parameters
    ----------
    stability
        Columns source, target and frequency, from 0 to 1.
    level
        Drawn as a line.
    """
    table = stability_table(stability)
    known = set(network.edges[["source", "target"]].itertuples(index=False, name=None))
    is_edge = np.array(
        [pair in known for pair in zip(table["source"], table["target"], strict=True)], dtype=bool
    )
    ax = axes_or_new(ax, float(np.clip(1.5 + 0.16 * len(table), 4.5, 9)), 3.8)
    place = np.arange(len(table))
    for rows, colour, marker, label in (
        (is_edge, POSITIVE, "o", "edge of the network"),
        (~is_edge, OTHER, "x", "no edge of the network"),
    ):
        if rows.any():
            ax.plot(
                place[rows], table["frequency"][rows], marker, color=colour, markersize=4,
                label=f"{label} ({int(rows.sum())})",
            )  # fmt: skip
    ax.axhline(level, color=NEUTRAL, linewidth=0.8)
    if len(table) <= MOST_LABELS:
        names = [edge_name(s, t) for s, t in zip(table["source"], table["target"], strict=True)]
        ax.set_xticks(place, names, rotation=90, fontsize=7, **name_style())
    else:
        ax.set_xlabel(f"{len(table)} pairs, the most stable first")
    ax.set(ylabel="share of resamples", ylim=(-0.03, 1.03))
    show_legend(ax)
    return ax
