"""What is taken out of group rates: its algebra, and both engines against slow twins."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

import argen
from argen.engine import (
    Corrections,
    Effects,
    ExactEngine,
    Genes,
    LoweredRates,
    ParentJob,
    SharedEngine,
    UnevenGuides,
)
from argen.engine.saddlepoint import SaddlepointTest
from argen.errors import FitStatus
from argen.glm import compare_groups, fit_regressions, prepare_responses
from argen.glm._corrections import LEAST_LEFT, mixed, of_guides, of_mean_guide
from argen.pvalues import two_sided
from argen.run import Checkpoint
from argen.steps import causal_order
from tests.screens import screen_of

N_NODES, N_GENES = 6, 9
NODES, GENES = np.arange(N_NODES), np.arange(N_GENES)
WALD = argen.InferenceConfig(rule="published")
FIELDS = tuple(f.name for f in fields(Effects))
# Series over all cells, and the last step of Newton.
TOLERANCE = 1e-7
# The table of the saddlepoint test, and the last step of the fit of the controls.
OF_THE_TEST = 1e-5


def made_up(
    seed: int = 1, n_programs: int = 2, *, escaping: bool = False, together: bool = False
) -> Corrections:
    """Corrections of a size that matters; without ``escaping`` all cells are perturbed."""
    rng = np.random.default_rng(seed)
    found = replace(
        Corrections.none(N_NODES, N_GENES),
        scores=rng.normal(0.5, 1.0, (N_NODES, n_programs)),
        score_variance=rng.uniform(0.001, 0.01, (N_NODES, n_programs)),
        loadings=rng.normal(0.0, 0.15, (N_GENES, n_programs)),
        loading_variance=rng.uniform(0.0005, 0.002, (N_GENES, n_programs)),
    )
    if escaping:
        share = rng.uniform(0.9, 0.97, N_NODES)
        share[2] = 1.0
        variance = np.where(share < 1.0, 0.0004, 0.0)
        found = replace(found, penetrance=share, penetrance_variance=variance)
    if together:
        by_chance = rng.uniform(1e-5, 1e-4, N_NODES) * (share < 1.0)
        found = replace(found, realised_variance=by_chance, lowered=made_up_rates(rng))
    return found


def made_up_guides(data: argen.PerturbSeqData | None = None) -> UnevenGuides:
    """Three guides of each gene but one, which has two; those of a cell at random."""
    rng = np.random.default_rng(3)
    part = rng.uniform(0.2, 0.4, (N_NODES, 3))
    part[1, 2] = 0.0
    part /= part.sum(axis=1, keepdims=True)
    strength = rng.uniform(0.3, 1.8, (N_NODES, 3))
    strength /= np.sum(part * strength, axis=1, keepdims=True)
    weights = np.ones(1)
    if data is not None:
        weights = np.where(data.controls, 1.0, rng.uniform(0.3, 1.5, data.n_cells))
    return UnevenGuides(strength, part, weights)


def made_up_rates(rng: np.random.Generator) -> LoweredRates:
    """Rates of three genes that perturbations lower, one of them a perturbation's own."""
    place = np.full((N_NODES, N_GENES), -1)
    place[[0, 0, 4], [0, 3, 5]] = np.arange(3)
    return LoweredRates(place, rng.normal(-1.2, 0.1, 3), np.full(3, 0.01), np.full(3, 0.7))


def without_errors(corrections: Corrections) -> Corrections:
    """The same, known for sure."""
    names = ("penetrance_variance", "score_variance", "loading_variance")
    zeros = {name: np.zeros_like(getattr(corrections, name)) for name in names}
    return replace(corrections, **zeros)


def made_up_screen(seed: int = 5, *, empty: bool = False) -> argen.PerturbSeqData:
    """A chain of six genes with three sinks, a program, a hidden cause and two covariates."""
    rng = np.random.default_rng(seed)
    node = np.repeat(np.arange(-1, N_NODES), [900, *range(120, 120 + 10 * N_NODES, 10)])
    n_cells = len(node)
    depth, batch = rng.normal(size=n_cells), rng.integers(0, 3, n_cells)
    hidden = 0.4 * rng.normal(size=n_cells)
    cause = hidden[:, None] + 0.2 * depth[:, None] + 0.1 * batch[:, None]
    cause = cause + np.vstack([made_up().of_programs(NODES, GENES), np.zeros(N_GENES)])[node]
    log_mean = np.zeros((n_cells, N_GENES))
    for gene in GENES:
        log_mean[:, gene] = cause[:, gene] - 1.2 * (node == gene)
        if gene:
            log_mean[:, gene] += 0.4 * log_mean[:, gene - 1]
    size = rng.gamma(8.0, 1 / 8, n_cells)
    counts = rng.poisson(2.0 * np.exp(log_mean) * size[:, None])
    if empty:  # a group without counts, controls without counts, few counts
        counts[node == 1, 3] = 0
        counts[node == -1, 5] = 0
        counts[:, 7] = 0
        counts[node == 0, 7] = 1
        counts[np.flatnonzero(node == -1)[:5], 7] = 1
    table = pd.DataFrame({"depth": depth, "batch": batch.astype(str)})
    return screen_of(counts, node, table, size, N_NODES)


@pytest.fixture(scope="module")
def data() -> argen.PerturbSeqData:
    return made_up_screen()


# --- algebra


def at_totals(given: Corrections, effect: np.ndarray, added: np.ndarray) -> np.ndarray:
    """Rates at total effects, and the slopes of these, pair by pair: (3, n_nodes, ...)."""
    numbers, found = given.numbers(), np.empty((3, *effect.shape))
    for k, j in np.ndindex(*effect.shape):
        found[:, k, j] = mixed(numbers, k, effect[k, j], added[k, j])
    return found


