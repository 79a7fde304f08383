"""Opening a screen, whatever it is kept in: what a file is decides, not what it is called."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from argen.errors import InputError, first_few
from argen.read.formats.anndata import (
    OpenAnnData,
    anndata_of_object,
    anndata_of_store,
    check_path,
    open_store,
)
from argen.read.formats.cell_ranger import cell_ranger_of_store, is_cell_ranger
from argen.read.formats.matrix_market import matrix_market
from argen.read.formats.mudata import is_mudata_object, mudata_of_object, mudata_of_store
from argen.read.formats.text import cell_table, is_matrix_market, is_table, table_of_counts

# The matrix in a folder of Cell Ranger, the first that is there: of a run, a sample, or alone.
_MATRICES = (
    "filtered_feature_bc_matrix.h5",
    "sample_filtered_feature_bc_matrix.h5",
    "filtered_feature_bc_matrix/matrix.mtx.gz",
    "sample_filtered_feature_bc_matrix/matrix.mtx.gz",
    "matrix.mtx.gz",
    "matrix.mtx",
)


@contextmanager
def open_screen(
    given: object, *, modality: str | None = None, obs: str | Path | None = None
) -> Iterator[OpenAnnData]:
    """Open a screen as AnnData would have it.

    Parameters
    ----------
    given
        AnnData or MuData, in memory or as a file or zarr store; an ``.h5`` file or a folder of
        Cell Ranger; a Matrix Market file beside its features and barcodes; a table of counts.
    modality
        Of MuData: the one with the counts of genes.
    obs
        Table of the cells, whose columns are added to those of the screen.

    Raises
    ------
    InputError
        When there is no such file, or it is of another kind, damaged, or lacks something.
    """
    obs = None if obs is None else Path(obs)
    with _opened(given, modality, obs) as opened:
        yield opened if obs is None else _with_columns(opened, obs)


@contextmanager
def _opened(given: object, modality: str | None, obs: Path | None) -> Iterator[OpenAnnData]:
    if not isinstance(given, str | os.PathLike):
        yield _of_object(given, modality)
        return
    path = Path(given)
    check_path(path)
    if path.is_dir():
        inside = (path / name for name in _MATRICES)
        path = next((file for file in inside if file.is_file()), path)
    if path.is_file() and is_matrix_market(path):
        _refuse_modality(modality)
        yield replace(matrix_market(path), source=os.fspath(given))
    elif path.is_file() and is_table(path):
        _refuse_modality(modality)
        yield table_of_counts(path, obs)
    else:
        with open_store(path) as store:
            yield replace(_of_store(store, path, modality), source=os.fspath(given))


def _of_object(given: object, modality: str | None) -> OpenAnnData:
    if is_mudata_object(given):
        return mudata_of_object(given, modality)
    _refuse_modality(modality)
    return anndata_of_object(given)


def _of_store(store: Any, path: Path, modality: str | None) -> OpenAnnData:
    """Return what an open file has: what it is decides, and not what it is called."""
    if "mod" in store and "X" not in store:
        return mudata_of_store(store, path, modality)
    _refuse_modality(modality)
    if is_cell_ranger(store):
        return cell_ranger_of_store(store, path)
    return anndata_of_store(store, path, os.fspath(path))


def _refuse_modality(modality: str | None) -> None:
    if modality is not None:
        raise InputError(
            f"modality={modality!r} is for MuData, which the screen is not. Leave it out."
        )


def _with_columns(opened: OpenAnnData, path: Path) -> OpenAnnData:
    """Add the columns of a table of cells; cells that it lacks miss their values."""
    table = cell_table(path)
    cells = opened.obs.index.astype(str)
    if not table.index.isin(cells).any():
        raise InputError(
            f"obs {str(path)!r} names none of the cells: its first column begins with "
            f"{first_few(table.index)}, the cells with {first_few(cells)}. Expected their "
            "identifiers."
        )
    own = opened.obs.drop(columns=opened.obs.columns.intersection(table.columns))
    added = table.reindex(cells).set_axis(opened.obs.index)
    return replace(opened, obs=pd.concat([own, added], axis=1))
