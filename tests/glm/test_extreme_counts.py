"""Inputs at the edge of floating point or of estimability: a status, never an exception."""

from __future__ import annotations

import numpy as np
import pytest

from argen.errors import FitStatus
from tests.glm.literal import fit, make_cells

FAMILIES = ["poisson", "nb"]
# The intercept absorbs a shift of the offset; both are of this size, so rounding is relative.
SHIFT = 1e-12


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shift", [-690.0, -300.0, -50.0, 50.0, 300.0, 690.0])
def test_offsets_over_the_range_of_floating_point(shift, family):
    rng = np.random.default_rng(0)
    cells = make_cells(rng, 400, 2)
    y = cells.counts(rng, 3.0, [0.5, -0.5], 1.0)
    plain = fit(y, cells.design, cells.offset, family=family)
    shifted = fit(y, cells.design, cells.offset + shift, family=family)
    assert shifted.status.tolist() == [FitStatus.OK]
    assert shifted.coefficients[0, 0] == pytest.approx(plain.coefficients[0, 0] - shift, rel=SHIFT)
    tolerance = SHIFT * abs(shift)
    np.testing.assert_allclose(
        shifted.coefficients[0, 1:], plain.coefficients[0, 1:], rtol=0, atol=tolerance
    )
    np.testing.assert_allclose(shifted.std_error, plain.std_error, rtol=tolerance)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [1.0, 1e3, 1e6])
def test_counts_up_to_a_million_against_the_closed_form(size, family):
    """Two groups of equal exposure: the effect is the logarithm of the ratio of the means."""
    rng = np.random.default_rng(1)
    perturbed = np.repeat([0.0, 1.0], [80, 40])
    y = rng.poisson(size * rng.gamma(1.0, 1.0, 120)).astype(float) + perturbed
    found = fit(y, np.column_stack([np.ones(120), perturbed]), np.zeros(120), family=family)
    assert found.status.tolist() == [FitStatus.OK]
    means = y[:80].mean(), y[80:].mean()
    # The Poisson likelihood has the same maximum as the negative binomial one in each group.
    np.testing.assert_allclose(
        found.coefficients[0], [np.log(means[0]), np.log(means[1] / means[0])], rtol=0, atol=1e-10
    )
    # Weights are equal within a group, so in both families the HC0 variance of a log mean is
    # the sum of the squared residuals over the square of the sum.
    variances = [np.sum((g - g.mean()) ** 2) / g.sum() ** 2 for g in (y[:80], y[80:])]
    np.testing.assert_allclose(
        found.std_error[0], np.sqrt([variances[0], sum(variances)]), rtol=1e-10
    )


@pytest.mark.parametrize("dispersion", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("mean", [1e3, 3e4])
def test_overdispersed_large_counts_converge(mean, dispersion):
    """Terms of ``y log mu`` cancel in the negative-binomial likelihood, and must not drown it."""
    rng = np.random.default_rng(2)
    cells = make_cells(rng, 300, 2)
    counts = np.array([cells.counts(rng, mean, [0.5, -0.5], dispersion) for _ in range(8)])
    found = fit(counts, cells.design, cells.offset, family="nb")
    assert (found.status == FitStatus.OK).all()
    # Eight estimates from 300 cells: the dispersion is known to about a tenth.
    np.testing.assert_allclose(found.dispersion, dispersion, rtol=0.5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("where", ["edge", "half"])
def test_a_numeric_covariate_that_separates_ends_with_a_status(where, family):
    """The fit must end, also when the slope is infinite and nothing but two cells remains."""
    rng = np.random.default_rng(3)
    n_cells = 300
    x = rng.normal(size=n_cells)
    perturbed = (rng.random(n_cells) < 0.2).astype(float)
    y = np.zeros(n_cells)
    if where == "edge":
        for group in (0.0, 1.0):  # counts in the last cell of either group
            members = np.flatnonzero(perturbed == group)
            y[members[np.argmax(x[members])]] = 3.0
    else:
        y[x > 0.0] = rng.poisson(3.0, np.sum(x > 0.0))
    for scale in (1.0, 1e6):
        data = np.column_stack([np.ones(n_cells), scale * x, perturbed])
        found = fit(y, data, np.zeros(n_cells), family=family)
        assert found.status[0] in (
            FitStatus.OK,
            FitStatus.POISSON_FALLBACK,
            FitStatus.NOT_CONVERGED,
        )
        estimates = found.coefficients[0]
        assert np.isfinite(estimates[~np.isnan(estimates)]).all()
        if where == "edge":  # two cells cannot tell an intercept, a slope and an effect apart
            assert found.status[0] == FitStatus.NOT_CONVERGED
            assert np.isnan(estimates).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_outlying_covariate_values_keep_the_other_coefficients(family):
    rng = np.random.default_rng(4)
    cells = make_cells(rng, 300, 2)
    y = cells.counts(rng, 3.0, [0.5, -0.5], 0.5)
    for value in (1e4, 1e8):
        wild = np.where(np.arange(300) == 0, value, 0.0)
        data = np.column_stack([cells.exogenous, wild, cells.perturbed])
        found = fit(y, data, cells.offset, family=family)
        assert found.status.tolist() == [FitStatus.OK]
        # A column that touches one cell takes that cell out of the fit.
        rest = slice(1, None)
        expected = fit(y[rest], cells.design[rest], cells.offset[rest])
        if family == "poisson":
            others = [0, 1, 2, 3, 5, 6]
            np.testing.assert_allclose(
                found.coefficients[0, others], expected.coefficients[0], rtol=0, atol=1e-9
            )


@pytest.mark.parametrize("family", FAMILIES)
def test_hardly_any_cells(family):
    one = fit(np.array([3.0]), np.ones((1, 1)), np.zeros(1), family=family)
    assert one.coefficients[0, 0] == pytest.approx(np.log(3.0), rel=1e-14)
    more_columns_than_cells = np.array([[1.0, 0.0, 2.0], [1.0, 1.0, 5.0]])
    two = fit(np.array([4.0, 1.0]), more_columns_than_cells, np.zeros(2), family=family)
    np.testing.assert_allclose(two.coefficients[0], [np.log(4.0), -np.log(4.0), np.nan], rtol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_single_count(family):
    rng = np.random.default_rng(5)
    cells = make_cells(rng, 200, 2)
    y = np.zeros(200)
    y[17] = 1.0
    found = fit(
        y,
        cells.design,
        cells.offset,
        factors=cells.batch[None],
        groups=cells.perturbed,
        family=family,
    )
    assert found.status[0] in (FitStatus.HALF_COUNT, FitStatus.NOT_CONVERGED)
