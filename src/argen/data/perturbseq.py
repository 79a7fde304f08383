"""The checked input of the method."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from argen.arrays import FloatArray, IntArray
from argen.data.counts import GeneCounts
from argen.data.covariates import covariate_lines
from argen.errors import first_few

CONTROL = -1
# Why a perturbed gene has no node, in ``left_out``.
NOT_MEASURED = "not a measured gene"


def left_out_table(rows: Sequence[tuple[str, str, int, str]]) -> pd.DataFrame:
    """Return the table of what is not used: kind, name, n_cells, reason."""
    table = pd.DataFrame(list(rows), columns=["kind", "name", "n_cells", "reason"])
    return table.astype({"kind": object, "name": object, "n_cells": np.int64, "reason": object})


def perturbations_of(node_of_cell: IntArray, n_nodes: int) -> sparse.csc_array:
    """Return the matrix of perturbations of cells with at most one: (n_cells, n_nodes).

    Parameters
    ----------
    node_of_cell
        (n_cells,) the node perturbed in the cell, -1 for control.
    """
    cells = np.flatnonzero(node_of_cell != CONTROL)
    ones = np.ones(len(cells), dtype=np.int8)
    matrix = sparse.csc_array(
        (ones, (cells, node_of_cell[cells])), shape=(len(node_of_cell), n_nodes), dtype=np.int8
    )
    matrix.sort_indices()
    return matrix


def is_one_per_cell(perturbations: sparse.csc_array) -> bool:
    """Whether no cell carries more than one perturbation."""
    return bool(np.bincount(perturbations.indices, minlength=1).max() <= 1)


def node_of_cell(perturbations: sparse.csc_array) -> IntArray:
    """Return the node perturbed in each cell, -1 for control: (n_cells,).

    Raises
    ------
    ValueError
        When a cell carries several perturbations.
    """
    if not is_one_per_cell(perturbations):
        raise ValueError("Cells carry several perturbations: there is no one node of a cell.")
    nodes = np.full(perturbations.shape[0], CONTROL, dtype=np.int64)
    nodes[perturbations.indices] = np.repeat(
        np.arange(perturbations.shape[1]), np.diff(perturbations.indptr)
    )
    return nodes


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PerturbSeqData:
    """Counts, perturbations, library size and covariates of the cells that are used.

    What the analysis does not use is gone already; ``left_out`` says what and why.
    """

    counts: GeneCounts  # (n_cells, n_genes), raw counts of the genes in use
    genes: tuple[str, ...]  # (n_genes,) display names: the nodes, then the sinks
    n_nodes: int  # genes both perturbed and measured
    n_measured: int  # genes of the input, used or not
    cells: pd.Index  # (n_cells,) identifiers
    perturbations: sparse.csc_array  # (n_cells, n_nodes), int8 ones, sorted; no entry for controls
    library_size: FloatArray  # (n_cells,) positive
    library_size_source: str
    covariates: pd.DataFrame  # (n_cells, n_covariates)
    formula: str | None  # of the covariates; None: every column as it is
    left_out: pd.DataFrame  # kind (cells, target, node, sink), name, n_cells, reason
    source: str  # where the counts come from

    def __repr__(self) -> str:
        return (
            f"PerturbSeqData({self.n_cells:,} cells, {self.n_nodes:,} nodes, "
            f"{len(self.sinks):,} sinks)"
        )

    @property
    def nodes(self) -> tuple[str, ...]:
        """Display names of the genes of the network: (n_nodes,)."""
        return self.genes[: self.n_nodes]

    @property
    def sinks(self) -> tuple[str, ...]:
        """Display names of the targets that nobody perturbed: (n_genes - n_nodes,)."""
        return self.genes[self.n_nodes :]

    @property
    def n_cells(self) -> int:
        """Number of cells that are used."""
        return len(self.cells)

    @property
    def n_controls(self) -> int:
        """Number of cells without a perturbation."""
        return self.n_cells - len(np.unique(self.perturbations.indices))

    @property
    def n_perturbed(self) -> IntArray:
        """Cells of each node's perturbation: (n_nodes,)."""
        start = np.asarray(self.perturbations.indptr, dtype=np.int64)
        return start[1:] - start[:-1]

    @property
    def one_per_cell(self) -> bool:
        """Whether no cell carries more than one perturbation."""
        return is_one_per_cell(self.perturbations)

    @property
    def node_of_cell(self) -> IntArray:
        """The node perturbed in each cell, -1 for control: (n_cells,).

        Raises ValueError when cells carry several perturbations.
        """
        return node_of_cell(self.perturbations)

    def checksum(self) -> str:
        """SHA-256 of everything the answer depends on, the same for a file and its copy."""
        digest = hashlib.sha256()
        for block in self.counts.by_genes():
            _update(digest, block.to_csc())
        _update(digest, self.perturbations)
        digest.update(np.ascontiguousarray(self.library_size, dtype=np.float64).tobytes())
        digest.update("\0".join((*self.nodes, "", *self.sinks, self.formula or "")).encode())
        digest.update(self.covariates.to_csv(index=False).encode())
        return digest.hexdigest()

    def summary(self) -> str:
        """Return what is used and what is left out, in plain words."""
        lines = [
            f"{self.n_cells:,} cells: {self.n_controls:,} control, "
            f"{self.n_cells - self.n_controls:,} perturbed",
            *self._several_perturbations(),
            f"{self.n_nodes:,} nodes (perturbed and measured) of {self.n_measured:,} genes; "
            f"{self.n_perturbed.min():,} to {self.n_perturbed.max():,} cells each",
            *([f"{len(self.sinks):,} sinks (targets that nobody perturbed)"] if self.sinks else []),
            f"library size: {self.library_size_source}",
            *covariate_lines(self.covariates, self.formula),
            *self._left_out_lines(),
        ]
        return "\n".join(lines)

    def _several_perturbations(self) -> list[str]:
        n_carried = np.bincount(self.perturbations.indices, minlength=1)
        n_several = int((n_carried > 1).sum())
        if not n_several:
            return []
        return [f"{n_several:,} cells carry several perturbations, up to {n_carried.max()}"]

    def _left_out_lines(self) -> list[str]:
        is_sink = self.left_out["kind"] == "sink"
        lines = [
            f"left out: {row.kind} {row.name} ({row.n_cells:,} cells): {row.reason}"
            for row in self.left_out[~is_sink].itertuples(index=False)
        ]
        for reason, rows in self.left_out[is_sink].groupby("reason"):
            lines.append(f"left out: {len(rows):,} sinks ({first_few(rows['name'])}): {reason}")
        return lines


def _update(digest: hashlib._Hash, matrix: sparse.csc_array) -> None:
    """Add shape and entries of a matrix that is sorted and has no stored zeros."""
    digest.update(np.array(matrix.shape, dtype=np.int64).tobytes())
    for array in (matrix.indptr, matrix.indices, matrix.data):
        digest.update(array.astype(np.int64).tobytes())