@pytest.mark.parametrize("escaping", [False, True])
def test_total_effects_from_rates_and_back(escaping, rng):
    given = made_up(escaping=escaping)
    effect = rng.normal(0.0, 0.5, (N_NODES, N_GENES))
    share, added = given.penetrance[:, None], given.scores @ given.loadings.T
    rate = np.log((1.0 - share) + share * np.exp(effect + added))
    found = given.corrected(rate, NODES, GENES)
    np.testing.assert_allclose(found.effect, effect, rtol=0, atol=1e-13)
    # No effect over the network is the offset, and the other way round.
    offset = given.offset(NODES, GENES)
    np.testing.assert_allclose(given.corrected(offset, NODES, GENES).effect, 0.0, atol=1e-13)
    np.testing.assert_allclose(offset, np.log(1.0 - share + share * np.exp(added)), atol=1e-13)
    # Some nodes and genes are rows and columns of all.
    some, others = np.array([3, 0]), np.array([7, 2, 5])
    at = np.ix_(some, others)
    np.testing.assert_allclose(given.offset(some, others), offset[at], rtol=1e-14)
    part = given.corrected(rate[at], some, others).effect
    np.testing.assert_allclose(part, effect[at], rtol=0, atol=1e-13)


def test_an_effect_is_larger_only_where_the_target_falls_further_than_the_source():
    """With one candidate, effects are ratios; a share of .7 of the cells is perturbed."""
    half = replace(made_up(n_programs=0), penetrance=np.full(N_NODES, 0.7))
    of_source = -0.7
    log_rate = np.array([-1.0, -0.9, -0.8, -0.6, -0.4, -0.1, 0.1, 0.4, 0.8])
    tiled = np.tile(log_rate, (N_NODES, 1))
    total = half.corrected(tiled, NODES, GENES).effect[0]
    own = half.corrected(np.full_like(tiled, of_source), NODES, GENES).effect[0, 0]
    larger = np.abs(total / own) > np.abs(log_rate / of_source)
    np.testing.assert_array_equal(larger, log_rate < of_source)


@pytest.mark.parametrize("escaping", [False, True])
def test_total_effects_of_uneven_guides_and_back(escaping, rng):
    """The mean over guides, each of its own strength, and Newton's way back."""
    given = replace(made_up(escaping=escaping), guides=made_up_guides())
    effect = rng.normal(0.0, 0.5, (N_NODES, N_GENES))
    share, total = given.penetrance[:, None], effect + given.scores @ given.loadings.T
    rate = np.zeros_like(total)
    for k in NODES:
        for part, strength in zip(given.guides.part[k], given.guides.strength[k], strict=True):
            rate[k] += part * np.exp(strength * total[k])
    rate = np.log((1.0 - share) + share * rate)
    found = given.corrected(rate, NODES, GENES)
    np.testing.assert_allclose(found.effect, effect, rtol=0, atol=1e-9)
    log_rate, slope, by_share = at_totals(given, effect, given.of_programs(NODES, GENES))
    np.testing.assert_allclose(log_rate, rate, atol=1e-12)
    np.testing.assert_allclose(slope, found.slope, rtol=1e-8)
    h = 1e-6
    above, below = (given.corrected(rate + step, NODES, GENES).effect for step in (h, -h))
    np.testing.assert_allclose(found.slope, (above - below) / (2 * h), rtol=1e-5)
    moved = [
        replace(given, penetrance=given.penetrance + step * (share[:, 0] < 1)) for step in (h, -h)
    ]
    above, below = (other.corrected(rate, NODES, GENES).effect for other in moved)
    np.testing.assert_allclose(by_share, (above - below) / (2 * h), rtol=1e-5, atol=1e-8)
    working = np.einsum(
        "kg,kjg->kj",
        given.guides.part,
        np.exp(given.guides.strength[:, None, :] * given.of_programs(NODES, GENES)[..., None]),
    )
    offset = np.log((1.0 - share) + share * working)
    np.testing.assert_allclose(given.offset(NODES, GENES), offset, atol=1e-12)


def test_missing_and_infinite_rates_of_uneven_guides_stay():
    given = replace(made_up(), guides=made_up_guides()).numbers()
    for rate in (np.nan, -np.inf, np.inf, 0.0):
        np.testing.assert_equal(of_mean_guide(given, 0, rate)[0], rate)
    back, _ = of_guides(given, 0, of_mean_guide(given, 0, -8.0)[0])
    assert back == pytest.approx(-8.0)


def test_weighed_cells_are_worth_as_many_as_they_count_for():
    guides = made_up_guides()
    weighed = guides.weighed()
    weight = guides.strength / np.sum(guides.part * guides.strength**2, axis=1, keepdims=True)
    np.testing.assert_allclose(np.sum(guides.part * weight, axis=1),
                               np.sum(guides.part * weight**2, axis=1))  # fmt: skip
    part = guides.part * weight
    np.testing.assert_allclose(weighed.part, part / part.sum(axis=1, keepdims=True))


def test_derivatives_are_those_of_finite_differences(rng):
    given, h = made_up(escaping=True), 1e-6
    rate = given.offset(NODES, GENES) + rng.normal(0.0, 0.2, (N_NODES, N_GENES))
    found = given.corrected(rate, NODES, GENES)

    def moved(step: float, by: float) -> np.ndarray:
        share = np.where(given.penetrance < 1.0, given.penetrance + step, 1.0)
        other = replace(given, penetrance=share)
        return other.corrected(rate + by, NODES, GENES).effect

    by_rate = (moved(0, h) - moved(0, -h)) / (2 * h)
    by_share = (moved(h, 0) - moved(-h, 0)) / (2 * h)
    np.testing.assert_allclose(found.slope, by_rate, rtol=1e-7)
    np.testing.assert_allclose(found.by_penetrance, by_share, rtol=1e-6, atol=1e-8)
    assert not found.own.any()
    parts = at_totals(given, found.effect, given.of_programs(NODES, GENES))
    for left, right in zip(parts, (rate, found.slope, found.by_penetrance), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12)


