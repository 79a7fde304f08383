"""Figures as files, each with its numbers as a table beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from argen.analysis import degree_table
from argen.checks import intervention_table
from argen.data import PerturbSeqData
from argen.errors import InputError, first_few, nearest, printable
from argen.files import write_table, writing
from argen.network import CausalNetwork
from argen.plot import effects, graphs, network, penetrance, programs, screens
from argen.plot.style import new_figure
from argen.simulate import Truth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = ("pdf", "svg", "png")


@dataclass(frozen=True, slots=True)
class FigureFile:
    """A figure that can be written: its numbers, and one function for each of its axes."""

    name: str
    table: pd.DataFrame
    draws: tuple[Callable[[Axes], Any], ...]
    size: tuple[float, float]
    """Inches, width and height."""

    def write(self, folder: Path, file_format: str) -> list[Path]:
        """Write figure and table; returns their paths."""
        from matplotlib import rc_context

        figure = new_figure(*self.size)
        for number, draw in enumerate(self.draws):
            draw(figure.add_subplot(1, len(self.draws), number + 1))
        paths = [folder / f"{self.name}.{file_format}", folder / f"{self.name}.tsv"]
        # Names stay text, which can be searched and edited, rather than outlines of letters.
        with rc_context({"svg.fonttype": "none", "pdf.fonttype": 42}):
            figure.savefig(paths[0], dpi=200)
        if file_format == "svg":  # as text would end the figure that no XML may hold
            paths[0].write_text(printable(paths[0].read_text("utf-8")), encoding="utf-8")
        write_table(self.table, paths[1])
        return paths


def write_figures(
    result: CausalNetwork,
    folder: str | Path,
    *,
    names: list[str] | None = None,
    gene: str | None = None,
    others: Mapping[str, CausalNetwork] | None = None,
    truth: Truth | None = None,
    stability: pd.DataFrame | None = None,
    file_format: str = "pdf",
) -> list[Path]:
    """Write figures of a network, and beside each the table of what it shows.

    Parameters
    ----------
    folder
        Made when it does not exist; files of the same names are replaced.
    names
        Which figures; all that can be drawn from what is given when None.
    gene
        Draw the network around this gene, and its effects.
    others
        Other runs or methods on the same genes, by name: ``networks`` shows them side by side,
        ``comparison_NUMBER`` the effects of each against those of the result.
    truth
        Of a simulated screen: ``truth`` and ``null_qq``.
    stability
        Columns source, target and frequency.
    file_format
        "pdf", "svg" or "png".
    """
    if file_format not in FORMATS:
        raise InputError(f"A figure is one of {first_few(FORMATS)}, not {file_format!r}.")
    available = {figure.name: figure for figure in _of_network(result, gene)}
    more = (
        *_of_penetrance(result), *_of_programs(result), *_of_others(result, others or {}),
        *_of_truth(result, truth),
    )  # fmt: skip
    for figure in more:
        available[figure.name] = figure
    if stability is not None:
        table = graphs.stability_table(stability)
        draw = _axes(graphs.draw_stability, result, table)
        available["stability"] = FigureFile("stability", table, (draw,), (7, 4))
    for name in names or ():
        if name not in available:
            raise InputError(
                f"There is no figure {name!r} of what was given.{nearest(name, available)} "
                f"Figures: {', '.join(available)}."
            )
    chosen = [available[name] for name in names or available]
    return _write(chosen, Path(folder), file_format)


def write_expression(
    result: CausalNetwork,
    data: PerturbSeqData,
    source: str,
    target: str,
    folder: str | Path,
    *,
    file_format: str = "pdf",
) -> list[Path]:
    """Write the expression of a child under perturbation of its parent, and the reverse.

    The table has the mean of each group with its error, not every cell.
    """
    for gene in (source, target):
        if gene not in data.nodes or gene not in result.nodes:
            known = [name for name in data.nodes if name in result.nodes]
            raise InputError(
                f"{gene!r} is not a perturbed gene of network and data.{nearest(gene, known)}"
            )
    rows, draws = [], []
    for reverse in (False, True):
        perturbed, observed = (target, source) if reverse else (source, target)
        cells = screens.expression_table(data, perturbed=perturbed, observed=observed)
        means = cells.groupby("group")["expression"].agg(["size", "mean", "sem"]).reset_index()
        means.columns = ["group", "n_cells", "mean", "std_error"]
        means.insert(0, "perturbed", perturbed)
        means.insert(1, "observed", observed)
        rows.append(means)
        draws.append(_axes(screens.draw_expression, result, data, source, target, reverse=reverse))
    figure = FigureFile("expression", pd.concat(rows), tuple(draws), (8.5, 4))
    return _write([figure], Path(folder), file_format)


def _write(figures: list[FigureFile], folder: Path, file_format: str) -> list[Path]:
    """Write figures and tables, all or none; returns their paths."""
    with writing(folder) as beside:
        written = [path for figure in figures for path in figure.write(beside, file_format)]
    return [folder / path.name for path in written]


def _axes(draw: Callable[..., Any], *arguments: Any, **options: Any) -> Callable[[Axes], Any]:
    return lambda ax: draw(*arguments, **options, ax=ax)


def _of_network(result: CausalNetwork, gene: str | None) -> list[FigureFile]:
    drawn = network.network_edges(result, gene)
    n_drawn = len(set(drawn["source"]) | set(drawn["target"]))
    side = float(np.clip(4 + 0.12 * n_drawn, 5, 14))
    forest = effects.forest_table(result, gene)
    n_genes = len(result.genes)
    wide = float(np.clip(1.5 + 0.16 * n_genes, 4.5, 11))
    square = float(np.clip(3 + 0.12 * n_genes, 4.5, 10))
    figures = [
        FigureFile("network", drawn, (_axes(network.draw_network, result, gene),), (side, side)),
        FigureFile(
            "forest",
            forest,
            (_axes(effects.draw_forest, result, gene),),
            (5.5, 1.4 + 0.24 * len(forest)),
        ),
    ]
    for name, reverse in (("forward", False), ("reverse", True)):
        table = intervention_table(result, reverse=reverse)
        draw = _axes(effects.draw_intervention, result, reverse=reverse)
        figures.append(FigureFile(name, table, (draw,), (4.6, 4.4)))
    kinds: tuple[effects.Effects, ...] = ("total", "direct")
    for kind in kinds:
        matrix = effects.heatmap_table(result, kind).rename_axis("source").reset_index()
        draw = _axes(effects.draw_heatmap, result, kind)
        figures.append(FigureFile(f"{kind}_effects", matrix, (draw,), (square + 1, square)))
    draws = [
        ("knockdown", screens.knockdown_table(result), screens.draw_knockdown, (wide, 3.6)),
        ("degrees", degree_table(result), graphs.draw_degrees, (5.2, 3.6)),
        (
            "centrality",
            graphs.centrality(result).reset_index(),
            graphs.draw_centrality,
            (5.2, 3.6),
        ),
    ]
    figures += [
        FigureFile(name, table, (_axes(d, result),), size) for name, table, d, size in draws
    ]
    return figures


def _of_penetrance(result: CausalNetwork) -> list[FigureFile]:
    """Return the figure of how many cells guides work in; none where cells do not escape."""
    if not result.escape_corrected:
        return []
    table = penetrance.penetrance_table(result)
    size = (float(np.clip(1.5 + 0.16 * len(table), 4.5, 11)), 3.6)
    return [FigureFile("penetrance", table, (_axes(penetrance.draw_penetrance, result),), size)]


def _of_programs(result: CausalNetwork) -> list[FigureFile]:
    """Return a figure for each response program; none where there is none."""
    figures = []
    for number in range(1, 1 + (result.programs.n_programs if result.programs else 0)):
        table = programs.programs_table(result, number)
        draws = (
            _axes(programs.draw_scores, result, number),
            _axes(programs.draw_loadings, result, number),
        )
        size = programs.figure_size(table)
        figures.append(FigureFile(f"program_{number}", table, draws, size))
    return figures


def _of_others(result: CausalNetwork, others: Mapping[str, CausalNetwork]) -> list[FigureFile]:
    figures = []
    for number, (name, other) in enumerate(others.items(), start=1):
        draw = _axes(effects.draw_comparison, result, other, names=("this run", name))
        table = effects.comparison_table(result, other)
        figures.append(FigureFile(f"comparison_{number}", table, (draw,), (4.8, 4.8)))
    if others:
        runs = {"this run": result, **others}
        edges = [run.edges.assign(run=name) for name, run in runs.items()]
        draws = tuple(_axes(network.draw_one_of, runs, name) for name in runs)
        size = (4.5 * len(runs), 4.8)
        figures.append(FigureFile("networks", pd.concat(edges), draws, size))
    return figures


def _of_truth(result: CausalNetwork, truth: Truth | None) -> list[FigureFile]:
    if truth is None:
        return []
    table = effects.truth_table(result, truth)
    is_null = table["candidate"] & (table["true"] == 0)
    pairs = table.loc[is_null, effects.PAIR].merge(result.candidates, on=effects.PAIR)
    p_values = pairs["p_value"].to_numpy(dtype=np.float64)
    return [
        FigureFile("truth", table, (_axes(effects.draw_truth, result, truth),), (4.8, 4.6)),
        FigureFile(
            "null_qq", screens.qq_table(p_values), (_axes(screens.draw_qq, p_values),), (4.4, 4.4)
        ),
    ]
