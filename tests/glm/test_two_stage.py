"""Two-stage regression against a slow twin: statsmodels fits, Murphy and Topel by loops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from argen.errors import FitStatus
from argen.glm.two_stage import TwoStageDesign, TwoStageFit, fit_two_stage
from tests.glm.literal import (
    Cells,
    fit,
    make_cells,
    nb_by_statsmodels,
    poisson_by_statsmodels,
    sandwich_by_loops,
)

# Rounding times the condition of the information, which proxies make worse than indicators do.
EFFECT = 1e-9
RELATIVE_ERROR = 1e-8
# Dispersions are found to a relative 1e-10 (see test_regression), the effects of two stages
# follow.
NB_EFFECT = 1e-7
NB_RELATIVE_ERROR = 1e-7

TOLERANCES = {"poisson": (EFFECT, RELATIVE_ERROR), "nb": (NB_EFFECT, NB_RELATIVE_ERROR)}


@dataclass(frozen=True)
class Problem:
    """Counts of a chain of effects; the last perturbation is the outcome's own."""

    cells: Cells
    endogenous: np.ndarray  # (n_endogenous, n_cells)
    y: np.ndarray  # (n_cells,)

    @property
    def instruments(self) -> np.ndarray:
        return self.cells.perturbed[:, :-1]

    @property
    def own(self) -> np.ndarray:
        return self.cells.perturbed[:, -1:]

    def fit(self, family: str = "poisson", **changes) -> TwoStageFit:
        given = {
            "instruments": self.instruments,
            "exogenous": self.cells.exogenous,
            "outcome_only": self.own,
            "offset": self.cells.offset,
            "first_stage_offset": self.cells.offset,
            "factors": self.cells.batch[None],
            **changes,
        }
        y, endogenous = given.pop("y", self.y), given.pop("endogenous", self.endogenous)
        return fit_two_stage(y, endogenous, TwoStageDesign(**given), family=family)


def make_problem(seed: int, n_instruments: int, n_endogenous: int, dispersion: float) -> Problem:
    """Draw counts: each endogenous gene has its own instrument and the ones before it."""
    rng = np.random.default_rng(seed)
    cells = make_cells(rng, 900, n_instruments + 1)
    own_effects = -1.2 * np.eye(n_endogenous, n_instruments + 1)
    spill = np.tril(rng.normal(0.0, 0.3, own_effects.shape), -1)
    if n_instruments > n_endogenous:
        spill[:, n_endogenous:n_instruments] = 0.9
    endogenous = [cells.counts(rng, 4.0, effects, dispersion) for effects in own_effects + spill]
    theta = rng.normal(0.0, 0.5, n_endogenous)
    effects = theta @ (own_effects + spill)
    effects[-1] = -1.0
    return Problem(cells, np.array(endogenous), cells.counts(rng, 3.0, effects, dispersion))


def stage_by_statsmodels(
    y: np.ndarray, design: np.ndarray, offset: np.ndarray, family: str
) -> tuple[np.ndarray, float]:
    if family == "poisson":
        return poisson_by_statsmodels(y, design, offset)[0], 0.0
    parameters = nb_by_statsmodels(y, design, offset).params
    return parameters[:-1], float(parameters[-1])


def slow_two_stage(problem: Problem, family: str) -> tuple[np.ndarray, np.ndarray]:
    """Effects of the proxies and their Murphy-Topel covariance.

    ``A2^-1 (B2 + sum_k C_k V_k C_k') A2^-1``, cell by cell, with dense proxies.
    """
    cells = problem.cells
    first_design = np.column_stack([cells.exogenous, problem.instruments])
    proxies, first_covariances = [], []
    for counts in problem.endogenous:
        pi, alpha = stage_by_statsmodels(counts, first_design, cells.offset, family)
        proxies.append(first_design @ pi)
        mean = np.exp(first_design @ pi + cells.offset)
        first_covariances.append(sandwich_by_loops(counts, first_design, mean, alpha))
    second_design = np.column_stack([cells.exogenous, problem.own, *proxies])
    beta, alpha = stage_by_statsmodels(problem.y, second_design, cells.offset, family)
    mean = np.exp(second_design @ beta + cells.offset)
    theta = beta[-len(proxies) :]

    n_columns = second_design.shape[1]
    information, middle = np.zeros((n_columns, n_columns)), np.zeros((n_columns, n_columns))
    crosses = [np.zeros((n_columns, first_design.shape[1])) for _ in proxies]
    for i in range(len(mean)):
        weight = mean[i] / (1.0 + alpha * mean[i])
        residual = (problem.y[i] - mean[i]) / (1.0 + alpha * mean[i])
        information += weight * np.outer(second_design[i], second_design[i])
        middle += residual**2 * np.outer(second_design[i], second_design[i])
        for k, cross in enumerate(crosses):
            cross -= theta[k] * weight * np.outer(second_design[i], first_design[i])
    for cross, covariance in zip(crosses, first_covariances, strict=True):
        middle += cross @ covariance @ cross.T
    return beta, np.linalg.solve(information, np.linalg.solve(information, middle).T)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n_instruments", "n_endogenous"), [(1, 1), (3, 3), (2, 1), (4, 2)])