def test_effects_that_are_hardly_identified_overflow_nothing():
    """Warnings are errors here; where all cells work nothing is cut off."""
    given = replace(
        Corrections.none(3, 3),
        penetrance=np.array([1.0, 0.7, 0.7]), penetrance_variance=np.array([0.0, 0.01, 0.01]),
    )  # fmt: skip
    effect = np.array([[-900.0, 900.0, -2.0], [-900.0, 900.0, -np.inf], [1e200, -1e200, -1.0]])
    log_rate, slope, by_share = at_totals(given, effect, np.zeros((3, 3)))
    np.testing.assert_array_equal(log_rate[0], effect[0])
    np.testing.assert_allclose(slope[0], 1.0)
    np.testing.assert_array_equal(by_share[0], 0.0)
    np.testing.assert_allclose(log_rate[1], np.log([0.3, 0.7 * np.exp(30.0), 0.3]))
    assert np.isfinite([log_rate, slope**2, by_share**2]).all()


def test_rates_that_were_estimated_with_the_share_stand_in_for_those_that_follow(rng):
    given = made_up(escaping=True, together=True)
    rate = given.offset(NODES, GENES) + rng.normal(0.0, 0.2, (N_NODES, N_GENES))
    found, low = given.corrected(rate, NODES, GENES), given.lowered
    plain = replace(given, lowered=None).corrected(rate, NODES, GENES)
    is_low = low.place >= 0
    added = given.of_programs(NODES, GENES)
    np.testing.assert_allclose(found.effect[is_low], (low.log_left[low.place] - added)[is_low])
    assert not found.slope[is_low].any()
    np.testing.assert_array_equal(found.by_penetrance[is_low], 0.7)
    by_chance = 0.7**2 * given.realised_variance[[0, 0, 4]]
    np.testing.assert_allclose(found.own[is_low], 0.01 - by_chance)
    for name in found._fields:
        left, right = getattr(found, name)[~is_low], getattr(plain, name)[~is_low]
        np.testing.assert_array_equal(left, right)


def test_variances_are_those_of_many_draws(rng):
    """The delta method is to first order, so errors are small; 10 % is four errors of the draws."""
    given, n = made_up(escaping=True), 4000
    given = replace(
        given,
        penetrance_variance=given.penetrance_variance * 0.1,
        score_variance=given.score_variance * 0.1,
        loading_variance=given.loading_variance * 0.1,
    )
    rate = given.offset(NODES, GENES) + 0.1
    effects, offsets = [], []
    for _ in range(n):
        drawn = replace(
            given,
            penetrance=given.penetrance + rng.normal(0.0, np.sqrt(given.penetrance_variance)),
            scores=given.scores + rng.normal(0.0, np.sqrt(given.score_variance)),
            loadings=given.loadings + rng.normal(0.0, np.sqrt(given.loading_variance)),
        )
        offsets.append(drawn.offset(NODES, GENES))
        moved = rate + 0.01 * rng.normal(size=rate.shape)
        effects.append(drawn.corrected(moved, NODES, GENES).effect)
    found = given.corrected(rate, NODES, GENES)
    expected = given.variance(found, np.full(rate.shape, 1e-4), NODES, GENES)
    np.testing.assert_allclose(np.var(effects, axis=0), expected, rtol=0.1)
    of_offset = given.offset_variance(NODES, GENES)
    np.testing.assert_allclose(np.var(offsets, axis=0), of_offset, rtol=0.1)


def test_the_share_at_hand_counts_once(rng):
    """Rates follow the share of perturbed cells among those at hand, and so would the estimate."""
    given, n = made_up(escaping=True, n_programs=0), 4000
    by_chance = np.where(given.penetrance < 1.0, 2e-4, 0.0)
    given = replace(given, realised_variance=by_chance)
    effect, noise = rng.normal(-0.3, 0.2, (N_NODES, N_GENES)), 0.02
    effects, rates = [], []
    for _ in range(n):
        at_hand = given.penetrance + rng.normal(0.0, np.sqrt(by_chance))
        rate = np.log(1.0 + at_hand[:, None] * np.expm1(effect))
        rates.append(rate + noise * rng.normal(size=rate.shape))
        error = rng.normal(0.0, np.sqrt(given.penetrance_variance))
        drawn = replace(given, penetrance=np.where(by_chance > 0, at_hand + error, 1.0))
        effects.append(drawn.corrected(rates[-1], NODES, GENES).effect)
    rate = np.log(1.0 + given.penetrance[:, None] * np.expm1(effect))
    found = given.corrected(rate, NODES, GENES)
    expected = given.variance(found, np.var(rates, axis=0), NODES, GENES)
    np.testing.assert_allclose(np.var(effects, axis=0), expected, rtol=0.12)


def test_rates_that_escaping_cells_alone_would_exceed():
    """Less is left than unperturbed cells bring: the effect ends at a hundredth of the rate."""
    given = replace(made_up(n_programs=0), penetrance=np.full(N_NODES, 0.8))
    rate = np.full((N_NODES, N_GENES), np.log(0.15))
    found = given.corrected(rate, NODES, GENES)
    np.testing.assert_allclose(found.effect, np.log(0.01))
    assert np.isfinite(found.slope).all()
    assert (found.slope >= 1.0).all()


