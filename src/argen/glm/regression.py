"""Log-linear count regressions: many responses on one design, with HC0 covariances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from argen.arrays import BoolArray, FloatArray, IntArray, StatusArray
from argen.errors import FitStatus
from argen.glm import _kernels


@dataclass(frozen=True, slots=True)
class Responses:
    """Counts prepared for fitting: who takes part, and where half a count was added."""

    counts: FloatArray  # (n_responses, n_cells)
    row_kinds: StatusArray  # (n_responses, n_cells): excluded, observed or pseudo
    half_counted: BoolArray  # (n_responses,)
    all_zero: BoolArray  # (n_responses,)


@dataclass(frozen=True, slots=True)
class RegressionFit:
    """Coefficients of ``log E[counts] = design @ coefficients + offset``, one row a response.

    Coefficients are natural-log rate ratios. A column that earlier columns explain is not
    estimable: its coefficient and covariance are NaN, and so are all of a fit that failed.
    """

    coefficients: FloatArray  # (n_responses, n_columns)
    covariance: FloatArray  # (n_responses, n_columns, n_columns)
    dispersion: FloatArray  # (n_responses,): 0 for Poisson
    status: StatusArray  # (n_responses,)

    @property
    def std_error(self) -> FloatArray:
        """Square roots of the diagonals: (n_responses, n_columns)."""
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))

    def linear_predictor(self, design: FloatArray, response: int) -> FloatArray:
        """``design @ coefficients`` of one response, without offset: (n_cells,)."""
        return np.asarray(design @ np.nan_to_num(self.coefficients[response]), dtype=np.float64)


def prepare_responses(
    counts: FloatArray,
    *,
    offset: FloatArray,
    factors: IntArray,
    groups: FloatArray | None = None,
) -> Responses:
    """Find the groups of cells without a count, whose coefficients would be infinite.

    A level of a categorical covariate without counts tells nothing about the other
    coefficients: in the limit its cells drop out, so they are excluded. An indicator column
    of ``groups`` without counts is of interest itself: its cells share half a count in
    proportion to their exposure, which is Firth's correction of a group intercept.

    Parameters
    ----------
    counts
        (n_responses, n_cells), non-negative.
    offset
        (n_cells,), log exposure.
    factors
        (n_factors, n_cells), codes of each categorical covariate.
    groups
        (n_cells, n_groups); columns that are not 0/1 are passed over.
    """
    prepared = np.array(counts, dtype=np.float64, order="C")
    row_kinds = np.full(prepared.shape, _kernels.OBSERVED, dtype=np.int8)
    for codes in factors:
        for r, response in enumerate(prepared):
            empty = np.bincount(codes, weights=response) == 0
            if empty.any():
                row_kinds[r, empty[codes]] = _kernels.EXCLUDED
    half_counted = np.zeros(len(prepared), dtype=bool)
    all_zero = np.logical_not(np.any(prepared, axis=1))
    if groups is not None:
        indicators = [g for g in groups.T if np.isin(g, (0.0, 1.0)).all() and g.any()]
        for indicator in indicators:
            members = indicator == 1.0
            for r in np.flatnonzero(~prepared[:, members].any(axis=1) & ~all_zero).tolist():
                sharing = members & (row_kinds[r] == _kernels.OBSERVED)
                exposure = np.exp(offset[sharing] - offset[members].max())
                prepared[r, sharing] = 0.5 * exposure / exposure.sum()
                row_kinds[r, sharing] = _kernels.PSEUDO
                half_counted[r] |= sharing.any()
    return Responses(prepared, row_kinds, half_counted, all_zero)


def fit_regressions(
    responses: Responses,
    design: FloatArray,
    offset: FloatArray,
    *,
    family: str = "poisson",
    model_share: float = 0.0,
) -> RegressionFit:
    """Fit ``log E[counts] = design @ beta + offset`` to each response by maximum likelihood.

    Poisson: the quasi-likelihood, with the HC0 sandwich
    ``A^-1 (sum_i r_i^2 x_i x_i') A^-1``, ``A = sum_i mu_i x_i x_i'``, ``r_i = y_i - mu_i``.
    Negative binomial: variance ``mu + alpha mu^2`` with ``alpha`` by maximum likelihood for
    each response, scores and weights divided by ``1 + alpha mu``.

    Parameters
    ----------
    design
        (n_cells, n_columns). Put the columns that matter most last: of collinear columns the
        later is the one reported as not estimable.
    family
        ``"poisson"`` or ``"nb"``.
    model_share
        Share of ``r_i^2`` in the sandwich that is replaced by ``mu_i + phi mu_i^2``, phi by the
        moments of all cells; 0: HC0.
    """
    design = np.ascontiguousarray(design, dtype=np.float64)
    offset = np.ascontiguousarray(offset, dtype=np.float64)
    n_responses, n_columns = len(responses.counts), design.shape[1]
    beta = np.zeros((n_responses, n_columns))
    covariance = np.full((n_responses, n_columns, n_columns), np.nan)
    kept = np.zeros((n_responses, n_columns), dtype=bool)
    dispersion = np.zeros(n_responses)
    converged = np.zeros(n_responses, dtype=bool)
    fitted = ~responses.all_zero
    if fitted.any():
        parts = [beta[fitted], covariance[fitted], kept[fitted], dispersion[fitted]]
        converged[fitted] = _kernels.fit_responses(
            responses.counts[fitted],
            responses.row_kinds[fitted],
            design,
            offset,
            family == "nb",
            model_share,
            *parts,
        )
        beta[fitted], covariance[fitted], kept[fitted], dispersion[fitted] = parts
    beta[~kept | ~converged[:, None]] = np.nan
    covariance[~converged] = np.nan
    status = np.full(n_responses, FitStatus.OK, dtype=np.int8)
    if family == "nb":
        status[dispersion == 0.0] = FitStatus.POISSON_FALLBACK
    status[responses.half_counted] = FitStatus.HALF_COUNT
    status[~converged] = FitStatus.NOT_CONVERGED
    status[responses.all_zero] = FitStatus.ZERO_COUNTS
    return RegressionFit(beta, covariance, dispersion, status)
