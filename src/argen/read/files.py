"""Opening AnnData, with one clear error for each way in which a file can be wrong."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from argen.errors import InputError, first_line
from argen.read.matrices import read_element, stored_matrix


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
def open_anndata(given: object) -> Iterator[OpenAnnData]:
    """Open the path of an ``.h5ad`` file or a zarr store, or take an AnnData object.

    Raises
    ------
    InputError
        When the file is missing, of another kind, truncated, or holds no AnnData object; also
        when that comes to light while the file is open.
    """
    if not isinstance(given, str | os.PathLike):
        yield _of_object(given)
        return
    path = Path(given)
    _check_path(path)
    store = _open_zarr(path) if path.is_dir() else _open_hdf5(path)
    try:
        with _reading(path, Exception):  # each reader raises errors of its own
            opened = _of_store(store, path, os.fspath(given))
        with _reading(path, (OSError, RuntimeError)):  # what slices of a damaged file raise
            yield opened
    finally:
        if hasattr(store, "close"):
            store.close()


@contextmanager
def _reading(path: Path, errors: type[Exception] | tuple[type[Exception], ...]) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            # Repeated gene names are an error of our own, with the names in it.
            warnings.filterwarnings("ignore", message=".*names are not unique")
            yield
    except (InputError, MemoryError):
        raise
    except errors as error:
        raise InputError(
            f"{str(path)!r} cannot be read as AnnData: {first_line(error)}. It may be truncated, "
            "or written by an incompatible version of anndata; write it again."
        ) from error


def _of_object(given: object) -> OpenAnnData:
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
        given.obs, given.var, given.X, given.layers, raw, given.obsm, given.uns,
        source="AnnData object", version=None,
    )  # fmt: skip


def _of_store(store: Any, path: Path, source: str) -> OpenAnnData:
    if "raw.X" in store or hasattr(store["obs"], "dtype"):  # written before anndata 0.7
        from anndata import read_h5ad

        return replace(_of_object(read_h5ad(path)), source=source, version=_version(path))
    raw = None
    if "raw" in store and "X" in _names(store["raw"]):
        raw = stored_matrix(store["raw/X"]), read_element(store["raw/var"])
    obs, var = read_element(store["obs"]), read_element(store["var"])
    layers = store.get("layers", {})
    return OpenAnnData(
        obs=obs,
        var=var,
        x=stored_matrix(store["X"]) if "X" in store else None,
        layers={str(name): stored_matrix(layers[name]) for name in layers},
        raw=raw,
        obsm=_Parts(store, "obsm", path),
        uns=_Parts(store, "uns", path),
        source=source,
        version=_version(path),
    )


def _names(element: Any) -> set[str]:
    """Names of the parts of a group; none of an array, which zarr stores have for nothing."""
    return set() if hasattr(element, "dtype") else set(map(str, element))


class _Parts(Mapping[str, Any]):
    """Named parts of a file, each read when it is asked for."""

    def __init__(self, store: Any, name: str, path: Path) -> None:
        self._group = store.get(name, {})
        self._path = path

    def __getitem__(self, name: str) -> Any:
        with _reading(self._path, Exception):
            return read_element(self._group[name])

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    def __iter__(self) -> Iterator[str]:
        return iter(map(str, self._group))

    def __len__(self) -> int:
        return len(self._group)


def _version(path: Path) -> tuple[Any, ...]:
    """Absolute path, and size and time of every file of a store."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    states = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return (str(path.resolve()), *states)


def _check_path(path: Path) -> None:
    if not os.path.exists(path):  # unlike Path.exists, False for a name no file can have
        raise InputError(f"There is no file {str(path)!r}.")
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
    try:
        store = zarr.open_group(str(path), mode="r")
        groups = {str(name) for name in store}
    except Exception as error:  # whatever zarr raises
        raise _cannot_be_read(path, error) from error
    _check_groups(path, groups, "a zarr store")
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
        groups = {str(name) for name in file}
        modalities = sorted(map(str, file["mod"])) if "mod" in file else []
    except Exception as error:  # a damaged file makes h5py raise OSError, RuntimeError, KeyError...
        if file is not None:
            file.close()
        raise _cannot_be_read(path, error) from error
    try:
        if modalities:
            raise InputError(
                f"{str(path)!r} is MuData with modalities {', '.join(modalities)}: expected "
                "AnnData. Save the modality with the gene counts as .h5ad, with the labels in its "
                "obs."
            )
        _check_groups(path, groups, "HDF5")
    except InputError:
        file.close()
        raise
    return file


def _check_groups(path: Path, groups: set[str], kind: str) -> None:
    if not {"obs", "var"} <= groups:
        raise InputError(
            f"{str(path)!r} is {kind} but not AnnData: expected obs and var, found "
            f"{', '.join(sorted(groups)[:5]) or 'nothing'}. Load it with scanpy and write it "
            "with adata.write_h5ad(...)."
        )


def _cannot_be_read(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{str(path)!r} cannot be read: {first_line(error)}. It is probably truncated or "
        "damaged; copy or write it again."
    )
