"""The checked input of the method."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from argen._arrays import FloatArray, IntArray

CONTROL = -1


def left_out_table(rows: Sequence[tuple[str, str, int, str]]) -> pd.DataFrame:
    """Return the table of what is not used: kind, name, n_cells, reason."""
    table = pd.DataFrame(list(rows), columns=["kind", "name", "n_cells", "reason"])
    return table.astype({"kind": object, "name": object, "n_cells": np.int64, "reason": object})


@dataclass(frozen=True, slots=True)
class PerturbSeqData:
    """Counts, one perturbation or control per cell, library size and covariates.

    Cells that the analysis does not use are gone already; ``left_out`` says which and why.
    """

    counts: sparse.csc_array  # (n_cells, n_genes), raw counts of every measured gene
    genes: pd.Index  # (n_genes,) identifiers
    cells: pd.Index  # (n_cells,) identifiers
    nodes: tuple[str, ...]  # (n_nodes,) display names of genes both perturbed and measured
    node_columns: IntArray  # (n_nodes,) their columns in ``counts``
    node_of_cell: IntArray  # (n_cells,) the node perturbed in the cell, -1 for control
    library_size: FloatArray  # (n_cells,) positive
    library_size_source: str
    covariates: pd.DataFrame  # (n_cells, n_covariates)
    formula: str | None  # of the covariates; None: every column as it is
    left_out: pd.DataFrame  # kind ("target" or "cells"), name, n_cells, reason
    source: str  # where the counts come from

    @property
    def n_cells(self) -> int:
        """Number of cells that are used."""
        return len(self.node_of_cell)

    @property
    def n_controls(self) -> int:
        """Number of cells without a perturbation."""
        return int((self.node_of_cell == CONTROL).sum())

    @property
    def n_perturbed(self) -> IntArray:
        """Cells of each node's perturbation: (n_nodes,)."""
        perturbed = self.node_of_cell[self.node_of_cell != CONTROL]
        return np.bincount(perturbed, minlength=len(self.nodes))

    def node_counts(self) -> sparse.csc_array:
        """Return the counts of the nodes: (n_cells, n_nodes), sorted and without stored zeros."""
        counts = sparse.csc_array(self.counts[:, self.node_columns], dtype=np.float64)
        counts.eliminate_zeros()
        counts.sort_indices()
        return counts

    def checksum(self) -> str:
        """SHA-256 of everything the answer depends on, the same for a file and its copy."""
        digest = hashlib.sha256()
        counts = self.node_counts()
        places = (counts.indptr.astype(np.int64), counts.indices.astype(np.int64))
        for array in (*places, counts.data, self.node_of_cell, self.library_size):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update("\0".join((*self.nodes, self.formula or "")).encode())
        digest.update(self.covariates.to_csv(index=False).encode())
        return digest.hexdigest()

    def summary(self) -> str:
        """Return what is used and what is left out, in plain words."""
        covariates = self.formula or ", ".join(map(str, self.covariates.columns)) or "none"
        lines = [
            f"{self.n_cells:,} cells: {self.n_controls:,} control, "
            f"{self.n_cells - self.n_controls:,} perturbed",
            f"{len(self.nodes):,} nodes (perturbed and measured) of {len(self.genes):,} genes; "
            f"{self.n_perturbed.min():,} to {self.n_perturbed.max():,} cells each",
            f"library size: {self.library_size_source}",
            f"covariates: {covariates}",
        ]
        for row in self.left_out.itertuples(index=False):
            lines.append(f"left out: {row.kind} {row.name} ({row.n_cells:,} cells): {row.reason}")
        return "\n".join(lines)
