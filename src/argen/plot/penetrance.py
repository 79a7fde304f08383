"""In what share of its cells each guide works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from argen.errors import InputError
from argen.network import CausalNetwork
from argen.plot.style import (
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    axes_or_new,
    label_ticks,
    show_legend,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More names along the axis could not be read.
MOST_LABELS = 70


def penetrance_table(network: CausalNetwork) -> pd.DataFrame:
    """Return the share of cells in which each guide works, the smallest first.

    Columns: node, penetrance, penetrance_low and penetrance_high (95 % interval),
    penetrance_p_value, n_telling_genes, escape_corrected. Perturbations of which nothing is known
    are left out.

    Raises
    ------
    InputError
        When it was not looked for, or nothing is known of any perturbation.
    """
    found = network.penetrance
    if found is None or not (found.told | found.corrected).any():
        raise InputError(
            "There is nothing to show of the share of cells in which guides work: "
            f"{network.penetrance_line()}."
        )
    table = found.to_frame()
    table.insert(0, "node", list(network.nodes))
    table = table[table["penetrance"].notna()]
    return table.sort_values(["penetrance", "penetrance_low"]).reset_index(drop=True)


def draw_penetrance(network: CausalNetwork, *, ax: Axes | None = None) -> Axes:
    """Draw the share of cells in which each guide works, with 95 % intervals.

    Orange squares: cells escape, and effects are corrected for it. Blue circles: all cells are
    taken to work, and the interval says which shares the perturbation's own cells allow.
    """
    table = penetrance_table(network)
    ax = axes_or_new(ax, float(np.clip(1.5 + 0.16 * len(table), 4.5, 11)), 3.6)
    place, escaped = np.arange(len(table)), table["escape_corrected"].to_numpy()
    for rows, colour, marker, label in (
        (escaped, NEGATIVE, "s", "cells escape"),
        (~escaped, POSITIVE, "o", "all cells, as far as can be seen"),
    ):
        if rows.any():
            middle, low, high = (
                100.0 * table.loc[rows, name].to_numpy()
                for name in ("penetrance", "penetrance_low", "penetrance_high")
            )
            ax.vlines(place[rows], low, high, color=colour, linewidth=0.8)
            ax.plot(
                place[rows], middle, marker, color=colour,
                markersize=4 if len(table) <= 100 else 2, label=f"{label} ({int(rows.sum())})",
            )  # fmt: skip
    ax.axhline(100, color=NEUTRAL, linewidth=0.8)
    ax.set_ylim(0, 105)
    ax.yaxis.set_major_formatter("{x:g} %")
    label_ticks(ax, "x", list(table["node"]), most=MOST_LABELS, rotation=90)
    ax.set_ylabel("cells in which the guide works")
    if len(table) > MOST_LABELS:
        ax.set_xlabel(f"{len(table)} perturbations, the smallest share first")
    show_legend(ax)
    return ax
