"""The test for groups without counts, against scipy's exact binomial test."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, nbinom

from argen.glm.conditional import cautious_share, pearson_dispersion, zero_count_test

# scipy's binomial tail is good to some ten digits.
BINOMIAL = 1e-9


def one_rate(counts: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """Fitted Poisson means of "no effect" without covariates."""
    return exposure * counts.sum() / exposure.sum()


@given(
    n_silent=st.integers(1, 60),
    n_others=st.integers(30, 300),
    n_counts=st.integers(1, 30),
    silent_are_perturbed=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_p_value_is_twice_the_binomial_tail(
    n_silent, n_others, n_counts, silent_are_perturbed, seed
):
    """At most one count a cell: Pearson's dispersion is at most 1, so the test is the exact one."""
    rng = np.random.default_rng(seed)
    counts = np.zeros(n_silent + n_others)
    counts[n_silent + rng.permutation(n_others)[:n_counts]] = 1.0
    exposure = np.ones(n_silent + n_others)
    silent = np.arange(len(counts)) < n_silent
    perturbed = silent if silent_are_perturbed else ~silent
    dispersion = pearson_dispersion(counts, one_rate(counts, exposure), 1)
    p_value, log10_p = zero_count_test(counts.sum(), silent.mean(), dispersion)
    total, share = int(counts.sum()), float(perturbed.mean())
    observed, side = (0, "less") if silent_are_perturbed else (total, "greater")
    tail = binomtest(observed, total, share, alternative=side).pvalue
    assert p_value == pytest.approx(min(1.0, 2.0 * tail), rel=BINOMIAL)
    assert log10_p == pytest.approx(np.log10(p_value), abs=1e-12)


def test_overdispersion_is_that_of_the_data_and_makes_the_test_cautious():
    rng = np.random.default_rng(0)
    alpha, n_cells = 2.0, 200_000
    for mean in (0.1, 1.0, 5.0):
        counts = rng.poisson(mean * rng.gamma(1 / alpha, alpha, n_cells)).astype(float)
        found = pearson_dispersion(counts, np.full(n_cells, counts.mean()), 1)
        # The mean of n squares of kurtosis well under 100: relative error under 3 percent.
        assert found == pytest.approx(1.0 + alpha * mean, rel=0.1)
        # log P(no count in m cells) = -m log(1 + alpha mu) / alpha <= -m mu / (1 + alpha mu).
        n_perturbed = 50
        exact = nbinom.logpmf(0, n_perturbed / alpha, 1.0 / (1.0 + alpha * mean))
        share = n_perturbed / (n_perturbed + n_cells)
        log_p = np.log(10.0) * zero_count_test(counts.sum(), share, found)[1]
        assert exact < log_p - np.log(2.0) < 0.3 * exact


def test_underdispersion_makes_nothing_more_certain():
    counts = np.r_[np.zeros(1), np.ones(99)]
    assert pearson_dispersion(counts, one_rate(counts, np.ones(100)), 1) == 1.0
    assert pearson_dispersion(counts[:3], np.ones(3), 3) == 1.0  # no degree of freedom left


def test_no_underflow_in_the_logarithm():
    p_value, log10_p = zero_count_test(10_000, [0.5, 0.1, 0.0], 2.0)
    assert p_value[0] == 0.0
    expected = [np.log10(2.0) + 5000 * np.log10(0.5), np.log10(2.0) + 5000 * np.log10(0.9), 0.0]
    np.testing.assert_allclose(log10_p, expected, rtol=1e-12)


def test_a_group_that_expects_nothing_proves_nothing():
    assert zero_count_test(3.0, 0.0, 1.0) == (1.0, 0.0)


def test_few_counts_expect_no_more_than_the_exposure_does():
    assert cautious_share(0.9, 0.2, 19.0) == 0.2
    assert cautious_share(0.1, 0.2, 19.0) == 0.1
    assert cautious_share(0.9, 0.2, 20.0) == 0.9