def test_what_is_counted_with_the_share_leaves_some_variance():
    given = replace(made_up(escaping=True), realised_variance=np.ones(N_NODES))
    rate = given.offset(NODES, GENES) + 0.1
    found = given.corrected(rate, NODES, GENES)
    assert (given.variance(found, np.full(rate.shape, 1e-4), NODES, GENES) > 0.0).all()


def test_bits_tell_corrections_from_each_other():
    given = made_up(escaping=True, together=True)
    for name in (f.name for f in fields(given) if f.name not in ("lowered", "guides")):
        other = replace(given, **{name: getattr(given, name) * 1.5})
        assert not same(given.bits(), other.bits()), name
    for name in ("log_left", "variance", "by_penetrance"):
        lowered = replace(given.lowered, **{name: getattr(given.lowered, name) * 1.5})
        assert not same(given.bits(), replace(given, lowered=lowered).bits()), name
    assert not same(given.bits(), replace(given, lowered=None).bits())
    guides = made_up_guides()
    assert not same(given.bits(), replace(given, guides=guides).bits())
    for name in (f.name for f in fields(guides)):
        other = replace(guides, **{name: getattr(guides, name) * 1.5})
        of_both = (replace(given, guides=own).bits() for own in (guides, other))
        assert not same(*of_both), name
    assert same(given.bits(), made_up(escaping=True, together=True).bits())


def same(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    equal = (np.array_equal(a, b) for a, b in zip(left, right, strict=True))
    return len(left) == len(right) and all(equal)


# --- nothing to correct


@pytest.mark.parametrize("config", [argen.InferenceConfig(), WALD])
@pytest.mark.parametrize("engine", [SharedEngine(), ExactEngine()])
def test_the_screen_without_anything_to_correct_stays(engine, config, data):
    none = Corrections.none(N_NODES, N_GENES)
    plain = engine.screen(data, config).total_effects(GENES).effects
    found = engine.screen(data, config, none).total_effects(GENES).effects
    for name in FIELDS:
        np.testing.assert_allclose(getattr(found, name), getattr(plain, name), rtol=1e-12)
    np.testing.assert_array_equal(found.effect, plain.effect)


def test_the_parent_search_without_anything_to_correct_stays(data):
    none = Corrections.none(N_NODES, N_GENES)
    plain = SharedEngine().parents(data, WALD).direct_effects(JOBS).effects
    found = SharedEngine().parents(data, WALD, none).direct_effects(JOBS).effects
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))


# --- the screen against slow twins


def pair_fit(data, source, target, offset):
    """Effect and variance of a pair, with an offset of its own for the perturbed cells."""
    cells = data.controls | data.perturbed(source)
    perturbed = data.perturbed(source)[cells]
    exposure = data.offset[cells] + offset * perturbed
    factors = data.regressors.factors[:, cells]
    counts = data.counts.dense(np.array([target]))[:, cells]
    responses = prepare_responses(counts, offset=exposure, factors=factors)
    design = np.column_stack([data.intercept_and_covariates()[cells], perturbed])
    fit = fit_regressions(responses, design, exposure)
    return fit.coefficients[0, -1], fit.std_error[0, -1] ** 2


@pytest.mark.parametrize("escaping", [False, True])
@pytest.mark.parametrize("engine", [SharedEngine(), ExactEngine()])
def test_screen_and_regressions_of_pairs_with_offsets(engine, escaping, data):
    given = made_up(escaping=escaping, together=escaping)
    offset, of_offset = given.offset(NODES, GENES), given.offset_variance(NODES, GENES)
    found = engine.screen(data, WALD, given).total_effects(GENES).effects
    slow = [[pair_fit(data, k, j, offset[k, j]) for j in GENES] for k in NODES]
    without, variance = np.array(slow).transpose(2, 0, 1)
    mended = given.corrected(without + offset, NODES, GENES)
    np.testing.assert_allclose(found.effect, mended.effect, rtol=0, atol=TOLERANCE)
    error = np.sqrt(given.variance(mended, variance, NODES, GENES))
    np.testing.assert_allclose(found.std_error, error, rtol=10 * TOLERANCE)
    _, log10_p = two_sided(without / np.sqrt(variance + of_offset))
    np.testing.assert_allclose(found.log10_p, log10_p, rtol=1e-6, atol=TOLERANCE)
    if not escaping:
        np.testing.assert_allclose(found.effect, without, rtol=0, atol=TOLERANCE)


def with_rates(data: argen.PerturbSeqData, rates: np.ndarray) -> argen.PerturbSeqData:
    """The same cells, those of each perturbation exposed so many times as much: (n_nodes,)."""
    factor = np.append(rates, 1.0)[data.node_of_cell]
    return replace(data, library_size=data.library_size * factor)


@pytest.mark.parametrize("escaping", [False, True])
@pytest.mark.parametrize("engine", [SharedEngine(), ExactEngine()])
def test_offsets_are_as_if_cells_had_been_exposed_more(engine, escaping):
    """The saddlepoint test, groups without counts and few counts, by another library size."""
    data = made_up_screen(empty=True)
    given = without_errors(made_up(escaping=escaping))
    offset = given.offset(NODES, GENES)
    config = argen.InferenceConfig()
    found = engine.screen(data, config, given).total_effects(GENES).effects
    for gene in GENES:
        other = with_rates(data, np.exp(offset[:, gene]))
        plain = engine.screen(other, config).total_effects(np.array([gene])).effects
        np.testing.assert_allclose(
            found.log10_p[:, gene], plain.log10_p[:, 0], rtol=OF_THE_TEST, atol=OF_THE_TEST
        )
        np.testing.assert_array_equal(found.status[:, gene], plain.status[:, 0])
        finite = np.isfinite(plain.effect[:, 0])
        np.testing.assert_array_equal(np.isfinite(found.effect[:, gene]), finite)
        mended = given.corrected(plain.effect + offset[:, [gene]], NODES, np.array([gene])).effect
        np.testing.assert_allclose(
            found.effect[finite, gene], mended[finite, 0], rtol=0, atol=OF_THE_TEST
        )


