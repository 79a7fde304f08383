"""In what share of its cells each guide works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from argen.errors import InputError
from argen.network import CausalNetwork
from argen.plot.style import NEGATIVE, NEUTRAL, POSITIVE, axes_of_names, dress_percents, name_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def penetrance_table(network: CausalNetwork) -> pd.DataFrame:
    """Return the share of cells in which each guide works, the smallest first.

    Columns: node, penetrance, penetrance_low and penetrance_high (95 % interval),
    penetrance_p_value, n_telling_genes, escape_corrected, penetrance_borrowed. Perturbations of
    which nothing is known are left out.

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

    Orange squares: cells escape, and effects are corrected for it. Grey triangles: the same, by
    what the other perturbations have, as the own cells do not contradict that the guide works in
    all. Blue circles: all cells are taken to work, and the interval says which shares the
    perturbation's own cells allow.
    """
    table = penetrance_table(network)
    ax = axes_of_names(ax, len(table))
    place = np.arange(len(table))
    escaped, borrowed = table[["escape_corrected", "penetrance_borrowed"]].to_numpy(dtype=bool).T
    for rows, colour, marker, label in (
        (escaped & ~borrowed, NEGATIVE, "s", "cells escape"),
        (borrowed, NEUTRAL, "^", "cells escape, by what the others have"),
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
                markersize=name_size(len(table)), label=f"{label} ({int(rows.sum())})",
            )  # fmt: skip
    ax.set_ylim(0, 105)
    ax.yaxis.set_major_formatter("{x:g} %")
    what = "perturbations, the smallest share first"
    dress_percents(ax, list(table["node"]), "cells in which the guide works", what)
    return ax
