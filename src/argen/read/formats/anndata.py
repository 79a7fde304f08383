"""Opening AnnData, with one clear error for each way in which a file can be wrong."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from argen.errors import InputError, first_line, listed
from argen.read.stored import (
    check_hdf5,
    check_kind,
    check_zarr,
    damaged,
    native,
    read_element,
    stored_matrix,
)


@dataclass(frozen=True, slots=True)
class OpenAnnData:
    """What an AnnData file or object has; matrices of a file are read when asked for."""

    obs: pd.DataFrame
    var: pd.DataFrame
    x: Any  # (n_cells, n_genes) or None
    layers: Mapping[str, Any]
    raw: tuple[Any, pd.DataFrame] | None  # matrix and its genes
    obsm: Mapping[str, Any]
    uns: Mapping[str, Any]
    source: str
    version: tuple[Any, ...] | None  # of a file: changes whenever the file does
    symbols: str | None = None  # column of var with the symbols, where the format says so
    guide_targets: Mapping[str, str] | None = None  # of guides, where the screen says them


@contextmanager
def open_store(path: Path) -> Iterator[Any]:
    """Open a file of HDF5 or a store of zarr, after a look at what it declares.

    Raises
    ------
    InputError
        When it is missing, of another kind, truncated, or not to be believed; also when that comes
        to light while it is open.
    """
    store = _open_zarr(path) if path.is_dir() else _open_hdf5(path)
    try:
        with reading(path, (OSError, RuntimeError)):  # what slices of a damaged file raise
            yield store
    finally:
        if hasattr(store, "close"):
            store.close()


@contextmanager
def reading(path: Path, errors: type[Exception] | tuple[type[Exception], ...]) -> Iterator[None]:
    """Say of what file it is that something raises these errors."""
    try:
        with warnings.catch_warnings():
            # Repeated gene names are an error of our own, with the names in it.
            warnings.filterwarnings("ignore", message=".*names are not unique")
            yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(
            f"{str(path)!r} takes more memory than is left. Use a larger machine, or leave out "
            "what is not needed."
        ) from error
    except errors as error:
        raise InputError(
            f"{str(path)!r} cannot be read as AnnData: {first_line(error)}. It may be truncated, "
            "or written by an incompatible version of anndata; write it again."
        ) from error


def anndata_of_object(given: object) -> OpenAnnData:
    """Return what an AnnData object has."""
    from anndata import AnnData

    if not isinstance(given, AnnData):
        is_mudata = type(given).__name__ == "MuData"
        modality = " Pass the modality with the gene counts, mdata[...]." if is_mudata else ""
        raise InputError(
            f"Expected the path of an .h5ad file or an AnnData object, not "
            f"{type(given).__name__}.{modality}"
        )
    raw = None if given.raw is None else (given.raw.X, given.raw.var)
    return OpenAnnData(
        _native(given.obs), given.var, given.X, given.layers, raw, given.obsm, given.uns,
        source="AnnData object", version=None,
    )  # fmt: skip


def anndata_of_store(store: Any, path: Path, source: str) -> OpenAnnData:
    """Return what a file, or a group of it, has as AnnData."""
    with reading(path, Exception):  # each reader raises errors of its own
        _check_groups(path, {str(name) for name in store})
        return _of_store(store, path, source)


def _of_store(store: Any, path: Path, source: str) -> OpenAnnData:
    if "raw.X" in store or hasattr(store["obs"], "dtype"):  # written before anndata 0.7
        from anndata import read_h5ad

        return replace(anndata_of_object(read_h5ad(path)), source=source, version=version_of(path))
    raw = None
    # Stores of zarr have an array, False, where there is none.
    if "raw" in store and not hasattr(store["raw"], "dtype") and "X" in store["raw"]:
        raw = stored_matrix(store["raw/X"], "raw"), _table(store, "raw/var")
    obs, var = _table(store, "obs"), _table(store, "var")
    layers = _group(store, "layers")
    return OpenAnnData(
        obs=obs,
        var=var,
        x=stored_matrix(store["X"], "X") if "X" in store else None,
        layers={
            str(name): stored_matrix(layers[name], f"layers[{str(name)!r}]") for name in layers
        },
        raw=raw,
        obsm=_Parts(store, "obsm", path, obs.index),
        uns=_Parts(store, "uns", path),
        source=source,
        version=version_of(path),
    )


def _group(store: Any, name: str) -> Any:
    """Return a part of a file that has parts; one that is not there has none."""
    if name not in store:
        return {}
    if hasattr(store[name], "dtype"):
        raise InputError(
            f"{name} is {store[name].dtype} in place of a group. The file is damaged; write it "
            "again."
        )
    return store[name]


def _table(store: Any, name: str) -> pd.DataFrame:
    table = read_element(store[name], name)
    if not isinstance(table, pd.DataFrame):
        raise InputError(f"{name} is not a table. The file is damaged; write it again.")
    found: pd.DataFrame = _native(table)
    return found


def _native(value: Any) -> Any:
    """Return numbers in the order of bytes of this machine, which pandas and scipy need."""
    if isinstance(value, pd.DataFrame):
        foreign = {
            name: dtype.newbyteorder("=")
            for name, dtype in value.dtypes.items()
            if isinstance(dtype, np.dtype) and not dtype.isnative
        }
        return value.astype(foreign) if foreign else value
    if sparse.issparse(value) and not value.dtype.isnative:
        return value.astype(value.dtype.newbyteorder("="))
    return native(value) if isinstance(value, np.ndarray) else value


class _Parts(Mapping[str, Any]):
    """Named parts of a file, each read when it is asked for."""

    def __init__(self, store: Any, name: str, path: Path, cells: pd.Index | None = None) -> None:
        self._group = _group(store, name)
        self._name = name
        self._path = path
        self._cells = cells  # of parts that have a row for each

    def __getitem__(self, name: str) -> Any:
        shown = f"{self._name}[{name!r}]"
        with reading(self._path, Exception):
            value = _native(read_element(self._group[name], shown))
            if self._cells is not None:
                _check_rows(value, self._cells, shown)
            return value

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        with reading(self._path, Exception):  # zarr looks into each part to list them
            return [str(name) for name in self._group]


def _check_rows(value: Any, cells: pd.Index, name: str) -> None:
    """Refuse what has no row for each cell, in the order of the cells."""
    shape: tuple[int, ...] = tuple(getattr(value, "shape", ()))
    if len(shape) != 2 or shape[0] != len(cells):
        raise InputError(
            f"{name} has the shape {shape}: expected a table with a row for each of the "
            f"{len(cells):,} cells of obs. The file is damaged; write it again."
        )
    if isinstance(value, pd.DataFrame) and not value.index.equals(cells):
        differ = np.flatnonzero(value.index.astype(str) != cells.astype(str))
        if len(differ):
            raise InputError(
                f"{name} names other cells than obs, or in another order: row {differ[0] + 1} is "
                f"{str(value.index[differ[0]])!r}, where obs has {str(cells[differ[0]])!r} "
                f"({len(differ):,} rows differ). Give it the index of obs: "
                "table.reindex(adata.obs_names)."
            )
    if sparse.issparse(value):
        # Which scipy does not look at where the last of them is 0.
        if (np.diff(value.indptr) < 0).any():
            raise damaged(name, "its row pointers are not those of its shape")
        value.check_format(full_check=True)


def version_of(path: Path) -> tuple[Any, ...]:
    """Absolute path, and size and time of every file of a store."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    states = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return (str(path.resolve()), *states)


