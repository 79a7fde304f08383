"""Figures of the studies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from argen.files import writing_file
from argen.plot import new_figure
from argen.study.paper import HIDDEN, METHODS, PAIR, PaperStudy, of_case

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Genes of the paper's network: causes above what they act on.
_PLACES = {
    "X7": (0.0, 2.0), "X8": (3.0, 2.0), "X1": (-0.8, 1.1), "X2": (0.1, 0.5), "X3": (0.9, -0.1),
    "X4": (3.8, 1.1), "X5": (3.0, 0.5), "X6": (2.2, -0.4),
}  # fmt: skip
_COLOURS = {True: "#1b6ca8", False: "#c0392b"}
# Edges that a method selects in fewer replicates are not drawn.
_LEAST_SHARE = 0.05


def write_paper_figures(study: PaperStudy, folder: Path) -> list[Path]:
    """Draw ``networks.png`` and ``effects.png`` into a folder; returns their paths."""
    networks, effects = new_figure(9, 7), new_figure(11, 5)
    for number, (method, setting) in enumerate((m, s) for m in METHODS for s in HIDDEN):
        axes = networks.add_subplot(2, 2, number + 1)
        draw_networks(study, axes, method=method, setting=setting)
    for number, method in enumerate(METHODS):
        draw_effects(study, effects.add_subplot(1, 2, number + 1), method=method)
    paths = [folder / "networks.png", folder / "effects.png"]
    for figure, path in zip((networks, effects), paths, strict=True):
        with writing_file(path, "study") as beside:
            figure.savefig(beside, dpi=150)
    return paths


def draw_networks(study: PaperStudy, axes: Axes, *, method: str, setting: str) -> Axes:
    """Draw the edges that a method selects, true ones blue and false ones red.

    The wider an edge, the more replicates have it; true edges that are missing in some are dashed.
    """
    rows = of_case(study.estimates, method, setting)
    found = rows.groupby([*PAIR, "true"], as_index=False)["selected"].sum()
    for edge in found.itertuples(index=False):
        share, is_true = edge.selected / study.n_replicates, edge.true != 0
        if not is_true and share < _LEAST_SHARE:
            continue
        style = {
            "arrowstyle": "-|>", "color": _COLOURS[is_true], "shrinkA": 11, "shrinkB": 11,
            "linewidth": 0.4 + 2.2 * share, "connectionstyle": "arc3,rad=0.08",
            "linestyle": "--" if is_true and share < 1 else "-",
        }  # fmt: skip
        axes.annotate("", _PLACES[edge.target], _PLACES[edge.source], arrowprops=style)
    for gene, (x, y) in _PLACES.items():
        if gene not in HIDDEN[setting]:
            axes.text(
                x, y, gene, ha="center", va="center",
                bbox={"boxstyle": "circle", "facecolor": "white", "edgecolor": "#444444"},
            )  # fmt: skip
    axes.set(xlim=(-1.3, 4.3), ylim=(-0.9, 2.4), title=f"{method}, {setting}")
    axes.set_axis_off()
    return axes


def draw_effects(study: PaperStudy, axes: Axes, *, method: str) -> Axes:
    """Draw box plots of the estimates of a method, all genes beside two hidden, and the truth."""
    edges = study.table().drop_duplicates(PAIR)
    pairs = list(edges[PAIR].itertuples(index=False, name=None))
    for setting, shift, colour in (("full", -0.18, "#8fb8d8"), ("omitted", 0.18, "#f0b27a")):
        rows = of_case(study.estimates, method, setting).dropna(subset="effect")
        found = dict(list(rows.groupby(PAIR)["effect"]))
        boxes = axes.boxplot(
            [found.get(pair, pd.Series(dtype=float)).to_numpy() for pair in pairs],
            positions=np.arange(len(edges)) + shift, widths=0.3, patch_artist=True,
            manage_ticks=False, flierprops={"markersize": 3}, medianprops={"color": "black"},
        )  # fmt: skip
        for box in boxes["boxes"]:
            box.set_facecolor(colour)
        axes.plot([], [], "s", color=colour, label=setting)
    places = np.arange(len(edges))
    axes.hlines(edges["true"], places - 0.4, places + 0.4, color="#c0392b", label="truth")
    labels = [f"{source} → {target}" for source, target in pairs]
    axes.set_xticks(places, labels, rotation=30)
    axes.set(title=method, ylabel="effect")
    axes.legend()
    return axes


def write_grid_figure(summary: pd.DataFrame, folder: Path) -> Path:
    """Draw one page, ``grid.png``, into a folder; returns its path."""
    panels = ("f1", "false_discovery_proportion", "effect_rmse", "true_coverage")
    settings = list(summary["setting"].unique())
    figure = new_figure(14, 2 + 0.28 * len(settings))
    for number, measure in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        draw_measure(summary, axes, measure=measure, settings=settings, labelled=number == 0)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    path = folder / "grid.png"
    with writing_file(path, "grid") as beside:
        figure.savefig(beside, dpi=120)
    return path


def draw_measure(
    summary: pd.DataFrame, axes: Axes, *, measure: str, settings: Sequence[str], labelled: bool
) -> Axes:
    """Draw the mean of a measure per setting and method, with two Monte-Carlo errors."""
    methods = list(summary["method"].unique())
    place = {name: number for number, name in enumerate(settings)}
    for number, method in enumerate(methods):
        rows = summary[(summary["measure"] == measure) & (summary["method"] == method)]
        shift = 0.7 * (number - (len(methods) - 1) / 2) / len(methods)
        heights: Any = rows["setting"].map(place).to_numpy() + shift
        axes.errorbar(
            rows["mean"], heights, xerr=2 * rows["error"].fillna(0.0), fmt="o", markersize=3,
            label=method,
        )  # fmt: skip
    axes.set_yticks(range(len(settings)), settings if labelled else [""] * len(settings))
    axes.set_ylim(len(settings) - 0.5, -0.5)
    axes.set_title(measure.replace("_", " "))
    axes.grid(axis="y", linewidth=0.3)
    return axes
