"""Poisson regressions of one gene on perturbations and covariates, one perturbation in each cell.

The same estimates as ``fit_regressions`` on indicators of the perturbations, for many sets of
perturbations at the cost of their own cells (see ``_group_sums`` for the algebra).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from argen.arrays import BoolArray, FloatArray, IntArray, UnsignedArray
from argen.errors import FitStatus
from argen.glm import _group_fits
from argen.glm._group_sums import CELLS_AT_ONCE, CELLS_OF_A_PART, Cells, Gene, GroupLayout
from argen.glm.monomials import monomials

# Degree of the series by number of numeric covariates; with more of them sums are taken afresh.
SERIES_DEGREES = {0: 2, 1: 6, 2: 6, 3: 5, 4: 5}
LOWEST_DEGREE = 3

STATUS = {
    _group_fits.FITTED: FitStatus.OK,
    _group_fits.NOT_CONVERGED: FitStatus.NOT_CONVERGED,
    _group_fits.CONFOUNDED: FitStatus.NOT_IDENTIFIED,
}


def group_layout(
    group: IntArray, n_groups: int, offset: FloatArray, factors: IntArray, numeric: FloatArray
) -> tuple[GroupLayout, IntArray]:
    """Sort the cells by group; returns the layout and the cells in its order.

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
    stratum = np.zeros(len(group), dtype=np.int64)
    for codes in factors:
        stratum = stratum * (codes.max() + 1) + codes
    _, first, stratum = np.unique(_shortened(stratum), return_index=True, return_inverse=True)
    cells = in_rounds(group, stratum)
    columns, n_indicators = np.full((len(first), len(factors)), -1), 0
    for f, codes in enumerate(factors[:, first]):
        columns[:, f] = np.where(codes > 0, n_indicators + codes - 1, -1)
        n_indicators += int(codes.max())
    n_numeric = numeric.shape[1]
    series = monomials(n_numeric, SERIES_DEGREES.get(n_numeric, LOWEST_DEGREE))
    by_stratum, run_start = _runs_of_parts(stratum[cells])
    size, z = np.exp(offset[cells]), numeric[cells].T
    exposure = [np.bincount(stratum[cells], size * row, len(first)) for row in series.powers(z)]
    start = np.searchsorted(group[cells], np.arange(n_groups + 1))
    layout = GroupLayout(
        start=start,
        size=size,
        stratum=stratum[cells].astype(np.uint32),
        numeric=np.ascontiguousarray(z),
        by_stratum=by_stratum.astype(np.uint32),
        run_start=run_start,
        run_stratum=stratum[cells][by_stratum[run_start[:-1]]],
        columns=columns,
        slots=np.where(columns < 0, n_indicators + n_numeric, columns).T.astype(
            np.uint32, order="C"
        ),
        n_indicators=n_indicators,
        n_columns=n_indicators + n_numeric,
        largest_norm=float(np.sqrt(np.sum(numeric**2, axis=1)).max()),
        largest_group=int(np.diff(start).max()),
        exposure=np.array(exposure),
        parent=series.parent,
        variable=series.variable,
        power=series.power,
        minus=series.minus,
        degree=series.degree,
    )
    return layout, cells


def in_rounds(group: IntArray, stratum: IntArray) -> IntArray:
    """Sort cells by group, and then one cell of every stratum after the other.

    Sums over strata run at half the speed where neighbours are of the same stratum, because
    each addition waits for the one before. Numbers of 16 bits are sorted digit by digit.
    """
    order = np.lexsort((_shortened(stratum), _shortened(group)))
    first = np.append(True, (np.diff(group[order]) != 0) | (np.diff(stratum[order]) != 0))
    places = np.arange(len(order))
    turn = places - np.maximum.accumulate(np.where(first[: len(order)], places, 0))
    keys = _shortened(stratum[order]), _shortened(turn), _shortened(group[order])
    return order[np.lexsort(keys)]


def _shortened(codes: IntArray) -> UnsignedArray:
    """In as few bits as the largest needs."""
    return codes.astype(np.min_scalar_type(codes.max(initial=0)))


