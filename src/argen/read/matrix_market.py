"""Matrix Market files as Cell Ranger writes them, which are read whole."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from argen.errors import InputError, first_line
from argen.read.features import Features, of_features
from argen.read.files import OpenAnnData, _version
from argen.read.text import is_compressed


@contextmanager
def open_matrix_market(path: Path) -> Iterator[OpenAnnData]:
    """Open a Matrix Market file, features by cells, beside the files that name both."""
    named = _beside(path, ("features.tsv", "genes.tsv"))
    barcodes = _beside(path, ("barcodes.tsv",))
    table = _lines(named)
    if table.shape[1] == 1:
        table[1] = table[0]
    cells = pd.Index(_lines(barcodes)[0], dtype=object, name=None)
    types = table.get(2)
    counts = _matrix(path, len(table), len(cells))
    source, version = os.fspath(path), _version(path)
    features = Features(table[0], table[1], types)
    yield of_features(path.parent, counts, features, cells, source=source, version=version)


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
    try:
        return pd.read_csv(path, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3)
    except (OSError, EOFError, ValueError, pd.errors.ParserError) as error:
        raise InputError(
            f"{str(path)!r} cannot be read: {first_line(error)}. Expected lines with tabs."
        ) from error


def _matrix(path: Path, n_features: int, n_cells: int) -> sparse.csr_array:
    """Read the counts whole: some 24 bytes for each while they are, 12 after."""
    from scipy.io import mmread

    try:
        if is_compressed(path):
            with gzip.open(path) as file:
                found = mmread(file)
        else:
            found = mmread(path)
    except Exception as error:  # scipy and gzip raise whatever goes wrong first
        raise InputError(
            f"{str(path)!r} cannot be read as Matrix Market: {first_line(error)}. It may be "
            "truncated; copy or write it again."
        ) from error
    if found.shape != (n_features, n_cells):
        raise InputError(
            f"{str(path)!r} has {found.shape[0]:,} rows and {found.shape[1]:,} columns, but the "
            f"files beside it name {n_features:,} features and {n_cells:,} cells: expected "
            "features in rows and cells in columns."
        )
    counts = sparse.csr_array(found.T)
    return counts.astype(np.float64) if counts.dtype == object else counts