@pytest.mark.parametrize("engine", [SharedEngine(), ExactEngine()])
def test_groups_without_counts_by_the_conditional_test(engine):
    """With Wald's test nothing else speaks of them; both engines know the offset."""
    data = made_up_screen(empty=True)
    given = without_errors(made_up())
    offset = given.offset(NODES, GENES)
    found = engine.screen(data, WALD, given).total_effects(GENES).effects
    empty = np.argwhere(np.isinf(found.effect))
    assert {tuple(at) for at in empty.tolist()} >= {(1, 3), (0, 5), (1, 7)}
    for source, gene in empty.tolist():
        other = with_rates(data, np.exp(offset[:, gene]))
        plain = engine.screen(other, WALD).total_effects(np.array([gene])).effects
        assert found.status[source, gene] == plain.status[source, 0]
        assert found.log10_p[source, gene] == pytest.approx(plain.log10_p[source, 0], rel=1e-6)
        bare = engine.screen(data, WALD).total_effects(np.array([gene])).effects
        if abs(offset[source, gene]) > 0.02 and bare.log10_p[source, 0] < 0.0:
            assert found.log10_p[source, gene] != pytest.approx(bare.log10_p[source, 0], rel=1e-3)
    np.testing.assert_array_equal(np.isnan(found.std_error), ~np.isfinite(found.effect))


@pytest.mark.parametrize("escaping", [False, True])
def test_engines_agree(escaping):
    data, config = made_up_screen(empty=True), argen.InferenceConfig()
    given = made_up(escaping=escaping)
    shared = SharedEngine().screen(data, config, given).total_effects(GENES).effects
    exact = ExactEngine().screen(data, config, given).total_effects(GENES).effects
    np.testing.assert_allclose(shared.log10_p, exact.log10_p, rtol=OF_THE_TEST, atol=OF_THE_TEST)
    np.testing.assert_array_equal(shared.status, exact.status)
    finite = np.isfinite(exact.effect)
    # Effects from the controls' fit differ by about a hundredth of an error.
    distance = (shared.effect[finite] - exact.effect[finite]) / exact.std_error[finite]
    assert np.abs(distance).max() < 0.05


def test_errors_of_offsets_are_in_the_test(data, rng):
    """How log residuals fall with the offset, by finite differences; and smaller deviates."""
    controls, perturbed = np.flatnonzero(data.controls), data.perturbations.indices
    test = SaddlepointTest(data, controls, perturbed)
    mean = data.library_size[test.cells] * 2.0
    counts, h, shifts = rng.poisson(mean).astype(np.float64), 1e-3, []
    for step in (-h, h):
        of_groups = np.append(0.0, np.full(N_NODES, step))
        means = test.layout.means.copy()
        means[-1] += of_groups
        moved = mean * np.repeat(np.exp(of_groups), np.diff(test.layout.start))
        shift, scale, error = np.zeros((3, N_NODES))
        residuals = np.empty(len(controls))
        layout = test.layout._replace(means=means)
        compare_groups(layout, counts, moved, shift, scale, error, residuals)
        shifts.append(shift)
    # Slopes of residuals on depth and on the mean, which are chance here, are left out.
    slopes = (shifts[0] - shifts[1]) / (2 * h)
    np.testing.assert_allclose(test._slopes(counts, mean), slopes, rtol=0.2)
    offset = np.full(N_NODES, 0.3)
    sure = test.deviates(counts, mean, offset, np.zeros(N_NODES))
    unsure = test.deviates(counts, mean, offset, np.full(N_NODES, 0.01))
    assert (np.abs(unsure) < np.abs(sure)).all()
    np.testing.assert_array_equal(np.sign(unsure), np.sign(sure))


# --- the parent search against slow twins

# Targets that are nodes, of which one has a perturbation beside its candidates', and sinks.
JOBS = [
    ParentJob(target, np.array(candidates))
    for target, candidates in [
        (1, [0]), (3, [0, 1, 2]), (4, [0, 1, 2]), (5, [4, 0]), (6, [0, 1, 2]), (8, [5, 3]),
    ]
]  # fmt: skip


