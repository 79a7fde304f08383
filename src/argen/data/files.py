"""Opening files, with one clear error for each way in which they can be wrong."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from argen.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData


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
    if not path.exists():
        raise InputError(f"There is no file {str(path)!r}.")
    if path.is_dir() or not h5py.is_hdf5(path):
        raise InputError(
            f"{str(path)!r} is not an HDF5 file: expected AnnData saved as .h5ad. Write it with "
            "adata.write_h5ad(...)."
        )
    try:
        with h5py.File(path, "r") as file:
            groups = set(file)
            modalities = sorted(file["mod"]) if "mod" in file else []
    except OSError as error:
        raise InputError(
            f"{str(path)!r} cannot be read: {error}. It is probably truncated; copy or write it "
            "again."
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
    except (OSError, KeyError, ValueError, TypeError, anndata.io.AnnDataReadError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{str(path)!r} cannot be read as AnnData: {reason}. It may be truncated, or written "
            "by an incompatible version of anndata; write it again."
        ) from error