def check_path(path: Path) -> None:
    """Refuse what is not there, is no file or folder, or may not be read."""
    if not os.path.exists(path):  # unlike Path.exists, False for a name no file can have
        raise InputError(f"There is no file {str(path)!r}.")
    check_kind(path)
    if not os.access(path, os.R_OK):
        raise InputError(f"{str(path)!r} may not be read: ask for permission to read it.")


def _open_zarr(path: Path) -> Any:
    if not any((path / name).is_file() for name in (".zgroup", "zarr.json")):
        raise InputError(
            f"{str(path)!r} is a directory: expected a file, AnnData saved as .h5ad, or a zarr "
            "store."
        )
    try:
        import zarr
    except ImportError as error:
        raise InputError(
            f"{str(path)!r} is a zarr store, which needs the package zarr. Install it, or save "
            "the screen as .h5ad."
        ) from error
    check_zarr(path)
    try:
        store = zarr.open_group(str(path), mode="r")
        set(store)
    except Exception as error:  # whatever zarr raises
        raise _cannot_be_read(path, error) from error
    return store


def _open_hdf5(path: Path) -> Any:
    import h5py

    if not h5py.is_hdf5(path):
        raise InputError(
            f"{str(path)!r} is not an HDF5 file: expected AnnData saved as .h5ad. Write it with "
            "adata.write_h5ad(...)."
        )
    file = None
    try:
        file = h5py.File(path, "r")
        check_hdf5(file, path)
    except Exception as error:  # a damaged file makes h5py raise OSError, RuntimeError, KeyError...
        if file is not None:
            file.close()
        if isinstance(error, InputError):
            raise
        raise _cannot_be_read(path, error) from error
    return file


def _check_groups(path: Path, groups: set[str]) -> None:
    if not {"obs", "var"} <= groups:
        kind = "a zarr store" if path.is_dir() else "HDF5"
        raise InputError(
            f"{str(path)!r} is {kind} but not AnnData: expected obs and var, found "
            f"{listed(sorted(groups)) or 'nothing'}. Load it with scanpy and write it with "
            "adata.write_h5ad(...)."
        )


def _cannot_be_read(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{str(path)!r} cannot be read: {first_line(error)}. It is probably truncated or "
        "damaged; copy or write it again."
    )
