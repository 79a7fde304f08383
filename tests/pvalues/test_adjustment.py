"""Multiple testing against scipy, literal loops, and stored decisions of R's onlineFDR."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import false_discovery_control

from argen.config import Adjustment
from argen.pvalues.adjustment import adjust, batch_bh, select, two_level

STORED = Path(__file__).resolve().parents[2].parent / "shared" / "reference" / "batch_bh.csv"

# Both sides do the same few multiplications, possibly in another order.
ROUNDING = 1e-14
# Below about 1e-308 numbers lose digits.
SUBNORMAL = 1e-300
# The stored levels have 15 significant digits.
STORED_DIGITS = 1e-12

probabilities = st.floats(0.0, 1.0, allow_nan=False)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment, one hypothesis after another."""
    adjusted, running = np.empty(len(p_values)), 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        running = max(running, (len(p_values) - rank) * p_values[i])
        adjusted[i] = min(1.0, running)
    return adjusted


def storey(p_values: np.ndarray) -> np.ndarray:
    share_null = (1 + sum(p > 0.5 for p in p_values)) / (0.5 * len(p_values))
    return false_discovery_control(p_values, method="bh") * min(1.0, share_null)


EXPECTED = {
    "bh": lambda p: false_discovery_control(p, method="bh"),
    "by": lambda p: false_discovery_control(p, method="by"),
    "holm": holm,
    "bonferroni": lambda p: np.minimum(1.0, len(p) * p),
    "storey": storey,
}


def count_bh_rejections(p_values: np.ndarray, level: float) -> int:
    """Largest i with p_(i) <= i level / n."""
    ordered = sorted(p_values)
    n = len(ordered)
    return max((i for i in range(1, n + 1) if ordered[i - 1] <= i * level / n), default=0)


def literal_batch_bh(
    batches: list[np.ndarray], alpha: float
) -> tuple[list[np.ndarray], list[float]]:
    """BatchBH by its definition, with every quantity recomputed for every batch.

    Batch t, of n_t hypotheses, is tested by BH at::

        alpha_t = (sum_{s <= t} gamma_s alpha - beta_t) (n_t + sum_{s < t} R_s) / n_t
        beta_t  = sum_{s < t} alpha_s R_s+ / (R_s+ + sum_{r < t, r != s} R_r)

    R_s: rejections of batch s; R_s+: the most that it could have had with one p-value at 0.
    """
    gamma = [0.4374901658 * (s + 1) ** -1.6 for s in range(len(batches))]
    levels, rejections, most, decisions = [], [], [], []
    for t, batch in enumerate(batches):
        spent = 0.0
        for s in range(t):
            others = sum(rejections[r] for r in range(t) if r != s)
            if most[s] + others > 0:
                spent += levels[s] * most[s] / (most[s] + others)
        n = len(batch)
        level = (sum(gamma[: t + 1]) * alpha - spent) * (n + sum(rejections)) / n
        with_a_zero = []
        for i in range(n):
            changed = batch.copy()
            changed[i] = 0.0
            with_a_zero.append(count_bh_rejections(changed, level))
        levels.append(level)
        rejections.append(count_bh_rejections(batch, level))
        most.append(max(with_a_zero))
        decisions.append(batch <= rejections[-1] * level / n if rejections[-1] else batch < 0)
    return decisions, levels


def test_every_adjustment_is_tested():
    assert set(get_args(Adjustment)) == set(EXPECTED)


@pytest.mark.parametrize("method", EXPECTED)
@given(
    p_values=hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=1, max_dims=3, max_side=9),
        elements=probabilities | st.just(np.nan),
    )
)
@settings(max_examples=60, deadline=None)
def test_adjustment_of_any_shape_passes_over_missing_values(method, p_values):
    adjusted = adjust(p_values, method)
    finite = np.isfinite(p_values)
    assert adjusted.shape == p_values.shape
    assert np.isnan(adjusted[~finite]).all()
    if finite.any():
        expected = EXPECTED[method](p_values[finite])
        np.testing.assert_allclose(adjusted[finite], expected, rtol=ROUNDING, atol=SUBNORMAL)


@pytest.mark.parametrize("method", EXPECTED)
@pytest.mark.parametrize("p_values", [np.empty(0), np.full((2, 3), np.nan)])
def test_nothing_to_adjust(method, p_values):
    adjusted = adjust(p_values, method)
    assert adjusted.shape == p_values.shape
    assert np.isnan(adjusted).all()


