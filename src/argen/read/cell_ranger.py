"""Files of Cell Ranger in HDF5, of which blocks of cells are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from argen.errors import InputError
from argen.read.chunks import unlocked
from argen.read.features import Features, of_features
from argen.read.files import OpenAnnData, _reading, _version
from argen.read.matrices import CompressedMatrix

# The group with everything, and what is in it.
_GROUP, _PARTS = "matrix", ("barcodes", "data", "features", "indices", "indptr", "shape")
_TARGETS = ("target_gene_name", "target_gene_id")


@contextmanager
def open_cell_ranger_file(path: Path) -> Iterator[OpenAnnData]:
    """Open an ``.h5`` of Cell Ranger 3 or later: features by cells, compressed by cells."""
    import h5py

    with _reading(path, (OSError, RuntimeError)), h5py.File(path, "r") as file:
        with _reading(path, Exception):
            opened = _of_group(path, file[_GROUP])
        yield opened


def _of_group(path: Path, group: Any) -> OpenAnnData:
    missing = [name for name in _PARTS if name not in group]
    if missing:
        raise InputError(
            f"{str(path)!r} has the group {_GROUP!r} but not {', '.join(missing)} in it: expected "
            "a feature-barcode matrix of Cell Ranger 3 or later."
        )
    n_features, n_cells = (int(n) for n in group["shape"][:])
    columns = group["features"]
    features = Features(
        ids=_text(columns, "id"),
        names=_text(columns, "name"),
        types=_text(columns, "feature_type"),
        targets=next((_text(columns, name) for name in _TARGETS if name in columns), None),
    )
    cells = pd.Index(_text(group, "barcodes"), dtype=object)
    if (n_features, n_cells) != (len(features.ids), len(cells)):
        raise InputError(
            f"{str(path)!r} has a matrix of {n_features:,} features and {n_cells:,} cells, and "
            f"names {len(features.ids):,} and {len(cells):,}. The file is damaged."
        )
    start = np.asarray(group["indptr"][:], dtype=np.int64)
    indices, data = unlocked(group["indices"]), unlocked(group["data"])
    shape = (n_cells, n_features)
    matrix = CompressedMatrix(start, indices, data, shape, by_cells=True, name="the matrix")
    return of_features(
        path.parent, matrix, features, cells, source=os.fspath(path), version=_version(path)
    )


def _text(group: Any, name: str) -> pd.Series:
    return pd.Series(group[name].asstr()[:], dtype=object)


def is_cell_ranger_file(path: Path) -> bool:
    """Whether a file is HDF5 with the group of Cell Ranger."""
    import h5py

    try:
        if not h5py.is_hdf5(path):
            return False
        with h5py.File(path, "r") as file:
            return _GROUP in file and "obs" not in file
    except Exception:  # a damaged file makes h5py raise OSError, RuntimeError, KeyError...
        return False
