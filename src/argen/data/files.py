"""Opening files, with one clear error for each way in which they can be wrong."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from argen.covariates import first_line
from argen.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData


def anndata_and_source(given: object) -> tuple[AnnData, str]:
    """Return the AnnData object of a path, or the object itself, and what to call it."""
    if isinstance(given, str | os.PathLike):
        return open_anndata(os.fspath(given)), os.fspath(given)
    from anndata import AnnData

    if not isinstance(given, AnnData):
        is_mudata = type(given).__name__ == "MuData"
        modality = " Pass the modality with the gene counts, mdata[...]." if is_mudata else ""
        raise InputError(
            f"Expected the path of an .h5ad file or an AnnData object, not "
            f"{type(given).__name__}.{modality}"
        )
    return given, "AnnData object"


def open_anndata(path: str | Path) -> AnnData:
    """Read an ``.h5ad`` file.

    Raises
    ------
    InputError
        When the file is missing, not HDF5, truncated, or holds no AnnData object.
    """
    import anndata
    import h5py

    path = Path(path)
    if not os.path.exists(path):  # unlike Path.exists, False for a name no file can have
        raise InputError(f"There is no file {str(path)!r}.")
    if path.is_dir():
        raise InputError(f"{str(path)!r} is a directory: expected a file, AnnData saved as .h5ad.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{str(path)!r} may not be read: ask for permission to read it.")
    if not h5py.is_hdf5(path):
        raise InputError(
            f"{str(path)!r} is not an HDF5 file: expected AnnData saved as .h5ad. Write it with "
            "adata.write_h5ad(...)."
        )
    try:
        with h5py.File(path, "r") as file:
            groups = {str(name) for name in file}
            modalities = sorted(map(str, file["mod"])) if "mod" in file else []
    except Exception as error:  # a damaged file makes h5py raise OSError, RuntimeError, KeyError...
        raise InputError(
            f"{str(path)!r} cannot be read: {first_line(error)}. It is probably truncated or "
            "damaged; copy or write it again."
        ) from error
    if modalities:
        raise InputError(
            f"{str(path)!r} is MuData with modalities {', '.join(modalities)}: expected AnnData. "
            "Save the modality with the gene counts as .h5ad, with the labels in its obs."
        )
    if not {"obs", "var"} <= groups:
        raise InputError(
            f"{str(path)!r} is HDF5 but not AnnData: expected obs and var, found "
            f"{', '.join(sorted(groups)[:5]) or 'nothing'}. Load it with scanpy and write it "
            "with adata.write_h5ad(...)."
        )
    try:
        with warnings.catch_warnings():
            # Repeated gene names are an error of our own, with the names in it.
            warnings.filterwarnings("ignore", message=".*names are not unique")
            return anndata.read_h5ad(path)
    except Exception as error:  # each reader of anndata raises errors of its own
        raise InputError(
            f"{str(path)!r} cannot be read as AnnData: {first_line(error)}. It may be truncated, "
            "or written by an incompatible version of anndata; write it again."
        ) from error
