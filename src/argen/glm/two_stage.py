"""Two-stage count regression on proxies, with Murphy-Topel standard errors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from argen.arrays import BoolArray, FloatArray, IntArray, StatusArray
from argen.errors import FitStatus
from argen.glm import _kernels
from argen.glm.regression import RegressionFit, fit_regressions, prepare_responses

# A column takes part in a collinearity when its share in the combination exceeds this,
# both sides measured in standard deviations of the log mean.
COLLINEAR_SHARE = 1e-6


@dataclass(frozen=True, slots=True)
class TwoStageFit:
    """The second stage; columns are the exogenous, the outcome's own, and the proxies last."""

    coefficients: FloatArray  # (n_columns,); NaN where not identified
    covariance: FloatArray  # (n_columns, n_columns), Murphy-Topel
    # Parts of the variances of the proxies' coefficients: those of the second stage alone, and,
    # [j, k], what the error of proxy k adds to that of j for each unit of theta_k^2.
    own_variances: FloatArray  # (n_endogenous,)
    proxy_variances: FloatArray  # (n_endogenous, n_endogenous)
    dispersion: float  # of the second stage; 0 for Poisson
    first_stage: RegressionFit  # one response per endogenous variable
    status: StatusArray  # (n_endogenous,)

    @property
    def effect(self) -> FloatArray:
        """Coefficients of the proxies: (n_endogenous,)."""
        return self.coefficients[len(self.coefficients) - len(self.status) :]

    @property
    def std_error(self) -> FloatArray:
        """Murphy-Topel standard errors of ``effect``: (n_endogenous,)."""
        variances = np.diagonal(self.covariance)
        return np.sqrt(variances[len(variances) - len(self.status) :])


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoStageDesign:
    """Regressors of the two stages."""

    instruments: FloatArray  # (n_cells, n_instruments)
    exogenous: FloatArray  # (n_cells, n_exogenous), the intercept included
    outcome_only: FloatArray  # (n_cells, n_outcome_only), of the second stage alone
    offset: FloatArray  # (n_cells,)
    first_stage_offset: FloatArray  # (n_cells,)
    factors: IntArray  # (n_factors, n_cells), codes of categorical regressors


def fit_two_stage(
    y: FloatArray,
    endogenous: FloatArray,
    design: TwoStageDesign,
    *,
    family: str = "poisson",
    model_share: float = 0.0,
) -> TwoStageFit:
    """Regress ``y`` on proxies of the endogenous counts.

    Stage 1, for each endogenous count ``Y_k``, on ``X1 = [exogenous, instruments]``::

        log E[Y_k] = X1 pi_k + first_stage_offset,      proxy S_k = X1 pi_k

    Stage 2, on ``X2 = [exogenous, outcome_only, S]``::

        log E[y] = X2 beta + offset,      theta_k = coefficient of S_k

    Variance (Murphy and Topel 1985)::

        A2^-1 (B2 + sum_k C_k V_k C_k') A2^-1,      C_k = -theta_k X2' diag(w2) X1

    with ``V_k`` the HC0 covariance of ``pi_k``, ``w2 = mu2 / (1 + alpha2 mu2)``,
    ``A2 = X2' diag(w2) X2`` and ``B2 = X2' diag(u2^2) X2``, ``u2 = (y - mu2) / (1 + alpha2 mu2)``.

    Parameters
    ----------
    y
        (n_cells,) counts of the outcome.
    endogenous
        (n_endogenous, n_cells) counts.
    design
        Regressors; ``factors`` are those of ``prepare_responses``.
    model_share
        Of the sandwiches of both stages (see ``fit_regressions``).
    """
    exogenous, outcome_only, offset = design.exogenous, design.outcome_only, design.offset
    first_design = np.column_stack([exogenous, design.instruments])
    responses = prepare_responses(
        endogenous,
        offset=design.first_stage_offset,
        factors=design.factors,
        groups=design.instruments,
    )
    first = fit_regressions(
        responses, first_design, design.first_stage_offset, family=family, model_share=model_share
    )
    n_fixed = exogenous.shape[1] + outcome_only.shape[1]
    if not _agree(first, exogenous.shape[1]):
        return _no_effects(first, n_fixed)
    proxies = first_design @ np.nan_to_num(first.coefficients).T
    second_design = np.column_stack([exogenous, outcome_only, proxies])
    own_groups = [c.astype(np.int64) for c in outcome_only.T if np.isin(c, (0.0, 1.0)).all()]
    response = prepare_responses(
        y[None, :],
        offset=offset,
        factors=np.vstack([design.factors, *own_groups]),
        groups=design.instruments,
    )
    second = fit_regressions(
        response, second_design, offset, family=family, model_share=model_share
    )
    if second.status[0] >= FitStatus.NOT_CONVERGED:
        status = np.full(len(endogenous), second.status[0])
        return replace(_no_effects(first, n_fixed), status=status)
    weights = _working_weights(second, second_design, offset, response.row_kinds[0])
    information = _kernels.weighted_cross(second_design, weights, second_design)
    estimable = np.isfinite(second.coefficients[0])
    # sum_k C_k V_k C_k' = G (sum_k theta_k^2 V_k) G', since every candidate shares G = X2' W2 X1.
    theta = np.nan_to_num(second.coefficients[0, n_fixed:])
    noise = np.nan_to_num(first.covariance)
    proxy_variance = np.einsum("k,kab->ab", theta**2, noise)
    cross = _kernels.weighted_cross(second_design, weights, first_design)
    slope = _solve(information, cross, estimable)
    covariance = second.covariance[0] + slope @ proxy_variance @ slope.T
    identified = estimable & ~_entangled(information, estimable)
    status = np.maximum(first.status, second.status[0])
    status[~identified[n_fixed:]] = FitStatus.NOT_IDENTIFIED
    own = np.diagonal(second.covariance[0])[n_fixed:]
    of_proxies = np.einsum("ja,kab,jb->jk", slope[n_fixed:], noise, slope[n_fixed:])
    return TwoStageFit(
        coefficients=np.where(identified, second.coefficients[0], np.nan),
        covariance=np.where(np.outer(identified, identified), covariance, np.nan),
        own_variances=np.where(identified[n_fixed:], own, np.nan),
        proxy_variances=of_proxies,
        dispersion=float(second.dispersion[0]),
        first_stage=first,
        status=status,
    )


