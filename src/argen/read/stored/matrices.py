"""Count matrices, in memory or in files, read once in blocks of cells or of genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from argen.arrays import IntArray
from argen.data import MOST_CELLS_OF_A_TILE
from argen.errors import InputError, first_line
from argen.read.stored.chunks import unlocked
from argen.read.stored.guard import check_element, check_sparse, check_stored, damaged

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
        return _read(self.data, slice(0, int(self.start[: n_rows + 1][-1])), self.name)

    def bounds(self) -> list[tuple[int, int]]:
        """First cell (or gene) of each block, and of the next."""
        n_rows, n_columns = self.shape if self.by_cells else self.shape[::-1]
        sizes = np.diff(self.start)
        if len(self.start) != n_rows + 1 or self.start[0] != 0 or (sizes < 0).any():
            raise damaged(self.name, "its row pointers are not those of its shape")
        n_values, n_indices = self.data.shape[0], self.indices.shape[0]
        if not self.start[-1] == n_indices == n_values:
            raise damaged(
                self.name,
                f"it has {n_values:,} values, {n_indices:,} indices, and pointers to "
                f"{self.start[-1]:,}",
            )
        if (sizes > n_columns).any():
            raise _twice(self.name, int((sizes - n_columns).max()))
        return _bounds(self.start, MOST_CELLS_OF_A_TILE if self.by_cells else n_rows)

    def block(self, begin: int, end: int) -> Any:
        """Read and check the matrix of some cells (or genes); a copy."""
        part = slice(int(self.start[begin]), int(self.start[end]))
        arrays = (
            _summable(_read(self.data, part, self.name)),
            np.array(native(_read(self.indices, part, self.name))),
            self.start[begin : end + 1] - part.start,
        )
        try:
            if self.by_cells:
                block = sparse.csr_array(arrays, shape=(end - begin, self.shape[1]))
            else:
                block = sparse.csc_array(arrays, shape=(self.shape[0], end - begin))
            block.check_format(full_check=True)
        except ValueError as error:
            raise damaged(self.name, error) from error
        n_entries = block.nnz
        block.sum_duplicates()
        if block.nnz < n_entries:
            raise _twice(self.name, n_entries - block.nnz)
        return block


@dataclass(frozen=True, slots=True)
class DenseMatrix:
    """A dense matrix of which rows can be read: (n_cells, n_genes)."""

    values: Any  # an array or something that slices like one
    name: str  # for messages

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
        return _read(self.values, slice(0, n_rows), self.name)

    def bounds(self) -> list[tuple[int, int]]:
        """First cell of each block, and of the next."""
        n_cells, n_genes = self.shape
        return _bounds(np.arange(n_cells + 1) * n_genes, MOST_CELLS_OF_A_TILE)

    def block(self, begin: int, end: int) -> Any:
        """Read the matrix of some cells."""
        return sparse.csr_array(_summable(_read(self.values, slice(begin, end), self.name)))


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


def _twice(name: str, n_entries: int) -> InputError:
    return InputError(
        f"{name} has {n_entries:,} entries twice: expected one count for each cell and gene. If "
        "they are to be added, do so by X.sum_duplicates(); else the file is damaged: write it "
        "again."
    )


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
        start, n_entries = matrix.indptr, int(matrix.indptr[-1])  # there may be room for more
        indices, data = matrix.indices[:n_entries], matrix.data[:n_entries]
    elif hasattr(matrix, "shape"):
        values = unlocked(matrix) if hasattr(matrix, "dtype") else np.asarray(matrix)
        return DenseMatrix(values, name)
    else:
        check_sparse(matrix, name)
        by_cells = matrix.attrs["encoding-type"] == "csr_matrix"
        shape = tuple(int(n) for n in matrix.attrs["shape"])
        start = _read(matrix["indptr"], slice(None), name)
        indices, data = unlocked(matrix["indices"]), unlocked(matrix["data"])
    start = np.array(start, dtype=np.int64)
    return CompressedMatrix(start, indices, data, shape, by_cells, name)


def _read(array: Any, part: slice, name: str) -> Any:
    try:
        return np.asarray(array[part])
    except (InputError, MemoryError):
        raise
    except Exception as error:  # each kind of store raises errors of its own
        raise damaged(name, f"its values cannot be read ({first_line(error)})") from error


def native(values: Any) -> Any:
    """Return numbers in the order of bytes of this machine."""
    if values.dtype.isnative:
        return values
    return values.astype(values.dtype.newbyteorder("="))


def _summable(values: Any) -> Any:
    """Return a copy of a type that sparse matrices and sums know."""
    if values.dtype.kind == "f" and values.dtype.itemsize == 2:
        return values.astype(np.float32)
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    return np.array(native(values))


def stored_matrix(element: Any, name: str = "The matrix") -> Any:
    """Return a matrix of a file as it is, or read it whole when it is of an unusual kind."""
    kind = element.attrs.get("encoding-type")
    version = element.attrs.get("encoding-version")
    if (
        kind not in _USUAL
        or version != _USUAL[kind]
        or hasattr(element, "dtype") != (kind == "array")
    ):
        return _matrix(read_element(element, name), name)
    if kind == "array":
        check_stored(element, name)
        return _matrix(element, name)
    check_sparse(element, name)
    check_element(element["indptr"], f"{name}/indptr")
    check_stored(element["indices"], f"{name}/indices")
    check_stored(element["data"], f"{name}/data")
    return element


def _matrix(found: Any, name: str) -> Any:
    """Refuse what is no matrix."""
    if getattr(found, "shape", None) is None or not hasattr(found, "dtype") or found.ndim != 2:
        raise InputError(
            f"{name} is no matrix ({type(found).__name__}): expected raw counts, cells by genes. "
            "The file is damaged; write it again."
        )
    return found


def read_element(element: Any, name: str = "A part of the file") -> Any:
    """Read a part of a file with anndata, if it can be what it says."""
    from anndata.io import read_elem

    check_element(element, name)
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


def is_real(dtype: np.dtype[Any]) -> bool:
    """Whether values are numbers that can be compared, booleans included."""
    return dtype.kind in "buif"
