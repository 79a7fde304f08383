"""One pass over a count matrix: check it, take row sums, keep what is used by gene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.data import MOST_CELLS_OF_A_TILE, GeneCounts, Tile
from argen.read import matrices
from argen.read.scratch import TileStore

# Tiles from a matrix by genes are put together with so many entries in memory, or about.
_BLOCKS_OF_A_TILE = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a matrix is looked at, and what of that is kept."""

    passed: BoolArray  # (n_cells,): checked
    used: BoolArray  # (n_cells,), some of the passed: kept
    columns: IntArray  # (n_kept_genes,), in the order of the result


Check = Callable[[Any, IntArray, int], None]
"""Called with a matrix of passed cells, the numbers of its cells, and of its first gene."""


def tile_counts(
    matrix: matrices.BlockMatrix, wanted: Wanted, check: Check, store: TileStore
) -> tuple[GeneCounts, FloatArray]:
    """Read a matrix once; returns the counts that are kept and the row sums of their cells.

    No more than the result and one block is in memory, and not the result when the store
    moves it to files.
    """
    if isinstance(matrix, matrices.CompressedMatrix) and not matrix.by_cells:
        row_sums = _by_genes(matrix, wanted, check, store)
    else:
        row_sums = _by_cells(matrix, wanted, check, store)
    return GeneCounts(tuple(store.tiles), len(wanted.columns)), row_sums


def _by_cells(
    matrix: matrices.BlockMatrix, wanted: Wanted, check: Check, store: TileStore
) -> FloatArray:
    row_sums = [np.empty(0)]
    for first, block in matrix.blocks():
        part = slice(first, first + block.shape[0])
        passed, used = wanted.passed[part], wanted.used[part]
        if not passed.any():
            continue
        if not passed.all():
            block = block[np.flatnonzero(passed)]
        check(block, first + np.flatnonzero(passed), 0)
        if not used.any():
            continue
        if not used[passed].all():
            block = block[np.flatnonzero(used[passed])]
        row_sums.append(np.asarray(block.sum(axis=1, dtype=np.float64)).ravel())
        store.add(Tile.of(sparse.csc_array(block[:, wanted.columns])))
    return np.concatenate(row_sums)


def _by_genes(
    matrix: matrices.CompressedMatrix, wanted: Wanted, check: Check, store: TileStore
) -> FloatArray:
    cells, n_used = np.flatnonzero(wanted.passed), int(wanted.used.sum())
    is_used = wanted.used[cells]
    row_sums = np.zeros(n_used)
    tile_cells = _cells_of_a_tile(matrix, n_used)
    pieces = store.another()
    found: list[IntArray] = [np.empty(0, dtype=np.int64)]
    for first, block in matrix.blocks():
        block = block[cells] if len(cells) < block.shape[0] else block
        check(block, cells, first)
        block = block if is_used.all() else block[np.flatnonzero(is_used)]
        row_sums += np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
        genes = np.flatnonzero(np.isin(np.arange(first, first + block.shape[1]), wanted.columns))
        if not len(genes):
            continue
        found.append(first + genes)
        rows = sparse.csr_array(block[:, genes])
        for begin in range(0, n_used, tile_cells):
            pieces.add(Tile.of(sparse.csc_array(rows[begin : begin + tile_cells])))
    # Where each gene of the result is among those found, which are in the order of the file.
    order = np.searchsorted(np.concatenate(found), wanted.columns)
    n_tiles = -(-n_used // tile_cells)
    for number in range(n_tiles):
        own = [_matrix_of(piece) for piece in pieces.tiles[number::n_tiles]]
        for place in range(number, len(pieces.tiles), n_tiles):
            pieces.tiles[place] = _NOTHING  # which frees the memory of the piece
        store.add(Tile.of(sparse.csc_array(sparse.hstack(own, format="csc"))[:, order]))
    return row_sums


_NOTHING = Tile(0, np.zeros(1, np.int64), np.empty(0, np.uint16), np.empty(0, np.uint8))


def _matrix_of(tile: Tile) -> sparse.csc_array:
    shape = tile.n_cells, len(tile.start) - 1
    return sparse.csc_array((tile.count[:], tile.cell[:].astype(np.int32), tile.start), shape=shape)


def _cells_of_a_tile(matrix: matrices.CompressedMatrix, n_used: int) -> int:
    """As many as make a tile of some blocks, if all genes were kept."""
    per_cell = max(1.0, int(matrix.start[-1]) / matrix.shape[0])
    most = int(_BLOCKS_OF_A_TILE * matrices.MOST_ENTRIES_OF_A_BLOCK / per_cell)
    return max(1, min(most, MOST_CELLS_OF_A_TILE, n_used))
