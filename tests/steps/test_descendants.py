"""What the screen of total effects says of itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

import argen
from tests.screens import screen_of

N_PAIRS = 30


def pairs_screen(effect: float, seed: int) -> argen.PerturbSeqData:
    """Each of the first genes acts on one of the last by ``effect`` (natural log)."""
    rng = np.random.default_rng(seed)
    node_of_cell = np.repeat(np.arange(-1, 2 * N_PAIRS), [1500, *[80] * (2 * N_PAIRS)])
    effects = np.zeros((2 * N_PAIRS + 1, 2 * N_PAIRS))
    effects[np.arange(N_PAIRS), np.arange(N_PAIRS, 2 * N_PAIRS)] = effect
    effects[np.arange(2 * N_PAIRS), np.arange(2 * N_PAIRS)] -= 2.0
    return screen_of(rng.poisson(2.0 * np.exp(effects[node_of_cell])), node_of_cell)


def test_what_it_can_see_is_called_so_often():
    """At the bar of one screen, in others, in which the effects have the size that it states."""
    config = argen.InferenceConfig()
    first = argen.screen_descendants(pairs_screen(0.6, 0), config)
    at = np.arange(N_PAIRS), np.arange(N_PAIRS, 2 * N_PAIRS)
    bar = first.p_value[first.is_descendant].max()
    for power in (0.5, 0.8):
        size = float(np.median(first.detectable(config.level_of_screen, power)[at]))
        called = []
        for seed in range(1, 6):
            found = argen.screen_descendants(pairs_screen(-size, seed), config)
            called.append((found.p_value[at] <= bar).mean())
        assert np.mean(called) == pytest.approx(power, abs=0.1)  # 150 calls


def test_without_any_descendant_one_test_among_all_is_the_bar():
    config = argen.InferenceConfig()
    found = argen.screen_descendants(pairs_screen(0.0, 0), config)
    assert not found.is_descendant.any()
    size = found.detectable(config.level_of_screen, 0.5)
    n_tests = np.isfinite(found.p_value).sum()
    z = norm.isf(0.5 * config.level_of_screen / n_tests)
    asked = z**2 * found.std_error**2 * np.exp(found.effect)
    pairs = found.pairs
    d = size[pairs]
    np.testing.assert_allclose(2 * (1 - (1 + d) * np.exp(-d)), asked[pairs])
    assert np.isinf(size[~pairs]).all()  # what it does to its own gene is in ``knockdown``


def test_no_fall_of_a_gene_with_few_counts_can_be_seen():
    """Eight counts of 80 cells would have to fall below none, to be surer than 2 E allows."""
    rng = np.random.default_rng(2)
    node_of_cell = np.repeat(np.arange(-1, 6), [1500, *[80] * 6])
    rate = np.array([0.1, 5.0, 5.0, 5.0, 5.0, 5.0])
    data = screen_of(rng.poisson(np.tile(rate, (len(node_of_cell), 1))), node_of_cell)
    size = argen.screen_descendants(data).detectable(0.05, 0.95)
    assert np.isinf(size[1:, 0]).mean() > 0.5
    assert (size[1, 2:] < 0.5).all()


def test_the_pair_in_the_middle_has_the_median():
    found = argen.screen_descendants(pairs_screen(0.3, 0))
    size = found.detectable(0.05)[found.pairs]
    assert found.median_detectable(0.05) == pytest.approx(np.median(size))