def test_storey_halves_what_holds_half_the_nulls():
    # 4 of 16 exceed 1/2: share of nulls (1 + 4) / 8; the largest p is its own BH value.
    p_values = np.r_[np.full(12, 0.01), np.full(4, 0.8)]
    expected = np.r_[np.full(12, 0.01 * 16 / 12 * 5 / 8), np.full(4, 0.8 * 5 / 8)]
    np.testing.assert_allclose(adjust(p_values, "storey"), expected, rtol=ROUNDING)


def test_adjustment_keeps_p_values_that_underflowed():
    assert adjust(np.array([0.0, 0.5, 1e-320]), "bh")[0] == 0.0


@pytest.mark.skipif(not STORED.exists(), reason=f"{STORED.name} of R's onlineFDR is not there")
def test_batch_bh_decides_as_online_fdr_in_r():
    table = pd.read_csv(STORED)
    for (_, alpha), case in table.groupby(["case", "alpha"]):
        selection = batch_bh(case["p_value"].to_numpy(), case["batch"].to_numpy(), alpha)
        np.testing.assert_array_equal(selection.selected, case["rejected"].to_numpy() == 1)
        np.testing.assert_allclose(selection.level, case["batch_level"], rtol=STORED_DIGITS)


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=15),
    signal=st.floats(0.0, 0.9),
    alpha=st.sampled_from([0.001, 0.05, 0.2, 0.9]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_batch_bh_is_its_definition(sizes, signal, alpha, seed):
    rng = np.random.default_rng(seed)
    number = np.repeat(np.arange(len(sizes)), sizes)
    p_values = rng.random(len(number))
    is_signal = rng.random(len(number)) < signal
    p_values[is_signal] **= rng.integers(5, 400)
    batches = [p_values[number == t] for t in range(len(sizes))]
    decisions, levels = literal_batch_bh(batches, alpha)
    selection = batch_bh(p_values, number, alpha)
    np.testing.assert_array_equal(selection.selected, np.concatenate(decisions))
    # Levels come from differences of sums near alpha: absolute rounding, scaled up by R.
    scale = alpha * (1 + len(number))
    np.testing.assert_allclose(selection.level, np.array(levels)[number], atol=ROUNDING * scale)
    assert np.isnan(selection.p_adjusted).all()


def test_batch_order_is_that_of_the_numbers_not_of_the_rows():
    rng = np.random.default_rng(4)
    number, p_values = rng.integers(0, 9, 80), rng.random(80) ** 6
    shuffled = rng.permutation(80)
    plain, mixed = (
        batch_bh(p_values, number, 0.05),
        batch_bh(p_values[shuffled], number[shuffled], 0.05),
    )
    np.testing.assert_array_equal(mixed.selected, plain.selected[shuffled])
    np.testing.assert_array_equal(mixed.level, plain.level[shuffled])


def test_missing_p_values_make_no_batch():
    p_values = np.array([0.001, np.nan, np.nan, np.nan, 0.004, 0.9])
    number = np.array([0, 0, 1, 1, 2, 2])
    selection = batch_bh(p_values, number, 0.05)
    without = batch_bh(p_values[[0, 4, 5]], np.array([0, 1, 1]), 0.05)
    np.testing.assert_array_equal(selection.selected[[0, 4, 5]], without.selected)
    np.testing.assert_array_equal(selection.level[[0, 4, 5]], without.level)
    assert not selection.selected[1:4].any()
    assert np.isnan(selection.level[1:4]).all()


@pytest.mark.parametrize("p_values", [np.empty(0), np.full(6, np.nan)])
def test_batch_bh_without_a_single_p_value(p_values):
    selection = batch_bh(p_values, np.arange(len(p_values)), 0.05)
    assert selection.selected.shape == p_values.shape
    assert not selection.selected.any()
    assert np.isnan(selection.level).all()


def test_underflowed_p_values_in_batches_of_one_are_selected():
    assert batch_bh(np.zeros(5), np.arange(5), 0.05).selected.all()


def test_level_beyond_one_selects_everything():
    # The published rule has no ceiling: 500 discoveries let a batch of one be tested at
    # 3.6, where even p = 1 passes.
    p_values = np.r_[np.full(500, 1e-10), 1.0]
    selection = batch_bh(p_values, np.repeat([0, 1], [500, 1]), 0.05)
    _, levels = literal_batch_bh([p_values[:500], p_values[500:]], 0.05)
    assert levels[1] > 3.5
    np.testing.assert_allclose(selection.level[-1], levels[1], rtol=1e-12)
    assert selection.selected[-1]


def test_thousands_of_batches_stay_within_the_budget():
    rng = np.random.default_rng(0)
    n_batches = 2000
    selection = batch_bh(1.0 - 0.5 * rng.random(n_batches), np.arange(n_batches), 0.05)
    assert not selection.selected.any()
    # Nothing was rejected, nor could more than one hypothesis have been: R+ is 1 throughout,
    # so beta_t is the sum of all former levels and alpha_t = gamma_t alpha.
    gamma = 0.4374901658 * np.arange(1, n_batches + 1) ** -1.6
    np.testing.assert_allclose(selection.level, 0.05 * gamma, atol=ROUNDING)


@pytest.mark.parametrize("method", EXPECTED)
def test_selection_over_all_and_within_targets(method):
    rng = np.random.default_rng(2)
    p_values, number = rng.random(40) ** 4, rng.integers(0, 4, 40)
    p_values[7] = np.nan
    together = select(
        p_values, number, family=np.zeros(len(number), bool), method=method, scope="all", alpha=0.1
    )
    np.testing.assert_array_equal(together.p_adjusted, adjust(p_values, method))
    within = select(
        p_values,
        number,
        family=np.zeros(len(number), bool),
        method=method,
        scope="target",
        alpha=0.1,
    )
    for t in range(4):
        own = number == t
        np.testing.assert_array_equal(within.p_adjusted[own], adjust(p_values[own], method))
    for selection in (together, within):
        np.testing.assert_array_equal(selection.selected, selection.p_adjusted < 0.1)
        assert np.isnan(selection.level[7])
        assert (np.delete(selection.level, 7) == 0.1).all()
        assert not selection.selected[7]


@pytest.mark.parametrize("method", ["batch_bh", *EXPECTED])
@pytest.mark.parametrize("scope", ["all", "target"])
def test_selection_among_no_tests(method, scope):
    selection = select(
        np.empty(0),
        np.empty(0, np.int64),
        family=np.empty(0, bool),
        method=method,
        scope=scope,
        alpha=0.05,
    )
    assert selection.selected.shape == (0,)


def literal_two_level(p_values, ancestor_p, sure, n_pairs, ancestor_alpha, parent_alpha):
    """Every R in turn, the largest first."""
    for r in range(len(p_values), 0, -1):
        can = np.isfinite(p_values) & (sure | (ancestor_p <= ancestor_alpha * r / n_pairs))
        selected = can & (p_values <= parent_alpha * r / max(can.sum(), 1))
        if selected.sum() >= r:
            return selected, can
    return np.zeros(len(p_values), bool), np.isfinite(p_values) & sure


@given(st.integers(0, 10_000), st.integers(0, 60))
@settings(max_examples=150, deadline=None)
def test_two_level_is_the_largest_set_that_passes_both_bars(seed, n_tests):
    rng = np.random.default_rng(seed)
    p_values = np.where(rng.random(n_tests) < 0.5, 1e-4, 1.0) * rng.random(n_tests)
    ancestor_p = 10.0 ** -rng.uniform(0.0, 8.0, n_tests)
    sure = rng.random(n_tests) < rng.choice([0.0, 0.3])
    p_values[rng.random(n_tests) < 0.1] = np.nan
    n_pairs = 4 * n_tests
    found, can = two_level(
        p_values, ancestor_p, sure, n_pairs=n_pairs, ancestor_alpha=0.005, parent_alpha=0.04
    )
    selected, expected = literal_two_level(p_values, ancestor_p, sure, n_pairs, 0.005, 0.04)
    np.testing.assert_array_equal(found.selected, selected)
    if selected.any():
        np.testing.assert_array_equal(can, expected)
        assert (found.level[selected] >= p_values[selected]).all()
    assert np.isnan(found.level[np.isnan(p_values)]).all()


def test_two_level_of_nothing():
    nothing = np.empty(0)
    found, can = two_level(
        nothing, nothing, nothing.astype(bool), n_pairs=0, ancestor_alpha=0.005, parent_alpha=0.04
    )
    assert len(found.selected) == len(can) == 0


def test_two_level_needs_both_kinds_of_evidence():
    p_values, ancestor_p = np.array([1e-9, 1e-9, 0.5]), np.array([1e-9, 0.5, 1e-9])
    options = {"n_pairs": 90, "ancestor_alpha": 0.005, "parent_alpha": 0.04}
    found, can = two_level(p_values, ancestor_p, np.zeros(3, bool), **options)
    assert found.selected.tolist() == [True, False, False]
    assert can.tolist() == [True, False, True]
    found, _ = two_level(p_values, ancestor_p, np.array([False, True, False]), **options)
    assert found.selected.tolist() == [True, True, False]
