"""One pass over a count matrix: check it, take row sums, keep what is used by gene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.data import MOST_CELLS_OF_A_TILE, GeneCounts, Tile
from argen.read.counts.at_once import AtOnce, read_at_once
from argen.read.counts.scratch import TileStore
from argen.read.stored import matrices

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
    matrix: matrices.BlockMatrix, wanted: Wanted, check: Check, store: TileStore, threads: int
) -> tuple[GeneCounts, FloatArray]:
    """Read a matrix once; returns the counts that are kept and the row sums of their cells.

    No more than the result and one block is in memory, and not the result when the store
    moves it to files. Where the store has room, threads read further blocks. The result does not
    depend on how many.
    """
    if isinstance(matrix, matrices.CompressedMatrix) and not matrix.by_cells:
        row_sums = _by_genes(matrix, wanted, check, store, threads)
    else:
        row_sums = _by_cells(matrix, wanted, check, store, threads)
    return GeneCounts(tuple(store.tiles), len(wanted.columns)), row_sums


def _by_cells(
    matrix: matrices.BlockMatrix, wanted: Wanted, check: Check, store: TileStore, threads: int
) -> FloatArray:
    def read(bounds: tuple[int, int]) -> tuple[FloatArray, Tile] | None:
        """Row sums and counts of the cells of a block; nothing when none are used."""
        block, part = matrix.block(*bounds), slice(*bounds)
        passed, used = wanted.passed[part], wanted.used[part]
        if not passed.any():
            return None
        if not passed.all():
            block = block[np.flatnonzero(passed)]
        check(block, part.start + np.flatnonzero(passed), 0)
        if not used.any():
            return None
        if not used[passed].all():
            block = block[np.flatnonzero(used[passed])]
        return _row_sums(block), Tile.of_rows(block, wanted.columns)

    row_sums: list[FloatArray] = [np.empty(0)]
    tiles: list[Tile] = []
    at_once = AtOnce(threads, (store,), matrices.bytes_of_a_block())
    with read_at_once(read, matrix.bounds(), at_once) as blocks:
        for found in blocks:
            if found is None:
                continue
            row_sums.append(found[0])
            # Blocks are put together, since each tile costs the same for every gene asked for; but
            # not to more than half of what reading a block takes, since it is twice in memory.
            n_cells = sum(tile.n_cells for tile in tiles) + found[1].n_cells
            n_bytes = sum(tile.nbytes for tile in tiles) + found[1].nbytes
            if tiles and (
                n_cells > MOST_CELLS_OF_A_TILE or n_bytes > matrices.bytes_of_a_block() // 2
            ):
                store.add(Tile.joined(tiles))
                tiles = []
            tiles.append(found[1])
    if tiles:
        store.add(Tile.joined(tiles))
    return np.concatenate(row_sums)


def _by_genes(
    matrix: matrices.CompressedMatrix, wanted: Wanted, check: Check, store: TileStore, threads: int
) -> FloatArray:
    cells, n_used = np.flatnonzero(wanted.passed), int(wanted.used.sum())
    is_used = wanted.used[cells]
    tile_cells = _cells_of_a_tile(matrix, n_used)

    def read(bounds: tuple[int, int]) -> tuple[FloatArray, IntArray, list[Tile]]:
        """Row sums of a block of genes, which of them are kept, and their counts in pieces."""
        block = matrix.block(*bounds)
        block = block[cells] if len(cells) < block.shape[0] else block
        check(block, cells, bounds[0])
        block = block if is_used.all() else block[np.flatnonzero(is_used)]
        kept = np.arange(*bounds)
        kept = kept[np.isin(kept, wanted.columns)]
        rows = sparse.csr_array(block[:, kept - bounds[0]])
        starts = range(0, n_used if len(kept) else 0, tile_cells)
        every = np.arange(len(kept))
        pieces = [Tile.of_rows(rows[begin : begin + tile_cells], every) for begin in starts]
        return _row_sums(block), kept, pieces

    row_sums, pieces = np.zeros(n_used), store.another()
    found: list[IntArray] = [np.empty(0, dtype=np.int64)]
    at_once = AtOnce(threads, (pieces,), matrices.bytes_of_a_block())
    with read_at_once(read, matrix.bounds(), at_once) as blocks:
        for sums, kept, own in blocks:
            row_sums += sums
            found.append(kept)
            for piece in own:
                pieces.add(piece)
    # Where each gene of the result is among those found, which are in the order of the file.
    order = np.searchsorted(np.concatenate(found), wanted.columns)
    n_tiles = -(-n_used // tile_cells)

    def join(number: int) -> Tile:
        """All genes of a tile."""
        own = [_matrix_of(piece) for piece in pieces.tiles[number::n_tiles]]
        for place in range(number, len(pieces.tiles), n_tiles):
            pieces.tiles[place] = _NOTHING  # which frees the memory of the piece
        return Tile.of(sparse.csc_array(sparse.hstack(own, format="csc"))[:, order])

    bytes_of_a_tile = _BLOCKS_OF_A_TILE * matrices.bytes_of_a_block()
    with read_at_once(
        join, range(n_tiles), AtOnce(threads, (pieces, store), bytes_of_a_tile)
    ) as tiles:
        for tile in tiles:
            store.add(tile)
    return row_sums


def _row_sums(block: Any) -> FloatArray:
    return np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()


_NOTHING = Tile(0, np.zeros(1, np.int64), np.empty(0, np.uint16), np.empty(0, np.uint8))


def _matrix_of(tile: Tile) -> sparse.csc_array:
    shape = tile.n_cells, len(tile.start) - 1
    return sparse.csc_array((tile.count[:], tile.cell[:].astype(np.int32), tile.start), shape=shape)


def _cells_of_a_tile(matrix: matrices.CompressedMatrix, n_used: int) -> int:
    """As many as make a tile of some blocks, if all genes were kept."""
    per_cell = max(1.0, int(matrix.start[-1]) / matrix.shape[0])
    most = int(_BLOCKS_OF_A_TILE * matrices.MOST_ENTRIES_OF_A_BLOCK / per_cell)
    return max(1, min(most, MOST_CELLS_OF_A_TILE, n_used))
