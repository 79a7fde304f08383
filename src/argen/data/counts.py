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
            f"{' X is read when no layer is named.' if layer == 'X' else nearest(layer, known)}"
        )
    if matrix is None:
        raise InputError(f"{name} is empty (None). Name the layer with raw counts.")
    if 0 in matrix.shape:
        raise InputError(
            f"{name} has {matrix.shape[0]} cells and {matrix.shape[1]} genes: expected at least "
            "one of each. Check how the file was subset."
        )
    return matrix, genes, name


def take_cells(matrix: Any, kept: BoolArray, name: str = "X") -> sparse.csc_array:
    """Return the kept rows as compressed columns, a copy: (n_cells, n_genes)."""
    if hasattr(matrix, "to_memory"):  # sparse matrix of a backed AnnData
        matrix = matrix.to_memory()
    if not sparse.issparse(matrix):
        matrix = np.asarray(matrix)
    if matrix.ndim != 2 or not _is_real(matrix.dtype):
        raise InputError(
            f"{name} has values of type {matrix.dtype}: expected raw counts, cells by genes."
        )
    if not sparse.issparse(matrix):
        kept_rows = matrix[kept]
        half = kept_rows.dtype == np.float16  # unknown to scipy.sparse
        return sparse.csc_array(kept_rows.astype(np.float32) if half else kept_rows)
    wrap = sparse.csc_array if matrix.format == "csc" else sparse.csr_array
    try:
        checked = wrap(matrix)
        checked.check_format(full_check=True)
    except ValueError as error:
        raise InputError(
            f"{name} is not a valid sparse matrix: {error}. The file is damaged; write it again."
        ) from error
    counts = sparse.csc_array(checked.tocsr()[np.flatnonzero(kept)])
    counts.sum_duplicates()
    return counts


def _is_real(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "buif"


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
    if not _is_real(values.dtype):
        return False
    return bool(
        np.isfinite(values).all() and (values >= 0).all() and (values == np.floor(values)).all()
        and (values > 0).any()
    )  # fmt: skip
