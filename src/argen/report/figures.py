"""The interactive figures of a report, by Bokeh, whose scripts come with its package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from argen.arrays import FloatArray
from argen.checks import Diagnostics, intervention_table, slope_and_agreement
from argen.network import CausalNetwork
from argen.plot import (
    FEEDBACK,
    NEGATIVE,
    NEUTRAL,
    OTHER,
    POSITIVE,
    highest_percent,
    knockdown_table,
    penetrance_table,
    programs_table,
    shown_name,
)

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure  # noqa: N812

# Sources of the graph, which the page fills, by name; the columns of each.
GRAPH_SOURCES = {
    "edges": ("x0", "y0", "x1", "y1", "cx", "cy", "colour", "alpha", "width", "dash"),
    "heads": ("x", "y", "angle", "marker", "colour", "alpha", "size"),
    "genes": ("x", "y", "name", "colour", "alpha", "size", "parents", "children"),
    "names": ("x", "y", "name", "colour", "alpha"),
}

# The paper of the page is seen through every figure, so that its colour leaves no edges.
CLEAR: dict[str, Any] = {
    "background_fill_alpha": 0, "border_fill_alpha": 0, "outline_line_color": None,
}  # fmt: skip

# Names along an axis, and names of the points that tell most, where they can be read.
MOST_NAMES, N_TELLING = 30, 5
# Of more, intervals are pale and points small, as they run into each other.
MANY = 100
# Inner size of the narrowest figure, that of a phone, and of a letter and a line of a name, in
# pixels; the longest name in it.
FIGURE_WIDTH, FIGURE_HEIGHT, LETTER, LINE, LONGEST_LABEL = 270.0, 190.0, 6.0, 13.0, 36

# Tables of quantiles: the column that tells tests apart, what a figure of them asks, and shows.
QUANTILES = {
    "calibration_qq": (
        "kind",
        "Is nothing found where there is nothing?",
        "P-values of screens in which no effect is real: points should follow the line; above it "
        "p-values are too small.",
    ),
    "balance_qq": (
        "role",
        "Did chance decide which cell got which guide?",
        "P-values of columns of the cells against perturbations (likelihood ratio): points should "
        "follow the line; above it cells of a perturbation differ from the controls.",
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
        y_range=Range1d(0, 1), **CLEAR,
    )  # fmt: skip
    plot.axis.visible, plot.grid.visible = False, False
    sources = {
        name: ColumnDataSource({column: [] for column in columns}, name=name)
        for name, columns in GRAPH_SOURCES.items()
    }
    plot.quadratic(
        x0="x0", y0="y0", x1="x1", y1="y1", cx="cx", cy="cy", source=sources["edges"],
        line_color="colour", line_alpha="alpha", line_width="width",
        line_dash={"field": "dash"},
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


@dataclass(frozen=True)
class Panel:
    """A figure, what it asks, and how it is read."""

    question: str
    said: str
    plot: Figure


def diagnostic_figures(
    network: CausalNetwork, diagnostics: Diagnostics | None = None
) -> dict[str, Panel]:
    """Return figures by name.

    Knock-downs, shares of working cells, edges against interventions, quantiles.
    """
    figures = {"knockdown": _knockdown(network)}
    if network.escape_corrected:
        figures["penetrance"] = _penetrance(network)
    for name, reverse in (("forward", False), ("reverse", True)):
        table = intervention_table(network, reverse=reverse)
        table = table[np.isfinite(table["intervention"]) & np.isfinite(table["effect"])]
        if len(table):
            figures[name] = _interventions(table, reverse=reverse)
    for name, (by, question, said) in QUANTILES.items():
        table = diagnostics.tables.get(name, pd.DataFrame()) if diagnostics else pd.DataFrame()
        if len(table):
            figures[name] = Panel(question, said, _quantiles(name, table, by))
    return figures


def program_figures(network: CausalNetwork, number: int, most: int) -> dict[str, Panel]:
    """Return who sets a response program off most, and what it moves most: up to so many each."""
    table = programs_table(network, number, n_perturbations=most, n_genes=most)
    figures = {}
    for what, axis, question in (
        ("perturbation", "score", "Which perturbations set it off most?"),
        ("gene", "loading, natural log", "Which genes does it move most?"),
    ):
        rows = table[table["what"] == what]
        rows = rows.sort_values("value", ascending=False, ignore_index=True)
        points = pd.DataFrame(
            {
                "name": rows["name"],
                "value": rows["value"],
                "low": rows["ci_low"],
                "high": rows["ci_high"],
                "colour": np.where(rows["value"] > 0, POSITIVE, NEGATIVE),
            }
        )
        name, others = f"program-{number}-{what}", "genes" if what == "gene" else "perturbations"
        plot = _along_names(name, points, axis, f"{others}, the most positive first", whole=0)
        figures[name] = Panel(question, "", plot)
    return figures


def _knockdown(network: CausalNetwork) -> Panel:
    table = knockdown_table(network)
    n_infinite = int((~np.isfinite(table["effect"])).sum())
    table = table[np.isfinite(table["effect"])].reset_index(drop=True)
    points = pd.DataFrame(
        {
            "name": table["node"],
            "value": 100 * table["remaining"],
            "low": 100 * np.exp(table["ci_low"]),
            "high": 100 * np.exp(table["ci_high"]),
            "colour": np.where(table["ci_high"] < 0, POSITIVE, NEGATIVE),
        }
    )
    top = highest_percent(points["value"])
    n_longer = int((points["high"] > top).sum())
    points["high"] = points["high"].clip(upper=top)
    what = "genes, the strongest knock-down first"
    plot = _along_names("knockdown", points, "own expression left, %", what, whole=100)
    left_out = f" {n_infinite} without an estimate or without a count left are not drawn."
    return Panel(
        "Does each perturbation lower its gene?",
        "What is left of each gene's expression under its own perturbation, with intervals: the "
        "lower the better. Orange: not surely below 100 %; do not trust edges out of these genes."
        f"{f' {n_longer} intervals go on above the axis.' if n_longer else ''}"
        f"{left_out if n_infinite else ''}",
        plot,
    )


def _penetrance(network: CausalNetwork) -> Panel:
    table = penetrance_table(network).iloc[::-1].reset_index(drop=True)
    points = pd.DataFrame(
        {
            "name": table["node"],
            "value": 100 * table["penetrance"],
            "low": 100 * table["penetrance_low"],
            "high": 100 * table["penetrance_high"],
            "colour": np.select(
                [table["penetrance_borrowed"], table["escape_corrected"]],
                [NEUTRAL, NEGATIVE],
                POSITIVE,
            ),
        }
    )
    what = "perturbations, the largest share first"
    plot = _along_names("penetrance", points, "cells in which the guide works, %", what, whole=100)
    return Panel(
        "In how many cells does it work?",
        "Share of the cells with a guide in which it works, with 95 % intervals: the higher the "
        "better. Orange: cells escape, and effects are corrected for it. Grey: the same, by what "
        "the other perturbations have, as the own cells do not contradict that all work.",
        plot,
    )


def _interventions(table: pd.DataFrame, *, reverse: bool) -> Panel:
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
    at = pd.DataFrame({"x": telling["intervention"], "y": telling["effect"]})
    _name_points(plot, at, names, xs=x, ys=y)
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
    asked = "Does perturbing the source move the target?"
    if reverse:
        asked = "Does perturbing the target spare the source?"
    return Panel(asked, f"{said} {numbers} Named: {named}.", plot)


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


def _along_names(name: str, table: pd.DataFrame, axis: str, what: str, *, whole: float) -> Figure:
    """Draw values with intervals, one beside another, with their names.

    Parameters
    ----------
    table
        name, value, low, high and colour, in the sequence of the drawing.
    axis, what
        Labels of the axes: of the values, and what the names are.
    whole
        The value at which nothing was done, drawn as a line.
    """
    table = table.assign(place=np.arange(len(table)))
    tips = [("", "@name"), (axis, "@value"), ("interval", "@low to @high")]
    plot, source = _plot(name, table, tips)
    plot.hspan(y=whole, line_color=NEUTRAL)
    many = len(table) > MANY
    plot.segment(
        "place", "low", "place", "high", source=source, line_color="colour",
        line_alpha=0.3 if many else 1.0,
    )  # fmt: skip
    plot.scatter("place", "value", source=source, size=3 if many else 6, color="colour")
    plot.yaxis.axis_label, plot.xaxis.axis_label = axis, what
    plot.xgrid.visible = False
    if len(table) <= MOST_NAMES:
        plot.xaxis.ticker = table["place"].tolist()
        shown = [shown_name(each) for each in table["name"]]
        plot.xaxis.major_label_overrides = dict(zip(table["place"], shown, strict=True))
        plot.xaxis.major_label_orientation = np.pi / 2
    else:
        plot.xaxis.ticker = []
        last = table.iloc[::-1].head(N_TELLING)
        at = pd.DataFrame({"x": last["place"], "y": last["high"]})
        ends = table[["low", "high"]].to_numpy().ravel()
        _name_points(plot, at, last["name"].tolist(), xs=table["place"].to_numpy(), ys=ends)
    return plot


def _name_points(
    plot: Figure, at: pd.DataFrame, names: list[str], *, xs: FloatArray, ys: FloatArray
) -> None:
    """Write names above points, towards the middle, but for those that would hide another.

    Parameters
    ----------
    at
        Columns x and y of the points to be named, the most telling first.
    xs, ys
        All that is drawn, from which the size of the axes follows.
    """
    plot.y_range.range_padding = 0.2
    x, y = (at[side].to_numpy(dtype=np.float64) for side in ("x", "y"))
    is_right = x > (xs.min() + xs.max()) / 2
    # In pixels of the narrowest figure.
    across, up = (
        size * (values - drawn.min()) / max(np.ptp(drawn), 1e-300)
        for values, drawn, size in ((x, xs, FIGURE_WIDTH), (y, ys, FIGURE_HEIGHT))
    )
    shown = [shown_name(name, LONGEST_LABEL) for name in names]
    taken: list[tuple[float, float, float]] = []
    for i, name in enumerate(shown):
        left = across[i] - (len(name) * LETTER if is_right[i] else 0.0)
        right = left + len(name) * LETTER
        if all(right < a or left > b or abs(up[i] - c) > LINE for a, b, c in taken):
            taken.append((left, right, up[i]))
        else:
            shown[i] = ""
    plot.text(
        x.tolist(), y.tolist(), text=shown, text_font_size="11px", y_offset=-4, name="names",
        background_fill_color="white", background_fill_alpha=0.7,
        text_align=["right" if right else "left" for right in is_right],
    )  # fmt: skip


def _plot(name: str, table: pd.DataFrame, tooltips: Any) -> tuple[Figure, Any]:
    from bokeh.models import ColumnDataSource
    from bokeh.plotting import figure

    plot = figure(
        name=name, height=300, sizing_mode="stretch_width", tools="hover", tooltips=tooltips,
        toolbar_location=None, **CLEAR,
    )  # fmt: skip
    return plot, ColumnDataSource(table)
