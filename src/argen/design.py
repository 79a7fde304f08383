"""From checked data to the arrays that every fit of a screen shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from argen._arrays import BoolArray, FloatArray, IntArray
from argen.covariates import CovariateBlock, encode_covariates
from argen.perturbseq import CONTROL, PerturbSeqData


@dataclass(frozen=True, slots=True)
class Design:
    """What the fits are made of."""

    nodes: tuple[str, ...]  # (n_nodes,)
    counts: sparse.csc_array  # (n_cells, n_nodes)
    node_of_cell: IntArray  # (n_cells,): the node perturbed in the cell, -1 for control
    offset: FloatArray  # (n_cells,): log library size
    covariates: CovariateBlock

    @property
    def n_nodes(self) -> int:
        """Number of genes in the network."""
        return len(self.nodes)

    @property
    def controls(self) -> BoolArray:
        """Cells without a perturbation: (n_cells,)."""
        return np.asarray(self.node_of_cell == CONTROL)

    def perturbed(self, node: int) -> BoolArray:
        """Cells that carry the perturbation of a node: (n_cells,)."""
        return np.asarray(self.node_of_cell == node)

    def counts_of(self, nodes: IntArray) -> FloatArray:
        """Return the counts of some nodes, dense: (n_chosen, n_cells)."""
        return np.asarray(self.counts[:, nodes].T.toarray(), dtype=np.float64)

    def intercept_and_covariates(self) -> FloatArray:
        """Return the regressors that every fit has: (n_cells, 1 + n_columns)."""
        matrix = self.covariates.matrix
        return np.column_stack([np.ones(len(matrix)), matrix])


def build_design(data: PerturbSeqData) -> Design:
    """Lay out the counts of the nodes, code the covariates and take the log of the library size."""
    return Design(
        nodes=data.nodes,
        counts=data.node_counts(),
        node_of_cell=data.node_of_cell,
        offset=np.log(data.library_size),
        covariates=encode_covariates(data.covariates, data.formula),
    )
