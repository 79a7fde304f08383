"""Genes that perturbations lower, and the cells that say so."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from scipy import sparse

from argen.arrays import FloatArray, IntArray
from argen.corrections.mixture import TINY, CountedCells, MixedCells
from argen.data import GENES_AT_ONCE, PerturbSeqData
from argen.steps import DescendantScreen

# Controls that stand for all; genes of a perturbation; how much these must be lowered, and how
# sure that must be.
MOST_CONTROLS, MOST_GENES = 2000, 20
LARGEST_RATIO, LEVEL_OF_GENES = 0.75, 0.01
LEAST_DISPERSION = 0.01
# Of one cell in its own mean.
LARGEST_LEVERAGE = 0.9


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
        columns, self.level = data.regressors.around_levels()
        self.columns = np.vstack([data.offset, columns])
        self.n_levels = int(self.level.max()) + 1
        self.members = [data.cells_of(k) for k in range(data.n_nodes)]
        controls = np.flatnonzero(data.controls)
        controls = controls[np.argsort(data.cells[controls].astype(str), kind="stable")]
        n_taken = min(MOST_CONTROLS, len(controls))
        self.controls = controls[np.linspace(0, len(controls) - 1, n_taken).astype(np.int64)]
        self.genes = np.unique(np.concatenate(lowered))
        self.control_counts = np.empty((len(self.genes), n_taken))
        self.counts = [
            np.empty((len(own), len(cells)))
            for cells, own in zip(self.members, lowered, strict=True)
        ]
        self._take_counts(data)
        self.of_controls = np.take(self.columns, self.controls, axis=1), self.level[self.controls]
        self.fit = LogLinear(self.control_counts, *self.of_controls, self.n_levels)
        mean = self.fit.means(slice(None), *self.of_controls)
        squares = np.sum((self.control_counts - mean) ** 2 - self.control_counts, axis=1)
        self.dispersion = np.maximum(squares / np.sum(mean**2, axis=1), LEAST_DISPERSION)
        self.expected = self.fit.without_the_cell(self.control_counts, mean)

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
                self.control_counts[first + number] = column[self.controls]
                for node, place in places[gene]:
                    self.counts[node][place] = column[self.members[node]]

    def of(self, node: int) -> MixedCells:
        """Return the cells of one perturbation, and the controls."""
        own = np.searchsorted(self.genes, self.lowered[node])
        columns = np.take(self.columns, self.members[node], axis=1)
        level = self.level[self.members[node]]
        return MixedCells(
            perturbed=CountedCells(
                self.counts[node], self.fit.means(own, columns, level), columns, level
            ),
            controls=CountedCells(
                self.control_counts[own],
                self.expected[own],
                *self.of_controls,
            ),
            dispersion=self.dispersion[own],
            n_levels=self.n_levels,
        )


class LogLinear:
    """Log means of many genes in the controls, by steps of one shared curvature.

    They only shape the functions whose means are compared, and need not have converged. But the
    functions must be the same ones in controls and perturbed cells: what is expected of a control
    must not follow from its own count, as that of a perturbed cell does not.

    Parameters
    ----------
    counts
        (n_genes, n_controls).
    columns
        (n_columns, n_controls), the first of which is the offset.
    level
        (n_controls,) codes.
    """

    def __init__(
        self, counts: FloatArray, columns: FloatArray, level: IntArray, n_levels: int
    ) -> None:
        weights = np.exp(columns[0])
        indicators = sparse.csr_array((np.ones(len(level)), (level, np.arange(len(level)))))
        indicators.resize((n_levels, len(level)))
        of_level = np.maximum(indicators @ weights, TINY)
        middle = (indicators @ (weights * columns[1:]).T).T / of_level
        beside = columns[1:] - middle[:, level]
        curvature = (beside * weights) @ beside.T
        curvature += 1e-6 * weights.sum() * np.eye(len(curvature))
        self.rate = (counts.sum(axis=1) + 0.5) / weights.sum()
        self.of_levels = np.repeat(np.log(self.rate)[:, None], n_levels, axis=1)
        self.slopes = np.zeros((len(counts), len(curvature)))
        for _ in range(12):
            left = (counts - self.means(slice(None), columns, level)) / self.rate[:, None]
            by_slope = np.linalg.solve(curvature, beside @ left.T).T
            by_level = (indicators @ left.T).T / of_level - by_slope @ middle
            self.slopes += np.clip(by_slope, -1.0, 1.0)
            self.of_levels += np.clip(by_level, -1.0, 1.0)
        spanned = np.sum(beside * np.linalg.solve(curvature, beside), axis=0)
        self.leverage = np.minimum(weights * (1.0 / of_level[level] + spanned), LARGEST_LEVERAGE)
        self.weights = weights

    def means(self, genes: IntArray | slice, columns: FloatArray, level: IntArray) -> FloatArray:
        """Return what is expected of some genes in cells: (n_some, n_cells)."""
        log_means = self.of_levels[genes][:, level] + self.slopes[genes] @ columns[1:] + columns[0]
        return np.asarray(np.exp(np.clip(log_means, -30.0, 30.0)))

    def without_the_cell(self, counts: FloatArray, mean: FloatArray) -> FloatArray:
        """Return what would be expected of each control had the fit not seen it.

        With leverage h and weight w, to first order the log mean of a cell changes by
        ``-h / (1 - h) (y - mu) / (w rate)``.
        """
        moved = self.leverage / (1.0 - self.leverage) / self.weights
        change = moved * (counts - mean) / self.rate[:, None]
        return np.asarray(mean * np.exp(-np.clip(change, -1.0, 1.0)))
