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
from functools import cached_property
from typing import Protocol

import numpy as np

from argen.arrays import FloatArray, IntArray
from argen.glm import (
    LEAST_LEFT,
    MOST_LEFT,
    balance,
    compare_at,
    honest_evidence,
    spread_of,
    thin_and_compare,
)

# Shares at which the equations are solved. The least is where a screen is of no use.
SHARES = np.array([1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
# Those that an interval needs where nothing rests on it.
FEW_SHARES = np.array([1.0, 0.9, 0.7, 0.5])
# A share that an equation contradicts by so many errors is out of the question.
MOST_ERRORS = 6.0
# Controls that are thinned, at least, counting each as often as it is.
THINNED = 2000
# As many controls at least, all alike, must be as good as those that are weighed.
FEWEST_CONTROLS = 100
# Genes of which more is left when cells are weighed say nothing.
MOST_AT_ALL = 0.85
# Where all cells look alike the equation of the share says nothing, and is not sure of it.
LEAST_ERROR = 1e-4
TINY = 1e-9


@dataclass(frozen=True, slots=True)
class CountedCells:
    """Cells, what was counted in them, and their covariates."""

    counts: FloatArray  # (n_low, n_cells) of the genes that a perturbation lowers
    expected: FloatArray  # (n_low, n_cells), what the fit of the controls expects
    columns: FloatArray  # (n_columns, n_cells) covariates, log library size among them
    level: IntArray  # (n_cells,) of the factor with most levels

    def some(self, cells: IntArray) -> CountedCells:
        """Take some of the cells."""
        counts, expected, columns = (
            np.take(rows, cells, axis=1) for rows in (self.counts, self.expected, self.columns)
        )
        return CountedCells(counts, expected, columns, self.level[cells])

    def of_genes(self, kept: IntArray) -> CountedCells:
        """Take some of the genes."""
        return CountedCells(self.counts[kept], self.expected[kept], self.columns, self.level)

    def repeated(self, n_copies: int) -> CountedCells:
        """Take every cell several times."""
        if n_copies == 1:
            return self
        counts, expected, columns = (
            np.tile(rows, (1, n_copies)) for rows in (self.counts, self.expected, self.columns)
        )
        return CountedCells(counts, expected, columns, np.tile(self.level, n_copies))


@dataclass(frozen=True, slots=True)
class MixedCells:
    """The cells of a perturbation, and the controls that they are compared with."""

    perturbed: CountedCells
    controls: CountedCells
    dispersion: FloatArray  # (n_low,)
    n_levels: int


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
    are the same whenever the same number seeds them, and at every share. What equations of the same
    cells and seed had ``prepared`` need not be found again. With ``all_genes`` also those of which
    much is left take part.
    """

    def __init__(
        self,
        cells: MixedCells,
        seed: int,
        prepared: tuple[Prepared, ...] = (),
        *,
        all_genes: bool = False,
    ) -> None:
        perturbed, controls = cells.perturbed, cells.controls
        part = np.bincount(perturbed.level, minlength=cells.n_levels) / len(perturbed.level)
        middle = perturbed.columns.mean(axis=1)
        weights = (
            prepared[0].weights
            if prepared
            else balance(controls.columns, controls.level, middle, part)
        )
        self.effective_controls = _effective_number(weights)
        balanced = np.maximum(controls.counts @ weights, TINY)
        left = perturbed.counts.mean(axis=1) / balanced
        self.kept = np.flatnonzero((left < MOST_AT_ALL) | all_genes)
        self.left = np.clip(left[self.kept], LEAST_LEFT, MOST_LEFT if all_genes else None)
        self._unit = 1.0 / balanced[self.kept]
        self.n_controls, n_copies = len(weights), max(1, round(THINNED / len(weights)))
        self._perturbed = perturbed.of_genes(self.kept)
        self._controls = controls.of_genes(self.kept).repeated(n_copies)
        self._dispersion = cells.dispersion[self.kept]
        self._weights = np.tile(weights, n_copies) / n_copies
        self._uniform = np.random.default_rng(seed).random(self._controls.counts.shape)
        self._n_levels = cells.n_levels
        self.prepared = prepared or (Prepared(weights, self._honest_evidence()),)

    def _honest_evidence(self) -> float:
        own, other = self._perturbed, self._controls
        return float(honest_evidence(
            own.counts, own.expected, self._dispersion, np.maximum(0.7 * self.left, LEAST_LEFT),
            other.counts, other.expected, self._weights, self._uniform,
        ))  # fmt: skip

    @property
    def tell(self) -> bool:
        """Whether there are genes and controls that say something."""
        return len(self.kept) > 0 and self.effective_controls >= FEWEST_CONTROLS

    @cached_property
    def _covariates(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Set the regression on covariates up, levels taken out of the columns.

        Returns the columns of the perturbed cells and of the controls, (n_levels,) sums of weights,
        and the factor of the products of the latter.
        """
        own, other, weights = self._perturbed, self._controls, self._weights
        of_level = np.bincount(other.level, weights, self._n_levels).astype(np.float64)
        overall = other.columns @ weights
        means = np.array(
            [np.bincount(other.level, weights * row, self._n_levels) for row in other.columns]
        ).reshape(len(overall), self._n_levels)
        there = of_level > 0.0
        means = np.where(there, means / np.where(there, of_level, 1.0), overall[:, None])
        columns: FloatArray = other.columns - means[:, other.level]
        products = (columns * weights) @ columns.T + TINY * np.eye(len(columns))
        lower = np.ascontiguousarray(np.linalg.cholesky(products))
        return own.columns - means[:, own.level], columns, of_level, lower

    def solve(self, share: float, start: FloatArray, *, n_steps: int = 1) -> AtShare:
        """Solve the equations of the rates at a share, by steps from what is most likely there."""
        own, other, weights, b = self._perturbed, self._controls, self._weights, self.prepared[0].b
        n_low, n_controls = other.counts.shape
        works, constant = np.empty(own.counts.shape[1]), np.empty(n_controls)
        of_perturbed = np.empty((1 + n_low, len(works)))
        of_controls, working, expected = np.empty((3, 1 + n_low, n_controls))
        per_count, likely = np.empty((n_low, n_controls)), start.copy()
        compare_at(
            share, b, likely, own.counts, own.expected, self._dispersion, other.counts,
            other.expected, self._unit, works, of_perturbed, of_controls, per_count, constant,
        )  # fmt: skip
        log_left, mean = np.log(likely if share < 1.0 else self.left), of_perturbed.mean(axis=1)
        for _ in range(n_steps):
            slope = share * thin_and_compare(
                share, np.exp(log_left), other.counts, weights, self._uniform, self._unit,
                per_count, constant, of_controls, working, expected,
            )  # fmt: skip
            off, inverse = mean - expected @ weights, _inverse(slope[1:])
            step = inverse @ off[1:]
            step = step / max(1.0, float(np.abs(step).max()))
            new = np.clip(log_left + step, np.log(LEAST_LEFT), np.log(MOST_LEFT))
            misfit = float(off[0] - slope[0] @ (new - log_left))
            log_left = new
        # How much each cell's functions move the misfit, and log rho.
        carried = np.zeros((1 + n_low, 1 + n_low))
        carried[0, 0], carried[0, 1:], carried[1:, 1:] = 1.0, -slope[0] @ inverse, inverse
        parts = [carried @ part for part in (of_perturbed, of_controls, working, expected)]
        influence, control_influence = np.empty(len(works)), np.empty(self.n_controls)
        columns, control_columns, of_level, lower = self._covariates
        variance, control_variance = spread_of(
            share, *parts, columns, own.level, control_columns, other.level, weights, of_level,
            lower, influence, control_influence,
        )  # fmt: skip
        return AtShare(
            misfit=misfit,
            influence=influence,
            works=works,
            control_influence=control_influence,
            own_variance=max(float(variance[0]), LEAST_ERROR**2),
            log_left=log_left,
            gene_variance=variance[1:],
            control_variance=control_variance[1:],
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


def _effective_number(weights: FloatArray) -> float:
    """How many cells that all count alike say as much; 0 where none counts."""
    return float(1.0 / np.sum(weights**2)) if weights.any() else 0.0


def _inverse(slope: FloatArray) -> FloatArray:
    """Invert the slopes of the equations of the rates, which may hardly depend on one."""
    return np.asarray(np.linalg.solve(slope + TINY * np.eye(len(slope)), np.eye(len(slope))))
