"""Raw counts by gene, in tiles of consecutive cells, in memory or in files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from argen.arrays import BoolArray, FloatArray, IntArray, UnsignedArray
from argen.data.stored import ChainedArray, Sliced, StoredArray, stretch
from argen.glm import compiled

# The places of so many cells in a tile fit two bytes.
MOST_CELLS_OF_A_TILE = 2**16
# Where all genes are needed but not at once: genes of a tile, and entries of all tiles.
GENES_AT_ONCE, ENTRIES_AT_ONCE = 64, 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """Counts of consecutive cells, compressed by gene; no zero is stored."""

    n_cells: int
    start: IntArray  # (n_genes + 1,): entries of gene g are start[g]:start[g + 1]
    cell: Sliced  # (n_entries,), uint16, increasing within a gene
    count: Sliced  # (n_entries,), of the smallest type that holds them

    @classmethod
    def of(cls, matrix: sparse.csc_array) -> Tile:
        """Compress the counts of some cells: (n_cells, n_genes), no entry twice."""
        matrix.eliminate_zeros()
        matrix.sort_indices()
        return cls(
            n_cells=matrix.shape[0],
            start=matrix.indptr.astype(np.int64),
            cell=matrix.indices.astype(np.uint16),
            count=_smallest(matrix.data),
        )

    @classmethod
    def of_rows(cls, matrix: sparse.csr_array, genes: IntArray) -> Tile:
        """Compress the counts of some genes, none twice, of a matrix (n_cells, n_measured)."""
        place = np.full(matrix.shape[1], len(genes))
        place[genes] = np.arange(len(genes))
        rows, column = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32, copy=False)
        counts = matrix.data.astype(np.uint32, copy=False)
        n_entries = np.zeros(len(genes) + 1, dtype=np.int64)
        _count_entries(column, counts, place, n_entries)
        start = np.concatenate([[0], np.cumsum(n_entries[:-1])])
        cell, count = np.empty(start[-1] + 1, np.uint16), np.empty(start[-1] + 1, np.uint32)
        _by_gene(rows, column, counts, place, start.copy(), cell, count)
        return cls(matrix.shape[0], start, cell[:-1], _smallest(count[:-1]))

    @classmethod
    def joined(cls, tiles: Sequence[Tile]) -> Tile:
        """Put tiles in memory together, of cells one after another."""
        if len(tiles) == 1:
            return tiles[0]
        start = np.sum([tile.start for tile in tiles], axis=0)
        counts = np.result_type(*(tile.count.dtype for tile in tiles))
        cell, count = np.empty(start[-1], np.uint16), np.empty(start[-1], counts)
        written, first_cell = start[:-1].copy(), 0
        for tile in tiles:
            places = np.arange(first_cell, first_cell + tile.n_cells, dtype=np.uint16)
            counts_of_tile = tile.count[:].astype(counts, copy=False)
            begin, end = tile.start[:-1], tile.start[1:]
            _list(begin, end, tile.cell[:], counts_of_tile, places, written, cell, count)
            first_cell += tile.n_cells
        return cls(first_cell, start, cell, count)

    def entries(self, first: int, last: int) -> tuple[UnsignedArray, UnsignedArray]:
        """Cells and counts of the genes from ``first`` to before ``last``."""
        part = slice(int(self.start[first]), int(self.start[last]))
        return self.cell[part], self.count[part]

    def genes(self, genes: IntArray) -> Tile:
        """Take some genes into memory; neighbours are read together."""
        cuts = [0, *(1 + np.flatnonzero(genes[1:] - genes[:-1] != 1)).tolist(), len(genes)]
        runs = [(int(genes[a]), int(genes[b - 1]) + 1) for a, b in pairwise(cuts) if b > a]
        parts = [self.entries(first, last) for first, last in runs]
        lengths = self.start[genes + 1] - self.start[genes]
        return Tile(
            n_cells=self.n_cells,
            start=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
            cell=_joined([cell for cell, _ in parts], self.cell.dtype),
            count=_joined([count for _, count in parts], self.count.dtype),
        )

    def spans(self, genes: IntArray) -> tuple[IntArray, IntArray, UnsignedArray, UnsignedArray]:
        """Where the entries of some genes begin and end among cells and counts in memory."""
        if not isinstance(self.cell, np.ndarray):  # reads no other genes
            return self.genes(genes).spans(np.arange(len(genes)))
        return self.start[genes], self.start[genes + 1], self.cell, self.count[:]

    def part(self, first: int, last: int) -> Tile:
        """Take the genes from ``first`` to before ``last``, without reading or copying any."""
        begin, end = int(self.start[first]), int(self.start[last])
        parts = (stretch(array, begin, end) for array in (self.cell, self.count))
        return Tile(self.n_cells, self.start[first : last + 1] - begin, *parts)

    def beside(self, other: Tile) -> Tile:
        """Put the genes of another tile, of the same cells, after those of this one."""
        start = np.concatenate([self.start, self.start[-1] + other.start[1:]])
        cell, count = ChainedArray(self.cell, other.cell), ChainedArray(self.count, other.count)
        return Tile(self.n_cells, start, cell, count)

    def cells(self, kept: BoolArray) -> Tile:
        """Take some of the cells into memory."""
        cell, count = self.cell[:], self.count[:]
        stays = kept[cell]
        n_before = np.append(0, np.cumsum(stays))
        number = (np.cumsum(kept) - 1).astype(np.uint16)
        return Tile(int(kept.sum()), n_before[self.start], number[cell[stays]], count[stays])

    def write(self, path: Path) -> Tile:
        """Move the entries to a file: all cells, then all counts."""
        cell, count = self.cell[:], self.count[:]
        with path.open("wb") as file:
            cell.tofile(file)
            count.tofile(file)
        return Tile(
            n_cells=self.n_cells,
            start=self.start,
            cell=StoredArray(path, 0, cell.dtype, cell.size),
            count=StoredArray(path, cell.nbytes, count.dtype, count.size),
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the entries, in memory or in the file."""
        return (
            self.cell.size * self.cell.dtype.itemsize + self.count.size * self.count.dtype.itemsize
        )


