"""Response programs: which perturbations set them off, and which genes they move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from argen.arrays import BoolArray
from argen.corrections import Programs
from argen.errors import InputError
from argen.network import CausalNetwork
from argen.plot.style import NEGATIVE, NEUTRAL, POSITIVE, axes_or_new, label_ticks, shown_name
from argen.pvalues import critical_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_PERTURBATIONS, N_GENES = 15, 20


def programs_table(
    network: CausalNetwork,
    program: int = 1,
    *,
    n_perturbations: int = N_PERTURBATIONS,
    n_genes: int = N_GENES,
) -> pd.DataFrame:
    """Return what a response program is: who sets it off most, and what it moves most.

    Columns: program, what ("perturbation" or "gene"), name, node (whether it is a gene of the
    network's nodes), value (score of a perturbation, loading of a gene), std_error, ci_low,
    ci_high; the largest first.
    """
    programs = _programs_of(network, program)
    parts = []
    for what, frame, column, n in (
        ("perturbation", programs.scores_frame(), "node", n_perturbations),
        ("gene", programs.loadings_frame(), "gene", n_genes),
    ):
        part = frame[frame["program"] == program].head(n)
        columns = {column: "name", "score": "value", "loading": "value"}
        parts.append(part.drop(columns="z").rename(columns=columns).assign(what=what))
    table = pd.concat(parts, ignore_index=True)
    margin = critical_value(network.config.confidence) * table["std_error"]
    table = table.assign(
        node=table["name"].isin(network.nodes),
        ci_low=table["value"] - margin,
        ci_high=table["value"] + margin,
    )
    return table[["program", "what", "name", "node", "value", "std_error", "ci_low", "ci_high"]]


def draw_programs(
    network: CausalNetwork,
    program: int = 1,
    *,
    n_perturbations: int = N_PERTURBATIONS,
    n_genes: int = N_GENES,
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw a response program: the perturbations that set it off, and the genes that it moves.

    A perturbation with a positive score raises genes with a positive loading, and lowers those
    with a negative one; a negative score does the reverse. Both have their intervals.

    Parameters
    ----------
    program
        Number of the program, from 1, the strongest.
    n_perturbations, n_genes
        At most so many of each; the titles say of how many.
    axes
        Two, for perturbations and for genes; side by side in a new figure when None.

    Raises
    ------
    InputError
        When the network has no such program.
    """
    table = programs_table(network, program, n_perturbations=n_perturbations, n_genes=n_genes)
    if axes is None:
        figure = axes_or_new(None, *figure_size(table)).figure
        figure.clear()
        axes = [figure.add_subplot(1, 2, 1 + side) for side in range(2)]
    left, right = axes
    draw_scores(network, program, n_perturbations=n_perturbations, ax=left)
    draw_loadings(network, program, n_genes=n_genes, ax=right)
    return [left, right]


def draw_scores(
    network: CausalNetwork, program: int, *, n_perturbations: int = N_PERTURBATIONS, ax: Axes
) -> Axes:
    """Draw how strongly perturbations set a program off; see ``draw_programs``."""
    table = programs_table(network, program, n_perturbations=n_perturbations, n_genes=0)
    _draw_rows(ax, table)
    share = _programs_of(network, program).share[program - 1]
    ax.set_title(
        f"Response program {program}: {100 * share:.0f} % of\nthe variance of total effects",
        fontsize=10,
    )
    of_all = _of_all(len(table), len(network.nodes), "perturbations")
    ax.set_xlabel(f"score, {_interval(network)}\n{of_all}", fontsize=9)
    return ax


def draw_loadings(
    network: CausalNetwork, program: int, *, n_genes: int = N_GENES, ax: Axes
) -> Axes:
    """Draw how a program moves genes; see ``draw_programs``."""
    table = programs_table(network, program, n_perturbations=0, n_genes=n_genes)
    _draw_rows(ax, table, hollow=table["node"].to_numpy())
    said = "(hollow: nodes of the network)" if table["node"].any() else "(no node among them)"
    ax.set_title(f"Genes that it moves most\n{said}", fontsize=10)
    of_all = _of_all(len(table), len(network.genes), "genes")
    ax.set_xlabel(f"loading, {_interval(network)}\n{of_all}", fontsize=9)
    return ax


def figure_size(table: pd.DataFrame) -> tuple[float, float]:
    """Return width and height in inches for what a table shows."""
    longest = max(len(shown_name(name)) for name in table["name"])
    n_rows = max(int(table["what"].value_counts().max()), 4)
    return 6.5 + 0.16 * longest, 1.5 + 0.21 * n_rows


def _draw_rows(ax: Axes, table: pd.DataFrame, *, hollow: BoolArray | None = None) -> None:
    """Draw values with intervals, one below another, the first on top."""
    heights = np.arange(len(table))
    positive = (table["value"] > 0).to_numpy()
    hollow = np.zeros(len(table), dtype=bool) if hollow is None else hollow
    for raised, colour, marker in ((True, POSITIVE, "o"), (False, NEGATIVE, "s")):
        for empty in (False, True):
            rows = (positive == raised) & (hollow == empty)
            shown, at = table[rows], heights[rows]
            ax.hlines(at, shown["ci_low"], shown["ci_high"], color=colour, linewidth=1.6)
            face = "white" if empty else colour
            ax.plot(shown["value"], at, marker, color=colour, markersize=5, markerfacecolor=face)
    ax.axvline(0, color=NEUTRAL, linewidth=0.8)
    label_ticks(ax, "y", list(table["name"]), most=len(table))
    ax.tick_params(axis="y", labelsize=8)
    ax.set_ylim(max(len(table), 1) - 0.5, -0.5)


def _interval(network: CausalNetwork) -> str:
    return f"{100 * network.config.confidence:g} % interval"


def _of_all(n: int, n_all: int, what: str) -> str:
    return f"{n} of {n_all} {what}" if n < n_all else f"{n_all} {what}"


def _programs_of(network: CausalNetwork, program: int) -> Programs:
    """Return the programs of a network, or say that it has no such one."""
    programs = network.programs
    if programs is None or not 1 <= program <= programs.n_programs:
        raise InputError(
            f"There is no response program {program} in this network: {network.programs_line()}."
        )
    return programs
