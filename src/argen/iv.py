"""Two-stage Poisson regression with instruments, on plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from argen.arrays import FloatArray, StatusArray
from argen.config import Family
from argen.errors import FitStatus, InputError, first_few
from argen.glm import TwoStageDesign, fit_two_stage
from argen.pvalues import critical_value, two_sided


@dataclass(frozen=True, slots=True)
class IVPoissonResult:
    """Second-stage coefficients, with the first stage behind them.

    Coefficients are changes of the log mean of the outcome per unit of the regressor; for an
    endogenous count the unit is one of its log mean. Columns are in the order exogenous,
    outcome-only, endogenous.
    """

    names: tuple[str, ...]  # (n_columns,)
    coefficients: FloatArray  # (n_columns,)
    std_error: FloatArray  # (n_columns,), Murphy-Topel
    covariance: FloatArray  # (n_columns, n_columns)
    endogenous: tuple[str, ...]  # (n_endogenous,)
    status: StatusArray  # (n_endogenous,)
    first_stage: pd.DataFrame  # coefficients: one row per endogenous, one column per regressor
    dispersion: float  # of the second stage; 0 for Poisson
    n_observations: int

    def to_frame(self, confidence: float = 0.95) -> pd.DataFrame:
        """Return one row per coefficient, with interval, z, p_value and log10_p."""
        margin = critical_value(confidence) * self.std_error
        z = self.coefficients / self.std_error
        p_value, log10_p = two_sided(z)
        return pd.DataFrame(
            {
                "effect": self.coefficients,
                "std_error": self.std_error,
                "ci_low": self.coefficients - margin,
                "ci_high": self.coefficients + margin,
                "z": z,
                "p_value": p_value,
                "log10_p": log10_p,
            },
            index=pd.Index(self.names, name="term"),
        )

    def summary(self) -> str:
        """Return the table of coefficients and what to know about the fits."""
        lines = [
            f"Two-stage count regression, {self.n_observations:,} observations, "
            f"{len(self.endogenous)} endogenous, Murphy-Topel errors",
            self.to_frame().to_string(float_format="%.4g"),
        ]
        for name, status in zip(self.endogenous, self.status, strict=True):
            if status != FitStatus.OK:
                lines.append(f"{name}: {FitStatus(status).name}: {FitStatus(status).advice}")
        return "\n".join(lines)


def iv_poisson(
    y: ArrayLike,
    endogenous: ArrayLike,
    instruments: ArrayLike,
    exogenous: ArrayLike | None = None,
    *,
    outcome_exogenous: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    first_stage_offset: ArrayLike | None = None,
    family: Family = "poisson",
) -> IVPoissonResult:
    """Estimate the effect of endogenous counts on a count outcome by instruments.

    Each endogenous count is regressed on the instruments and the exogenous variables; its
    fitted log mean is a proxy that confounders of the outcome cannot reach. The outcome is
    then regressed on the proxies::

        log E[Y_k] = first_stage_offset + Z pi_k,            Z = [1, exogenous, instruments]
        log E[y]   = offset + [1, exogenous, outcome_exogenous] b + sum_k theta_k (Z pi_k)

    Both by (quasi-)maximum likelihood. Only the means matter: ``y`` and ``endogenous`` need not
    be Poisson. Standard errors combine the HC0 sandwiches of both stages as Murphy and Topel
    (1985) do. That takes the residuals of the two stages as uncorrelated; where a hidden cause
    moves both, the errors can be too small or too large.

    Parameters
    ----------
    y
        (n,) outcome, non-negative.
    endogenous
        (n,) or (n, n_endogenous) counts, non-negative.
    instruments
        (n,) or (n, n_instruments), at least as many as endogenous variables.
    exogenous
        (n, n_exogenous) regressors of both stages. 0/1 columns are taken as indicators.
    outcome_exogenous
        (n, n_outcome_exogenous) regressors of the second stage alone.
    offset, first_stage_offset
        (n,) log exposure of the outcome, and of the endogenous counts; the latter is
        ``offset`` when None.
    family
        ``"poisson"``, or ``"nb"``: negative binomial with a dispersion per regression.

    Raises
    ------
    InputError
        When shapes disagree, values are not finite or counts negative, or instruments are
        fewer than endogenous variables.

    Notes
    -----
    Pandas objects lend their names to the result.

    Examples
    --------
    >>> import numpy as np, argen
    >>> rng = np.random.default_rng(1)
    >>> hidden, guide = rng.normal(size=20_000), rng.integers(0, 2, 20_000)
    >>> log_cause = 1.0 - guide + hidden
    >>> cause = rng.poisson(np.exp(log_cause))
    >>> outcome = rng.poisson(np.exp(0.5 * log_cause - hidden))
    >>> fit = argen.iv_poisson(outcome, cause, guide)
    >>> bool(abs(fit.to_frame().loc["endogenous", "effect"] - 0.5) < 0.1)
    True
    """
    outcome, _ = _block(y, "y")
    if outcome.shape[1] != 1:
        raise InputError(f"y must be one column, not {outcome.shape[1]}.")
    n = len(outcome)
    blocks = {
        "endogenous": _block(endogenous, "endogenous"),
        "instruments": _block(instruments, "instrument"),
        "exogenous": _block(exogenous, "exogenous", n),
        "outcome_exogenous": _block(outcome_exogenous, "outcome_exogenous", n),
    }
    offsets = {
        "offset": _block(np.zeros(n) if offset is None else offset, "offset")[0],
    }
    offsets["first_stage_offset"] = (
        offsets["offset"]
        if first_stage_offset is None
        else _block(first_stage_offset, "first_stage_offset")[0]
    )
    _check(outcome, blocks, offsets)
    causes, cause_names = blocks["endogenous"]
    shared, shared_names = blocks["exogenous"]
    own, own_names = blocks["outcome_exogenous"]
    indicators = [c.astype(np.int64) for c in shared.T if np.isin(c, (0.0, 1.0)).all()]
    shared_names = ("intercept", *shared_names)
    design = TwoStageDesign(
        instruments=blocks["instruments"][0],
        exogenous=np.column_stack([np.ones(n), shared]),
        outcome_only=own,
        offset=offsets["offset"][:, 0],
        first_stage_offset=offsets["first_stage_offset"][:, 0],
        factors=np.array(indicators, dtype=np.int64).reshape(len(indicators), n),
    )
    fit = fit_two_stage(outcome[:, 0], causes.T, design, family=family)
    return IVPoissonResult(
        names=(*shared_names, *own_names, *cause_names),
        coefficients=fit.coefficients,
        std_error=np.sqrt(np.diagonal(fit.covariance)),
        covariance=fit.covariance,
        endogenous=cause_names,
        status=fit.status,
        first_stage=pd.DataFrame(
            fit.first_stage.coefficients,
            index=list(cause_names),
            columns=[*shared_names, *blocks["instruments"][1]],
        ),
        dispersion=fit.dispersion,
        n_observations=n,
    )


def _block(
    values: ArrayLike | None, name: str, n_rows: int = 0
) -> tuple[FloatArray, tuple[str, ...]]:
    """Return values as columns, with a name for each."""
    if values is None:
        return np.empty((n_rows, 0)), ()
    if isinstance(values, pd.DataFrame):
        return values.to_numpy(dtype=np.float64), tuple(map(str, values.columns))
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 1:
        label = getattr(values, "name", None)
        return array[:, None], (name if label is None else str(label),)
    if array.ndim != 2:
        raise InputError(f"{name} must have one or two dimensions, not {array.ndim}.")
    n_columns = array.shape[1]
    return array, (name,) if n_columns == 1 else tuple(f"{name}{c}" for c in range(n_columns))


def _check(
    outcome: FloatArray,
    blocks: dict[str, tuple[FloatArray, tuple[str, ...]]],
    offsets: dict[str, FloatArray],
) -> None:
    arrays = {"y": outcome, **{name: block for name, (block, _) in blocks.items()}, **offsets}
    for name, array in arrays.items():
        if len(array) != len(outcome):
            raise InputError(f"{name} has {len(array):,} rows, but y has {len(outcome):,}.")
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
        if len(bad):
            raise InputError(
                f"{name} holds NaN or infinite values in {len(bad):,} rows (first: "
                f"{first_few(bad)}). Leave those rows out."
            )
        if name in ("y", "endogenous") and (array < 0).any():
            rows = np.flatnonzero((array < 0).any(axis=1))
            raise InputError(
                f"{name} is negative in {len(rows):,} rows (first: {first_few(rows)})."
            )
    n_endogenous, n_instruments = len(blocks["endogenous"][1]), len(blocks["instruments"][1])
    if not 1 <= n_endogenous <= n_instruments:
        raise InputError(
            f"There are {n_instruments} instruments for {n_endogenous} endogenous variables: "
            "expected at least one endogenous variable and as many instruments."
        )
    n_needed = sum(len(names) for _, names in blocks.values())
    if len(outcome) <= n_needed:
        raise InputError(f"There are {len(outcome)} rows for about {n_needed} coefficients.")
