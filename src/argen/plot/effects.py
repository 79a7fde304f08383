"""Effects: intervals, agreement with interventions and truth, heat maps, two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from argen.arrays import FloatArray
from argen.checks import intervention_table, slope_and_agreement
from argen.errors import InputError
from argen.network import CausalNetwork
from argen.plot.style import (
    DIVERGING,
    INK,
    MOST_LABELS,
    NEGATIVE,
    NEUTRAL,
    OTHER,
    POSITIVE,
    axes_or_new,
    edge_name,
    label_ticks,
    name_style,
    show_legend,
)
from argen.simulate import Truth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Effects = Literal["total", "direct"]
PAIR = ["source", "target"]


def forest_table(
    network: CausalNetwork, gene: str | None = None, *, n_edges: int = 30
) -> pd.DataFrame:
    """Return the edges with the strongest evidence, of a gene or of all, strongest first."""
    edges = network.edges
    if gene is not None:
        network.parents(gene)  # an unknown gene is an error
        edges = edges[(edges["source"] == gene) | (edges["target"] == gene)]
    columns = [*PAIR, "effect", "std_error", "ci_low", "ci_high", "log10_p", "status"]
    return edges.sort_values("log10_p")[columns].head(n_edges).reset_index(drop=True)


def draw_forest(
    network: CausalNetwork,
    gene: str | None = None,
    *,
    n_edges: int = 30,
    ax: Axes | None = None,
) -> Axes:
    """Draw direct effects with their intervals, the strongest evidence on top.

    Parameters
    ----------
    gene
        Only the edges into and out of this gene.
    n_edges
        At most so many edges; the title says of how many.
    """
    table = forest_table(network, gene, n_edges=n_edges)
    n_all = len(forest_table(network, gene, n_edges=len(network.edges) + 1))
    ax = axes_or_new(ax, 5.5, 1.4 + 0.24 * len(table))
    heights = np.arange(len(table))
    positive = (table["effect"] > 0).to_numpy()
    for rows, colour, marker in ((positive, POSITIVE, "o"), (~positive, NEGATIVE, "s")):
        shown = table[rows]
        ax.hlines(heights[rows], shown["ci_low"], shown["ci_high"], color=colour, linewidth=1.6)
        ax.plot(shown["effect"], heights[rows], marker, color=colour, markersize=5)
    ax.axvline(0, color=NEUTRAL, linewidth=0.8)
    names = [edge_name(s, t) for s, t in zip(table["source"], table["target"], strict=True)]
    ax.set_yticks(heights, names, fontsize=8, **name_style())
    ax.set_ylim(max(len(table), 1) - 0.5, -0.5)
    ax.set_xlabel(f"direct effect, {100 * network.config.confidence:g} % interval")
    of_all = f"{len(table)} of {n_all} edges" if len(table) < n_all else f"{n_all} edges"
    ax.set_title(of_all)
    return ax


def draw_intervention(
    network: CausalNetwork, *, reverse: bool = False, ax: Axes | None = None
) -> Axes:
    """Draw the effect of every edge against minus the effect of its intervention.

    Where the network is right, perturbing a parent moves the child along the edge, and
    perturbing the child leaves the parent alone: the slope is clearly positive forward, and near
    zero in reverse.

    Source: Park and Li (2026), edges of the K562 network against held interventions.

    Parameters
    ----------
    reverse
        Against the perturbation of the target, as seen in the source.
    """
    table = intervention_table(network, reverse=reverse)
    finite = np.isfinite(table["intervention"]) & np.isfinite(table["effect"])
    shown = table[finite]
    ax = axes_or_new(ax, 4.6, 4.4)
    x, y = (shown[name].to_numpy(dtype=np.float64) for name in ("intervention", "effect"))
    _scatter(ax, x, y, POSITIVE if not reverse else NEUTRAL)
    slope, agreement = slope_and_agreement(x, y)
    if np.isfinite(slope):
        ax.axline((x.mean(), y.mean()), slope=slope, color=INK, linewidth=1.2)
    ax.axhline(0, color=NEUTRAL, linewidth=0.6)
    ax.axvline(0, color=NEUTRAL, linewidth=0.6)
    of = "target's perturbation on the source" if reverse else "source's perturbation on the target"
    ax.set_xlabel(f"minus the effect of the {of}", fontsize=9)
    ax.set_ylabel("direct effect of the edge")
    left_out = len(table) - len(shown)
    infinite = f"\n{left_out} with an infinite effect left out" if left_out else ""
    ax.set_title(
        f"{'Reverse' if reverse else 'Forward'}: slope {slope:.2f}, same sign "
        f"{100 * agreement:.0f} % of {len(shown)}{infinite}",
        fontsize=10,
    )
    return ax


def heatmap_table(network: CausalNetwork, effects: Effects = "direct") -> pd.DataFrame:
    """Return effects as a table of sources by targets in causal order, missing where none.

    ``"direct"``: of the edges; ``"total"``: of the descendants that the screen called. Sinks are
    columns where they have an effect.
    """
    n_nodes = len(network.nodes)
    if effects == "direct":
        edges = network.edges
        number = {gene: i for i, gene in enumerate(network.genes)}
        matrix = np.full(network.screen.effect.shape, np.nan)
        at = tuple(edges[end].map(number).to_numpy(dtype=np.int64) for end in PAIR)
        matrix[at] = edges["effect"]
    elif effects == "total":
        matrix = np.where(network.screen.is_descendant, network.screen.effect, np.nan)
    else:
        raise InputError(f"effects must be 'direct' or 'total', not {effects!r}.")
    order = network.causal_order.order
    rows, columns = order[:n_nodes], order[:n_nodes]
    sinks = order[n_nodes:]
    columns = np.concatenate([columns, sinks[~np.isnan(matrix[:, sinks]).all(axis=0)]])
    names = np.array(network.genes, dtype=object)
    return pd.DataFrame(matrix[np.ix_(rows, columns)], names[rows], names[columns])


def draw_heatmap(
    network: CausalNetwork, effects: Effects = "direct", *, ax: Axes | None = None
) -> Axes:
    """Draw effects as a heat map in causal order: sources are rows, targets columns.

    Effects along the order are above the diagonal. Infinite effects, and those in the
    outermost hundredth, take the last colour.

    Parameters
    ----------
    effects
        ``"direct"`` effects of the edges, or ``"total"`` effects of the called descendants.
    """
    table = heatmap_table(network, effects)
    size = min(9.0, 3.0 + 0.12 * len(table))
    ax = axes_or_new(ax, size + 1, size)
    values = table.to_numpy()
    finite = np.abs(values[np.isfinite(values)])
    limit = float(np.quantile(finite, 0.99)) if len(finite) else 1.0
    ax.set_facecolor("#F4F4F4")
    image = _draw_cells(ax, np.clip(values, -limit, limit), limit)
    label_ticks(ax, "x", list(table.columns), most=MOST_LABELS, rotation=90)
    label_ticks(ax, "y", list(table.index), most=MOST_LABELS)
    ax.set(xlabel="target", ylabel="source")
    ax.set_title(f"{effects.capitalize()} effects, in causal order")
    ax.figure.colorbar(image, ax=ax, shrink=0.7, label="effect (log ratio)", extend="both")
    return ax


def _draw_cells(ax: Axes, values: FloatArray, limit: float) -> Any:
    """Draw a matrix as squares, none too small to be seen; (n_rows, n_columns)."""
    colours: dict[str, Any] = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit}
    if max(values.shape) <= MOST_LABELS:
        # "none": one cell, one square, also in vector formats.
        return ax.imshow(values, aspect="auto", interpolation="none", **colours)
    row, column = np.nonzero(~np.isnan(values))
    ax.set(xlim=(-0.5, values.shape[1] - 0.5), ylim=(values.shape[0] - 0.5, -0.5))
    return ax.scatter(column, row, c=values[row, column], marker="s", s=5, linewidths=0, **colours)


def truth_table(network: CausalNetwork, truth: Truth) -> pd.DataFrame:
    """Return candidates and true edges, estimate beside truth; missing where not tested.

    Columns: source, target, true, effect, ci_low, ci_high, selected, candidate.
    """
    candidates = network.candidates[[*PAIR, "effect", "ci_low", "ci_high", "selected"]]
    true = truth.to_frame().rename(columns={"effect": "true"})
    table = candidates.assign(candidate=True).merge(true, "outer", on=PAIR)
    table["true"] = table["true"].fillna(0.0)
    for flag in ("selected", "candidate"):
        table[flag] = table[flag].eq(True)
    return table[[*PAIR, "true", "effect", "ci_low", "ci_high", "selected", "candidate"]]


def draw_truth(network: CausalNetwork, truth: Truth, *, ax: Axes | None = None) -> Axes:
    """Draw estimated against true direct effects of a simulated screen, with intervals.

    True edges that were never tested are crosses at zero. Estimates far beyond all true effects
    and edges are outside the axes, and counted in the title.
    """
    table = truth_table(network, truth)
    ax = axes_or_new(ax, 4.8, 4.6)
    tested = table[np.isfinite(table["effect"])]
    for selected, colour, marker, label in (
        (False, NEUTRAL, "o", "tested, no edge"),
        (True, POSITIVE, "s", "edge"),
    ):
        rows = tested[tested["selected"] == selected]
        if len(rows):
            middle, low, high = (rows[name].to_numpy() for name in ("effect", "ci_low", "ci_high"))
            ax.errorbar(
                rows["true"], middle, fmt=marker, color=colour,
                yerr=[[*(middle - low)], [*(high - middle)]],
                markersize=4, linewidth=0.7, alpha=0.8, label=f"{label} ({len(rows)})",
            )  # fmt: skip
    missed = table[~table["candidate"] & (table["true"] != 0)]
    if len(missed):
        ax.plot(
            missed["true"], np.zeros(len(missed)), "x", color=NEGATIVE,
            label=f"true edge, not tested ({len(missed)})",
        )  # fmt: skip
    ax.axline((0, 0), slope=1, color=INK, linewidth=0.8, linestyle="--")
    n_outside = _zoom(ax, [table["effect"][table["selected"]], table["true"]], [table["effect"]])
    ax.set(xlabel="true direct effect", ylabel="estimate", title=n_outside)
    show_legend(ax)
    return ax


def comparison_table(network: CausalNetwork, other: CausalNetwork) -> pd.DataFrame:
    """Return the pairs that both runs tested: effects, errors, and who selected them."""
    columns = [*PAIR, "effect", "std_error", "selected"]
    return network.candidates[columns].merge(
        other.candidates[columns], on=PAIR, suffixes=("", "_other")
    )


def draw_comparison(
    network: CausalNetwork,
    other: CausalNetwork,
    *,
    names: tuple[str, str] = ("first run", "second run"),
    ax: Axes | None = None,
) -> Axes:
    """Draw the direct effects of one run against those of another.

    Such as other covariates, another level, or one gene hidden. Only pairs that both runs
    tested have two effects; the title counts the edges that the other run did not test, and the
    pairs far beyond all edges, which are outside the axes.

    Parameters
    ----------
    names
        Of the two runs, for the axes.
    """
    table = comparison_table(network, other)
    shown = table[np.isfinite(table["effect"]) & np.isfinite(table["effect_other"])]
    ax = axes_or_new(ax, 4.8, 4.6)
    first, second = shown["selected"], shown["selected_other"]
    for rows, colour, marker, label in (
        (~first & ~second, NEUTRAL, ".", "edge in neither"),
        (first & ~second, NEGATIVE, "^", f"edge in {names[0]} only"),
        (~first & second, OTHER, "v", f"edge in {names[1]} only"),
        (first & second, POSITIVE, "o", "edge in both"),
    ):
        if rows.any():
            ax.plot(
                shown.loc[rows, "effect"], shown.loc[rows, "effect_other"], marker, color=colour,
                markersize=5, alpha=0.8, label=f"{label} ({int(rows.sum())})",
            )  # fmt: skip
    ax.axline((0, 0), slope=1, color=INK, linewidth=0.8, linestyle="--")
    both = shown[first & second]
    # Two points always lie on a line.
    related = f"r = {both['effect'].corr(both['effect_other']):.2f}, " if len(both) > 2 else ""
    n_untested = sum(
        len(run.edges) - int(selected.sum())
        for run, selected in ((network, table["selected"]), (other, table["selected_other"]))
    )
    edges = shown[first | second]
    effects = [shown["effect"], shown["effect_other"]]
    n_outside = _zoom(ax, [edges["effect"], edges["effect_other"]], effects, both_axes=True)
    ax.set_title(f"{related}{n_untested} edges tested in one run alone\n{n_outside}", fontsize=10)
    ax.set_xlabel(f"direct effect, {names[0]}", **name_style())
    ax.set_ylabel(f"direct effect, {names[1]}", **name_style())
    show_legend(ax)
    return ax


def _zoom(
    ax: Axes, within: list[pd.Series], shown: list[pd.Series], *, both_axes: bool = False
) -> str:
    """Fit the axes to some effects, and say how many of those shown are beyond; "" when none."""
    inside = pd.concat(within).abs()
    limit = 1.5 * inside[np.isfinite(inside)].max()
    beyond = np.logical_or.reduce([np.abs(effects) > limit for effects in shown])
    if not beyond.any():
        return ""
    ax.set_ylim(-limit, limit)
    if both_axes:
        ax.set_xlim(-limit, limit)
    return f"{int(beyond.sum())} beyond the axes"


def _scatter(ax: Axes, x: FloatArray, y: FloatArray, colour: Any) -> None:
    alpha = 0.8 if len(x) <= 200 else 0.35
    ax.plot(x, y, "o", color=colour, markersize=4, alpha=alpha, markeredgewidth=0)
