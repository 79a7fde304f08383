"""The other genes to read: those with the most counts, by a look at some of the cells."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.read.counts.at_once import AtOnce, read_at_once
from argen.read.counts.scratch import TileStore
from argen.read.stored import BlockMatrix, CompressedMatrix, bytes_of_a_block

# Cells that are looked at, all when there are no more, else in runs spread over the file.
MOST_CELLS, N_RUNS = 5000, 20
# Genes with fewer counts in the mean say too little.
LEAST_MEAN = 0.05


def choose_panel(
    matrix: BlockMatrix,
    used: BoolArray,
    targets: IntArray,
    n_genes: int,
    store: TileStore,
    threads: int,
) -> IntArray:
    """Choose so many genes that are no targets; returns their columns, increasing.

    The look comes before the one pass that reads the counts: which genes have the most would
    be known only after it. The choice does not depend on how a matrix is stored.

    Parameters
    ----------
    used
        (n_cells,) cells whose counts are kept.
    targets
        Columns of nodes and sinks.
    store
        How much memory the threads may take.
    """
    cells = np.flatnonzero(used)
    if n_genes == 0 or not len(cells):
        return np.empty(0, dtype=np.int64)
    runs = _runs(cells)
    totals = _totals(matrix, runs, store, threads)
    totals[targets] = 0.0
    enough = np.flatnonzero(totals >= LEAST_MEAN * sum(map(len, runs)))
    most = np.argsort(-totals[enough], kind="stable")[:n_genes]
    return np.sort(enough[most])


def _runs(cells: IntArray) -> list[IntArray]:
    """Cells to look at, in runs as they are in the file."""
    if len(cells) <= MOST_CELLS:
        return [cells]
    size = MOST_CELLS // N_RUNS
    starts = np.linspace(0, len(cells) - size, N_RUNS).astype(np.int64)
    return [cells[start : start + size] for start in starts.tolist()]


def _totals(
    matrix: BlockMatrix, runs: list[IntArray], store: TileStore, threads: int
) -> FloatArray:
    """Sum the counts of each gene over the cells of the runs: (n_genes,)."""
    looked_at, totals = np.zeros(matrix.shape[0]), np.zeros(matrix.shape[1])
    looked_at[np.concatenate(runs)] = 1.0
    by_genes = isinstance(matrix, CompressedMatrix) and not matrix.by_cells

    def read(part: tuple[int, int]) -> tuple[slice, FloatArray]:
        """Sum over the cells of a block; returns also the genes that the sums are of."""
        block = matrix.block(*part)
        if by_genes:
            return slice(*part), block.T @ looked_at
        return slice(None), block.T @ looked_at[slice(*part)]

    parts = matrix.bounds() if by_genes else list(_parts(matrix, runs))
    with read_at_once(read, parts, AtOnce(threads, (store,), bytes_of_a_block())) as found:
        for genes, sums in found:
            totals[genes] += sums
    return totals


def _parts(matrix: BlockMatrix, runs: list[IntArray]) -> Iterator[tuple[int, int]]:
    """Cut what holds each run into parts that are no larger than a block."""
    blocks = np.array(matrix.bounds())
    for run in runs:
        begin, end = int(run[0]), int(run[-1]) + 1
        for first, last in blocks[(blocks[:, 0] < end) & (blocks[:, 1] > begin)].tolist():
            yield max(first, begin), min(last, end)
