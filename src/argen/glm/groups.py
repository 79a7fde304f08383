"""Poisson regressions of one gene on perturbations and covariates, one perturbation in each cell.

The same estimates as ``fit_regressions`` on indicators of the perturbations, for many sets of
perturbations at the cost of their own cells (see ``_group_sums`` for the algebra).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.errors import FitStatus
from argen.glm import _group_fits, _group_sums
from argen.glm._group_sums import GroupLayout
from argen.glm.monomials import monomials

# Degree of the series by number of numeric covariates; with more of them sums are taken afresh.
SERIES_DEGREES = {0: 2, 1: 8, 2: 7, 3: 6, 4: 5}
LOWEST_DEGREE = 3


def group_layout(
    group: IntArray, n_groups: int, offset: FloatArray, factors: IntArray, numeric: FloatArray
) -> tuple[GroupLayout, IntArray]:
    """Sort the cells by group and stratum; returns the layout and the cells in its order.

    Parameters
    ----------
    group
        (n_cells,) codes from 0 to n_groups - 1.
    offset
        (n_cells,) log exposure.
    factors
        (n_factors, n_cells), codes of categorical covariates; the first level is the reference.
    numeric
        (n_cells, n_numeric).
    """
    strata, stratum = np.unique(factors, axis=1, return_inverse=True)
    if not len(factors):
        strata, stratum = np.empty((0, 1), np.int64), np.zeros(len(group), np.int64)
    stratum = stratum.reshape(-1)
    cells = np.lexsort((stratum, group))
    in_order = group[cells], stratum[cells]
    changes = (np.diff(in_order[0]) != 0) | (np.diff(in_order[1]) != 0)
    run_start = np.concatenate([[0], 1 + np.flatnonzero(changes)])
    start = np.searchsorted(in_order[0], np.arange(n_groups + 1))
    columns, n_indicators = np.full((strata.shape[1], len(factors)), -1), 0
    for f, codes in enumerate(strata):
        columns[:, f] = np.where(codes > 0, n_indicators + codes - 1, -1)
        n_indicators += int(codes.max())
    n_numeric = numeric.shape[1]
    series = monomials(n_numeric, SERIES_DEGREES.get(n_numeric, LOWEST_DEGREE))
    layout = GroupLayout(
        start=start,
        log_size=offset[cells],
        stratum=in_order[1],
        run_start=np.append(run_start, len(cells)),
        run_stratum=in_order[1][run_start],
        run_of_group=np.searchsorted(run_start, start),
        numeric=np.ascontiguousarray(numeric[cells].T),
        columns=columns,
        n_indicators=n_indicators,
        largest_norm=float(np.sqrt(np.sum(numeric**2, axis=1)).max()),
        parent=series.parent,
        variable=series.variable,
        power=series.power,
        minus=series.minus,
        degree=series.degree,
    )
    return layout, cells


@dataclass(frozen=True, slots=True)
class GroupFit:
    """Log rates of groups with an intercept of their own, and of the baseline."""

    own: IntArray  # (n_own,)
    own_counts: FloatArray  # (n_own,); 0 where a group is left out
    is_half: BoolArray  # (n_own,): half a count was added
    base_count: float
    log_rates: FloatArray  # (1 + n_own,), the baseline first
    gamma: FloatArray  # (n_columns,) coefficients of the covariates
    status: FitStatus

    @property
    def coefficients(self) -> FloatArray:
        """Log rate of each group against the baseline: (n_own,)."""
        return np.asarray(self.log_rates[1:] - self.log_rates[0])


@dataclass(frozen=True, slots=True)
class GroupCovariance:
    """Sandwich covariance of the coefficients of a ``GroupFit``, in parts.

    With rows L_g of ``lever``, h_g of ``tilt`` and W ``meat``::

        Cov[g, k] = [g = k] v_g + v_0 - h_g'L_k - L_g'h_k + L_g' W L_k
    """

    own: FloatArray  # (n_own,): v_g
    base: float  # v_0
    lever: FloatArray  # (n_own, n_columns)
    tilt: FloatArray  # (n_own, n_columns)
    meat: FloatArray  # (n_columns, n_columns)

    def variances(self, combinations: FloatArray) -> FloatArray:
        """Variance of each row of ``combinations`` (n, n_own) times the coefficients: (n,)."""
        levers, tilts = combinations @ self.lever, combinations @ self.tilt
        return np.asarray(
            combinations**2 @ self.own
            + self.base * combinations.sum(axis=1) ** 2
            + np.einsum("ja,ja->j", levers, levers @ self.meat - 2.0 * tilts)
        )

    def matrix(self) -> FloatArray:
        """Lay out the covariance: (n_own, n_own)."""
        cross = self.tilt @ self.lever.T
        low_rank = self.lever @ self.meat @ self.lever.T
        return np.asarray(np.diag(self.own) + self.base - cross - cross.T + low_rank)

    def first(self, n: int) -> GroupCovariance:
        """Return the part of the first n groups."""
        return GroupCovariance(self.own[:n], self.base, self.lever[:n], self.tilt[:n], self.meat)


class GeneReference(NamedTuple):
    """Where the fits of a gene start, and what is known there."""

    gamma: FloatArray  # (n_columns,)
    series: _group_sums.Series


class GroupedGene:
    """One gene, ready to be regressed on any set of perturbations.

    ``log E[Y_i] = log C_i + alpha_g + x_i' gamma`` for the cells i of group g, where the groups
    outside the set share one intercept. A level of a categorical covariate without counts drops
    out with its cells, as in ``prepare_responses``.
    """

    def __init__(
        self, layout: GroupLayout, counts: FloatArray, reference: GeneReference | None = None
    ) -> None:
        self.layout = layout
        self.counts = counts
        self.by_group, self.by_stratum, self.by_numeric = _group_sums.count_sums(layout, counts)
        self.used = self._strata_with_counts()
        self.reference = reference or self._find_reference()

    def _find_reference(self) -> GeneReference:
        """Fit an intercept for every group but the last, the controls."""
        n_numeric, n_low = len(self.layout.numeric), self.layout.minus.shape[1]
        none = np.zeros((len(self.layout.parent), len(self.used)))
        # At infinite slopes the series reaches nothing: sums are taken afresh.
        low = np.zeros((n_low, len(self.used)))
        no_series = _group_sums.Series(np.full(n_numeric, np.inf), none, none, none, low)
        start = np.zeros(self.layout.n_indicators + n_numeric)
        self.reference = GeneReference(start, no_series)
        fit = self.fit(np.arange(len(self.by_group) - 1), halved=0)
        if fit.status == FitStatus.OK:
            start = fit.gamma
        slopes = start[self.layout.n_indicators :]
        return GeneReference(start, _group_sums.series_of(self.layout, self.counts, slopes))

    def _strata_with_counts(self) -> FloatArray:
        used = np.ones(len(self.by_stratum))
        for column in self.layout.columns.T:
            levels = column - column.min()
            empty = np.bincount(levels, weights=self.by_stratum) == 0.0
            used[empty[levels]] = 0.0
        return used

    def fit(self, own: IntArray, *, halved: int) -> GroupFit:
        """Give the groups ``own`` an intercept each.

        Of these, the first ``halved`` get half a count in proportion to exposure when they have
        none (see ``prepare_responses``); the cells of the others without counts are left out.
        """
        own_counts = self.by_group[own]
        base_count = float(self.by_group.sum() - own_counts.sum())
        by_stratum, by_numeric = self.by_stratum, self.by_numeric
        is_half = own_counts == 0.0
        is_half[halved:] = False
        for k in np.flatnonzero(is_half).tolist():
            cells = slice(*self.layout.start[own[k] : own[k] + 2])
            stratum, numeric = self.layout.stratum[cells], self.layout.numeric[:, cells]
            exposure = np.exp(self.layout.log_size[cells]) * self.used[stratum]
            share = 0.5 * exposure / max(exposure.sum(), 1e-300)
            by_stratum = by_stratum + np.bincount(stratum, share, minlength=len(by_stratum))
            by_numeric = by_numeric + numeric @ share
            own_counts[k] = share.sum()
            is_half[k] = share.any()
        if (own_counts[:halved] == 0.0).any():
            gamma, log_rates = self.reference.gamma, np.full(1 + len(own), np.nan)
            status = FitStatus.NOT_IDENTIFIED
            return GroupFit(own, own_counts, is_half, base_count, log_rates, gamma, status)
        observed = np.empty(len(self.reference.gamma))
        _group_sums.covariate_sums(
            by_stratum, np.zeros((0, len(by_stratum))), self.layout.columns,
            self.layout.n_indicators, observed,
        )  # fmt: skip
        observed[self.layout.n_indicators :] = by_numeric
        is_own = np.zeros(len(self.by_group), dtype=bool)
        is_own[own] = True
        gamma, log_rates = self.reference.gamma.copy(), np.empty(1 + len(own))
        outcome = _group_fits.fit_groups(
            self.layout, self.reference.series, own, is_own, own_counts, base_count, observed,
            self.used, gamma, log_rates,
        )  # fmt: skip
        status = {
            _group_fits.FITTED: FitStatus.OK,
            _group_fits.NOT_CONVERGED: FitStatus.NOT_CONVERGED,
            _group_fits.CONFOUNDED: FitStatus.NOT_IDENTIFIED,
        }[outcome]
        return GroupFit(own, own_counts, is_half, base_count, log_rates, gamma, status)

    def covariance(self, fit: GroupFit, *, model_share: float = 0.0) -> GroupCovariance:
        """Sandwich covariance of the coefficients of a fit of this gene.

        ``model_share`` is that of ``fit_regressions``; 0: HC0.
        """
        n_own, n_columns = len(fit.own), len(fit.gamma)
        is_own = np.zeros(len(self.by_group), dtype=bool)
        is_own[fit.own] = True
        own, meat = np.zeros(n_own), np.empty((n_columns, n_columns))
        lever, tilt = np.zeros((n_own, n_columns)), np.zeros((n_own, n_columns))
        base = _group_fits.group_variance(
            self.layout, self.reference.series, self.counts, fit.own, is_own, fit.own_counts,
            fit.is_half, fit.base_count, self.used, fit.gamma, fit.log_rates, model_share,
            own, lever, tilt, meat,
        )  # fmt: skip
        return GroupCovariance(own, base, lever, tilt, meat)
