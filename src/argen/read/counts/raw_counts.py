"""The count matrix: which one is meant, and whether it holds raw counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from argen.arrays import IntArray
from argen.errors import InputError, first_few, nearest
from argen.read.formats import OpenAnnData
from argen.read.stored import BlockMatrix, block_matrix, is_real

# Enough of a matrix to tell counts from anything else when looking for the raw one.
_ROWS_LOOKED_AT = 500
# A float, as the largest count itself is none in single precision.
_BEYOND_COUNTS = 2.0**32
# By which a value may miss a whole number and still be rounded, when told.
MOST_DUST = 1e-3


def find_matrix(opened: OpenAnnData, layer: str | None) -> tuple[BlockMatrix, pd.DataFrame, str]:
    """Return the matrix asked for, the table of its genes, and what to call it."""
    if layer is None:
        matrix, genes, name = opened.x, opened.var, "X"
    elif layer in opened.layers:
        matrix, genes, name = opened.layers[layer], opened.var, f"layers[{layer!r}]"
    elif layer == "raw":
        if opened.raw is None:
            raise InputError("layer='raw' was asked for, but the AnnData object has no raw.")
        (matrix, genes), name = opened.raw, "raw"
    else:
        known = [*map(str, opened.layers), *(["raw"] if opened.raw is not None else [])]
        raise InputError(
            f"There is no layer {layer!r}; the object has {first_few(known, 10) or 'none'}."
            f"{' X is read when no layer is named.' if layer == 'X' else nearest(layer, known)}"
        )
    if matrix is None:
        raise InputError(f"{name} is empty (None). Name the layer with raw counts.")
    blocks = block_matrix(matrix, name)
    if not is_real(blocks.dtype) or len(blocks.shape) != 2:
        raise InputError(
            f"{name} has values of type {blocks.dtype}: expected raw counts, cells by genes."
        )
    if 0 in blocks.shape:
        raise InputError(
            f"{name} has {blocks.shape[0]} cells and {blocks.shape[1]} genes: expected at least "
            "one of each. Check how the file was subset."
        )
    if blocks.shape != (len(opened.obs), len(genes)):
        raise InputError(
            f"{name} has {blocks.shape[0]:,} cells and {blocks.shape[1]:,} genes, but their tables "
            f"list {len(opened.obs):,} and {len(genes):,}. The file is damaged; write it again."
        )
    return blocks, genes, name


@dataclass(frozen=True, slots=True)
class RawCounts:
    """Refuses anything but finite, non-negative integers, and says which matrix looks raw.

    When told to, it makes whole numbers of values that miss them by less than a thousandth, as
    arithmetic in single precision leaves them, and counts them.
    """

    opened: OpenAnnData
    name: str
    genes: pd.Index
    rounds: bool = False
    rounded: list[int] = field(default_factory=list)  # entries of each block

    def __call__(self, block: Any, cells: IntArray, first_gene: int) -> None:
        """Check a sparse block of some cells and of the genes from ``first_gene`` on."""
        if self.rounds:
            self._round(block)
        values = block.data
        for is_bad, what in (
            (np.isnan(values), "NaN"),
            (np.isinf(values), "infinite values"),
            (values < 0, "negative values"),
            (values != np.floor(values), "values that are not integers"),
            (values >= _BEYOND_COUNTS, f"values above {_BEYOND_COUNTS - 1:,.0f}"),
        ):
            if is_bad.any():
                self._refuse(block, is_bad, what, cells, first_gene)

    def _round(self, block: Any) -> None:
        whole = np.rint(block.data)
        is_dust = (block.data != whole) & (np.abs(block.data - whole) <= MOST_DUST)
        if is_dust.any():
            block.data[is_dust] = whole[is_dust]
            block.eliminate_zeros()
            self.rounded.append(int(is_dust.sum()))

    def fates(self) -> list[tuple[str, str, int, str]]:
        """Return what is said of the values that were rounded."""
        n_rounded = sum(self.rounded)
        reason = f"{n_rounded:,} values within {MOST_DUST} of a whole number were made whole"
        return [("counts", "rounded", 0, reason)] if n_rounded else []

    def _refuse(self, block: Any, is_bad: Any, what: str, cells: IntArray, first_gene: int) -> None:
        entries = sparse.coo_array(block)
        row, column = entries.row[is_bad], entries.col[is_bad]
        first = np.lexsort((row, column))[0]
        values = entries.data[is_bad].astype(np.float64)
        cell = str(self.opened.obs.index[cells[row[first]]])
        gene = str(self.genes[first_gene + column[first]])
        remedy = _raw_looking(self.opened, self.name)
        if np.isfinite(values).all() and (np.abs(values - np.rint(values)) <= MOST_DUST).all():
            remedy = (
                f" They are within {MOST_DUST} of whole numbers, as rounding errors are: "
                f"round=True (--round) makes them whole, and says how many.{remedy}"
            )
        raise InputError(
            f"{self.name} holds {what} in {int(is_bad.sum()):,} entries (first: "
            f"{repr(float(values[first])).removesuffix('.0')} in cell {cell!r}, gene {gene!r}): "
            f"expected raw counts, not normalised or log-transformed ones.{remedy}"
        )


def _raw_looking(opened: OpenAnnData, refused: str) -> str:
    found = []
    if opened.x is not None and refused != "X" and _looks_raw(opened.x):
        found.append("X (layer=None)")
    for name, layer in opened.layers.items():
        if refused != f"layers[{name!r}]" and _looks_raw(layer):
            found.append(f"layers[{str(name)!r}] (layer={str(name)!r})")
    if opened.raw is not None and refused != "raw" and _looks_raw(opened.raw[0]):
        found.append("raw (layer='raw')")
    if found:
        return f" These look raw: {', '.join(found)}."
    return " No other matrix of the object looks raw; go back to the counts of the pipeline."


def _looks_raw(matrix: Any) -> bool:
    blocks = block_matrix(matrix, "")
    values = blocks.first_values(_ROWS_LOOKED_AT)
    if not is_real(values.dtype):
        return False
    return bool(
        np.isfinite(values).all() and (values >= 0).all() and (values == np.floor(values)).all()
        and (values > 0).any()
    )  # fmt: skip