@pytest.mark.parametrize("family", ["poisson", "nb"])
def test_estimates_and_errors_are_those_of_the_slow_twin(family, n_instruments, n_endogenous, seed):
    """Just identified (one instrument each) and over-identified (more instruments)."""
    problem = make_problem(seed, n_instruments, n_endogenous, dispersion=0.6)
    found = problem.fit(family)
    assert found.status.tolist() == [FitStatus.OK] * n_endogenous
    coefficients, covariance = slow_two_stage(problem, family)
    atol, rtol = TOLERANCES[family]
    np.testing.assert_allclose(found.coefficients, coefficients, rtol=0, atol=atol)
    np.testing.assert_allclose(found.effect, coefficients[-n_endogenous:], rtol=0, atol=atol)
    errors = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(found.std_error, errors[-n_endogenous:], rtol=rtol)
    scale = np.outer(errors, errors)
    np.testing.assert_allclose(found.covariance / scale, covariance / scale, rtol=0, atol=rtol)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("family", ["poisson", "nb"])
def test_one_instrument_each_turns_two_stages_into_a_linear_system(family, seed):
    """theta = solve(Pi', delta), with no proxy in sight.

    The proxies and the exogenous columns span what the instruments and the exogenous columns
    span, so stage 2 has the fitted means of the regression on the instruments themselves:
    ``delta = Pi' theta``, row k of Pi being the first-stage coefficients of gene k.
    """
    problem = make_problem(seed, 4, 4, dispersion=0.6)
    cells = problem.cells
    reduced = np.column_stack([cells.exogenous, problem.own, problem.instruments])
    delta = fit(problem.y, reduced, cells.offset, family=family).coefficients[0, -4:]
    first_design = np.column_stack([cells.exogenous, problem.instruments])
    pi = fit(problem.endogenous, first_design, cells.offset, family=family).coefficients[:, -4:]
    found = problem.fit(family)
    np.testing.assert_allclose(
        found.effect, np.linalg.solve(pi.T, delta), rtol=0, atol=TOLERANCES[family][0]
    )
    np.testing.assert_array_equal(found.first_stage.coefficients[:, -4:], pi)


def test_stages_may_have_different_offsets():
    problem = make_problem(1, 2, 2, dispersion=0.5)
    shift = np.random.default_rng(0).normal(size=len(problem.y))
    found = problem.fit(first_stage_offset=shift)
    first_design = np.column_stack([problem.cells.exogenous, problem.instruments])
    proxies = [
        first_design @ poisson_by_statsmodels(counts, first_design, shift)[0]
        for counts in problem.endogenous
    ]
    design = np.column_stack([problem.cells.exogenous, problem.own, *proxies])
    expected = poisson_by_statsmodels(problem.y, design, problem.cells.offset)[0]
    np.testing.assert_allclose(found.coefficients, expected, rtol=0, atol=EFFECT)


@pytest.mark.parametrize("family", ["poisson", "nb"])
def test_own_group_without_counts_leaves_the_second_stage(family):
    """Its cells still tell the first stage about the candidates' covariates."""
    problem = make_problem(2, 2, 2, dispersion=0.6)
    own = problem.own[:, 0] == 1.0
    silent = Problem(problem.cells, problem.endogenous, np.where(own, 0.0, problem.y))
    found = silent.fit(family)
    assert found.status.tolist() == [FitStatus.OK, FitStatus.OK]
    n_exogenous = problem.cells.exogenous.shape[1]
    assert np.isnan(found.coefficients[n_exogenous])
    assert np.isnan(found.covariance[n_exogenous]).all()

    first_design = np.column_stack([problem.cells.exogenous, problem.instruments])
    first = fit(problem.endogenous, first_design, problem.cells.offset, family=family)
    np.testing.assert_array_equal(found.first_stage.coefficients, first.coefficients)
    proxies = np.column_stack([first.linear_predictor(first_design, k) for k in (0, 1)])
    second = np.column_stack([problem.cells.exogenous, proxies])[~own]
    expected = fit(problem.y[~own], second, problem.cells.offset[~own], family=family)
    np.testing.assert_allclose(
        found.effect, expected.coefficients[0, -2:], rtol=0, atol=TOLERANCES[family][0]
    )
    mean = np.exp(second @ expected.coefficients[0] + problem.cells.offset[~own])
    weight = mean / (1.0 + expected.dispersion[0] * mean)
    slope = np.linalg.solve((second.T * weight) @ second, (second.T * weight) @ first_design[~own])
    covariance = expected.covariance[0]
    for theta, first_covariance in zip(found.effect, first.covariance, strict=True):
        covariance = covariance + theta**2 * slope @ first_covariance @ slope.T
    np.testing.assert_allclose(
        found.std_error, np.sqrt(np.diag(covariance))[-2:], rtol=TOLERANCES[family][1]
    )


def test_group_without_counts_of_the_outcome_gets_half_a_count():
    problem = make_problem(3, 2, 2, dispersion=0.6)
    instrument = problem.instruments[:, 1] == 1.0
    silent = Problem(problem.cells, problem.endogenous, np.where(instrument, 0.0, problem.y))
    found = silent.fit()
    assert found.status.tolist() == [FitStatus.HALF_COUNT, FitStatus.HALF_COUNT]
    reduced = np.column_stack([problem.cells.exogenous, problem.own, problem.instruments])
    delta = fit(silent.y, reduced, problem.cells.offset, groups=problem.instruments)
    pi = found.first_stage.coefficients[:, -2:]
    np.testing.assert_allclose(
        found.effect, np.linalg.solve(pi.T, delta.coefficients[0, -2:]), rtol=0, atol=EFFECT
    )
    assert np.isfinite(found.std_error).all()
