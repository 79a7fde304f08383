"""Opening a screen, whatever it is kept in: what a file is decides, not what it is called."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd

from argen.errors import InputError, first_few
from argen.read.cell_ranger import is_cell_ranger_file, open_cell_ranger_file
from argen.read.files import OpenAnnData, _check_path, open_anndata
from argen.read.matrix_market import open_matrix_market
from argen.read.mudata import is_mudata, open_mudata
from argen.read.text import cell_table, is_matrix_market, is_table, open_table

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
    if is_mudata(given):
        with open_mudata(given, modality) as opened:
            yield opened
        return
    if modality is not None:
        raise InputError(
            f"modality={modality!r} is for MuData, which the screen is not. Leave it out."
        )
    if not isinstance(given, str | os.PathLike):
        with open_anndata(given) as opened:
            yield opened
        return
    path = Path(given)
    _check_path(path)
    if path.is_dir():
        inside = (path / name for name in _MATRICES)
        path = next((file for file in inside if file.is_file()), path)
    with _opened_path(path, obs) as opened:
        yield replace(opened, source=os.fspath(given))


def _opened_path(path: Path, obs: Path | None) -> AbstractContextManager[OpenAnnData]:
    """Open what it is, and not what it is called."""
    if path.is_dir():
        return open_anndata(path)
    if is_cell_ranger_file(path):
        return open_cell_ranger_file(path)
    if is_matrix_market(path):
        return open_matrix_market(path)
    return open_table(path, obs) if is_table(path) else open_anndata(path)


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
