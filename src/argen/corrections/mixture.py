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
from typing import Protocol

import numpy as np
from scipy.special import expit, logit

from argen.arrays import FloatArray
from argen.corrections.working_model import (
    LEAST_LEFT,
    MOST_LEFT,
    TINY,
    Evidence,
    MixedCells,
    Thinning,
    balancing_weights,
    honest_evidence,
    most_likely,
)

# Shares at which the equations are solved. The least is where a screen is of no use.
SHARES = np.array([1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
# Those that an interval needs where nothing rests on it.
FEW_SHARES = np.array([1.0, 0.9, 0.7, 0.5])
# A share that an equation contradicts by so many errors is out of the question.
MOST_ERRORS = 6.0
# The score of a share is that of this one where it is larger.
LARGEST_SHARE = 0.9
# Controls that are thinned, at least, counting each as often as it is.
THINNED = 2000
# As many controls at least, all alike, must be as good as those that are weighed.
FEWEST_CONTROLS = 100
# Genes of which more is left when cells are weighed say nothing.
MOST_AT_ALL = 0.85
# Where all cells look alike the equation of the share says nothing, and is not sure of it.
LEAST_ERROR = 1e-4


@dataclass(frozen=True, slots=True)
class AtShare:
    """The equations at one share: rates that solve theirs, and the misfit of that of pi.

    ``misfit`` is 0 at the estimate and above 0 at smaller shares than that; influences are the
    parts that single cells have in an error.
    """

    misfit: float
    influence: FloatArray  # (n_perturbed,) on ``misfit``
    works: FloatArray  # (n_perturbed,) probability that the guide works in the cell
    control_influence: FloatArray  # (n_controls,)
    own_variance: float  # of ``misfit``, from the perturbed cells
    log_left: FloatArray  # (n_low,) log rho
    gene_variance: FloatArray  # (n_low,) of log rho at this share, from the perturbed cells
    control_variance: FloatArray  # (n_low,) of log rho at this share, from the controls
    guides: tuple[AtShare, ...] = ()  # where each guide has rates of its own

    @property
    def rates(self) -> FloatArray:
        """What is left of genes: (n_low,); where guides have rates of their own, a row for each."""
        if self.guides:
            return np.stack([at.rates for at in self.guides])
        return np.exp(self.log_left)

    @property
    def std_error(self) -> float:
        """Of ``misfit``."""
        return float(np.sqrt(self.own_variance + np.sum(self.control_influence**2)))


@dataclass(frozen=True, slots=True)
class Prepared:
    """What equations need that takes a while to find, and little room to keep."""

    weights: FloatArray  # (n_controls,)
    b: float


class MixtureEquations:
    """The equations of one perturbation, to be solved at any share pi.

    Those of the rates have g = h y_j, with h the probability that the guide works in the cell,
    and 1 where pi is; that of pi has its score, ``(e^L - 1) / (p e^L + 1 - p)`` times 1 - p, with
    p = min(pi, .9), so that no cell counts too much. Few controls are thinned several times. Draws
    are the same whenever the same number seeds them. What equations of the same cells and seed had
    ``prepared`` need not be found again. With ``all_genes`` also those of which much is left take
    part.
    """

    def __init__(
        self,
        cells: MixedCells,
        seed: int,
        prepared: tuple[Prepared, ...] = (),
        *,
        all_genes: bool = False,
    ) -> None:
        self.seed, self.n_controls = seed, len(cells.control_counts)
        self.n_copies = max(1, round(THINNED / self.n_controls))
        middle = cells.covariates.mean(axis=0)
        weights = (
            prepared[0].weights if prepared else balancing_weights(cells.control_covariates, middle)
        )
        self.effective_controls = float(1.0 / np.sum(weights**2))
        self.weights = np.tile(weights, self.n_copies) / self.n_copies
        balanced = np.maximum(weights @ cells.control_counts, TINY)
        left = cells.counts.mean(axis=0) / balanced
        self.kept = np.flatnonzero((left < MOST_AT_ALL) | all_genes)
        self.left = np.clip(left[self.kept], LEAST_LEFT, MOST_LEFT if all_genes else None)
        self.unit = 1.0 / balanced[self.kept]
        self.cells = cells = cells.of_genes(self.kept).repeated(self.n_copies)
        self._control_counts = cells.control_counts.astype(np.float64)
        self._thinning = Thinning(cells.control_counts)
        self.prepared = prepared or (Prepared(weights, self._honest_evidence()),)
        shifted = cells.control_covariates - middle
        self._design = np.hstack([np.ones((len(shifted), 1)), shifted])
        self._information = (self._design * self.weights[:, None]).T @ self._design
        self._information += TINY * np.eye(len(self._information))

    def _honest_evidence(self) -> float:
        start = np.clip(0.7 * self.left, LEAST_LEFT, None)
        share, left = most_likely(self.cells, 0.8, start, 1.0, free=True)
        thinned = self._thinning(left, np.random.default_rng(self.seed))
        return honest_evidence(self.cells, self.weights, share, left, thinned)

    @property
    def tell(self) -> bool:
        """Whether there are genes and controls that say something."""
        return len(self.kept) > 0 and self.effective_controls >= FEWEST_CONTROLS

    def solve(self, share: float, start: FloatArray, *, n_steps: int = 1) -> AtShare:
        """Solve the equations of the rates at a share, by steps from what is most likely there."""
        cells, weights, b = self.cells, self.weights, self.prepared[0].b
        _, likely = most_likely(cells, share, start, b)
        own = Evidence.of(likely, cells.expected, cells.dispersion, b)
        other = Evidence.of(likely, cells.control_expected, cells.dispersion, b)
        of_perturbed = self._functions(cells.counts, own, share)
        of_controls = self._functions(self._control_counts, other, share)
        log_left = np.log(likely if share < 1.0 else self.left)
        for _ in range(n_steps):
            working, by_chance, by_rate = self._working(np.exp(log_left), share, other)
            expected = (1.0 - share) * of_controls + share * (working - by_chance)
            off, slope = of_perturbed.mean(axis=0) - weights @ expected, share * by_rate
            inverse = _inverse(slope[1:])
            step = inverse @ off[1:]
            step = step / max(1.0, float(np.abs(step).max()))
            new = np.clip(log_left + step, np.log(LEAST_LEFT), np.log(MOST_LEFT))
            misfit = float(off[0] - slope[0] @ (new - log_left))
            log_left = new
        # How much each cell's functions move log rho, and through it the misfit.
        carried = np.vstack(
            [np.append(1.0, -slope[0] @ inverse), np.pad(inverse, ((0, 0), (1, 0)))]
        )
        parts = [of_perturbed, of_controls, working, expected]
        works = _works(share, own(cells.counts))
        return self._at(share, misfit, log_left, [part @ carried.T for part in parts], works)

    def _working(
        self, left: FloatArray, share: float, evidence: Evidence
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return g of thinned controls, what chance did to it, and the slope of its mean.

        The slope by log rho, (1 + n_low, n_low), is the mean of g times the score of a binomial
        count, whose own mean is 0: to take from g what is known before thinning, and from its mean
        what thinning by chance did to the counts, changes nothing but the noise.
        """
        weights = self.weights
        thinned = self._thinning(left, np.random.default_rng(self.seed))
        kept = left * self._control_counts
        working = self._functions(thinned, evidence, share)
        foreseen = self._functions(kept, evidence, share)
        chance = thinned - kept
        slope = ((working - foreseen) * weights[:, None]).T @ chance / (1.0 - left)
        by_chance = chance @ (slope / np.maximum(weights @ kept, TINY)).T
        return working, by_chance, slope

    def _functions(self, counts: FloatArray, evidence: Evidence, share: float) -> FloatArray:
        """Return the score of pi and h y_j of each cell: (n_cells, 1 + n_low)."""
        odds, base = evidence(counts), min(share, LARGEST_SHARE)
        works = expit(logit(base) + odds)
        score = works * (1.0 - base) / base - (1.0 - works)
        return np.column_stack([score, _works(share, odds)[:, None] * counts * self.unit])

    def _at(
        self, share: float, misfit: float, log_left: FloatArray, parts: list[FloatArray],
        works: FloatArray,
    ) -> AtShare:  # fmt: skip
        """Say how sure the solution is, from the parts that cells have in it.

        The variance over the perturbed cells is the larger one of theirs and of that of the
        mixture of controls: the former misses what is rare.
        """
        own, of_controls, working, expected = parts
        cells, weights, n_perturbed = self.cells, self.weights, len(parts[0])
        weighted = weights[:, None] * expected
        by_covariates = np.linalg.solve(self._information, self._design.T @ weighted)
        own = own - (cells.covariates - cells.covariates.mean(axis=0)) @ by_covariates[1:]
        own = own - own.mean(axis=0)
        foreseen = self._design @ by_covariates
        of_model = (1.0 - share) * weights @ (of_controls - foreseen) ** 2
        of_model += share * weights @ (working - foreseen) ** 2
        variance = np.maximum(np.mean(own**2, axis=0), of_model) / n_perturbed
        other = -weights[:, None] * (expected - foreseen)
        other = other.reshape(self.n_copies, self.n_controls, -1).sum(axis=0)
        return AtShare(
            misfit=misfit,
            influence=own[:, 0] / n_perturbed,
            works=works,
            control_influence=other[:, 0],
            own_variance=max(float(variance[0]), LEAST_ERROR**2),
            log_left=log_left,
            gene_variance=variance[1:],
            control_variance=np.sum(other[:, 1:] ** 2, axis=0),
        )

    def profile(self, shares: FloatArray = SHARES, at_one: AtShare | None = None) -> list[AtShare]:
        """Solve the equations at shares from 1 down, until they are out of the question."""
        return profile_of(self, shares, at_one)


class Equations(Protocol):
    """Equations that can be solved at any share, from rates that are nearly right."""

    left: FloatArray

    def solve(self, share: float, start: FloatArray, *, n_steps: int = 1) -> AtShare:
        """Solve the equations of the rates at a share."""
        ...


def profile_of(equations: Equations, shares: FloatArray, at_one: AtShare | None) -> list[AtShare]:
    """Solve equations at shares from 1 down, until they are out of the question."""
    found = [equations.solve(1.0, equations.left) if at_one is None else at_one]
    for share in shares[1:].tolist():
        if found[-1].misfit > MOST_ERRORS * found[-1].std_error:
            break
        found.append(equations.solve(share, found[-1].rates))
    return found


def filled(profile: list[AtShare], shares: FloatArray) -> FloatArray:
    """Standardize the equations at ``SHARES``; the last stands for what is out of the question."""
    z = [at.misfit / at.std_error for at in profile]
    return np.asarray(np.interp(-SHARES, -shares[: len(z)], z))


def _works(share: float, odds: FloatArray) -> FloatArray:
    """Return the probability that the guide works in each cell, from its evidence: h."""
    return np.asarray(expit(logit(share) + odds) if share < 1.0 else np.ones(len(odds)))


def _inverse(slope: FloatArray) -> FloatArray:
    """Invert the slopes of the equations of the rates, which may hardly depend on one."""
    return np.asarray(np.linalg.solve(slope + TINY * np.eye(len(slope)), np.eye(len(slope))))
