"""The interactive figures of a report, by Bokeh, whose scripts come with its package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from argen.checks import Diagnostics, intervention_table, slope_and_agreement
from argen.network import CausalNetwork
from argen.plot import (
    FEEDBACK,
    NEGATIVE,
    NEUTRAL,
    OTHER,
    POSITIVE,
    knockdown_table,
    penetrance_table,
)

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure  # noqa: N812

# Sources of the graph, which the page fills, by name; the columns of each.
GRAPH_SOURCES = {
    "edges": ("x0", "y0", "x1", "y1", "cx", "cy", "colour", "alpha", "width"),
    "heads": ("x", "y", "angle", "marker", "colour", "alpha", "size"),
    "genes": ("x", "y", "name", "colour", "alpha", "size", "parents", "children"),
    "names": ("x", "y", "name", "colour", "alpha"),
}

# Names along an axis, and names of the points that tell most, where they can be read.
MOST_NAMES, N_TELLING = 30, 5

# Tables of quantiles: the column that tells tests apart, and what a figure of them shows.
QUANTILES = {
    "calibration_qq": (
        "kind",
        "P-values of null screens: points should follow the line; above it they are too small.",
    ),
    "balance_qq": (
        "role",
        "Whether columns go with perturbations (likelihood ratio): points above the line say that "
        "assignment was not left to chance alone.",
    ),
}


def bokeh_script() -> str:
    """Return the source of BokehJS, without widgets or tables."""
    from bokeh.resources import Resources

    return "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)


def graph_figure() -> Figure:
    """Return the axes of the graph: edges, heads, genes and names without any data.

    The page fills them, since what is shown depends on what its reader filters and selects. It
    is told of taps, and of moved axes, by events of the document.
    """
    from bokeh.models import ColumnDataSource, CustomJS, HoverTool, Range1d, TapTool, Text
    from bokeh.plotting import figure

    plot = figure(
        name="graph", tools="pan,wheel_zoom", active_scroll="wheel_zoom",
        toolbar_location=None, sizing_mode="stretch_both", x_range=Range1d(0, 1),
        y_range=Range1d(0, 1),
    )  # fmt: skip
    plot.axis.visible, plot.grid.visible = False, False
    sources = {
        name: ColumnDataSource({column: [] for column in columns}, name=name)
        for name, columns in GRAPH_SOURCES.items()
    }
    plot.quadratic(
        x0="x0", y0="y0", x1="x1", y1="y1", cx="cx", cy="cy", source=sources["edges"],
        line_color="colour", line_alpha="alpha", line_width="width",
    )  # fmt: skip
    plot.scatter(
        "x", "y", source=sources["heads"], marker="marker", angle="angle", size="size",
        fill_color="colour", line_color="colour", fill_alpha="alpha", line_alpha="alpha",
        line_width=2,
    )  # fmt: skip
    genes = plot.scatter(
        "x", "y", source=sources["genes"], size="size", fill_color="colour", fill_alpha="alpha",
        line_color="colour", line_alpha="alpha",
    )  # fmt: skip
    genes.nonselection_glyph = genes.selection_glyph = None
    names = Text(
        x="x", y="y", text="name", text_color="colour", text_alpha="alpha", text_font_size="12px",
        text_align="center", text_baseline="top", y_offset=6, padding=1, border_line_color=None,
        background_fill_color="white", background_fill_alpha=0.7, outline_shape="rectangle",
    )  # fmt: skip
    plot.add_glyph(sources["names"], names, name="names-renderer")
    # Bokeh writes the values of columns as text, never as markup.
    tooltips = [("gene", "@name"), ("parents", "@parents"), ("children", "@children")]
    plot.add_tools(HoverTool(renderers=[genes], tooltips=tooltips), TapTool(renderers=[genes]))
    tapped = 'document.dispatchEvent(new CustomEvent("gene-tapped", {detail: cb_obj.indices}))'
    moved = 'document.dispatchEvent(new CustomEvent("graph-moved"))'
    resized = 'document.dispatchEvent(new CustomEvent("graph-resized"))'
    sources["genes"].selected.js_on_change("indices", CustomJS(code=tapped))
    plot.x_range.js_on_change("start", CustomJS(code=moved))
    plot.y_range.js_on_change("start", CustomJS(code=moved))
    for side in ("inner_width", "inner_height"):
        plot.js_on_change(side, CustomJS(code=resized))
    return plot


def diagnostic_figures(
    network: CausalNetwork, diagnostics: Diagnostics | None = None
) -> dict[str, tuple[str, Figure]]:
    """Return captions and figures by name.

    Knock-downs, shares of working cells, edges against interventions, quantiles.
    """
    figures = {"knockdown": _knockdown(network)}
    if network.penetrance is not None and network.penetrance.corrected.any():
        figures["penetrance"] = _penetrance(network)
    for name, reverse in (("forward", False), ("reverse", True)):
        table = intervention_table(network, reverse=reverse)
        table = table[np.isfinite(table["intervention"]) & np.isfinite(table["effect"])]
        if len(table):
            figures[name] = _interventions(table, reverse=reverse)
    for name, (by, caption) in QUANTILES.items():
        table = diagnostics.tables.get(name, pd.DataFrame()) if diagnostics else pd.DataFrame()
        if len(table):
            figures[name] = caption, _quantiles(name, table, by)
    return figures


def _knockdown(network: CausalNetwork) -> tuple[str, Figure]:
    table = knockdown_table(network)
    n_infinite = int((~np.isfinite(table["effect"])).sum())
    table = table[np.isfinite(table["effect"])].assign(
        percent=lambda t: 100 * t["remaining"],
        low=lambda t: 100 * np.exp(t["ci_low"]),
        high=lambda t: 100 * np.exp(t["ci_high"]),
        colour=lambda t: np.where(t["ci_high"] < 0, POSITIVE, NEGATIVE),
        place=lambda t: np.arange(len(t)),
    )
    columns = ["node", "percent", "low", "high", "colour", "place"]
    plot, source = _plot("knockdown", table[columns], [("gene", "@node"), ("left", "@percent %")])
    plot.segment("place", "low", "place", "high", source=source, line_color="colour")
    plot.scatter("place", "percent", source=source, size=6, color="colour")
    plot.hspan(y=100, line_color=NEUTRAL)
    plot.yaxis.axis_label = "own expression left, %"
    _name_places(plot, table, "high", "genes, the strongest knock-down first")
    left_out = f" {n_infinite} without an estimate or without a count left are not drawn."
    return (
        "What is left of each gene's expression under its own perturbation, with intervals. "
        f"Orange: not surely below 100 %.{left_out if n_infinite else ''}",
        plot,
    )


def _penetrance(network: CausalNetwork) -> tuple[str, Figure]:
    table = penetrance_table(network)
    table = table.assign(
        percent=100 * table["penetrance"],
        low=100 * table["penetrance_low"],
        high=100 * table["penetrance_high"],
        colour=np.where(table["escape_corrected"], NEGATIVE, POSITIVE),
        place=np.arange(len(table)),
    )
    columns = ["node", "percent", "low", "high", "colour", "place"]
    tips = [("gene", "@node"), ("works in", "@percent %")]
    plot, source = _plot("penetrance", table[columns], tips)
    plot.segment("place", "low", "place", "high", source=source, line_color="colour")
    plot.scatter("place", "percent", source=source, size=6, color="colour")
    plot.hspan(y=100, line_color=NEUTRAL)
    plot.yaxis.axis_label = "cells in which the guide works, %"
    _name_places(plot, table.iloc[::-1], "high", "perturbations, the smallest share first")
    return (
        "In what share of the cells that carry it each guide works, with 95 % intervals. Orange: "
        "cells escape, and effects are corrected for it.",
        plot,
    )


def _interventions(table: pd.DataFrame, *, reverse: bool) -> tuple[str, Figure]:
    x, y = (table[name].to_numpy(dtype=np.float64) for name in ("intervention", "effect"))
    slope, agreement = slope_and_agreement(x, y)
    colour = NEUTRAL if reverse else POSITIVE
    columns = table[["source", "target", "effect", "intervention"]]
    tips = [("edge", "@source → @target"), ("effect", "@effect"), ("perturbed", "@intervention")]
    plot, source = _plot("reverse" if reverse else "forward", columns, tips)
    plot.scatter("intervention", "effect", source=source, size=6, color=colour, alpha=0.7)
    if not reverse:
        plot.line([x.min(), x.max()], [slope * x.min(), slope * x.max()], color=NEUTRAL)
    away = np.abs(x) if reverse else np.abs(y - slope * x)
    telling = table.iloc[np.argsort(-away, kind="stable")[:N_TELLING]]
    names = [f"{source} → {target}" for source, target in telling[["source", "target"]].to_numpy()]
    _name_points(plot, telling["intervention"], telling["effect"], names, x)
    plot.xaxis.axis_label = (
        f"minus the effect of perturbing the {'target' if reverse else 'source'}"
    )
    plot.yaxis.axis_label = "direct effect"
    said = (
        "Perturbing the target should leave the source alone: points should lie near 0 from left "
        "to right."
        if reverse
        else "Perturbing the source should move the target along the edge: the slope should be "
        "positive."
    )
    numbers = f"Slope {slope:.2f}, same sign for {100 * agreement:.0f} % of {len(table)} edges."
    named = "farthest from 0" if reverse else "farthest from that line"
    return f"{said} {numbers} Named: {named}.", plot


def _quantiles(name: str, table: pd.DataFrame, by: str) -> Figure:
    """Draw observed against expected -log10 p; p-values of 0 have no place on it."""
    from bokeh.models import CDSView, GroupFilter

    if "test" in table:
        table = table[table["test"] == "likelihood ratio"]
    table = table[np.isfinite(table["observed"])]
    tips = [("", f"@{by}"), ("expected", "@expected"), ("observed", "@observed")]
    plot, source = _plot(name, table[[by, "expected", "observed"]], tips)
    plot.line([0, table["expected"].max()], [0, table["expected"].max()], color=NEUTRAL)
    colours = (POSITIVE, NEGATIVE, OTHER, FEEDBACK)
    for number, group in enumerate(table[by].unique()):
        view = CDSView(filter=GroupFilter(column_name=by, group=group))
        plot.scatter(
            "expected", "observed", source=source, view=view, size=5, alpha=0.7,
            color=colours[number % len(colours)], legend_label=str(group),
        )  # fmt: skip
    plot.legend.update(
        location="top_left", background_fill_alpha=0, border_line_color=None, padding=2, spacing=0,
        label_text_font_size="11px",
    )  # fmt: skip
    plot.xaxis.axis_label, plot.yaxis.axis_label = "expected, -log10 p", "observed, -log10 p"
    return plot


def _name_places(plot: Figure, table: pd.DataFrame, top: str, label: str) -> None:
    """Say which gene is where: all along the axis, or the last of a table above their points."""
    plot.xaxis.axis_label = label
    plot.xgrid.visible = False
    if len(table) <= MOST_NAMES:
        plot.xaxis.ticker = table["place"].tolist()
        plot.xaxis.major_label_overrides = dict(zip(table["place"], table["node"], strict=True))
        plot.xaxis.major_label_orientation = np.pi / 2
    else:
        plot.xaxis.ticker = []
        last = table.iloc[-N_TELLING:]
        _name_points(plot, last["place"], last[top], last["node"].tolist(), table["place"])


def _name_points(plot: Figure, x: pd.Series, y: pd.Series, names: list[str], within: Any) -> None:
    """Write names above points, towards the middle of all points ``within`` the axes."""
    plot.y_range.range_padding = 0.2
    is_right = (x > (np.min(within) + np.max(within)) / 2).tolist()
    plot.text(
        x.tolist(), y.tolist(), text=names, text_font_size="11px", y_offset=-4, name="names",
        text_align=["right" if right else "left" for right in is_right],
    )  # fmt: skip


def _plot(name: str, table: pd.DataFrame, tooltips: Any) -> tuple[Figure, Any]:
    from bokeh.models import ColumnDataSource
    from bokeh.plotting import figure

    plot = figure(
        name=name, height=300, sizing_mode="stretch_width", tools="hover", tooltips=tooltips,
        toolbar_location=None,
    )  # fmt: skip
    return plot, ColumnDataSource(table)
