"""Count matrices, in memory or in files, read once in blocks of cells or of genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from argen.arrays import IntArray
from argen.data import MOST_CELLS_OF_A_TILE
from argen.errors import InputError
from argen.read.chunks import unlocked

MOST_ENTRIES_OF_A_BLOCK = 2**21
# What a block takes for each entry while it is checked and transposed, or about.
_BYTES_OF_AN_ENTRY = 50
# Encodings of AnnData of which slices can be read, and their versions.
_USUAL = {"csr_matrix": "0.1.0", "csc_matrix": "0.1.0", "array": "0.2.0"}


@dataclass(frozen=True, slots=True)
class CompressedMatrix:
    """A sparse matrix of which any slice can be read: (n_cells, n_genes)."""

    start: IntArray  # (n_rows + 1,), of cells or of genes
    indices: Any  # (n_entries,), an array or something that slices like one
    data: Any  # (n_entries,)
    shape: tuple[int, int]
    by_cells: bool  # whether what is compressed is the cells
    name: str  # for messages

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        dtype: np.dtype[Any] = np.dtype(self.data.dtype)
        return dtype

    def first_values(self, n_rows: int) -> Any:
        """Values of the first cells (or genes)."""
        return np.asarray(self.data[: int(self.start[: n_rows + 1][-1])])

    def bounds(self) -> list[tuple[int, int]]:
        """First cell (or gene) of each block, and of the next."""
        n_rows = self.shape[0] if self.by_cells else self.shape[1]
        if len(self.start) != n_rows + 1 or self.start[0] != 0 or (np.diff(self.start) < 0).any():
            raise _damaged(self.name, "its row pointers are not those of its shape")
        return _bounds(self.start, MOST_CELLS_OF_A_TILE if self.by_cells else n_rows)

    def block(self, begin: int, end: int) -> Any:
        """Read and check the matrix of some cells (or genes); a copy."""
        part = slice(int(self.start[begin]), int(self.start[end]))
        arrays = (
            np.array(self.data[part]),
            np.array(self.indices[part]),
            self.start[begin : end + 1] - part.start,
        )
        try:
            if self.by_cells:
                block = sparse.csr_array(arrays, shape=(end - begin, self.shape[1]))
            else:
                block = sparse.csc_array(arrays, shape=(self.shape[0], end - begin))
            block.check_format(full_check=True)
        except ValueError as error:
            raise _damaged(self.name, error) from error
        if block.dtype == bool:
            block = block.astype(np.uint8)
        block.sum_duplicates()
        return block


@dataclass(frozen=True, slots=True)
class DenseMatrix:
    """A dense matrix of which rows can be read: (n_cells, n_genes)."""

    values: Any  # an array or something that slices like one

    @property
    def shape(self) -> tuple[int, int]:
        """Cells by genes."""
        return tuple(self.values.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        dtype: np.dtype[Any] = np.dtype(self.values.dtype)
        return dtype

    def first_values(self, n_rows: int) -> Any:
        """Values of the first cells."""
        return np.asarray(self.values[:n_rows])

    def bounds(self) -> list[tuple[int, int]]:
        """First cell of each block, and of the next."""
        n_cells, n_genes = self.shape
        return _bounds(np.arange(n_cells + 1) * n_genes, MOST_CELLS_OF_A_TILE)

    def block(self, begin: int, end: int) -> Any:
        """Read the matrix of some cells."""
        rows = np.asarray(self.values[begin:end])
        if rows.dtype in (np.float16, bool):  # unknown to scipy.sparse, or without sums
            rows = rows.astype(np.float32)
        return sparse.csr_array(rows)


@dataclass(frozen=True, slots=True)
class SomeColumns:
    """Some columns of a matrix by cells: genes without what else is counted beside them."""

    matrix: BlockMatrix
    columns: IntArray  # increasing

    @property
    def shape(self) -> tuple[int, int]:
        """Cells by columns."""
        return self.matrix.shape[0], len(self.columns)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.matrix.dtype

    def first_values(self, n_rows: int) -> Any:
        """Values of the first cells, of all columns."""
        return self.matrix.first_values(n_rows)

    def bounds(self) -> list[tuple[int, int]]:
        """First cell of each block, and of the next."""
        return self.matrix.bounds()

    def block(self, begin: int, end: int) -> Any:
        """Read and check the matrix of some cells."""
        return self.matrix.block(begin, end)[:, self.columns]


BlockMatrix: TypeAlias = CompressedMatrix | DenseMatrix | SomeColumns


def bytes_of_a_block() -> int:
    """Memory that a block takes, or about."""
    return _BYTES_OF_AN_ENTRY * MOST_ENTRIES_OF_A_BLOCK


def block_matrix(matrix: Any, name: str) -> BlockMatrix:
    """Wrap whatever AnnData has for a matrix: arrays, scipy matrices, or groups of a file."""
    if isinstance(matrix, CompressedMatrix | DenseMatrix | SomeColumns):
        return matrix
    matrix = getattr(matrix, "group", matrix)  # the sparse matrix of a backed object
    if sparse.issparse(matrix):
        if matrix.format not in ("csr", "csc"):
            matrix = matrix.tocsr()
        by_cells, shape = matrix.format == "csr", matrix.shape
        start, indices, data = matrix.indptr, matrix.indices, matrix.data
    elif hasattr(matrix, "shape"):
        return DenseMatrix(unlocked(matrix) if hasattr(matrix, "dtype") else np.asarray(matrix))
    else:
        by_cells = matrix.attrs["encoding-type"] == "csr_matrix"
        shape = tuple(int(n) for n in matrix.attrs["shape"])
        start = matrix["indptr"][:]
        indices, data = unlocked(matrix["indices"]), unlocked(matrix["data"])
    return CompressedMatrix(np.asarray(start, dtype=np.int64), indices, data, shape, by_cells, name)


def stored_matrix(element: Any) -> Any:
    """Return a matrix of a file as it is, or read it whole when it is of an unusual kind."""
    kind = element.attrs.get("encoding-type")
    version = element.attrs.get("encoding-version")
    if kind not in _USUAL or version != _USUAL[kind]:
        return read_element(element)
    missing = {"indptr", "indices", "data"} - set(element) if kind != "array" else set()
    if missing:
        raise KeyError(f"a {kind} lacks {', '.join(sorted(missing))}")
    return element


def read_element(element: Any) -> Any:
    """Read a part of a file with anndata."""
    try:
        from anndata.io import read_elem
    except ImportError:  # anndata before 0.11
        from anndata.experimental import read_elem
    return read_elem(element)


def _bounds(start: IntArray, most_rows: int) -> list[tuple[int, int]]:
    """Cut rows into blocks of at most so many entries, or of one row."""
    bounds, begin, n_rows = [], 0, len(start) - 1
    while begin < n_rows:
        last = int(np.searchsorted(start, start[begin] + MOST_ENTRIES_OF_A_BLOCK, side="right")) - 1
        end = min(max(last, begin + 1), begin + most_rows, n_rows)
        bounds.append((begin, end))
        begin = end
    return bounds


def _damaged(name: str, why: object) -> InputError:
    return InputError(
        f"{name} is not a valid sparse matrix: {why}. The file is damaged; write it again."
    )


def is_real(dtype: np.dtype[Any]) -> bool:
    """Whether values are numbers that can be compared, booleans included."""
    return dtype.kind in "buif"
