"""A look at a screen without reading its counts: what matrices hold, and whether options fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from argen.arrays import FloatArray
from argen.errors import InputError
from argen.read.choice import covariate_table, library_size
from argen.read.counts import MOST_DUST
from argen.read.formats import OpenAnnData
from argen.read.options import ReadOptions
from argen.read.selection import select_by_tables
from argen.read.stored import BlockMatrix, CompressedMatrix, block_matrix, is_real

_CELLS_LOOKED_AT = 500


@dataclass(frozen=True, slots=True)
class MatrixLook:
    """What the first cells of a matrix hold."""

    name: str  # as in messages: X, layers['counts'], raw
    layer: str | None  # as the option of reading names it
    genes: pd.DataFrame  # (n_genes, ...) table of its genes
    is_raw: bool
    is_nearly_raw: bool  # whole numbers but for what arithmetic left
    holds: str
    row_sums: FloatArray | None  # (n of the first cells,); None where only genes can be sliced


def look_at_matrices(opened: OpenAnnData) -> list[MatrixLook]:
    """Look at X, every layer, and raw."""
    return [
        _look(matrix, genes, name, layer) for matrix, genes, name, layer in _all_matrices(opened)
    ]


def _all_matrices(opened: OpenAnnData) -> Iterator[tuple[Any, pd.DataFrame, str, str | None]]:
    yield opened.x, opened.var, "X", None
    for name, layer in opened.layers.items():
        yield layer, opened.var, f"layers[{str(name)!r}]", str(name)
    if opened.raw is not None:
        yield *opened.raw, "raw", "raw"


def _look(matrix: Any, genes: pd.DataFrame, name: str, layer: str | None) -> MatrixLook:
    if matrix is None:
        return MatrixLook(name, layer, genes, False, False, "nothing", None)
    try:
        blocks = block_matrix(matrix, name)
        if not is_real(blocks.dtype) or len(blocks.shape) != 2:
            held = f"values of type {blocks.dtype}"
            return MatrixLook(name, layer, genes, False, False, held, None)
        values = blocks.first_values(_CELLS_LOOKED_AT)
        sums = _row_sums(blocks)
    except InputError as error:
        return MatrixLook(name, layer, genes, False, False, f"a damaged matrix ({error})", None)
    is_raw, is_nearly_raw, holds = _what_is_held(values)
    return MatrixLook(name, layer, genes, is_raw, is_nearly_raw, holds, sums)


def _what_is_held(values: Any) -> tuple[bool, bool, str]:
    """Return whether values are counts, whether they nearly are, and what they are in words."""
    present = np.asarray(values, dtype=np.float64)
    present = present[present != 0]
    if not present.size:
        return False, False, "zeros alone"
    if not np.isfinite(present).all():
        return False, False, "missing or infinite values"
    if (present < 0).any():
        return False, False, "negative values: scaled, or residuals"
    largest = f"largest {present.max():,.6g}"
    from_integers = float(np.abs(present - np.round(present)).max())
    if from_integers == 0:
        ones = " (0 and 1 alone)" if present.max() == 1 else ""
        return True, False, f"whole numbers{ones}, {largest}"
    if from_integers <= MOST_DUST:
        return False, True, f"whole numbers but for {from_integers:.1g}, {largest}"
    return False, False, f"fractions, {largest}: normalised or transformed"


def _row_sums(blocks: BlockMatrix) -> FloatArray | None:
    if isinstance(blocks, CompressedMatrix) and not blocks.by_cells:
        return None
    n_cells = min(_CELLS_LOOKED_AT, blocks.shape[0])
    sums = np.asarray(blocks.block(0, n_cells).sum(axis=1), dtype=np.float64)
    return np.ravel(sums)


def refusal(opened: OpenAnnData, options: ReadOptions) -> str | None:
    """Return what reading would say against options, as far as that is known without counts."""
    try:
        chosen = select_by_tables(opened, options)
        obs = opened.obs[chosen.passed][chosen.nodes.used]
        library_size(obs, options.library_size, np.ones(len(obs)))
        covariate_table(obs, options.covariates)
    except InputError as error:
        return str(error)
    return None
