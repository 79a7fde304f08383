"""Files of Cell Ranger in HDF5, of which blocks of cells are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from argen.errors import InputError
from argen.read.formats.anndata import OpenAnnData, reading, version_of
from argen.read.formats.features import Features, of_features
from argen.read.stored import CompressedMatrix, check_element, check_stored, unlocked

# The group with everything, and what is in it.
_GROUP, _PARTS = "matrix", ("barcodes", "data", "features", "indices", "indptr", "shape")
_TARGETS = ("target_gene_name", "target_gene_id")


def is_cell_ranger(store: Any) -> bool:
    """Whether an open file is one of Cell Ranger 3 or later, which has one group for everything."""
    return _GROUP in store and "obs" not in store


def cell_ranger_of_store(store: Any, path: Path) -> OpenAnnData:
    """Return the features by cells, which are compressed by cells, as AnnData would have them."""
    with reading(path, Exception):  # each reader raises errors of its own
        group = store[_GROUP]
        missing = [name for name in _PARTS if name not in group]
        if missing:
            raise InputError(
                f"{str(path)!r} has the group {_GROUP!r} but not {', '.join(missing)} in it: "
                "expected a feature-barcode matrix of Cell Ranger 3 or later."
            )
        return _of_group(path, group)


def _of_group(path: Path, group: Any) -> OpenAnnData:
    n_features, n_cells = (int(n) for n in _values(group, "shape")[:])
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
    name = "the matrix"
    for part in ("indices", "data"):
        check_stored(group[part], f"{name}/{part}")
    start = np.array(_values(group, "indptr")[:], dtype=np.int64)
    indices, data = unlocked(group["indices"]), unlocked(group["data"])
    matrix = CompressedMatrix(start, indices, data, (n_cells, n_features), by_cells=True, name=name)
    return of_features(
        path.parent, matrix, features, cells, source=os.fspath(path), version=version_of(path)
    )


def _text(group: Any, name: str) -> pd.Series:
    return pd.Series(_values(group, name).asstr()[:], dtype=object)


def _values(group: Any, name: str) -> Any:
    """Return a part that is read whole, if it can be what it says."""
    check_element(group[name], name)
    return group[name]