@dataclass(frozen=True, slots=True, eq=False)
class GeneCounts:
    """Raw counts (n_cells, n_genes) that are asked for by gene.

    What is asked for never depends on how the cells are cut into tiles, or where these are.
    """

    tiles: tuple[Tile, ...]  # of consecutive cells, all with the same genes
    n_genes: int

    @classmethod
    def from_matrix(cls, matrix: Any, *, cells_of_a_tile: int = MOST_CELLS_OF_A_TILE) -> GeneCounts:
        """Compress a matrix in memory, dense or sparse: (n_cells, n_genes) of counts."""
        rows = sparse.csr_array(matrix)
        starts = range(0, rows.shape[0], cells_of_a_tile)
        tiles = (Tile.of(sparse.csc_array(rows[a : a + cells_of_a_tile])) for a in starts)
        return cls(tuple(tiles), rows.shape[1])

    def to_folder(self, folder: Path) -> GeneCounts:
        """Move all entries to files in a folder that exists."""
        tiles = (tile.write(folder / f"tile{i}") for i, tile in enumerate(self.tiles))
        return GeneCounts(tuple(tiles), self.n_genes)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return sum(tile.n_cells for tile in self.tiles)

    @property
    def shape(self) -> tuple[int, int]:
        """Cells by genes."""
        return self.n_cells, self.n_genes

    @property
    def nbytes(self) -> int:
        """Bytes of the entries, in memory or in files."""
        return sum(tile.nbytes for tile in self.tiles)

    def block(self, genes: IntArray) -> GeneCounts:
        """Take some genes into memory: one read per tile for neighbours."""
        genes = np.asarray(genes, dtype=np.int64)
        return GeneCounts(tuple(tile.genes(genes) for tile in self.tiles), len(genes))

    def part(self, first: int, last: int) -> GeneCounts:
        """Take the genes from ``first`` to before ``last``, each where it is."""
        return GeneCounts(tuple(tile.part(first, last) for tile in self.tiles), last - first)

    def beside(self, other: GeneCounts) -> GeneCounts:
        """Put the genes of others, in tiles of the same cells, after these, each where it is."""
        tiles = (a.beside(b) for a, b in zip(self.tiles, other.tiles, strict=True))
        return GeneCounts(tuple(tiles), self.n_genes + other.n_genes)

    def only(self, genes: IntArray) -> GeneCounts:
        """Take the counts of some genes into memory; all others have none, under their numbers."""
        genes = np.unique(genes)
        tiles = []
        for tile in self.block(genes).tiles:
            lengths = np.zeros(self.n_genes, dtype=np.int64)
            lengths[genes] = np.diff(tile.start)
            tiles.append(replace(tile, start=np.append(0, np.cumsum(lengths))))
        return GeneCounts(tuple(tiles), self.n_genes)

    def take(self, cells: IntArray, genes: IntArray) -> GeneCounts:
        """Take some cells, increasing and perhaps several times, and some genes into memory."""
        kept = np.zeros(self.n_cells, dtype=bool)
        kept[cells] = True
        taken = GeneCounts(tuple(self.select(kept, genes)), len(genes))
        if kept.sum() == len(cells):
            return taken
        place = np.searchsorted(np.flatnonzero(kept), cells)
        return GeneCounts.from_matrix(sparse.csr_array(taken.to_csc())[place])

    def select(self, cells: BoolArray, genes: IntArray) -> Iterator[Tile]:
        """Yield the tiles of some cells and genes, each in memory."""
        for first_cell, tile in self._placed_tiles():
            yield tile.genes(genes).cells(cells[first_cell : first_cell + tile.n_cells])

    def by_genes(self) -> Iterator[GeneCounts]:
        """Yield all genes in memory, a few at a time; how few depends on the counts alone."""
        n_entries = np.zeros(self.n_genes + 1, dtype=np.int64)
        for tile in self.tiles:
            n_entries += tile.start
        first = 0
        while first < self.n_genes:
            full = n_entries[first] + ENTRIES_AT_ONCE
            last = max(first + 1, int(np.searchsorted(n_entries, full, side="right")) - 1)
            yield self.block(np.arange(first, last))
            first = last

    def dense(self, genes: IntArray) -> FloatArray:
        """Return the counts of some genes: (n_chosen, n_cells)."""
        block = self.block(genes)
        every_cell = np.arange(self.n_cells)
        counts = np.empty((block.n_genes, self.n_cells))
        for row in range(block.n_genes):
            block.scatter(row, every_cell, counts[row])
        return counts

    def scatter(self, gene: int, place: IntArray, out: FloatArray) -> None:
        """Write the counts of one gene, cell i at ``out[place[i]]``, and zeros elsewhere.

        Parameters
        ----------
        place
            (n_cells,), no place twice.
        out
            Vector that has all the places.
        """
        if not self.tiles:  # no cells; else the first tile clears all, in the compiled loop
            out[:] = 0.0
        for first_cell, tile in self._placed_tiles():
            cell, count = tile.entries(gene, gene + 1)
            places = place[first_cell : first_cell + tile.n_cells]
            _scatter(cell, count, places, first_cell == 0, out)

    def entries(
        self, genes: IntArray, place: IntArray
    ) -> tuple[IntArray, UnsignedArray, UnsignedArray]:
        """Return the counts of some genes that are not 0, those of cell i with ``place[i]``.

        That is where those of each gene begin, (n_chosen + 1,), their places, and the counts.
        """
        spans = [tile.spans(genes) for tile in self.tiles]
        start = np.zeros(len(genes) + 1, dtype=np.int64)
        for begin, end, _, _ in spans:
            start[1:] += end - begin
        np.cumsum(start, out=start)
        places, counts = np.empty((2, start[-1]), np.uint32)
        written = start[:-1].copy()
        for (first_cell, tile), of_tile in zip(self._placed_tiles(), spans, strict=True):
            cells = place[first_cell : first_cell + tile.n_cells]
            _list(*of_tile, cells, written, places, counts)
        return start, places, counts

    def totals(self, cells: BoolArray | None = None) -> FloatArray:
        """Sum of the counts of each gene, over all cells or some of them: (n_genes,)."""
        totals = np.zeros(self.n_genes)
        for first in range(0, self.n_genes, GENES_AT_ONCE):
            last = min(first + GENES_AT_ONCE, self.n_genes)
            for first_cell, tile in self._placed_tiles():
                cell, count = tile.entries(first, last)
                if cells is not None and not cells.all():
                    count = count * cells[first_cell : first_cell + tile.n_cells][cell]
                start = tile.start[first:last] - tile.start[first]
                some = np.diff(tile.start[first : last + 1]) > 0
                totals[first:last][some] += np.add.reduceat(count, start[some], dtype=np.float64)
        return totals

    def to_csc(self) -> sparse.csc_array:
        """All counts in memory: (n_cells, n_genes), int64, sorted."""
        start, cells, counts = self.entries(np.arange(self.n_genes), np.arange(self.n_cells))
        parts = counts.astype(np.int64), cells.astype(np.int64), start
        return sparse.csc_array(parts, shape=self.shape)

    def _placed_tiles(self) -> Iterator[tuple[int, Tile]]:
        """Tiles with the number of their first cell."""
        first_cell = 0
        for tile in self.tiles:
            yield first_cell, tile
            first_cell += tile.n_cells


