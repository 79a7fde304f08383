"""One-stage count regressions against statsmodels, explicit loops and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from argen.errors import FitStatus
from tests.glm.literal import (
    fit,
    make_cells,
    nb_by_statsmodels,
    poisson_by_statsmodels,
    sandwich_by_loops,
)

# Poisson: both iterate Newton until nothing moves; what remains is the rounding of sums over
# some thousand cells times the condition of the information (seen: 1e-14 and 3e-13).
EFFECT = 1e-12
RELATIVE_ERROR = 1e-11
# Negative binomial: the dispersion and the coefficients are found in turn until the logarithm
# of the dispersion moves by less than 1e-10 (seen: 4e-11).
NB_PARAMETER = 1e-9
# Twice the log-likelihood left on the table; the fit asks for 1e-16 before its last step,
# which squares what remains (seen: 3e-20).
LEFT_TO_GAIN = 1e-18
# The same numbers summed in another order.
ROUNDING = 1e-10


def standard_errors(covariance: np.ndarray) -> np.ndarray:
    return np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("mean", "n_cells"), [(0.01, 5000), (1.0, 800), (30.0, 300), (1e4, 300)])
def test_poisson_is_statsmodels_with_hc0(mean, n_cells, seed):
    rng = np.random.default_rng([seed, n_cells])
    cells = make_cells(rng, n_cells, n_perturbations=3)
    # Several responses at once, half of them overdispersed: HC0 must follow the data.
    counts = np.array([cells.counts(rng, mean, rng.normal(0, 0.7, 3), d) for d in (0, 0, 0.5, 2)])
    found = fit(counts, cells.design, cells.offset)
    assert (found.status == FitStatus.OK).all()
    assert (found.dispersion == 0.0).all()
    for r, y in enumerate(counts):
        expected, covariance = poisson_by_statsmodels(y, cells.design, cells.offset)
        np.testing.assert_allclose(found.coefficients[r], expected, rtol=0, atol=EFFECT)
        np.testing.assert_allclose(
            found.std_error[r], standard_errors(covariance), rtol=RELATIVE_ERROR
        )
        scale = np.outer(found.std_error[r], found.std_error[r])
        np.testing.assert_allclose(
            found.covariance[r] / scale, covariance / scale, atol=RELATIVE_ERROR
        )


@pytest.mark.parametrize("family", ["poisson", "nb"])
@pytest.mark.parametrize("overdispersion", [0.0, 2.0])
def test_part_of_the_residuals_gives_way_to_the_model(family, overdispersion):
    rng = np.random.default_rng(3)
    cells = make_cells(rng, 600, n_perturbations=2)
    y = cells.counts(rng, 2.0, [0.8, -0.6], overdispersion)
    found = fit(y, cells.design, cells.offset, family=family, model_share=0.5)
    mean = np.exp(cells.design @ found.coefficients[0] + cells.offset)
    covariance = sandwich_by_loops(y, cells.design, mean, found.dispersion[0], model_share=0.5)
    scale = np.outer(found.std_error[0], found.std_error[0])
    np.testing.assert_allclose(found.covariance[0] / scale, covariance / scale, atol=ROUNDING)
    robust = fit(y, cells.design, cells.offset, family=family)
    np.testing.assert_array_equal(found.coefficients, robust.coefficients)
    assert not np.allclose(found.covariance, robust.covariance, rtol=1e-6)


def test_responses_do_not_touch_each_other():
    rng = np.random.default_rng(0)
    cells = make_cells(rng, 400, 2)
    counts = np.array([cells.counts(rng, 2.0, [0.5, -1.0], d) for d in (0, 1, 3)])
    for family in ("poisson", "nb"):
        together = fit(counts, cells.design, cells.offset, family=family)
        for r, y in enumerate(counts):
            alone = fit(y, cells.design, cells.offset, family=family)
            np.testing.assert_array_equal(alone.coefficients[0], together.coefficients[r])
            np.testing.assert_array_equal(alone.covariance[0], together.covariance[r])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("mean", "dispersion", "n_cells"),
    [(0.2, 3.0, 2500), (2.0, 0.5, 700), (2.0, 4.0, 700), (300.0, 0.3, 300), (1e4, 1.0, 250)],
)
def test_negative_binomial_is_the_joint_maximum_likelihood(mean, dispersion, n_cells, seed):
    rng = np.random.default_rng([seed, n_cells])
    cells = make_cells(rng, n_cells, n_perturbations=2)
    y = cells.counts(rng, mean, [0.8, -0.6], dispersion)
    found = fit(y, cells.design, cells.offset, family="nb")
    assert found.status.tolist() == [FitStatus.OK]
    coefficients, alpha = found.coefficients[0], found.dispersion[0]

    expected = nb_by_statsmodels(y, cells.design, cells.offset)
    parameters = np.append(coefficients, alpha)
    np.testing.assert_allclose(parameters, expected.params, rtol=0, atol=NB_PARAMETER)
    # Sharper than comparing optima: the gain in log-likelihood that statsmodels' own score and
    # Hessian still promise at our estimate is nothing next to 1/2, the price of one standard error.
    score, hessian = expected.model.score(parameters), expected.model.hessian(parameters)
    assert np.linalg.eigvalsh(hessian).max() < 0
    assert -score @ np.linalg.solve(hessian, score) < LEFT_TO_GAIN

    mean_fitted = np.exp(cells.design @ coefficients + cells.offset)
    covariance = sandwich_by_loops(y, cells.design, mean_fitted, alpha)
    scale = np.outer(found.std_error[0], found.std_error[0])
    np.testing.assert_allclose(found.covariance[0] / scale, covariance / scale, atol=ROUNDING)


def test_negative_binomial_sandwich_uses_the_expected_information():
    """Differ from statsmodels' default bread, and say by how much.

    The log link is not canonical for the negative binomial, so the observed information
    ``sum_i mu (1 + alpha y) / (1 + alpha mu)^2 x x'`` is not the expected one, in which y is
    replaced by mu. GLM's robust covariance has the observed one. Both are consistent; the
    expected one is what Fisher scoring has at hand and is never indefinite.
    """
    rng = np.random.default_rng(3)
    cells = make_cells(rng, 900, 2)
    y = cells.counts(rng, 2.0, [0.8, -0.6], 1.0)
    found = fit(y, cells.design, cells.offset, family="nb")
    alpha = found.dispersion[0]
    family = sm.families.NegativeBinomial(alpha=alpha)
    result = sm.GLM(y, cells.design, family=family, offset=cells.offset).fit(
        cov_type="HC0", tol=1e-13, tol_criterion="params", maxiter=300
    )
    np.testing.assert_allclose(found.coefficients[0], result.params, rtol=0, atol=1e-8)

    mean = np.exp(cells.design @ found.coefficients[0] + cells.offset)
    shrink = 1.0 / (1.0 + alpha * mean)
    observed = (cells.design.T * (mean * (1.0 + alpha * y) * shrink**2)) @ cells.design
    meat = (cells.design.T * ((y - mean) * shrink) ** 2) @ cells.design
    with_observed = np.linalg.solve(observed, np.linalg.solve(observed, meat).T)
    np.testing.assert_allclose(result.bse, standard_errors(with_observed), rtol=1e-7)
    ratio = found.std_error[0] / result.bse
    assert 1e-5 < np.abs(ratio - 1.0).max() < 0.1


def test_underdispersed_counts_fall_back_to_poisson():
    rng = np.random.default_rng(1)
    cells = make_cells(rng, 500, 2)
    y = rng.binomial(6, 0.5, 500).astype(float)
    as_nb = fit(y, cells.design, 0.0 * cells.offset, family="nb")
    as_poisson = fit(y, cells.design, 0.0 * cells.offset)
    assert as_nb.status.tolist() == [FitStatus.POISSON_FALLBACK]
    assert as_nb.dispersion.tolist() == [0.0]
    np.testing.assert_array_equal(as_nb.coefficients, as_poisson.coefficients)
    np.testing.assert_array_equal(as_nb.covariance, as_poisson.covariance)


@pytest.mark.parametrize("family", ["poisson", "nb"])
def test_the_later_of_collinear_columns_is_missing(family):
    rng = np.random.default_rng(2)
    cells = make_cells(rng, 600, 2)
    y = cells.counts(rng, 3.0, [0.5, -0.5], 1.0)
    numeric = cells.numeric
    redundant = np.column_stack(
        [
            cells.exogenous,
            np.zeros(600),  # a column of zeros
            2.0 * numeric - 1.0,  # explained by the intercept and the covariate
            cells.perturbed,
            cells.perturbed.sum(axis=1),  # explained by the perturbations
        ]
    )
    found = fit(y, redundant, cells.offset, family=family)
    missing = [4, 5, 8]
    estimable = [0, 1, 2, 3, 6, 7]
    assert np.isnan(found.coefficients[0, missing]).all()
    assert np.isnan(found.covariance[0][missing]).all()
    assert np.isnan(found.covariance[0][:, missing]).all()
    expected = fit(y, cells.design, cells.offset, family=family)
    np.testing.assert_allclose(
        found.coefficients[0, estimable], expected.coefficients[0], rtol=0, atol=ROUNDING
    )
    np.testing.assert_allclose(
        found.std_error[0, estimable], expected.std_error[0], rtol=RELATIVE_ERROR
    )
    np.testing.assert_allclose(
        found.linear_predictor(redundant, 0),
        expected.linear_predictor(cells.design, 0),
        atol=ROUNDING,
    )


@pytest.mark.parametrize("family", ["poisson", "nb"])
def test_a_response_without_counts_has_a_status_of_its_own(family):
    rng = np.random.default_rng(3)
    cells = make_cells(rng, 300, 2)
    counts = np.array([np.zeros(300), cells.counts(rng, 2.0, [0.0, 0.0], 1.0)])
    found = fit(counts, cells.design, cells.offset, family=family, groups=cells.perturbed)
    assert found.status.tolist() == [FitStatus.ZERO_COUNTS, FitStatus.OK]
    assert np.isnan(found.coefficients[0]).all()
    assert np.isnan(found.covariance[0]).all()
    assert np.isfinite(found.std_error[1]).all()
    nothing = fit(counts[:1], cells.design, cells.offset, family=family)
    assert nothing.status.tolist() == [FitStatus.ZERO_COUNTS]
