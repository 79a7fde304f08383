"""Columns of the cells that are not in the screen, in the sequence of its cells."""

from __future__ import annotations

import pandas as pd

from argen.errors import InputError, first_few


def rows_of(table: pd.DataFrame, cells: pd.Index) -> pd.DataFrame:
    """Return the rows of the cells, or say which are missing."""
    repeated = table.index[table.index.duplicated()].intersection(cells)
    absent = cells.difference(table.index)
    if len(repeated) or len(absent):
        raise InputError(
            f"Of the columns to check {len(absent):,} cells have no row (first: "
            f"{first_few(absent) or 'none'}) and {len(repeated):,} have several (first: "
            f"{first_few(repeated) or 'none'}): expected one row a cell, with the identifiers "
            "of the screen as index."
        )
    chosen = table.loc[cells]
    for name in chosen.columns[chosen.isna().any()]:
        n_missing = int(chosen[name].isna().sum())
        raise InputError(
            f"Column {str(name)!r} to check is missing in {n_missing:,} cells. Fill it, or leave "
            "those cells out with a cell filter."
        )
    return chosen
