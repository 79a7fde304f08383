"""P-values against those of no effect."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from argen.pvalues.inflation import inflation_needed, less_inflated, quantile_table

LEVELS = (0.05, 0.001)


@pytest.mark.parametrize("inflation", [1.3, 4.0])
def test_statistics_that_are_too_large_by_a_factor_are_divided_by_it(inflation):
    statistics = inflation * chi2.rvs(1, size=40_000, random_state=1)
    p_values = chi2.sf(statistics, 1)
    needed = inflation_needed(p_values, LEVELS)
    assert needed == pytest.approx(inflation, rel=0.1)
    assert needed >= inflation * 0.98
    expected = chi2.sf(statistics / needed, 1)
    np.testing.assert_allclose(less_inflated(p_values, needed), expected, rtol=1e-6)


def test_heavy_tails_alone_are_seen_where_there_are_enough_tests():
    rng = np.random.default_rng(2)
    p_values = rng.uniform(0.01, 1.0, 100_000)
    p_values[:500] = 1e-6
    assert inflation_needed(p_values, LEVELS) > 1.5
    assert inflation_needed(p_values[::200], LEVELS) < 1.5  # 500 tests tell nothing of .001


def test_nothing_is_made_larger_and_missing_tests_have_no_part():
    assert inflation_needed(np.linspace(0.5, 1.0, 1000), LEVELS) == 1.0
    assert inflation_needed(np.array([]), LEVELS) == 1.0
    assert inflation_needed(np.array([np.nan]), LEVELS) == 1.0
    missing = less_inflated(np.array([np.nan, 0.0, 1.0]), 2.0)
    np.testing.assert_array_equal(missing, [np.nan, 0.0, 1.0])


def test_each_test_may_have_its_own():
    found = less_inflated(np.array([0.01, 0.01]), np.array([1.0, 2.0]))
    np.testing.assert_allclose(found, chi2.sf(chi2.isf(0.01, 1) / [1.0, 2.0], 1))


def test_points_of_few_and_of_no_tests():
    table = quantile_table(np.array([0.1, np.nan, 0.01]), kind="a")
    np.testing.assert_allclose(table["observed"], [2.0, 1.0])
    assert set(table["kind"]) == {"a"}
    assert quantile_table(np.array([])).empty
