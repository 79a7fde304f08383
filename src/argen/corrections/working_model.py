"""A model of the cells of a perturbation, good enough to choose what to compare.

Nothing rests on it but power: see ``argen.corrections.mixture``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logit

from argen.arrays import FloatArray, IntArray

# What is left of a gene stays away from 0 and from 1.
LEAST_LEFT, MOST_LEFT = 0.01, 0.97
# Rounds from afar, and from near what is looked for.
N_ROUNDS, N_WARM_ROUNDS = 20, 8
TINY = 1e-9
# Covariates are balanced when means are so near, in standard deviations.
BALANCED = 1e-8
# Slopes and shares left are found when steps are not larger.
SURE_OF_SLOPE, SURE_OF_LEFT = 1e-6, 1e-5


@dataclass(frozen=True, slots=True)
class MixedCells:
    """Counts of the genes that a perturbation lowers, in its cells and in controls."""

    counts: FloatArray  # (n_perturbed, n_low)
    expected: FloatArray  # (n_perturbed, n_low), what the fit of the controls expects
    covariates: FloatArray  # (n_perturbed, n_columns), log library size among them
    control_counts: IntArray  # (n_controls, n_low)
    control_expected: FloatArray  # (n_controls, n_low)
    control_covariates: FloatArray  # (n_controls, n_columns)
    dispersion: FloatArray  # (n_low,)

    def of_genes(self, kept: IntArray) -> MixedCells:
        """Take some of the genes."""
        return replace(
            self,
            counts=self.counts[:, kept],
            expected=self.expected[:, kept],
            control_counts=self.control_counts[:, kept],
            control_expected=self.control_expected[:, kept],
            dispersion=self.dispersion[kept],
        )

    def repeated(self, n_copies: int) -> MixedCells:
        """Take every control several times."""
        if n_copies == 1:
            return self
        return replace(
            self,
            control_counts=np.tile(self.control_counts, (n_copies, 1)),
            control_expected=np.tile(self.control_expected, (n_copies, 1)),
            control_covariates=np.tile(self.control_covariates, (n_copies, 1)),
        )


def balancing_weights(covariates: FloatArray, target: FloatArray) -> FloatArray:
    """Weigh cells so that their covariates have a given mean: (n_cells,), sum 1.

    The weights are exp(l' x), which are the odds of two groups where log odds are linear. Where a
    mean is the least or the largest value that there is, as that of the indicator of a batch is
    without cells of it, l has no end, and cells of other values have no weight.
    """
    low, high = covariates.min(axis=0), covariates.max(axis=0)
    counts = np.all((target > low) | (covariates == low), axis=1)
    counts &= np.all((target < high) | (covariates == high), axis=1)
    if not counts.any():
        counts[:] = True
    scale = np.maximum(covariates.std(axis=0), TINY)
    columns = (covariates[counts] - target) / scale
    slope, ridge = np.zeros(len(scale)), 1e-6 * np.eye(len(scale))
    for _ in range(30):
        log_weights = columns @ slope
        own = np.exp(log_weights - log_weights.max())
        own /= own.sum()
        off = own @ columns
        if np.abs(off).max(initial=0.0) < BALANCED:
            break
        curvature = (columns * own[:, None]).T @ columns - np.outer(off, off)
        step = np.linalg.solve(curvature + ridge, off)
        slope -= step / max(1.0, float(np.abs(step).max(initial=0.0)))
    weights = np.zeros(len(covariates))
    weights[counts] = own
    return weights


@dataclass(frozen=True, slots=True)
class Evidence:
    """Log likelihood ratio of a guide that works in a cell.

    With negative-binomial counts of mean mu_j and dispersion phi_j::

        L = b sum_j y_j log rho_j - (y_j + 1 / phi_j) log r_j
        r_j = (1 + phi_j rho_j mu_j) / (1 + phi_j mu_j)

    b allows for genes that vary together, whose evidence does not add up.
    """

    per_count: FloatArray  # (n_cells, n_low)
    constant: FloatArray  # (n_cells,)

    @classmethod
    def of(
        cls, left: FloatArray, expected: FloatArray, dispersion: FloatArray, b: float
    ) -> Evidence:
        """Prepare for cells of so many expected counts."""
        ratio = np.log((1 + dispersion * left * expected) / (1 + dispersion * expected))
        return cls(b * (np.log(left) - ratio), -b * (ratio / dispersion).sum(axis=1))

    def __call__(self, counts: FloatArray | IntArray) -> FloatArray:
        """Return L of each cell: (n_cells,)."""
        return np.asarray(np.einsum("ij,ij->i", counts, self.per_count) + self.constant)


def most_likely(
    cells: MixedCells, share: float, left: FloatArray, b: float, *, free: bool = False
) -> tuple[float, FloatArray]:
    """Improve the shares left, and that of the cells if it is free, under the working model."""
    for _ in range(N_ROUNDS if free else N_WARM_ROUNDS):
        weights = np.ones(len(cells.counts))
        if share < 1.0:
            evidence = Evidence.of(left, cells.expected, cells.dispersion, b)
            weights = expit(logit(share) + evidence(cells.counts))
            share = float(np.clip(weights.mean(), 0.05, 0.97)) if free else share
        weights = weights[:, None] / (1.0 + cells.dispersion * left * cells.expected)
        found = np.einsum("ij,ij->j", weights, cells.counts) + 0.5
        possible = np.einsum("ij,ij->j", weights, cells.expected) + 0.5
        before, left = left, np.clip(found / possible, LEAST_LEFT, MOST_LEFT)
        if not free and np.abs(left - before).max(initial=0.0) < SURE_OF_LEFT:
            break
    return share, left


class Thinning:
    """Counts of which molecules are lost at random.

    They are sorted: draws from equal counts, one after another, take half the time.
    """

    def __init__(self, counts: IntArray) -> None:
        rank = np.minimum(counts.T, np.iinfo(np.uint16).max).astype(np.uint16)
        self.order = np.argsort(rank, axis=1, kind="stable")
        self.counts = np.take_along_axis(counts.T, self.order, axis=1)

    def __call__(self, left: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Keep so much of each gene: (n_cells, n_genes)."""
        thinned = np.empty(self.counts.shape)
        np.put_along_axis(thinned, self.order, rng.binomial(self.counts, left[:, None]), axis=1)
        return np.ascontiguousarray(thinned.T)


def honest_evidence(
    cells: MixedCells,
    weights: FloatArray,
    share: float,
    left: FloatArray,
    thinned: FloatArray,
) -> float:
    """Find b: the slope of a logistic regression that tells thinned controls from controls."""
    evidence = Evidence.of(left, cells.control_expected, cells.dispersion, 1.0)
    x = np.concatenate([evidence(cells.control_counts), evidence(thinned)])
    works = np.repeat([0.0, 1.0], len(weights))
    weights = np.concatenate([(1.0 - share) * weights, share * weights])
    design, b = np.column_stack([np.ones(len(x)), x]), np.array([logit(share), 1.0])
    for _ in range(15):
        mean = expit(design @ b)
        curvature = (design * (weights * mean * (1 - mean))[:, None]).T @ design
        step = np.linalg.solve(curvature + 1e-6 * np.eye(2), design.T @ (weights * (works - mean)))
        b = b + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < SURE_OF_SLOPE:
            break
    return float(np.clip(b[1], 0.1, 2.0))
