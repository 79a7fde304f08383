"""Slow twins of the count regressions: statsmodels for the optimum, plain loops for the errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm
from statsmodels.discrete.discrete_model import NegativeBinomialResults

from argen.glm.regression import RegressionFit, fit_regressions, prepare_responses

NO_FACTORS = np.empty((0, 0), dtype=np.int64)


@dataclass(frozen=True)
class Cells:
    """Regressors of a made-up screen: one batch, one numeric covariate, one-hot perturbations."""

    batch: np.ndarray  # (n_cells,) codes 0..2
    numeric: np.ndarray  # (n_cells,)
    perturbed: np.ndarray  # (n_cells, n_perturbations)
    offset: np.ndarray  # (n_cells,)

    @property
    def exogenous(self) -> np.ndarray:
        """Intercept, indicators of batches 1 and 2, numeric covariate."""
        batches = [self.batch == level for level in (1, 2)]
        return np.column_stack([np.ones(len(self.batch)), *batches, self.numeric])

    @property
    def design(self) -> np.ndarray:
        return np.column_stack([self.exogenous, self.perturbed])

    def counts(
        self,
        rng: np.random.Generator,
        mean: float,
        effects: np.ndarray | list[float],
        dispersion: float = 0.0,
    ) -> np.ndarray:
        """Draw Poisson or negative-binomial counts that no perturbation sees vanish."""
        log_mean = self.offset + 0.3 * self.numeric - 0.2 * self.batch + self.perturbed @ effects
        rate = mean * np.exp(log_mean)
        if dispersion > 0.0:
            rate = rate * rng.gamma(1.0 / dispersion, dispersion, size=len(rate))
        counts = rng.poisson(rate).astype(np.float64)
        for members in (self.perturbed == 1.0).T:
            if not counts[members].any():
                counts[np.argmax(members)] = 1.0
        return counts


def make_cells(rng: np.random.Generator, n_cells: int, n_perturbations: int) -> Cells:
    """A tenth of the cells for each perturbation, controls for the rest."""
    carried = rng.integers(0, 10, n_cells)
    return Cells(
        batch=rng.integers(0, 3, n_cells),
        numeric=rng.normal(size=n_cells),
        perturbed=(carried[:, None] == np.arange(n_perturbations)).astype(np.float64),
        offset=rng.normal(0.0, 0.4, n_cells),
    )


def fit(
    counts: np.ndarray,
    design: np.ndarray,
    offset: np.ndarray,
    *,
    family: str = "poisson",
    factors: np.ndarray = NO_FACTORS,
    groups: np.ndarray | None = None,
    model_share: float = 0.0,
) -> RegressionFit:
    """Fit what ``prepare_responses`` makes of the counts, (n_cells,) or (n_responses, n_cells)."""
    prepared = prepare_responses(
        np.atleast_2d(counts), offset=offset, factors=factors, groups=groups
    )
    return fit_regressions(prepared, design, offset, family=family, model_share=model_share)


def poisson_by_statsmodels(
    y: np.ndarray, design: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and HC0 covariance of a Poisson GLM, iterated until nothing moves."""
    model = sm.GLM(y, design, family=sm.families.Poisson(), offset=offset)
    result = model.fit(cov_type="HC0", tol=1e-13, tol_criterion="params", maxiter=300)
    return result.params, result.cov_params()


def nb_by_statsmodels(
    y: np.ndarray, design: np.ndarray, offset: np.ndarray
) -> NegativeBinomialResults:
    """Joint maximum likelihood: quasi-Newton from the Poisson fit, then Newton.

    ``params`` are the coefficients and alpha, the variance being ``mu + alpha mu^2``.
    """
    model = sm.NegativeBinomial(y, design, loglike_method="nb2", offset=offset)
    start = np.append(poisson_by_statsmodels(y, design, offset)[0], 0.5)
    rough = model.fit(start_params=start, method="bfgs", maxiter=500, gtol=1e-4, disp=0)
    return model.fit(start_params=rough.params, method="newton", tol=1e-12, disp=0)


def sandwich_by_loops(
    y: np.ndarray,
    design: np.ndarray,
    mean: np.ndarray,
    dispersion: float = 0.0,
    model_share: float = 0.0,
) -> np.ndarray:
    """``A^-1 B A^-1`` with the *expected* information A, one cell and one entry at a time."""
    n_cells, n_columns = design.shape
    excess = sum((y[i] - mean[i]) ** 2 - mean[i] for i in range(n_cells))
    phi = max(excess / sum(mean[i] ** 2 for i in range(n_cells)), 0.0)
    bread, meat = np.zeros((n_columns, n_columns)), np.zeros((n_columns, n_columns))
    for i in range(n_cells):
        weight = mean[i] / (1.0 + dispersion * mean[i])
        expected = (mean[i] + phi * mean[i] ** 2) / (1.0 + dispersion * mean[i]) ** 2
        squared = ((y[i] - mean[i]) / (1.0 + dispersion * mean[i])) ** 2
        variance = (1.0 - model_share) * squared + model_share * expected
        for a in range(n_columns):
            for b in range(n_columns):
                bread[a, b] += weight * design[i, a] * design[i, b]
                meat[a, b] += variance * design[i, a] * design[i, b]
    return np.linalg.solve(bread, np.linalg.solve(bread, meat).T)