class SlowTwin:
    """Two stages for one target on dense designs, each gene with offsets of its own."""

    def __init__(self, data, given: Corrections, job: ParentJob, model_share: float = 0.0) -> None:
        self.nodes, self.genes = job.candidates, np.append(job.candidates, job.target)
        self.given = given.weighed()
        own = data.own_perturbation(job.target)
        instruments = [data.perturbed(k) for k in job.candidates]
        covariates = data.intercept_and_covariates()
        rates, noise = [], []
        for gene in self.genes:
            offset = self.given.offset(NODES, np.array([gene]))[:, 0]
            exposure = data.offset + np.append(offset, 0.0)[data.node_of_cell]
            extra = own if gene == job.target else own[:, :0]
            groups = np.column_stack(instruments).astype(np.float64)
            factors = np.vstack([data.regressors.factors, extra.T.astype(np.int64)])
            counts = data.counts.dense(np.array([gene]))
            if given.guides is not None:
                counts = counts * given.guides.weight_of_cell
                exposure = exposure + np.log(given.guides.weight_of_cell)
            responses = prepare_responses(counts, offset=exposure, factors=factors, groups=groups)
            design = np.column_stack([covariates, extra, groups])
            fit = fit_regressions(responses, design, exposure, model_share=model_share)
            n = len(self.nodes)
            rates.append(fit.coefficients[0, -n:] + offset[self.nodes])
            noise.append(fit.covariance[0, -n:, -n:])
        # (n_candidates, n_genes), and for each gene a covariance over the perturbations.
        self.rates, self.noise = np.array(rates).T, np.array(noise)

    def theta(self, given: Corrections | None = None, rates: np.ndarray | None = None):
        """Direct effects: Pi' theta = delta, with total effects over the network."""
        rates = self.rates if rates is None else rates
        total = (given or self.given).corrected(rates, self.nodes, self.genes).effect
        if self.given.escapes:  # else derivatives end there
            assert total.min() > np.log(LEAST_LEFT) + 0.5
        return np.linalg.solve(total[:, :-1], total[:, -1])

    def by_rates(self, h: float = 1e-6) -> np.ndarray:
        """Derivatives by all rates: (n_candidates, n_genes, n_candidates)."""
        found = np.empty((*self.rates.shape, len(self.nodes)))
        for at in np.ndindex(*self.rates.shape):
            step = np.zeros_like(self.rates)
            step[at] = h
            found[at] = self.theta(rates=self.rates + step) - self.theta(rates=self.rates - step)
        return found / (2 * h)

    def variance(self, h: float = 1e-6) -> np.ndarray:
        """By the delta method, one number after the other."""
        given, by_rates = self.given, self.by_rates()
        found = np.einsum("kgj,gkl,lgj->j", by_rates, self.noise, by_rates)
        totals = given.corrected(self.rates, self.nodes, self.genes)
        by_totals = self.by_totals(totals.effect)
        of_pairs = np.zeros(self.rates.shape)
        if given.lowered is not None:
            place = given.lowered.place[np.ix_(self.nodes, self.genes)]
            of_pairs = np.where(place >= 0, given.lowered.variance[place], 0.0)
        of_pairs -= totals.by_penetrance**2 * given.realised_variance[self.nodes][:, None]
        found += np.einsum("kgj,kg->j", by_totals**2, of_pairs)
        by_share = np.einsum("kgj,kg->kj", by_totals, totals.by_penetrance)
        found += given.penetrance_variance[self.nodes] @ by_share**2
        for name, of in (("scores", "score_variance"), ("loadings", "loading_variance")):
            values, variances = getattr(given, name), getattr(given, of)
            for at in np.ndindex(*values.shape):
                if not variances[at]:
                    continue
                step = np.zeros_like(values)
                step[at] = h
                slope = self.theta(replace(given, **{name: values + step}))
                slope -= self.theta(replace(given, **{name: values - step}))
                found += (slope / (2 * h)) ** 2 * variances[at]
        return found

    def deviates(self) -> np.ndarray:
        """Of effects as if each were none, candidate by candidate and term by term."""
        given, n = self.given, len(self.nodes)
        found = given.corrected(self.rates, self.nodes, self.genes)
        totals, delta, theta = found.effect[:, :n], found.effect[:, n], self.theta()
        inverse, added = np.linalg.inv(totals), given.of_programs(self.nodes, self.genes)[:, n]
        share, by_chance = given.penetrance_variance, given.realised_variance
        left = given.loadings[self.genes[n]] - theta @ given.loadings[self.genes[:n]]
        along = (inverse @ given.scores[self.nodes]) ** 2
        effect, own, of_proxies = theta.copy(), np.zeros(n), np.zeros((n, n))
        for j in range(n):
            for m in range(n):
                weight = inverse[j] * found.slope[:, m]
                by_regression = weight @ self.noise[m] @ weight
                more = sum(inverse[j, k] ** 2 * found.own[k, m] for k in range(n))
                of_proxies[j, m] = max(by_regression + more, 0.1 * by_regression)
                of_proxies[j, m] += along[j] @ given.loading_variance[self.genes[m]]
            if given.mixes:
                effect[j] = 0.0
                for k, node in enumerate(self.nodes):
                    without = delta[k] - theta[j] * totals[k, j]
                    rate, slope, by_share = mixed(given.numbers(), node, without, added[k])
                    effect[j] += inverse[j, k] * slope * (self.rates[k, n] - rate)
                    others = [m for m in range(n) if m != j]
                    unsure = by_share - found.by_penetrance[k, others] @ theta[others]
                    of_rate = slope**2 * self.noise[n][k, k]
                    variance = max(of_rate - by_share**2 * by_chance[node], 0.1 * of_rate)
                    own[j] += inverse[j, k] ** 2 * (variance + unsure**2 * share[node])
            else:
                own[j] = inverse[j] @ self.noise[n] @ inverse[j]
            of_scores = given.score_variance[self.nodes] @ left**2
            own[j] += inverse[j] ** 2 @ of_scores
            own[j] += along[j] @ given.loading_variance[self.genes[n]]
        squares = theta**4 / (theta**2 + own + of_proxies @ theta**2)
        return effect / np.sqrt(own + of_proxies @ squares - np.diagonal(of_proxies) * squares)

    def by_totals(self, totals: np.ndarray, h: float = 1e-6) -> np.ndarray:
        """Derivatives by all total effects: (n_candidates, n_genes, n_candidates)."""
        found = np.empty((*totals.shape, len(self.nodes)))
        for at in np.ndindex(*totals.shape):
            step = np.zeros_like(totals)
            step[at] = h
            above, below = totals + step, totals - step
            found[at] = np.linalg.solve(above[:, :-1], above[:, -1])
            found[at] -= np.linalg.solve(below[:, :-1], below[:, -1])
        return found / (2 * h)


