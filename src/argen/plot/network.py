"""Networks, layered by causal order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from argen.arrays import FloatArray
from argen.errors import InputError
from argen.network import CausalNetwork
from argen.plot.layout import LayeredLayout, layered_layout
from argen.plot.style import (
    FEEDBACK,
    INK,
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    axes_or_new,
    name_style,
    shown_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Around = Literal["parents", "children", "neighbourhood"]

# With more edges, heads would cover each other; down is downstream all the same.
MOST_HEADS = 250
# With more genes, only those with most edges are named.
MOST_NAMES = 80
# An edge with this |z| or more is drawn in full strength.
CERTAIN_Z = 10.0


def network_edges(
    network: CausalNetwork, gene: str | None = None, *, show: Around = "neighbourhood"
) -> pd.DataFrame:
    """Return the edges of a drawing: all, or those into a gene, out of it, or both.

    The neighbourhood of a gene includes the edges among its parents and children.
    """
    if gene is None:
        return network.edges
    parents, children = network.parents(gene), network.children(gene)
    if show == "parents":
        return parents
    if show == "children":
        return children
    if show != "neighbourhood":
        raise InputError(f"show must be 'parents', 'children' or 'neighbourhood', not {show!r}.")
    inside = {gene, *parents["source"], *children["target"]}
    edges = network.edges
    kept = edges["source"].isin(inside) & edges["target"].isin(inside)
    return edges[kept].reset_index(drop=True)


def draw_network(
    network: CausalNetwork,
    gene: str | None = None,
    *,
    show: Around = "neighbourhood",
    layout: LayeredLayout | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a network, the most upstream genes on top.

    Blue arrows raise their target, orange bars lower it; the wider, the larger the effect, and
    the stronger the colour, the more certain (in units of standard errors). Dotted lines join
    genes that affect each other both ways. Genes without an edge are counted, not drawn.

    Parameters
    ----------
    gene
        Draw what is around this gene alone.
    show
        Its ``"parents"``, ``"children"``, or both and the edges among them.
    layout
        From ``layered_layout``; made from the edges when None.
    """
    edges = network_edges(network, gene, show=show)
    layout = layout or layered_layout(network, edges)
    width = max(5.0, min(12.0, 1.5 + 0.8 * float(np.ptp(layout.x)))) if len(layout.x) else 5.0
    height = max(4.0, min(10.0, 1.5 + 0.9 * float(np.ptp(layout.y)))) if len(layout.y) else 4.0
    ax = axes_or_new(ax, width, height)
    place = layout.place
    feedback = network.feedback_pairs()
    drawn = feedback["first"].isin(layout.genes) & feedback["second"].isin(layout.genes)
    _draw_feedback(ax, feedback[drawn], place)
    (_draw_arrows if len(edges) <= MOST_HEADS else _draw_lines)(ax, edges, place)
    n_unnamed = _draw_genes(ax, layout, edges, gene)
    n_alone = len(network.genes) - len(layout.genes) if gene is None else 0
    _describe(ax, edges, n_feedback=int(drawn.sum()), n_alone=n_alone, n_unnamed=n_unnamed)
    if gene is not None:
        ax.set_title(f"{show.capitalize()} of {shown_name(gene)}", **name_style())
    return ax


def draw_networks(
    networks: Mapping[str, CausalNetwork], *, axes: Sequence[Axes] | None = None
) -> list[Axes]:
    """Draw networks of the same genes side by side, every gene in the same place.

    The layout is that of all their edges in the causal order of the first; each title says how
    many edges there are, and how many of them the first network has too.

    Parameters
    ----------
    networks
        By the name to show.
    axes
        One for each; in a row of a new figure when None.
    """
    if not networks:
        raise InputError("There is no network to draw: give at least one.")
    if axes is None:
        figure = axes_or_new(None, 4.5 * len(networks), 4.5).figure
        figure.clear()
        axes = [figure.add_subplot(1, len(networks), i + 1) for i in range(len(networks))]
    for ax, name in zip(axes, networks, strict=True):
        draw_one_of(networks, name, ax=ax)
    return list(axes)


def draw_one_of(networks: Mapping[str, CausalNetwork], name: str, *, ax: Axes) -> Axes:
    """Draw one of several networks in the layout of all of them; see ``draw_networks``."""
    first, network = next(iter(networks.values())), networks[name]
    for other_name, other in networks.items():
        if set(other.genes) != set(first.genes):
            raise InputError(
                f"The network {other_name!r} has other genes than the first: fit all on the same."
            )
    edges = pd.concat([other.edges[["source", "target"]] for other in networks.values()])
    layout = layered_layout(first, edges.drop_duplicates())
    draw_network(network, layout=layout, ax=ax)
    n_shared = len(network.edges.merge(first.edges, on=["source", "target"]))
    shared = "" if network is first else f", {n_shared} shared"
    ax.set_title(f"{shown_name(name, 40)}: {len(network.edges)} edges{shared}", **name_style())
    return ax


def _widths(edges: pd.DataFrame, scale: float) -> FloatArray:
    size = edges["effect"].abs().replace(np.inf, np.nan)
    largest = size.quantile(0.95) if size.notna().any() else 1.0
    relative = (size / largest if largest else size).clip(upper=1.0).fillna(1.0)
    return np.asarray(scale * (0.3 + 0.7 * relative), dtype=np.float64)


def _strengths(edges: pd.DataFrame) -> FloatArray:
    z = (edges["effect"] / edges["std_error"]).abs()
    relative = (z / CERTAIN_Z).clip(upper=1.0).fillna(0.5)
    return np.asarray(0.3 + 0.7 * relative, dtype=np.float64)


