"""Genes that perturbations lower, and the cells that say so."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from argen.arrays import FloatArray, IntArray
from argen.corrections.working_model import MixedCells
from argen.data import GENES_AT_ONCE, PerturbSeqData
from argen.steps import DescendantScreen

# Controls that stand for all; genes of a perturbation; how much these must be lowered, and how
# sure that must be.
MOST_CONTROLS, MOST_GENES = 2000, 20
LARGEST_RATIO, LEVEL_OF_GENES = 0.75, 0.01
LEAST_DISPERSION = 0.01


def lowered_genes(screen: DescendantScreen) -> list[IntArray]:
    """Find the genes that each perturbation lowers most surely, its own among them."""
    nodes = np.arange(len(screen.effect))
    effect, error, p = (
        getattr(screen, name).copy() for name in ("effect", "std_error", "p_adjusted")
    )
    own = screen.knockdown
    effect[nodes, nodes], error[nodes, nodes], p[nodes, nodes] = (
        own.effect, own.std_error, own.p_value
    )  # fmt: skip
    with np.errstate(invalid="ignore", divide="ignore"):
        low = (effect < np.log(LARGEST_RATIO)) & (p < LEVEL_OF_GENES) & (error > 0)
        sure = np.where(low, effect / error, 0.0)
    strongest = np.argsort(sure, axis=1, kind="stable")[:, :MOST_GENES]
    return [row[sure[k, row] < 0.0] for k, row in enumerate(strongest)]


class CellsOfPerturbations:
    """Counts of lowered genes in the cells of each perturbation and in some controls.

    Controls are taken in the sequence of their names, so that the sequence of cells says nothing.
    """

    def __init__(self, data: PerturbSeqData, lowered: list[IntArray]) -> None:
        self.lowered = lowered
        self.design = np.column_stack([data.offset, data.regressors.matrix])
        self.members = [data.cells_of(k) for k in range(data.n_nodes)]
        controls = np.flatnonzero(data.controls)
        controls = controls[np.argsort(data.cells[controls].astype(str), kind="stable")]
        n_taken = min(MOST_CONTROLS, len(controls))
        self.controls = controls[np.linspace(0, len(controls) - 1, n_taken).astype(np.int64)]
        self.genes = np.unique(np.concatenate(lowered))
        self.control_counts = np.empty((n_taken, len(self.genes)), dtype=np.int64)
        self.counts = [
            np.empty((len(cells), len(own)))
            for cells, own in zip(self.members, lowered, strict=True)
        ]
        self._take_counts(data)
        design = self.design[self.controls]
        self.coefficients = log_linear(self.control_counts, design)
        self.expected = means(design, self.coefficients)
        squares = (self.control_counts - self.expected) ** 2 - self.control_counts
        dispersion = squares.sum(axis=0) / np.sum(self.expected**2, axis=0)
        self.dispersion = np.maximum(dispersion, LEAST_DISPERSION)

    def _take_counts(self, data: PerturbSeqData) -> None:
        """Read every gene once."""
        places: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for node, own in enumerate(self.lowered):
            for place, gene in enumerate(own.tolist()):
                places[gene].append((node, place))
        column, every = np.empty(data.n_cells), np.arange(data.n_cells)
        for first in range(0, len(self.genes), GENES_AT_ONCE):
            genes = self.genes[first : first + GENES_AT_ONCE]
            block = data.counts.block(genes)
            for number, gene in enumerate(genes.tolist()):
                block.scatter(number, every, column)
                self.control_counts[:, first + number] = column[self.controls]
                for node, place in places[gene]:
                    self.counts[node][:, place] = column[self.members[node]]

    def of(self, node: int) -> MixedCells:
        """Return the cells of one perturbation, and the controls."""
        own = np.searchsorted(self.genes, self.lowered[node])
        design = self.design[self.members[node]]
        return MixedCells(
            counts=self.counts[node],
            expected=means(design, self.coefficients[:, own]),
            covariates=design,
            control_counts=self.control_counts[:, own],
            control_expected=self.expected[:, own],
            control_covariates=self.design[self.controls],
            dispersion=self.dispersion[own],
        )


def means(design: FloatArray, coefficients: FloatArray) -> FloatArray:
    """Return what a log-linear model expects: (n_cells, n_genes)."""
    log_means = design[:, :1] + coefficients[0] + design[:, 1:] @ coefficients[1:]
    return np.asarray(np.exp(np.clip(log_means, -30.0, 30.0)))


def log_linear(counts: IntArray, design: FloatArray) -> FloatArray:
    """Fit log means of many genes in the controls by steps of one shared curvature.

    They only shape the functions whose means are compared, and need not have converged.
    """
    weights = np.exp(design[:, 0])
    columns = np.column_stack([np.ones(len(design)), design[:, 1:]])
    curvature = (columns * weights[:, None]).T @ columns
    curvature += 1e-6 * weights.sum() * np.eye(len(curvature))
    level = (counts.sum(axis=0) + 0.5) / weights.sum()
    coefficients = np.zeros((columns.shape[1], counts.shape[1]))
    coefficients[0] = np.log(level)
    for _ in range(12):
        left = counts - means(design, coefficients)
        step = np.linalg.solve(curvature, columns.T @ left) / level
        coefficients += np.clip(step, -1.0, 1.0)
    return coefficients
