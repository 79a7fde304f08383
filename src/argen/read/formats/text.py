"""What kind of text a file is; counts in tables, which are read whole."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import sparse

from argen.errors import InputError, first_few
from argen.read.formats.anndata import OpenAnnData, version_of
from argen.read.tables import is_parquet, read_table

GZIP = b"\x1f\x8b"
_BANNER = b"%%MatrixMarket"
_LOOKED_AT = 4096


def beginning(path: Path) -> bytes:
    """Return the first bytes of a file, decompressed."""
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    if not start.startswith(GZIP):
        return start
    try:
        with gzip.open(path) as file:
            return file.read(_LOOKED_AT)
    except (OSError, EOFError, zlib.error):
        return b""


def is_compressed(path: Path) -> bool:
    """Whether a file begins like one of gzip."""
    with path.open("rb") as file:
        return file.read(len(GZIP)) == GZIP


def is_matrix_market(path: Path) -> bool:
    """Whether a file begins like Matrix Market."""
    return beginning(path).startswith(_BANNER)


def is_table(path: Path) -> bool:
    """Whether a file is Parquet, or lines of text with separators."""
    if is_parquet(path):
        return True
    start = beginning(path)
    try:
        text = start.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:  # else a character was cut in two
            return False
        text = start[: error.start].decode("utf-8-sig")
    first = text.partition("\n")[0]
    return "\0" not in text and ("," in first or "\t" in first)


def cell_table(path: Path, option: str = "obs") -> pd.DataFrame:
    """Read a table with one row a cell, or gene, whose identifiers are in the first column."""
    table = read_table(path, option, text=False)
    if isinstance(table.index, pd.RangeIndex):
        if not len(table.columns):
            raise InputError(f"{option} {str(path)!r} has no column.")
        table = table.set_index(table.columns[0])
    table.index = table.index.astype(str)
    repeated = table.index[table.index.duplicated()].unique()
    if len(repeated):
        raise InputError(
            f"{option} {str(path)!r} has several rows for {first_few(repeated)}: expected one row "
            "for each, with the identifiers in the first column."
        )
    return table


def table_of_counts(path: Path, obs: Path | None) -> OpenAnnData:
    """Read a table of counts, CSV, TSV or Parquet, beside a table of its cells.

    Which of rows and columns are the cells, their identifiers tell.
    """
    if obs is None:
        raise InputError(
            f"{str(path)!r} is a table: if it has counts, name the table of their cells as obs. "
            "Expected AnnData, MuData, output of Cell Ranger, or counts with a table of cells."
        )
    table, cells = cell_table(path, "the table of counts"), cell_table(obs).index
    table.columns = table.columns.astype(str)
    in_rows, in_columns = cells.isin(table.index).sum(), cells.isin(table.columns).sum()
    if in_rows == in_columns == 0:
        raise InputError(
            f"{str(path)!r} names none of the cells of {str(obs)!r}, neither in rows nor in "
            f"columns: they begin with {first_few(table.index)} and {first_few(table.columns)}, "
            f"the cells with {first_few(cells)}."
        )
    no_number = [name for name, kind in table.dtypes.items() if not _is_real(kind)]
    if no_number:
        raise InputError(
            f"{str(path)!r} has columns that are no numbers: {first_few(no_number)}. Expected "
            "counts alone, and what else is known of the cells in their table."
        )
    if in_rows < in_columns:
        table = table.T
    counts = sparse.csr_array(table.to_numpy())
    return plain(path, counts, pd.DataFrame(index=table.index), pd.DataFrame(index=table.columns))


def _is_real(kind: Any) -> bool:
    return pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind)


def plain(
    path: Path, counts: Any, obs: pd.DataFrame, var: pd.DataFrame, **more: Any
) -> OpenAnnData:
    """Return a screen that has counts, cells and genes alone."""
    parts = {"obsm": {}, "version": version_of(path), **more}
    return OpenAnnData(
        obs=obs, var=var, x=counts, layers={}, raw=None, uns={}, source=os.fspath(path), **parts
    )