def _draw_arrows(ax: Axes, edges: pd.DataFrame, place: dict[str, tuple[float, float]]) -> None:
    widths, strengths = _widths(edges, 2.4), _strengths(edges)
    rows = zip(edges["source"], edges["target"], edges["effect"], strict=True)
    for (source, target, effect), width, strength in zip(rows, widths, strengths, strict=True):
        positive = effect > 0
        # Edges that skip a row are bent, so that they do not hide behind the genes between.
        (x0, y0), (x1, y1) = place[source], place[target]
        bend = 0.06 if abs(y0 - y1) <= 1 else (0.16 if x1 >= x0 else -0.16)
        style = "-|>,head_width=0.22,head_length=0.4" if positive else "|-|,widthA=0,widthB=0.28"
        ax.annotate(
            "", (x1, y1), (x0, y0), zorder=2,
            arrowprops={
                "arrowstyle": style, "color": POSITIVE if positive else NEGATIVE,
                "linewidth": width, "alpha": strength, "shrinkA": 5, "shrinkB": 7,
                "connectionstyle": f"arc3,rad={bend}", "mutation_scale": 14,
            },
        )  # fmt: skip


def _draw_lines(ax: Axes, edges: pd.DataFrame, place: dict[str, tuple[float, float]]) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    ends = [[place[s], place[t]] for s, t in zip(edges["source"], edges["target"], strict=True)]
    signs = edges["effect"].to_numpy() > 0
    strengths = 0.6 * _strengths(edges)
    colours = [
        to_rgba(POSITIVE if positive else NEGATIVE, strength)
        for positive, strength in zip(signs, strengths, strict=True)
    ]
    lines = LineCollection(ends, linewidths=_widths(edges, 1.1), colors=colours, zorder=2)
    ax.add_collection(lines)


def _draw_feedback(ax: Axes, pairs: pd.DataFrame, place: dict[str, tuple[float, float]]) -> None:
    for first, second in pairs.itertuples(index=False):
        ax.annotate(
            "", place[second], place[first], zorder=1,
            arrowprops={
                "arrowstyle": "<->", "linestyle": ":", "color": FEEDBACK, "linewidth": 1.2,
                "shrinkA": 6, "shrinkB": 6, "connectionstyle": "arc3,rad=-0.3",
            },
        )  # fmt: skip


def _draw_genes(
    ax: Axes, layout: LayeredLayout, edges: pd.DataFrame, highlighted: str | None
) -> int:
    """Draw points and names; returns how many names are left out."""
    degree = pd.concat([edges["source"], edges["target"]]).value_counts()
    n_genes = len(layout.genes)
    size = 70 if n_genes <= 25 else 35 if n_genes <= MOST_NAMES else 12
    colours = [NEGATIVE if gene == highlighted else INK for gene in layout.genes]
    ax.scatter(layout.x, layout.y, s=size, c=colours, zorder=3, edgecolors="white", linewidths=0.7)
    named = layout.genes if n_genes <= MOST_NAMES else _spaced_hubs(layout, degree)
    # Not an outline of the letters: that would turn text into paths in vector files.
    paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.3}
    font = 9 if n_genes <= 25 else 7 if n_genes <= MOST_NAMES else 6
    longest = 24 if n_genes <= 25 else 14
    for gene in named:
        # Below the gene: above it, heads of arrows end.
        ax.annotate(
            shown_name(gene, longest), layout.place[gene], xytext=(0, -5),
            textcoords="offset points", ha="center", va="top", fontsize=font,
            bbox=paper, zorder=4, **name_style(),
        )  # fmt: skip
    ax.margins(0.08)
    ax.set_axis_off()
    return n_genes - len(named)


def _spaced_hubs(layout: LayeredLayout, degree: pd.Series) -> list[str]:
    """Genes with most edges whose names do not run into each other."""
    # Sorted by name within equal degree, so that the choice does not hang on the table.
    ranked = sorted(layout.genes, key=lambda gene: (-int(degree.get(gene, 0)), gene))
    named: list[str] = []
    for gene in ranked[: MOST_NAMES // 2]:
        x, y = layout.place[gene]
        others = (layout.place[other] for other in named)
        if all(abs(y - other_y) > 0.5 or abs(x - other_x) > 2.5 for other_x, other_y in others):
            named.append(gene)
    return named


def _describe(
    ax: Axes, edges: pd.DataFrame, *, n_feedback: int, n_alone: int, n_unnamed: int
) -> None:
    """Say below the drawing what its lines mean, and what is not in it."""
    from matplotlib.lines import Line2D

    n_positive = int((edges["effect"] > 0).sum())
    heads: list[tuple[Any, str]] = [
        (Line2D([], [], color=POSITIVE, linewidth=2, marker=">", markevery=[1]),
         f"raises ({n_positive})"),
        (Line2D([], [], color=NEGATIVE, linewidth=2, marker="|", markersize=9, markevery=[1],
                markeredgewidth=2), f"lowers ({len(edges) - n_positive})"),
    ]  # fmt: skip
    if n_feedback:
        line = Line2D([], [], color=FEEDBACK, linewidth=1.2, linestyle=":")
        heads.append((line, f"both ways in the screen ({n_feedback})"))
    said = []
    if n_alone:
        said.append(f"not drawn: {n_alone} without an edge")
    if n_unnamed:
        said.append(f"not named: {n_unnamed} with fewer edges")
    ax.legend(
        *zip(*heads, strict=True), loc="upper center", bbox_to_anchor=(0.5, 0.02),
        ncols=len(heads), frameon=False, fontsize=8,
        title="Genes " + "; ".join(said) if said else None, title_fontproperties={"size": 7},
    ).get_title().set_color(NEUTRAL)  # fmt: skip