def _agree(first: RegressionFit, n_exogenous: int) -> bool:
    """Whether all first stages worked and know the same instruments.

    Where one proxy is missing, or does not know what an instrument does that another knows,
    the effects of the others are no direct effects: nothing holds that variable fixed.
    """
    known = np.isfinite(first.coefficients[:, n_exogenous:])
    worked = (first.status < FitStatus.NOT_CONVERGED).all()
    return bool(worked and (known.any(axis=0) == known.all(axis=0)).all())


def _no_effects(first: RegressionFit, n_fixed: int) -> TwoStageFit:
    """Nothing but a status: that of a failed first stage, or "not identified"."""
    n_columns = n_fixed + len(first.status)
    failed = first.status >= FitStatus.NOT_CONVERGED
    return TwoStageFit(
        coefficients=np.full(n_columns, np.nan),
        covariance=np.full((n_columns, n_columns), np.nan),
        own_variances=np.full(len(failed), np.nan),
        proxy_variances=np.full((len(failed), len(failed)), np.nan),
        dispersion=np.nan,
        first_stage=first,
        status=np.where(failed, first.status, FitStatus.NOT_IDENTIFIED).astype(np.int8),
    )


def _working_weights(
    fit: RegressionFit, design: FloatArray, offset: FloatArray, row_kind: StatusArray
) -> FloatArray:
    """``mu / (1 + alpha mu)`` of a single response, 0 for excluded cells: (n_cells,)."""
    mean = np.exp(fit.linear_predictor(design, 0) + offset)
    weights = mean / (1.0 + fit.dispersion[0] * mean)
    return np.where(row_kind == _kernels.EXCLUDED, 0.0, weights)


def _solve(information: FloatArray, right: FloatArray, kept: BoolArray) -> FloatArray:
    """``information^-1 right`` on the kept columns; rows of the others are 0."""
    solution = np.zeros_like(right)
    if kept.any():
        factor = cho_factor(information[np.ix_(kept, kept)], lower=True)
        solution[kept] = cho_solve(factor, right[kept])
    return solution


def _entangled(information: FloatArray, estimable: BoolArray) -> BoolArray:
    """Columns that explain a dropped column.

    Dropping one of two equal columns hands its coefficient to the other, which then is an
    estimate of neither; so both are reported as not identified.
    """
    scale = np.sqrt(np.diagonal(information))
    dropped = np.flatnonzero(~estimable & (scale > 0))
    combinations = _solve(information, information[:, dropped], estimable)
    shares = np.abs(combinations) * scale[:, None] / scale[dropped]
    return np.asarray((shares > COLLINEAR_SHARE).any(axis=1), dtype=bool)