@pytest.mark.parametrize("kind", ["programs", "escaping", "together", "guides", "all"])
def test_parent_search_and_regressions_with_offsets(kind, data):
    given = made_up(
        escaping=kind in ("escaping", "together", "all"), together=kind in ("together", "all")
    )
    if kind in ("guides", "all"):
        given = replace(given, guides=made_up_guides(data))
    found = SharedEngine().parents(data, WALD, given).direct_effects(JOBS)
    assert found.fits == {"grouped": len(found.effects.effect), "exact": 0}
    assert (found.effects.status == FitStatus.OK).all()
    twins = [SlowTwin(data, given, job) for job in JOBS]
    effect = np.concatenate([twin.theta() for twin in twins])
    np.testing.assert_allclose(found.effects.effect, effect, rtol=0, atol=TOLERANCE)
    variance = np.concatenate([twin.variance() for twin in twins])
    np.testing.assert_allclose(found.effects.std_error**2, variance, rtol=1e-5)
    _, log10_p = two_sided(effect / np.sqrt(variance))
    np.testing.assert_allclose(found.effects.log10_p, log10_p, rtol=1e-4, atol=1e-6)
    under_null = replace(WALD, parent_test="null-variance")
    of_null = SharedEngine().parents(data, under_null, given).direct_effects(JOBS).effects
    twins = [SlowTwin(data, given, job, under_null.model_shares[-1]) for job in JOBS]
    _, log10_p = two_sided(np.concatenate([twin.deviates() for twin in twins]))
    np.testing.assert_allclose(of_null.log10_p, log10_p, rtol=1e-4, atol=1e-6)
    # What is taken out matters: by more than half an error somewhere.
    plain = SharedEngine().parents(data, WALD).direct_effects(JOBS).effects
    assert np.max(np.abs(plain.effect - effect) / np.sqrt(variance)) > 0.5


def test_a_weighed_cell_has_a_weighed_part_in_score_and_sandwich(data):
    """Against Poisson regression with weights, written out."""
    guides = made_up_guides(data)
    given = replace(Corrections.none(N_NODES, N_GENES), guides=guides)
    w, own, target = guides.weight_of_cell, np.array([0, 2, 5]), 4
    [gene] = Genes(data, given).prepare(np.array([target]))
    fit = gene.fit(own, halved=3)
    design = np.column_stack(
        [data.intercept_and_covariates(), *(data.perturbed(k) for k in own.tolist())]
    )
    y, beta = data.counts.dense(np.array([target]))[0], np.zeros(design.shape[1])
    for _ in range(50):
        mu = data.library_size * np.exp(design @ beta)
        bread = design.T @ (design * (w * mu)[:, None])
        beta = beta + np.linalg.solve(bread, design.T @ (w * (y - mu)))
    np.testing.assert_allclose(fit.coefficients, beta[-3:], atol=TOLERANCE)
    scores = design * (w * (y - mu))[:, None]
    slow = np.linalg.solve(bread, np.linalg.solve(bread, scores.T @ scores).T)
    np.testing.assert_allclose(gene.covariance(fit), slow[-3:, -3:], rtol=1e-5, atol=1e-9)


def test_knock_outs_without_counts_have_half_a_count_as_the_twin_has():
    data = made_up_screen()
    counts = data.counts.dense(GENES).T
    counts[data.perturbed(2), 2] = 0  # a candidate's own
    counts[data.perturbed(0), 4] = 0  # of a target
    counts[data.perturbed(5), 5] = 0  # the target's own
    data = replace(data, counts=type(data.counts).from_matrix(counts.astype(np.int64)))
    given = made_up()
    found = SharedEngine().parents(data, WALD, given).direct_effects(JOBS).effects
    assert (found.status == FitStatus.HALF_COUNT).any()
    twins = [SlowTwin(data, given, job) for job in JOBS]
    effect = np.concatenate([twin.theta() for twin in twins])
    np.testing.assert_allclose(found.effect, effect, rtol=0, atol=TOLERANCE)
    variance = np.concatenate([twin.variance() for twin in twins])
    np.testing.assert_allclose(found.std_error**2, variance, rtol=1e-5)


def test_what_cannot_be_fitted_by_groups_is_not_identified(data):
    """Dense fits know nothing of corrections, so that nothing is said."""
    covariates = data.covariates.copy()
    covariates["batch"] = np.where(data.perturbed(1), "own", covariates["batch"])
    confounded = replace(data, covariates=covariates)
    found = SharedEngine().parents(confounded, WALD, made_up()).direct_effects(JOBS)
    assert found.fits["exact"] == 0
    with_1 = np.concatenate(
        [np.full(len(j.candidates), 1 in j.candidates or j.target == 1) for j in JOBS]
    )
    assert (found.effects.status[with_1] == FitStatus.NOT_IDENTIFIED).all()
    assert np.isnan(found.effects.p_value[with_1]).all()
    assert np.isfinite(found.effects.p_value[~with_1]).all()


def test_engines_that_cannot_say_so(data):
    with pytest.raises(argen.InputError, match=r"one perturbation at most.*programs=0"):
        ExactEngine().parents(data, WALD, made_up())
    negative = argen.InferenceConfig(family="nb")
    with pytest.raises(argen.InputError, match="the family is 'poisson'"):
        SharedEngine().parents(data, negative, made_up())


# --- what must not matter