def _joined(parts: list[UnsignedArray], dtype: np.dtype[Any]) -> UnsignedArray:
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, dtype), *parts])


def _smallest(counts: Any) -> UnsignedArray:
    """Store counts in the smallest type that holds them."""
    largest = int(counts.max(initial=0))
    types = np.uint8, np.uint16, np.uint32
    found = next(dtype for dtype in types if largest <= np.iinfo(dtype).max)
    return np.asarray(counts.astype(found))


# Genes that are not kept have the last place, after all others, so that loops need not branch.
@compiled()
def _count_entries(
    column: IntArray, counts: UnsignedArray, place: IntArray, n_entries: IntArray
) -> None:
    last = n_entries.shape[0] - 1
    for i in range(column.shape[0]):
        n_entries[place[column[i]] if counts[i] > 0 else last] += 1


@compiled()
def _by_gene(
    rows: IntArray,
    column: IntArray,
    counts: UnsignedArray,
    place: IntArray,
    written: IntArray,
    out_cell: UnsignedArray,
    out_count: UnsignedArray,
) -> None:
    """Write the entries of rows behind those that each gene has already."""
    last = written.shape[0] - 1
    for row in range(rows.shape[0] - 1):
        for i in range(rows[row], rows[row + 1]):
            gene = place[column[i]] if counts[i] > 0 else last
            at = written[gene]
            out_cell[at] = row
            out_count[at] = counts[i]
            written[gene] = at + (gene < last)


@compiled()
def _list(
    begin: IntArray,
    end: IntArray,
    cell: UnsignedArray,
    count: UnsignedArray,
    place: IntArray,
    written: IntArray,
    out_place: UnsignedArray,
    out_count: UnsignedArray,
) -> None:
    """Write the entries of a tile, by place, behind those that each gene has already."""
    for gene in range(written.shape[0]):
        at = written[gene]
        for i in range(begin[gene], end[gene]):
            out_place[at] = place[cell[i]]
            out_count[at] = count[i]
            at += 1
        written[gene] = at


@compiled()
def _scatter(
    cell: UnsignedArray, count: UnsignedArray, place: IntArray, clear: bool, out: FloatArray
) -> None:
    if clear:
        for i in range(out.shape[0]):
            out[i] = 0.0
    for i in range(cell.shape[0]):
        out[place[cell[i]]] = count[i]
