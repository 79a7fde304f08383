"""From checked data to the arrays that every fit of a screen shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.data.counts import GeneCounts
from argen.data.covariates import CovariateBlock, encode_covariates
from argen.data.perturbseq import PerturbSeqData, is_one_per_cell, node_of_cell
from argen.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """What the fits are made of."""

    genes: tuple[str, ...]  # (n_genes,): the nodes, then the sinks
    n_nodes: int
    counts: GeneCounts  # (n_cells, n_genes)
    perturbations: sparse.csc_array  # (n_cells, n_nodes), sorted; a control cell has no entry
    offset: FloatArray  # (n_cells,): log library size
    covariates: CovariateBlock

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the genes of the network: (n_nodes,)."""
        return self.genes[: self.n_nodes]

    @property
    def n_genes(self) -> int:
        """Number of targets: nodes and sinks."""
        return len(self.genes)

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

    @property
    def controls(self) -> BoolArray:
        """Cells without a perturbation: (n_cells,)."""
        controls = np.ones(self.perturbations.shape[0], dtype=bool)
        controls[self.perturbations.indices] = False
        return controls

    def cells_of(self, node: int) -> IntArray:
        """Cells that carry the perturbation of a node, increasing: (n_perturbed,)."""
        start, cells = self.perturbations.indptr, self.perturbations.indices
        return np.asarray(cells[start[node] : start[node + 1]], dtype=np.int64)

    def perturbed(self, node: int) -> BoolArray:
        """Cells that carry the perturbation of a node: (n_cells,)."""
        perturbed = np.zeros(self.perturbations.shape[0], dtype=bool)
        perturbed[self.cells_of(node)] = True
        return perturbed

    def own_perturbation(self, gene: int) -> FloatArray:
        """Return the indicator of a gene's perturbation: (n_cells, 1); of a sink, (n_cells, 0)."""
        own = [self.perturbed(gene)] if gene < self.n_nodes else []
        shape = (self.perturbations.shape[0], len(own))
        return np.array(own, dtype=np.float64).reshape(shape[::-1]).T

    def intercept_and_covariates(self) -> FloatArray:
        """Return the regressors that every fit has: (n_cells, 1 + n_columns)."""
        matrix = self.covariates.matrix
        return np.column_stack([np.ones(len(matrix)), matrix])


def build_design(data: PerturbSeqData) -> Design:
    """Code the covariates and take the log of the library size; counts are not copied."""
    if not isinstance(data, PerturbSeqData):
        raise InputError(
            f"Expected PerturbSeqData, not {type(data).__name__}: read the screen first, with "
            "read_perturbseq(path_or_anndata, ReadOptions(target=..., control=...))."
        )
    return Design(
        genes=data.genes,
        n_nodes=data.n_nodes,
        counts=data.counts,
        perturbations=data.perturbations,
        offset=np.log(data.library_size),
        covariates=encode_covariates(data.covariates, data.formula),
    )
