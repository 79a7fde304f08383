"""Cells without counts: levels that drop out, perturbed groups that get half a count."""

from __future__ import annotations

import numpy as np
import pytest

from argen.errors import FitStatus
from argen.glm.regression import prepare_responses
from tests.glm.literal import Cells, fit, make_cells, poisson_by_statsmodels

# The same sums over the same cells: nothing but rounding may differ.
SAME_FIT = 1e-12
# Against statsmodels or a closed form: rounding times the condition of the information.
EFFECT = 1e-10
RELATIVE_ERROR = 1e-9

FAMILIES = ["poisson", "nb"]


def emptied(level: int, seed: int = 0, n_cells: int = 900) -> tuple[Cells, np.ndarray]:
    """Cells and a response whose counts vanish in one batch."""
    rng = np.random.default_rng(seed)
    cells = make_cells(rng, n_cells, 2)
    counts = cells.counts(rng, 2.0, [0.7, -0.5], 1.0)
    counts[cells.batch == level] = 0.0
    return cells, counts


def subset(cells: Cells, keep: np.ndarray) -> Cells:
    return Cells(cells.batch[keep], cells.numeric[keep], cells.perturbed[keep], cells.offset[keep])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_empty_level_drops_out_with_its_cells(level, family):
    """Level 0 is the reference: without its cells the intercept takes the place of another."""
    cells, counts = emptied(level)
    found = fit(counts, cells.design, cells.offset, factors=cells.batch[None], family=family)
    rest = subset(cells, cells.batch != level)
    expected = fit(
        counts[cells.batch != level],
        rest.design,
        rest.offset,
        factors=rest.batch[None],
        family=family,
    )
    assert found.status.tolist() == expected.status.tolist() == [FitStatus.OK]
    np.testing.assert_array_equal(np.isnan(found.coefficients), np.isnan(expected.coefficients))
    np.testing.assert_allclose(found.coefficients, expected.coefficients, rtol=SAME_FIT)
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=0, atol=SAME_FIT)
    np.testing.assert_allclose(found.dispersion, expected.dispersion, rtol=SAME_FIT)
    missing = 2 if level == 0 else level
    assert np.flatnonzero(np.isnan(found.coefficients[0])).tolist() == [missing]


@pytest.mark.parametrize("level", [0, 1, 2])
def test_empty_level_leaves_what_statsmodels_fits_to_the_other_cells(level):
    cells, counts = emptied(level, seed=1)
    found = fit(counts, cells.design, cells.offset, factors=cells.batch[None])
    keep = cells.batch != level
    rest = subset(cells, keep)
    dummy = rest.batch == rest.batch.max()
    reduced = np.column_stack([np.ones(len(dummy)), dummy, rest.numeric, rest.perturbed])
    expected, covariance = poisson_by_statsmodels(counts[keep], reduced, rest.offset)
    np.testing.assert_allclose(found.coefficients[0, 3:], expected[2:], rtol=0, atol=EFFECT)
    np.testing.assert_allclose(
        found.std_error[0, 3:], np.sqrt(np.diag(covariance))[2:], rtol=RELATIVE_ERROR
    )


def test_empty_level_is_the_limit_of_an_almost_empty_one():
    """A count of epsilon in the level, in place of none, moves nothing by more than epsilon."""
    cells, counts = emptied(1)
    limit = fit(counts, cells.design, cells.offset, factors=cells.batch[None])
    epsilon = 1e-8
    almost = counts.copy()
    almost[cells.batch == 1] = epsilon / np.sum(cells.batch == 1)
    near = fit(almost, cells.design, cells.offset, factors=cells.batch[None])
    others = [0, 2, 3, 4, 5]
    np.testing.assert_allclose(
        near.coefficients[0, others], limit.coefficients[0, others], rtol=0, atol=10 * epsilon
    )
    np.testing.assert_allclose(
        near.std_error[0, others], limit.std_error[0, others], rtol=10 * epsilon
    )


def test_empty_levels_of_two_factors():
    rng = np.random.default_rng(5)
    cells, counts = emptied(2, seed=5)
    donor = rng.integers(0, 4, len(counts))
    counts[donor == 0] = 0.0
    donors = np.column_stack([donor == level for level in (1, 2, 3)])
    design = np.column_stack([cells.exogenous, donors, cells.perturbed])
    found = fit(counts, design, cells.offset, factors=np.array([cells.batch, donor]))
    keep = (cells.batch != 2) & (donor != 0)
    expected = fit(counts[keep], design[keep], cells.offset[keep])
    np.testing.assert_allclose(found.coefficients, expected.coefficients, rtol=SAME_FIT)
    np.testing.assert_allclose(found.std_error, expected.std_error, rtol=SAME_FIT)


