"""Log-linear regressions on many indicators of which each cell has few, all at once."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy import linalg, sparse

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.errors import FitStatus

MOST_STEPS = 50
LONGEST_STEP = 3.0
# Twice the gain in log-likelihood still to be had, when the last step is taken.
DECREMENT = 1e-10
# Of the diagonal: lets through what two columns share, where a gene cannot tell them apart.
RIDGE = 1e-11
# A column is not identified when the others leave less than this share of its information.
IDENTIFIED_SHARE = 1e-8


@dataclass(frozen=True, slots=True)
class JointFit:
    """One response on all columns: natural-log rate ratios, of indicators first."""

    effect: FloatArray  # (n_indicators,): -inf without a count, NaN where not identified
    coefficients: FloatArray  # (n_columns,): all of them, 0 for what has no count
    empty: BoolArray  # (n_indicators,): those without a count
    mean: FloatArray  # (n_cells,): 0 in cells that say nothing
    residual: FloatArray  # (n_cells,): 0 in cells that say nothing
    inverse: FloatArray  # (n_indicators, n_columns): of the information; 0 for what has no count
    status: FitStatus

    def variances(self, design: JointDesign) -> FloatArray:
        """Return the HC0 variances of the effects: (n_indicators,)."""
        half = self.inverse @ design.information(self.residual**2)
        return np.asarray(np.einsum("ka,ka->k", half, self.inverse))


class JointDesign:
    """Indicators, which may overlap, and a few dense columns, the intercept among them.

    Products of indicators are sums over the cells that have both: a row of ``_pairs`` for each two
    that meet, so that they cost one product of a sparse matrix and a vector.
    """

    def __init__(self, indicators: sparse.csc_array, dense: FloatArray) -> None:
        self.indicators = sparse.csr_array(indicators, dtype=np.float64)
        self.by_column = sparse.csr_array(self.indicators.T)
        self.dense = np.ascontiguousarray(dense)
        self.n_indicators = indicators.shape[1]
        first, second, cell = _meetings(self.indicators)
        code, row = np.unique(first * self.n_indicators + second, return_inverse=True)
        shape = len(code), len(dense)
        self.meeting = code // self.n_indicators, code % self.n_indicators
        self._pairs = sparse.csr_array((np.ones(len(cell)), (row, cell)), shape=shape)

    def with_dense(self, values: FloatArray) -> Self:
        """Return the same design with another dense column, the last: (n_cells,)."""
        other = copy(self)
        other.__dict__.pop("gram", None)
        other.dense = np.column_stack([self.dense, values])
        return other

    @property
    def n_columns(self) -> int:
        """Indicators and dense columns."""
        return int(self.n_indicators + self.dense.shape[1])

    def predictor(self, beta: FloatArray) -> FloatArray:
        """Product of the columns and coefficients, one set or several: (n_cells, ...)."""
        n = self.n_indicators
        return np.asarray(self.indicators @ beta[:n] + self.dense @ beta[n:])

    def score(self, values: FloatArray) -> FloatArray:
        """Products of the columns by values of the cells: (n_columns, ...)."""
        return np.concatenate([self.by_column @ values, self.dense.T @ values])

    def information(self, weights: FloatArray) -> FloatArray:
        """Products of the columns, the cells weighted: (n_columns, n_columns)."""
        n, found = self.n_indicators, np.zeros((self.n_columns, self.n_columns))
        a, b = self.meeting
        found[a, b] = found[b, a] = self._pairs @ weights
        weighted = self.dense * weights[:, None]
        found[n:, :n] = (self.by_column @ weighted).T
        found[:n, n:] = found[n:, :n].T
        found[n:, n:] = self.dense.T @ weighted
        return found

    @cached_property
    def gram(self) -> tuple[FloatArray, BoolArray]:
        """Generalised inverse of the products of the columns, and which are identified."""
        products = self.information(np.ones(len(self.dense)))
        length = np.sqrt(np.maximum(np.diagonal(products), 1e-300))
        value, vector = linalg.eigh(products / np.outer(length, length))
        kept = value > IDENTIFIED_SHARE
        inverse = (vector[:, kept] / value[kept]) @ vector[:, kept].T
        identified = (vector[:, ~kept] ** 2).sum(axis=1) < IDENTIFIED_SHARE
        return inverse / np.outer(length, length), identified


def _meetings(indicators: sparse.csr_array) -> tuple[IntArray, IntArray, IntArray]:
    """Every two indicators of a cell, and each with itself: the larger, the smaller, the cell."""
    n_of_cell = np.diff(indicators.indptr)
    parts: list[tuple[IntArray, IntArray, IntArray]] = []
    for n in np.unique(n_of_cell[n_of_cell > 0]).tolist():
        cells = np.flatnonzero(n_of_cell == n)
        own = np.sort(indicators.indices[indicators.indptr[cells][:, None] + np.arange(n)], axis=1)
        i, j = np.tril_indices(n)
        parts.append((own[:, i].ravel(), own[:, j].ravel(), np.repeat(cells, len(i))))
    nothing = np.empty(0, dtype=np.int64)
    parts.append((nothing, nothing, nothing))
    first, second, cell = (
        np.concatenate(part).astype(np.int64) for part in zip(*parts, strict=True)
    )
    return first, second, cell


def fit_jointly(
    design: JointDesign, counts: FloatArray, offset: FloatArray, excluded: BoolArray
) -> JointFit:
    """Fit ``log E[counts] = design @ beta + offset`` by Poisson quasi-likelihood.

    Indicators without a count have an infinite coefficient, and their cells say nothing of others.

    Parameters
    ----------
    excluded
        (n_cells,): cells of levels of a covariate without a count.
    """
    n = design.n_indicators
    total = design.by_column @ counts
    empty = total == 0.0
    used = ~(excluded | (design.indicators @ empty.astype(np.float64) > 0.0))
    free = np.append(~empty, np.ones(design.dense.shape[1], dtype=bool))
    beta, mean, status = _newton(design, counts, offset, used, free, total)
    at = np.ix_(free, free)
    information = design.information(mean)[at]
    diagonal = np.diagonal(information).copy()
    information.flat[:: len(information) + 1] += RIDGE * diagonal + 1e-300
    inverse = np.zeros((design.n_columns, design.n_columns))
    try:
        inverse[at] = linalg.cho_solve(linalg.cho_factor(information), np.eye(len(information)))
    except linalg.LinAlgError:
        status = FitStatus.NOT_CONVERGED
    effect = np.where(empty, -np.inf, beta[:n])
    # How often the variance is that of an indicator by itself.
    inflated = np.diagonal(inverse)[:n][~empty] * diagonal[: int((~empty).sum())]
    effect[np.flatnonzero(~empty)[~(inflated < 1.0 / IDENTIFIED_SHARE)]] = np.nan
    residual = np.where(used, counts - mean, 0.0)
    return JointFit(effect, beta, empty, mean, residual, inverse[:n], status)


def _newton(
    design: JointDesign,
    counts: FloatArray,
    offset: FloatArray,
    used: BoolArray,
    free: BoolArray,
    total: FloatArray,
) -> tuple[FloatArray, FloatArray, FitStatus]:
    """Maximise the likelihood over the free coefficients: these, the means, and how it went."""
    n, y = design.n_indicators, counts
    size = np.where(used, np.exp(offset), 0.0)
    beta = np.zeros(design.n_columns)
    rate = y.sum() / size.sum()
    beta[n] = np.log(rate)  # the first dense column is the intercept
    expected = design.by_column @ (size * rate)
    some = free[:n] & (expected > 0.0)
    beta[:n][some] = np.clip(np.log(total[some] / expected[some]), -LONGEST_STEP, LONGEST_STEP)

    def at(beta: FloatArray) -> tuple[FloatArray, float]:
        log_rate = np.minimum(design.predictor(beta), 600.0)
        mean = size * np.exp(log_rate)
        return mean, float(y[used] @ log_rate[used] - mean.sum())

    mean, likelihood = at(beta)
    for _ in range(MOST_STEPS):
        gradient = design.score(np.where(used, y - mean, 0.0))[free]
        information = design.information(mean)[np.ix_(free, free)]
        information.flat[:: len(information) + 1] *= 1.0 + RIDGE
        information.flat[:: len(information) + 1] += 1e-300
        try:
            step = linalg.cho_solve(linalg.cho_factor(information), gradient)
        except linalg.LinAlgError:
            return beta, mean, FitStatus.NOT_CONVERGED
        decrement = float(gradient @ step)
        step *= min(1.0, LONGEST_STEP / max(np.abs(step).max(), 1e-300))
        after = beta.copy()
        for _ in range(MOST_STEPS):
            after[free] = beta[free] + step
            mean, found = at(after)
            if found >= likelihood - 1e-12 * (abs(likelihood) + 1.0):
                break
            step = 0.5 * step
        beta, likelihood = after, found
        if decrement <= DECREMENT:
            return beta, mean, FitStatus.OK
    return beta, mean, FitStatus.NOT_CONVERGED