def _runs_of_parts(stratum: IntArray) -> tuple[IntArray, IntArray]:
    """Sort the cells of each part by stratum; returns the cells, and where runs begin and end."""
    places = np.arange(len(stratum))
    part = places // CELLS_OF_A_PART
    by_stratum = np.lexsort((stratum, part))
    changes = (np.diff(part[by_stratum]) != 0) | (np.diff(stratum[by_stratum]) != 0)
    first = np.append(0, 1 + np.flatnonzero(changes))
    # A run is cut where it is too long, always at the same places.
    length = np.diff(np.append(first, len(stratum)))
    pieces = -(-length // CELLS_AT_ONCE)
    piece = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    cuts = np.repeat(first, pieces) + CELLS_AT_ONCE * piece
    return by_stratum, np.append(cuts, len(stratum))


@dataclass(frozen=True, slots=True)
class GroupFit:
    """Log rates of groups with an intercept of their own, and of the baseline."""

    own: IntArray  # (n_own,)
    own_counts: FloatArray  # (n_own,); 0 where a group is left out
    is_half: BoolArray  # (n_own,): half a count was added
    log_rates: FloatArray  # (1 + n_own,), the baseline first
    gamma: FloatArray  # (n_columns,) coefficients of the covariates
    halved: int  # of the groups, so many first ones must have a count
    status: FitStatus

    @property
    def coefficients(self) -> FloatArray:
        """Log rate of each group against the baseline: (n_own,)."""
        return np.asarray(self.log_rates[1:] - self.log_rates[0])


class GroupedGene:
    """One gene, ready to be regressed on any set of perturbations.

    ``log E[Y_i] = log C_i + alpha_g + x_i' gamma`` for the cells i of group g, where the groups
    outside the set share one intercept. A level of a categorical covariate without counts drops
    out with its cells, as in ``prepare_responses``.

    Parameters
    ----------
    counts
        (n_cells,) in the sequence of the layout.
    gene
        What is known of the gene from an earlier time; filled unless it is ready.
    rates
        (n_groups,): rates of each group's cells, over those of the baseline, that are known and
        are no part of ``alpha_g``; 1 when None.
    """

    def __init__(
        self,
        layout: GroupLayout,
        counts: FloatArray,
        gene: Gene | None = None,
        *,
        rates: FloatArray | None = None,
    ) -> None:
        weighed = np.zeros(len(layout.start) - 1, dtype=bool)
        self.layout = layout
        rates = np.ones(len(weighed)) if rates is None else rates
        self.cells = Cells(counts, np.empty(len(counts)), weighed, rates, complete=True)
        self.gene = gene or Gene.unknown(layout)
        _group_fits.prepare_gene(*self.parts)

    @property
    def parts(self) -> tuple[GroupLayout, Gene, Cells]:
        """What compiled regressions of the gene begin their arguments with."""
        return self.layout, self.gene, self.cells

    def fit(self, own: IntArray, *, halved: int) -> GroupFit:
        """Give the groups ``own`` an intercept each.

        Of these, the first ``halved`` get half a count in proportion to exposure when they have
        none (see ``prepare_responses``); the cells of the others without counts are left out.
        """
        log_rates, own_counts = np.full(1 + len(own), np.nan), np.zeros(len(own))
        is_half, gamma = np.zeros(len(own), dtype=bool), np.zeros(len(self.gene.gamma))
        outcome = _group_fits.fit_gene(
            *self.parts, own, halved, gamma, log_rates, own_counts, is_half
        )  # fmt: skip
        return GroupFit(own, own_counts, is_half, log_rates, gamma, halved, STATUS[outcome])

    def covariance(self, fit: GroupFit, *, model_share: float = 0.0) -> FloatArray:
        """Sandwich covariance of the coefficients of a fit of this gene: (n_own, n_own).

        ``model_share`` is that of ``fit_regressions``; 0: HC0.
        """
        n_own, n_columns = len(fit.own), len(fit.gamma)
        own, base, lever = np.zeros((1, n_own)), np.zeros(1), np.zeros((n_own, n_columns))
        tilt, meat = np.zeros((1, n_own, n_columns)), np.zeros((1, n_columns, n_columns))
        _group_fits.sandwich_of_gene(
            *self.parts, fit.own, fit.halved, fit.gamma, np.array([model_share]), own, base, lever,
            tilt, meat,
        )  # fmt: skip
        cross = tilt[0] @ lever.T
        return np.asarray(np.diag(own[0]) + base[0] - cross - cross.T + lever @ meat[0] @ lever.T)