@pytest.mark.parametrize("escaping", [False, True])
def test_the_sequence_of_genes_does_not_matter(escaping, data):
    given = made_up(escaping=escaping, together=escaping)
    nodes = np.array([4, 2, 0, 5, 1, 3])
    genes = np.append(nodes, [8, 6, 7])  # of the new ones, the old
    lowered = given.lowered
    if lowered is not None:
        lowered = replace(lowered, place=lowered.place[np.ix_(nodes, genes)])
    moved = Corrections(
        penetrance=given.penetrance[nodes],
        penetrance_variance=given.penetrance_variance[nodes],
        realised_variance=given.realised_variance[nodes],
        lowered=lowered,
        scores=given.scores[nodes],
        score_variance=given.score_variance[nodes],
        loadings=given.loadings[genes],
        loading_variance=given.loading_variance[genes],
    )
    new = np.argsort(genes)
    node_of_cell = np.append(new[:N_NODES], -1)[data.node_of_cell]
    counts = data.counts.dense(genes).T.astype(np.int64)
    other = screen_of(counts, node_of_cell, data.covariates, data.library_size, N_NODES)
    config = argen.InferenceConfig()
    left = SharedEngine().screen(data, config, given).total_effects(GENES).effects
    right = SharedEngine().screen(other, config, moved).total_effects(GENES).effects
    for name in FIELDS:
        at = getattr(left, name)[np.ix_(nodes, genes)]
        np.testing.assert_allclose(getattr(right, name), at, rtol=1e-8, atol=1e-10)
    jobs = [ParentJob(int(new[job.target]), new[job.candidates]) for job in JOBS]
    left = SharedEngine().parents(data, WALD, given).direct_effects(JOBS).effects
    right = SharedEngine().parents(other, WALD, moved).direct_effects(jobs).effects
    for name in FIELDS:
        np.testing.assert_allclose(getattr(right, name), getattr(left, name), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("config", [argen.InferenceConfig(), WALD])
@pytest.mark.parametrize("uneven", [False, True])
def test_blocks_threads_and_places_do_not_matter(config, uneven, data):
    given = made_up(escaping=True, together=True)
    if uneven:
        given = replace(made_up(), guides=made_up_guides(data))

    def screen(n_threads: int) -> Effects:
        with argen.engine.using_threads(n_threads):
            return SharedEngine().screen(data, config, given).total_effects(GENES).effects

    whole = screen(1)
    assert_equal(whole, screen(2))
    screener = pickle.loads(pickle.dumps(SharedEngine().screen(data, config, given).bare()))
    for part in np.split(GENES, [2, 7]):
        here = SharedEngine().screen(data, config, given)
        found = screener.unpacked(here.packed(part)).total_effects(part).effects
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(found, name), getattr(whole, name)[:, part])

    tester = SharedEngine().parents(data, config, given)
    with argen.engine.using_threads(1):
        whole = tester.direct_effects(JOBS).effects
    with argen.engine.using_threads(2):
        fresh = SharedEngine().parents(data, config, given)
        assert_equal(whole, fresh.direct_effects(JOBS[::-1] + JOBS).effects, skip=14)
    elsewhere = pickle.loads(pickle.dumps(tester.bare()))
    parts = []
    for piece in (JOBS[:1], JOBS[1:4], JOBS[4:]):
        packed = pickle.loads(pickle.dumps(tester.packed(piece)))
        found = elsewhere.unpacked(packed).direct_effects(piece)
        parts.append(tester.completed(piece, found).effects)
    assert_equal(whole, Effects.joined(parts))


def assert_equal(left: Effects, right: Effects, skip: int = 0) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name)[skip:])


def test_pieces_without_the_counts_of_other_groups(data):
    """A piece of few groups is sent without the rest, whose offsets are in its sums."""
    few = [ParentJob(6, np.array([0, 1]))]
    data = replace(data, covariates=data.covariates[["batch"]])  # then sums are exact
    tester = SharedEngine().parents(data, WALD, made_up())
    packed = tester.packed(few)
    assert not packed.complete
    found = tester.bare().unpacked(packed).direct_effects(few)
    assert not found.left
    assert_equal(found.effects, tester.direct_effects(few).effects)


def test_counts_of_weighed_cells_are_sent_as_they_are(data):
    few = [ParentJob(6, np.array([0, 1])), ParentJob(3, np.array([0, 1, 2]))]
    data = replace(data, covariates=data.covariates[["batch"]])
    given = replace(made_up(escaping=True), guides=made_up_guides(data))
    tester = SharedEngine().parents(data, WALD, given)
    found = tester.bare().unpacked(tester.packed(few)).direct_effects(few)
    assert not found.left
    assert_equal(found.effects, tester.direct_effects(few).effects)


@pytest.mark.parametrize("step", ["screen", "parents"])
def test_a_checkpoint_goes_on_with_the_same_corrections_alone(step, data, tmp_path, monkeypatch):
    monkeypatch.setattr("argen.steps.descendants.BLOCK_OF_TARGETS", 3)
    monkeypatch.setattr("argen.steps.parents.MOST_JOBS", 2)
    given, other = made_up(), made_up(seed=2)
    upstream = np.triu(np.ones((N_NODES, N_GENES), dtype=bool), 1)
    order = causal_order(upstream, np.where(upstream, 0.0, 1.0))

    def run(corrections: Corrections | None, progress=None):
        how = {"corrections": corrections, "progress": progress}
        kept = Checkpoint(tmp_path, data.sha256)
        if step == "screen":
            return argen.screen_descendants(data, checkpoint=kept, **how)
        return argen.search_parents(data, order, checkpoint=kept, **how).effects

    class EndedError(Exception):
        pass

    def end(stage: str, done: int, total: int) -> None:
        assert stage == ("corrected" if step == "screen" else "parents")
        if done:
            raise EndedError

    with pytest.raises(EndedError):
        run(given, end)
    assert Checkpoint(tmp_path, data.sha256).n_finished() == 1
    with pytest.raises(argen.InputError, match="have changed"):
        run(other)
    if step == "parents":
        with pytest.raises(argen.InputError, match="have changed"):
            run(None)
    again = run(given)
    Checkpoint(tmp_path, data.sha256).remove()
    assert not tmp_path.exists()
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(again, name), getattr(run(given), name))