@pytest.mark.parametrize("family", FAMILIES)
def test_half_count_has_a_closed_form_without_covariates(family):
    rng = np.random.default_rng(6)
    cells = make_cells(rng, 500, 2)
    counts = cells.counts(rng, 2.0, [0.0, 0.6], 1.5)
    none = cells.perturbed[:, 0] == 1.0
    counts[none] = 0.0
    exposure = np.exp(cells.offset)
    groups = np.column_stack([1.0 - cells.perturbed.sum(axis=1), cells.perturbed])

    found = fit(counts, groups, cells.offset, groups=cells.perturbed, family=family)
    assert found.status.tolist() == [FitStatus.HALF_COUNT]
    rate = 0.5 / exposure[none].sum()
    np.testing.assert_allclose(found.coefficients[0, 1], np.log(rate), rtol=0, atol=EFFECT)
    # The Poisson variance of a log rate is one over its count; with dispersion alpha, one over
    # sum mu / (1 + alpha mu).
    mean = rate * exposure[none]
    information = np.sum(mean / (1.0 + found.dispersion[0] * mean))
    if family == "poisson":
        assert information == pytest.approx(0.5, rel=1e-14)
    np.testing.assert_allclose(found.covariance[0, 1, 1], 1.0 / information, rtol=RELATIVE_ERROR)
    np.testing.assert_allclose(found.covariance[0, 1, [0, 2]], 0.0, atol=SAME_FIT)

    # The other groups do not notice.
    others = fit(counts[~none], groups[~none][:, [0, 2]], cells.offset[~none], family=family)
    np.testing.assert_allclose(
        found.coefficients[0, [0, 2]], others.coefficients[0], rtol=0, atol=EFFECT
    )
    np.testing.assert_allclose(found.std_error[0, [0, 2]], others.std_error[0], rtol=RELATIVE_ERROR)


def test_half_count_against_an_intercept_adds_the_variance_of_the_controls():
    rng = np.random.default_rng(7)
    n_cells = 300
    perturbed = (np.arange(n_cells) < 40).astype(float)
    offset = rng.normal(0.0, 0.4, n_cells)
    counts = rng.poisson(np.exp(offset)) * (1.0 - perturbed)
    design = np.column_stack([np.ones(n_cells), perturbed])
    found = fit(counts, design, offset, groups=perturbed[:, None])
    controls = perturbed == 0.0
    exposure = np.exp(offset)
    rate = counts[controls].sum() / exposure[controls].sum()
    effect = np.log(0.5 / exposure[~controls].sum()) - np.log(rate)
    np.testing.assert_allclose(found.coefficients[0], [np.log(rate), effect], rtol=0, atol=EFFECT)
    residual = counts[controls] - rate * exposure[controls]
    variance = np.sum(residual**2) / counts[controls].sum() ** 2
    np.testing.assert_allclose(found.std_error[0, 1] ** 2, 2.0 + variance, rtol=RELATIVE_ERROR)


def test_half_count_stays_out_of_an_empty_level():
    """Cells of an empty batch say nothing, also when they belong to a group without counts."""
    cells, counts = emptied(1, seed=8)
    counts[cells.perturbed[:, 0] == 1.0] = 0.0
    found = fit(
        counts, cells.design, cells.offset, factors=cells.batch[None], groups=cells.perturbed
    )
    keep = cells.batch != 1
    rest = subset(cells, keep)
    expected = fit(
        counts[keep], rest.design, rest.offset, factors=rest.batch[None], groups=rest.perturbed
    )
    assert found.status.tolist() == expected.status.tolist() == [FitStatus.HALF_COUNT]
    np.testing.assert_allclose(found.coefficients, expected.coefficients, rtol=SAME_FIT)
    np.testing.assert_allclose(found.std_error, expected.std_error, rtol=SAME_FIT)


def test_group_inside_an_empty_level_is_not_estimable():
    rng = np.random.default_rng(9)
    cells, counts = emptied(1, seed=9)
    inside = ((cells.batch == 1) & (rng.random(len(counts)) < 0.3)).astype(float)
    design = np.column_stack([cells.exogenous, cells.perturbed, inside])
    found = fit(counts, design, cells.offset, factors=cells.batch[None], groups=inside[:, None])
    without = fit(counts, cells.design, cells.offset, factors=cells.batch[None])
    assert found.status.tolist() == [FitStatus.OK]
    assert np.isnan(found.coefficients[0, -1])
    np.testing.assert_allclose(found.coefficients[:, :-1], without.coefficients, rtol=SAME_FIT)
    np.testing.assert_allclose(found.std_error[:, :-1], without.std_error, rtol=SAME_FIT)


def test_half_counts_go_to_indicators_alone_and_in_proportion_to_exposure():
    counts = np.array([[0.0, 0.0, 3.0, 1.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    groups = np.array([[1.0, 0.4], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    offset = np.log([1.0, 4.0, 1.0, 1.0])
    before = counts.copy()
    prepared = prepare_responses(
        counts, offset=offset, factors=np.empty((0, 4), np.int64), groups=groups
    )
    np.testing.assert_array_equal(counts, before)
    assert prepared.half_counted.tolist() == [True, False, False]
    assert prepared.all_zero.tolist() == [False, False, True]
    np.testing.assert_allclose(prepared.counts[0], [0.1, 0.4, 3.0, 1.0], rtol=1e-15)
    np.testing.assert_array_equal(prepared.counts[1:], counts[1:])
