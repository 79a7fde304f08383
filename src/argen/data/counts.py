"""The count matrix: where it is, and whether it holds raw counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from argen._arrays import BoolArray
from argen.errors import InputError, first_few, nearest

if TYPE_CHECKING:
    from anndata import AnnData

# Enough of a matrix to tell counts from anything else when looking for the raw one.
_ROWS_LOOKED_AT = 500


def find_matrix(adata: AnnData, layer: str | None) -> tuple[Any, pd.DataFrame, str]:
    """Return the matrix asked for, the table of its genes, and what to call it."""
    if layer is None:
        matrix, genes, name = adata.X, adata.var, "X"
    elif layer in adata.layers:
        matrix, genes, name = adata.layers[layer], adata.var, f"layers[{layer!r}]"
    elif layer == "raw":
        if adata.raw is None:
            raise InputError("layer='raw' was asked for, but the AnnData object has no raw.")
        matrix, genes, name = adata.raw.X, adata.raw.var, "raw"
    else:
        known = [*map(str, adata.layers), *(["raw"] if adata.raw is not None else [])]
        raise InputError(
            f"There is no layer {layer!r}; the object has {first_few(known, 10) or 'none'}."
            f"{nearest(layer, known)}"
        )
    if matrix is None:
        raise InputError(f"{name} is empty (None). Name the layer with raw counts.")
    if 0 in matrix.shape:
        raise InputError(
            f"{name} has {matrix.shape[0]} cells and {matrix.shape[1]} genes: expected at least "
            "one of each. Check how the file was subset."
        )
    return matrix, genes, name


def take_cells(matrix: Any, kept: BoolArray) -> sparse.csc_array:
    """Return the kept rows as compressed columns: (n_cells, n_genes)."""
    if sparse.issparse(matrix):
        return sparse.csc_array(sparse.csr_array(matrix)[np.flatnonzero(kept)])
    return sparse.csc_array(np.asarray(matrix)[kept])


def check_raw_counts(
    counts: sparse.csc_array, adata: AnnData, name: str, *, cells: pd.Index, genes: pd.Index
) -> None:
    """Refuse anything but finite, non-negative integers, and say which matrix looks raw."""
    values = counts.data
    for is_bad, what in (
        (np.isnan(values), "NaN"),
        (np.isinf(values), "infinite values"),
        (values < 0, "negative values"),
        (values != np.floor(values), "values that are not integers"),
    ):
        if is_bad.any():
            first = int(np.flatnonzero(is_bad)[0])
            gene = int(np.searchsorted(counts.indptr, first, side="right") - 1)
            cell = cells[counts.indices[first]]
            raise InputError(
                f"{name} holds {what} in {int(is_bad.sum()):,} entries (first: "
                f"{values[first]:.6g} in cell {str(cell)!r}, gene {str(genes[gene])!r}): expected "
                f"raw counts, not normalised or log-transformed ones.{_raw_looking(adata, name)}"
            )


def _raw_looking(adata: AnnData, refused: str) -> str:
    found = []
    if adata.X is not None and refused != "X" and _looks_raw(adata.X):
        found.append("X (layer=None)")
    for name in adata.layers:
        if refused != f"layers[{name!r}]" and _looks_raw(adata.layers[name]):
            found.append(f"layers[{str(name)!r}] (layer={str(name)!r})")
    if adata.raw is not None and refused != "raw" and _looks_raw(adata.raw.X):
        found.append("raw (layer='raw')")
    if found:
        return f" These look raw: {', '.join(found)}."
    return " No other matrix of the object looks raw; go back to the counts of the pipeline."


def _looks_raw(matrix: Any) -> bool:
    rows = matrix[:_ROWS_LOOKED_AT]
    values = rows.data if sparse.issparse(rows) else np.asarray(rows)
    return bool(
        np.isfinite(values).all() and (values >= 0).all() and (values == np.floor(values)).all()
        and (values > 0).any()
    )  # fmt: skip
