"""Matrix Market files as Cell Ranger writes them, which are read whole."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from argen.errors import InputError
from argen.files import reading
from argen.read.formats.anndata import OpenAnnData, version_of
from argen.read.formats.features import Features, of_features
from argen.read.formats.text import is_compressed

_LONGEST = 10_000  # characters of a line of the header


def matrix_market(path: Path) -> OpenAnnData:
    """Read a Matrix Market file, features by cells, beside the files that name both."""
    named = _beside(path, ("features.tsv", "genes.tsv"))
    barcodes = _beside(path, ("barcodes.tsv",))
    table = _lines(named)
    if table.shape[1] == 1:
        table[1] = table[0]
    cells = pd.Index(_lines(barcodes)[0], dtype=object, name=None)
    types = table.get(2)
    counts = _matrix(path, len(table), len(cells))
    source, version = os.fspath(path), version_of(path)
    features = Features(table[0], table[1], types)
    return of_features(path.parent, counts, features, cells, source=source, version=version)


def _beside(path: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        for found in (path.parent / f"{name}.gz", path.parent / name):
            if found.is_file():
                return found
    raise InputError(
        f"{str(path)!r} is a matrix without names: expected {' or '.join(names)}, perhaps with "
        ".gz, in the same folder."
    )


def _lines(path: Path) -> pd.DataFrame:
    with reading(path, "lines with tabs"):
        return pd.read_csv(path, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3)


def _matrix(path: Path, n_features: int, n_cells: int) -> sparse.csr_array:
    """Read the counts whole: some 60 bytes for each while they are, 16 after.

    scipy's reader ends the process at some damaged files, and pandas' does not.
    """
    open_text = gzip.open if is_compressed(path) else open
    with reading(path, "Matrix Market"), open_text(path, "rt", encoding="ascii") as file:
        n_rows, n_columns, n_entries = _declared(file)
        if (n_rows, n_columns) != (n_features, n_cells):
            raise InputError(
                f"{str(path)!r} has {n_rows:,} rows and {n_columns:,} columns, but the files "
                f"beside it name {n_features:,} features and {n_cells:,} cells: expected features "
                "in rows and cells in columns."
            )
        types = {"row": np.int64, "column": np.int64, "count": np.float64}
        table = pd.read_csv(file, sep=r"\s+", header=None, names=list(types), dtype=types)
        inside = table["row"].between(1, n_rows) & table["column"].between(1, n_columns)
        if len(table) != n_entries or not inside.all():
            raise ValueError(f"its {len(table):,} entries are not the {n_entries:,} of its header")
    counts = table["count"].to_numpy(), (table["column"] - 1, table["row"] - 1)
    return sparse.csr_array(sparse.coo_array(counts, shape=(n_cells, n_features)))


def _declared(file: Any) -> tuple[int, int, int]:
    """Read the header, and how many rows, columns and entries it says there are."""
    banner = file.readline(_LONGEST).lower().split()
    if len(banner) != 5 or banner[2] != "coordinate" or banner[4] != "general":
        raise ValueError("expected a matrix in coordinates, general")
    if banner[3] not in ("integer", "real"):
        raise ValueError(f"expected whole numbers, not {banner[3]}")
    line = "%"
    while line.startswith("%"):
        line = file.readline(_LONGEST)
    n_rows, n_columns, n_entries = (int(number) for number in line.split())
    return n_rows, n_columns, n_entries
