"""Cells of one perturbation as a mixture of cells in which its guide works and of controls.

Let the counts of a cell, given whatever is hidden in it, be Poisson, and let a guide that works
multiply the mean of gene j by rho_j. Where rho_j < 1, a control cell of which every molecule of
gene j is kept with probability rho_j, for all genes of a set, is distributed exactly like a cell
in which the guide works, whatever the distribution of what is hidden. So for every function g of
the counts of genes that a perturbation lowers, with a share pi of cells in which the guide works::

    E_k g = (1 - pi) E_0 g + pi E_rho g

where the first mean is over the cells of the perturbation, E_0 over controls, and E_rho over
thinned controls. Which g is best depends on a model of the cells; that the equation holds does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from argen.arrays import FloatArray, IntArray

# Shares at which the equations are solved. The least is where a screen is of no use.
SHARES = np.array([1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
# Share that the score of the share stays away from 1, and that of a gene from 0 and from 1.
LARGEST_SHARE = 0.9
LEAST_LEFT, MOST_LEFT = 0.01, 0.97
N_ROUNDS = 20
_TINY = 1e-9


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


@dataclass(frozen=True, slots=True)
class AtShare:
    """The equations at one share: the rates that solve theirs, and what is left of that of pi.

    ``left`` is 0 at the estimate and above 0 at smaller shares than that; influences are the
    parts that single cells have in an error, so that sums of their squares are variances.
    """

    left: float
    influence: FloatArray  # (n_perturbed,) on ``left``
    control_influence: FloatArray  # (n_controls,)
    log_left: FloatArray  # (n_low,) log rho
    gene_influence: FloatArray  # (n_perturbed, n_low) on log rho, at this share
    gene_variance: FloatArray  # (n_low,) of log rho at this share, from perturbed and controls

    @property
    def std_error(self) -> float:
        """Of ``left``."""
        return float(np.sqrt(np.sum(self.influence**2) + np.sum(self.control_influence**2)))


def balancing_weights(covariates: FloatArray, target: FloatArray) -> FloatArray:
    """Weigh cells so that their covariates have a given mean: (n_cells,), sum 1.

    The weights are exp(l' x), which are the odds of two groups where log odds are linear.
    """
    centred = covariates - target
    scale = np.maximum(covariates.std(axis=0), _TINY)
    centred = centred / scale
    slope = np.zeros(centred.shape[1])
    for _ in range(30):
        log_weights = centred @ slope
        weights = np.exp(log_weights - log_weights.max())
        weights /= weights.sum()
        mean = weights @ centred
        curvature = (centred * weights[:, None]).T @ centred - np.outer(mean, mean)
        step = np.linalg.solve(curvature + 1e-6 * np.eye(len(slope)), mean)
        slope -= step / max(1.0, float(np.abs(step).max(initial=0.0)))
        if np.abs(step).max(initial=0.0) < 1e-8:
            break
    return np.asarray(weights)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Log likelihood ratio of a cell for a guide that works, in a negative-binomial model::

        L = b sum_j [y_j log rho_j - (y_j + 1 / phi_j) log((1 + phi_j rho_j mu_j) / (1 + phi_j mu_j))]

    b allows for genes that vary together, which counts of evidence should not add up.
    """  # fmt: skip

    per_count: FloatArray  # (n_cells, n_low)
    constant: FloatArray  # (n_cells,)

    @classmethod
    def of(
        cls, left: FloatArray, expected: FloatArray, dispersion: FloatArray, b: float
    ) -> _Evidence:
        ratio = np.log((1 + dispersion * left * expected) / (1 + dispersion * expected))
        return cls(b * (np.log(left) - ratio), -b * (ratio / dispersion).sum(axis=1))

    def __call__(self, counts: FloatArray | IntArray) -> FloatArray:
        return np.asarray(np.einsum("ij,ij->i", counts, self.per_count) + self.constant)


def _most_likely(
    cells: MixedCells, share: float, left: FloatArray, b: float, *, free: bool = False
) -> tuple[float, FloatArray]:
    """Improve the shares left, and that of the cells if it is free, under the working model."""
    for _ in range(N_ROUNDS):
        weights = np.ones(len(cells.counts))
        if share < 1.0:
            evidence = _Evidence.of(left, cells.expected, cells.dispersion, b)
            weights = expit(logit(share) + evidence(cells.counts))
            share = float(np.clip(weights.mean(), 0.05, 0.97)) if free else share
        weights = weights[:, None] / (1.0 + cells.dispersion * left * cells.expected)
        found = (weights * cells.counts).sum(axis=0) + 0.5
        left = np.clip(
            found / ((weights * cells.expected).sum(axis=0) + 0.5), LEAST_LEFT, MOST_LEFT
        )
    return share, left


def _honest_evidence(
    cells: MixedCells,
    weights: FloatArray,
    share: float,
    left: FloatArray,
    rng: np.random.Generator,
) -> float:
    """Find b: the slope of a logistic regression that tells thinned controls from controls."""  # fmt: skip
    evidence = _Evidence.of(left, cells.control_expected, cells.dispersion, 1.0)
    thinned = rng.binomial(cells.control_counts, left)
    x = np.concatenate([evidence(cells.control_counts), evidence(thinned)])
    works = np.repeat([0.0, 1.0], len(weights))
    weights = np.concatenate([(1.0 - share) * weights, share * weights])
    design, b = np.column_stack([np.ones(len(x)), x]), np.array([logit(share), 1.0])
    for _ in range(15):
        mean = expit(design @ b)
        curvature = (design * (weights * mean * (1 - mean))[:, None]).T @ design
        step = np.linalg.solve(curvature + 1e-6 * np.eye(2), design.T @ (weights * (works - mean)))
        b = b + step / max(1.0, float(np.abs(step).max()))
    return float(np.clip(b[1], 0.1, 2.0))


class MixtureEquations:
    """The equations of one perturbation, to be solved at any share pi.

    Those of the rates have g = h y_j, with h the probability that the guide works in the cell,
    and 1 where pi is; that of pi has its score, ``(e^L - 1) / (p e^L + 1 - p)`` with p = min(pi,
    .9), so that no cell counts too much. E_rho is over one draw of thinned molecules per control,
    the same whenever the same number seeds it.
    """

    def __init__(self, cells: MixedCells, seed: int) -> None:
        self.cells, self.seed = cells, seed
        self.weights = balancing_weights(cells.control_covariates, cells.covariates.mean(axis=0))
        balanced = self.weights @ cells.control_counts
        self.unit = 1.0 / np.maximum(balanced, _TINY)
        self.left = np.clip(cells.counts.mean(axis=0) * self.unit, LEAST_LEFT, MOST_LEFT)
        start = np.clip(0.7 * self.left, LEAST_LEFT, None)
        self.likely_share, likely_left = _most_likely(cells, 0.8, start, 1.0, free=True)
        self.b = _honest_evidence(
            cells, self.weights, self.likely_share, likely_left, np.random.default_rng(seed)
        )
        ones = np.ones((len(self.weights), 1))
        self._design = np.hstack([ones, cells.control_covariates - cells.covariates.mean(axis=0)])
        weighted = self._design * self.weights[:, None]
        ridge = 1e-9 * np.eye(self._design.shape[1])
        self._fit = np.linalg.solve(weighted.T @ self._design + ridge, weighted.T)

    def solve(self, share: float, start: FloatArray, *, n_steps: int = 1) -> AtShare:
        """Solve the equations of the rates at a share, by a step from what is most likely there."""
        cells = self.cells
        _, likely = _most_likely(cells, share, start, self.b)
        own = _Evidence.of(likely, cells.expected, cells.dispersion, self.b)
        other = _Evidence.of(likely, cells.control_expected, cells.dispersion, self.b)
        of_perturbed = self._functions(cells.counts, own(cells.counts), share)
        of_controls = self._functions(cells.control_counts, other(cells.control_counts), share)
        log_left = np.log(likely)
        for _ in range(n_steps):
            working, by_rate = self._working(np.exp(log_left), share, other)
            mixed = (1.0 - share) * of_controls + share * working
            off, slope = of_perturbed.mean(axis=0) - self.weights @ mixed, share * by_rate
            inverse = _inverse(slope[1:])
            step = inverse @ off[1:]
            step = step / max(1.0, float(np.abs(step).max()))
            new = np.clip(log_left + step, np.log(LEAST_LEFT), np.log(MOST_LEFT))
            score_left = float(off[0] - slope[0] @ (new - log_left))
            log_left = new
        return self._with_errors(score_left, log_left, of_perturbed, mixed, slope, inverse)

    def _working(
        self, left: FloatArray, share: float, evidence: _Evidence
    ) -> tuple[FloatArray, FloatArray]:
        """Return g of thinned controls, and the slope of its mean by log rho: (1 + n_low, n_low).

        The slope is the mean of g times the score of a binomial count, whose own mean is 0: taking
        from g what is known before thinning, and then what thinning by chance did to the counts,
        changes no mean and takes most of the noise out.
        """
        counts, weights = self.cells.control_counts, self.weights
        thinned = np.random.default_rng(self.seed).binomial(counts, left)
        kept = left * counts
        working = self._functions(thinned, evidence(thinned), share)
        foreseen = self._functions(kept, evidence(kept), share)
        chance = thinned - kept
        slope = ((working - foreseen) * weights[:, None]).T @ chance / (1.0 - left)
        kept_mean = np.maximum(weights @ kept, _TINY)
        return working - chance @ (slope / kept_mean).T, slope

    def _functions(
        self, counts: FloatArray | IntArray, evidence: FloatArray, share: float
    ) -> FloatArray:
        """Return the score of pi and h y_j of each cell: (n_cells, 1 + n_low)."""
        base = min(share, LARGEST_SHARE)
        works = expit(logit(base) + evidence)
        score = works * (1.0 - base) / base - (1.0 - works)
        weight = expit(logit(share) + evidence) if share < 1.0 else np.ones(len(evidence))
        return np.column_stack([score, weight[:, None] * counts * self.unit])

    def _with_errors(
        self,
        score_left: float,
        log_left: FloatArray,
        of_perturbed: FloatArray,
        mixed: FloatArray,
        slope: FloatArray,
        inverse: FloatArray,
    ) -> AtShare:
        """Carry each cell's part in the means over to what solves the equations."""  # fmt: skip
        cells = self.cells
        by_covariates = self._fit @ mixed
        shifted = cells.covariates - cells.covariates.mean(axis=0)
        own = of_perturbed - shifted @ by_covariates[1:]
        own = (own - own.mean(axis=0)) / len(own)
        other = -self.weights[:, None] * (mixed - self._design @ by_covariates)
        gene, control_gene = own[:, 1:] @ inverse.T, other[:, 1:] @ inverse.T
        return AtShare(
            left=score_left,
            influence=own[:, 0] - gene @ slope[0],
            control_influence=other[:, 0] - control_gene @ slope[0],
            log_left=log_left,
            gene_influence=gene,
            gene_variance=np.sum(gene**2, axis=0) + np.sum(control_gene**2, axis=0),
        )

    def profile(self) -> list[AtShare]:
        """Solve the equations at every share of ``SHARES``."""
        found, left = [], self.left
        for share in SHARES.tolist():
            found.append(self.solve(share, left))
            left = np.exp(found[-1].log_left)
        return found


def _inverse(slope: FloatArray) -> FloatArray:
    """Invert the slopes of the equations of the rates, which may hardly depend on one."""
    ridge = _TINY * np.eye(len(slope))
    return np.asarray(np.linalg.solve(slope + ridge, np.eye(len(slope))))
