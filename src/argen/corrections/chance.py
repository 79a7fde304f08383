"""What total effects have in common by chance: random groups of controls pose as perturbations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.data import PerturbSeqData

# Controls from which groups are drawn, and how often.
MOST_CONTROLS, N_DRAWS = 4000, 20
# Larger effects, in standard errors, are significant by themselves: they say nothing of the bulk.
LARGEST_OF_BULK = 3.0
# Least rate of a random group, over what is expected.
SMALLEST_RATE = 0.1


class Chance:
    """Largest singular values by chance, in screens without effects.

    Groups of the sizes of the perturbations' and of the controls are drawn from the controls, with
    replacement. With e_ij the residual of a control cell, over the rate of the gene, C_i its
    exposure and x_i its intercept and covariates, of which the cells of perturbation k have the
    mean m_k, the effect of a group is to first order::

        sum_k e_ij / sum_k C_i - m_k'b_j,      b_j = (sum_0 C x x')^-1 sum_0 x e_ij

    Perturbations share the error of b, and genes those of hidden factors and states. A first set
    of draws tells how much, and these directions are shrunk until errors are as large in one
    direction as in another.
    """

    def __init__(
        self, data: PerturbSeqData, genes: IntArray, known: BoolArray, rng: np.random.Generator
    ) -> None:
        self.known, self.rng = known, rng
        controls, exposure = np.flatnonzero(data.controls), data.library_size
        self.n_controls, self.sizes = len(controls), data.n_perturbed
        members = [data.cells_of(k) for k in range(data.n_nodes)]
        of_groups = np.array([exposure[cells].sum() for cells in members])
        means = [exposure[cells] @ data.intercept_and_covariates(cells) for cells in members]
        self.means = np.array(means) / of_groups[:, None]
        self.exposure_of_controls = exposure[controls].sum()
        controls = np.sort(rng.permutation(controls)[:MOST_CONTROLS])
        self.exposure = exposure[controls]
        self.covariates = data.intercept_and_covariates(controls)
        counts = data.counts.take(controls, genes).dense(np.arange(len(genes))).T
        rate = np.maximum(counts.sum(axis=0), 0.5) / self.exposure.sum()
        residual = counts / rate - self.exposure[:, None]
        residual -= self.exposure[:, None] * (self.covariates @ self._coefficients(residual))
        # Sums of some hundred cells that only chance is read from: 32 bits are enough.
        self.values = np.ascontiguousarray(np.hstack([residual, residual**2]), dtype=np.float32)
        self._find_directions(of_groups, len(genes))
        self.draws = [bulk_of(*self._draw()) for _ in range(N_DRAWS)]

    def _coefficients(
        self, residual: NDArray[np.floating[Any]], times: FloatArray | None = None
    ) -> FloatArray:
        """Regress residuals of cells, each there so many times, on covariates: b."""
        weighted = self.covariates if times is None else self.covariates * times[:, None]
        information = (weighted * self.exposure[:, None]).T @ self.covariates
        products = weighted.T.astype(residual.dtype) @ residual
        return np.asarray(np.linalg.lstsq(information, products, rcond=None)[0])

    def _find_directions(self, of_groups: FloatArray, n_genes: int) -> None:
        """Find what perturbations, and genes, have in common by chance."""
        information = (self.covariates * self.exposure[:, None]).T @ self.covariates
        information *= self.exposure_of_controls / self.exposure.sum()
        shared = self.means @ np.linalg.lstsq(information, self.means.T, rcond=None)[0]
        variance = np.diagonal(shared) + 1.0 / of_groups
        correlation = (shared + np.diag(1.0 / of_groups)) / np.sqrt(np.outer(variance, variance))
        own, axes = np.linalg.eigh(correlation)
        self.of_rows = (axes / np.sqrt(own)) @ axes.T
        n_draws = max(N_DRAWS, -(-2 * n_genes // len(of_groups)))
        z = np.vstack([self.of_rows @ bulk_of(*self._draw()) for _ in range(n_draws)])
        spread, axes = np.linalg.eigh(z.T @ z / len(z))
        typical = np.mean(spread)
        common = spread > typical * (1.0 + np.sqrt(n_genes / len(z))) ** 2
        self.axes, self.shrunk = axes[:, common], 1.0 - np.sqrt(typical / spread[common])

    def _draw(self) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Draw the effects of random groups of controls, with errors."""
        n_cells, n_drawn = len(self.values), int(self.sizes.sum())
        drawn, start = self.rng.integers(n_cells, size=n_drawn), np.append(0, self.sizes.cumsum())
        once = np.ones(n_drawn, dtype=np.float32)
        groups = sparse.csr_array((once, drawn, start), (len(self.sizes), n_cells))
        times = np.bincount(self.rng.integers(n_cells, size=self.n_controls), minlength=n_cells)
        expected = (groups @ self.exposure)[:, None]
        total, square = np.split((groups @ self.values) / expected, 2, axis=1)
        residual, squares = np.split(self.values, 2, axis=1)
        effect = np.log(np.maximum(1.0 + total, SMALLEST_RATE))
        effect -= self.means @ self._coefficients(residual, times.astype(np.float64))
        of_controls = times.astype(np.float32) @ squares / self.exposure_of_controls**2
        std_error = np.sqrt(square / expected + of_controls)
        usable = self.known & (std_error > 0.0)
        return effect, np.where(usable, std_error, 1.0), usable

    def strength(self, bulk: FloatArray) -> float:
        """Return the largest singular value of effects over their errors, those shrunk."""
        z = self.of_rows @ bulk
        z -= (z @ self.axes * self.shrunk) @ self.axes.T
        small = z @ z.T if z.shape[0] <= z.shape[1] else z.T @ z
        return float(np.sqrt(np.linalg.eigvalsh(small)[-1]))

    def compare(self, bulk: FloatArray) -> tuple[float, float, float]:
        """Return the strength of a bulk, and mean and standard deviation of that by chance."""
        missing = bulk == 0.0  # what is significant by itself
        drawn = [self.strength(np.where(missing, 0.0, draw)) for draw in self.draws]
        return self.strength(bulk), float(np.mean(drawn)), float(np.std(drawn, ddof=1))


def bulk_of(effect: FloatArray, std_error: FloatArray, known: BoolArray) -> FloatArray:
    """Return effects over their errors, 0 where not known or significant by themselves."""
    z = np.where(known, effect / std_error, 0.0)
    z[np.abs(z) > LARGEST_OF_BULK] = 0.0
    return z
