"""The shared engine against the exact one, and its pieces against slow twins."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

import argen
from argen.engine import ExactEngine, SharedEngine
from argen.engine.shared import SERIES_DEGREES, SharedScreener
from argen.errors import FitStatus
from argen.glm import _controls, _pair_sums, _series
from argen.glm._control_effects import LARGEST_SHARE, LONGEST_CHORD
from argen.glm.monomials import monomials
from tests.screens import PUBLISHED, screen_of

# What the series and the last step leave out: see SERIES_REMAINDER and LAST_STEP.
EFFECT_TOLERANCE = 1e-7
LOG10_P_TOLERANCE = 1e-6
# In standard errors, what effects from the controls' fit may differ by from those of pair fits, and
# by how much of each the standard errors may: see LARGEST_SHARE and LONGEST_CHORD.
CHORD_TOLERANCE, STD_ERROR_TOLERANCE = 0.012, 0.08

WALD = argen.InferenceConfig(screen_test="wald")
COVARIATES = {
    "none": [],
    "numeric": ["x"],
    "lane": ["lane"],
    "numeric and lane": ["x", "lane"],
    "three numeric, two categorical": ["x", "skewed", "third", "lane", "replicate"],
    "five numeric": ["x", "skewed", "third", "fourth", "fifth"],
}


def random_screen(seed: int, covariates: list[str], mean: float = 1.0) -> argen.PerturbSeqData:
    """Eight genes, 30 cells each and 400 controls; everything acts on everything."""
    rng = np.random.default_rng(seed)
    node_of_cell = rng.permutation(np.repeat(np.arange(-1, 8), [400, *[30] * 8]))
    n_cells = len(node_of_cell)
    table = pd.DataFrame(
        {
            "x": rng.normal(size=n_cells),
            "skewed": rng.exponential(size=n_cells),
            "third": rng.uniform(size=n_cells),
            "fourth": rng.normal(size=n_cells),
            "fifth": rng.normal(size=n_cells),
            "lane": rng.choice(list("abcdef"), n_cells),
            "replicate": rng.choice(["r1", "r2", "r3"], n_cells),
        }
    )
    lane = (table["lane"].to_numpy() > "c").astype(float)
    effects = np.vstack([rng.normal(0, 0.5, (8, 8)), np.zeros(8)])[node_of_cell]
    log_mean = np.log(mean) + 0.3 * table["x"].to_numpy() + 0.3 * lane + 0.2 * table["skewed"]
    counts = rng.poisson(np.exp(np.asarray(log_mean)[:, None] + effects))
    return screen_of(counts, node_of_cell, table[covariates], rng.gamma(8, 1 / 8, n_cells))


def assert_engines_agree(data: argen.PerturbSeqData) -> argen.DescendantScreen:
    """Compare every pair of the screen with the exact engine's; returns that of pair fits."""
    shared = argen.screen_descendants(data, WALD)
    exact = argen.screen_descendants(data, WALD, engine=ExactEngine())
    np.testing.assert_array_equal(shared.status, exact.status)
    np.testing.assert_allclose(shared.effect, exact.effect, atol=EFFECT_TOLERANCE)
    np.testing.assert_allclose(
        shared.log10_p, exact.log10_p, rtol=LOG10_P_TOLERANCE, atol=LOG10_P_TOLERANCE
    )
    np.testing.assert_allclose(
        shared.knockdown.effect, exact.knockdown.effect, atol=EFFECT_TOLERANCE
    )
    default = argen.screen_descendants(data)
    assert_close_to_pair_fits(default, exact)
    exact = argen.screen_descendants(data, engine=ExactEngine())
    np.testing.assert_allclose(
        default.log10_p, exact.log10_p, rtol=LOG10_P_TOLERANCE, atol=LOG10_P_TOLERANCE
    )
    return shared


def assert_close_to_pair_fits(
    screen: argen.DescendantScreen, exact: argen.DescendantScreen
) -> None:
    np.testing.assert_array_equal(screen.status, exact.status)
    fitted = np.isfinite(exact.effect)
    np.testing.assert_array_equal(screen.effect[~fitted], exact.effect[~fitted])
    difference = (screen.effect[fitted] - exact.effect[fitted]) / exact.std_error[fitted]
    np.testing.assert_allclose(difference, 0.0, atol=CHORD_TOLERANCE)
    ratio = screen.std_error[fitted] / exact.std_error[fitted]
    np.testing.assert_allclose(ratio, 1.0, atol=STD_ERROR_TOLERANCE)


@pytest.mark.parametrize("names", COVARIATES.values(), ids=COVARIATES.keys())
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_exact_fits(names, seed):
    screen = assert_engines_agree(random_screen(seed, names))
    n_numeric = sum(name not in ("lane", "replicate") for name in names)
    if n_numeric in SERIES_DEGREES:
        assert screen.fits.get("series", 0) + screen.fits.get("afresh", 0) == 64
    else:
        assert screen.fits == {"exact": 64}


@pytest.mark.parametrize("mean", [0.02, 0.1, 30.0])
def test_agrees_on_rare_and_on_abundant_genes(mean):
    """Rare genes: empty groups, empty levels, long series, sums taken afresh."""
    screen = assert_engines_agree(random_screen(1, ["x", "lane"], mean))
    if mean < 0.1:
        assert screen.fits["empty"] > 0
        assert (screen.status == FitStatus.ZERO_COUNTS_PERTURBED).any()


def test_sums_are_taken_afresh_where_no_series_is_close(monkeypatch):
    data = random_screen(2, ["x", "skewed"])
    monkeypatch.setitem(SERIES_DEGREES, 2, (2, 2))
    screen = assert_engines_agree(data)
    assert screen.fits["afresh"] == 64


def test_cells_with_several_perturbations_and_targets_that_are_no_nodes(rng):
    """Each source is compared on all its cells, whatever else they carry, with the controls."""
    one_each = random_screen(3, ["x", "lane"])
    more = rng.random((one_each.n_cells, 6)) < 0.1
    indicators = (one_each.perturbations.toarray()[:, :6] == 1) | (
        more & (one_each.node_of_cell != -1)[:, None]
    )
    data = screen_of(
        one_each.counts.to_csc(), indicators, one_each.covariates, one_each.library_size, n_nodes=6
    )
    assert not data.one_per_cell
    targets = np.array([7, 2, 6, 0])
    shared = SharedEngine().screen(data, PUBLISHED)
    assert isinstance(shared, SharedScreener)
    found = shared.total_effects(targets)
    assert found.fits["exact"] == 0
    exact = ExactEngine().screen(data, PUBLISHED).total_effects(targets).effects
    assert found.effects.effect.shape == (6, 4)
    np.testing.assert_allclose(found.effects.effect, exact.effect, atol=EFFECT_TOLERANCE)
    np.testing.assert_allclose(found.effects.log10_p, exact.log10_p, rtol=LOG10_P_TOLERANCE)
    # One source by itself: its cells and the controls, and nothing of the others.
    for source in range(6):
        cells = np.flatnonzero(indicators[:, source] | ~indicators.any(axis=1))
        alone = screen_of(
            one_each.counts.to_csc()[cells],
            np.where(indicators[cells, source], 0, -1),
            one_each.covariates.iloc[cells].reset_index(drop=True),
            one_each.library_size[cells],
            n_nodes=1,
        )
        effects = SharedEngine().screen(alone, PUBLISHED).total_effects(targets).effects
        np.testing.assert_allclose(
            effects.effect[0], found.effects.effect[source], atol=EFFECT_TOLERANCE
        )


def test_formulas_are_gathered_into_factors():
    data = random_screen(0, ["x", "lane", "replicate"])
    by_formula = dataclasses.replace(data, formula="~ replicate + x + lane")
    assert isinstance(SharedEngine().screen(by_formula, PUBLISHED), SharedScreener)
    factors = by_formula.regressors.factors
    assert sorted(factors.max(axis=1)) == [2, 5]
    left = argen.screen_descendants(data, WALD)
    right = argen.screen_descendants(by_formula, WALD)
    np.testing.assert_allclose(left.effect, right.effect, atol=EFFECT_TOLERANCE)


def many_controls(
    seed: int, mean: float, *, n_controls: int = 4000, scale: float = 0.4
) -> tuple[argen.PerturbSeqData, np.ndarray]:
    """Eight genes of 60 cells against thousands of controls, and the true effects.

    A third gene in three has effects on every gene; x and the lane differ between groups, and
    counts are overdispersed.
    """
    rng = np.random.default_rng(seed)
    node = np.repeat(np.arange(-1, 8), [n_controls, *[60] * 8])
    x = rng.normal(size=len(node)) + 0.1 * node
    lane, replicate = rng.integers(0, 12, len(node)), rng.integers(0, 3, len(node))
    effects = np.vstack([rng.normal(0, scale, (8, 8)), np.zeros(8)])
    log_mean = np.log(mean) + effects[node] + 0.3 * x[:, None] + 0.2 * (replicate == 1)[:, None]
    log_mean += rng.normal(0, 0.3, (12, 8))[lane]
    size = rng.gamma(8, 1 / 8, len(node))
    counts = rng.poisson(np.exp(log_mean) * size[:, None] * rng.gamma(4, 0.25, log_mean.shape))
    table = pd.DataFrame({"x": x, "lane": lane.astype(str), "replicate": replicate.astype(str)})
    return screen_of(counts, node, table, size), effects[:-1]


@pytest.mark.parametrize("mean", [0.01, 0.1, 1.0, 30.0])
def test_effects_from_the_controls_are_those_of_pair_fits(mean):
    data, _ = many_controls(4, mean)
    screen = argen.screen_descendants(data)
    assert screen.fits["controls"] > 20  # of 64, of which most are empty where counts are few
    assert_close_to_pair_fits(screen, argen.screen_descendants(data, WALD))


def test_large_effects_and_few_controls_are_left_to_pair_fits():
    data, _ = many_controls(5, 1.0, scale=3.0)
    some = argen.screen_descendants(data)
    assert 0 < some.fits["series"] + some.fits["afresh"] < 64
    assert_close_to_pair_fits(some, argen.screen_descendants(data, WALD))
    data, _ = many_controls(5, 1.0, n_controls=200)
    screen = argen.screen_descendants(data)
    assert "controls" not in screen.fits
    np.testing.assert_array_equal(screen.effect, argen.screen_descendants(data, WALD).effect)


def test_effects_from_the_controls_as_their_equations_stand():
    """``d`` and its variance by dense algebra, with the covariances of all coefficients."""
    data, _ = many_controls(6, 0.5)
    screen = argen.screen_descendants(data)
    design, control, n_compared = data.intercept_and_covariates(), data.controls, 0
    for target in range(2):
        y = data.counts.dense(np.array([target]))[0]
        fit = sm.GLM(
            y[control], design[control], family=sm.families.Poisson(), offset=data.offset[control]
        ).fit(cov_type="HC0", tol=1e-13, maxiter=100)
        mu = np.exp(design @ fit.params + data.offset)
        inverse = np.linalg.inv(design[control].T @ (mu[control, None] * design[control]))
        for source in range(2, 8):
            own = data.node_of_cell == source
            ratio = y[own].sum() / mu[own].sum()
            mean = mu[own] @ design[own] / mu[own].sum()
            chord = mean @ inverse @ design[own].T @ (y[own] - ratio * mu[own])
            effect = np.log(ratio) - chord
            left = y[own] - np.exp(effect) * mu[own]
            by_own = left @ left / y[own].sum() ** 2
            by_controls = mean @ fit.cov_params() @ mean
            limit = min(by_own, 1.0)
            large = y[own].sum() > LARGEST_SHARE * y[control].sum()
            if large or by_controls > LARGEST_SHARE * limit or chord**2 > LONGEST_CHORD**2 * limit:
                continue
            n_compared += 1
            assert screen.effect[source, target] == pytest.approx(effect, abs=1e-8)
            std_error = np.sqrt(by_own + by_controls)
            assert screen.std_error[source, target] == pytest.approx(std_error, rel=1e-8)
    assert n_compared > 8


@pytest.mark.rates
@pytest.mark.parametrize("mean", [0.1, 1.0])
def test_intervals_from_the_controls_cover_as_those_of_pair_fits_do(mean):
    covered, errors = {}, {}
    for name, config in {"controls": None, "pairs": WALD}.items():
        found = []
        for seed in range(60):
            data, truth = many_controls(100 + seed, mean)
            screen = argen.screen_descendants(data, config)
            known = np.isfinite(screen.effect)
            found.append(np.column_stack([(screen.effect - truth)[known], screen.std_error[known]]))
        error, std_error = np.vstack(found).T
        covered[name] = np.mean(np.abs(error) < 1.96 * std_error)
        errors[name] = np.sqrt(np.mean(error**2))
    assert abs(covered["controls"] - covered["pairs"]) < 0.01
    assert covered["controls"] > 0.92
    assert errors["controls"] == pytest.approx(errors["pairs"], rel=0.005)


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=50))
@settings(deadline=None)
def test_logarithms(values):
    x = np.array(values)
    out = np.empty_like(x)
    _series.logarithms(x, out, np.empty(len(x), np.int64))
    np.testing.assert_allclose(out, np.log(x), rtol=4e-16, atol=4e-16)


@given(st.lists(st.floats(-600, 600), min_size=1, max_size=50))
@settings(deadline=None)
def test_exponentials(values):
    x = np.array(values)
    out = np.empty_like(x)
    _series.exponentials(x, out, np.empty(len(x), np.int64))
    np.testing.assert_allclose(out, np.exp(x), rtol=1e-15)


@pytest.mark.parametrize("length", [0.0, _series.TINY_EXPONENT, _series.SHORT_EXPONENT, 30.0])
@pytest.mark.parametrize("n_numeric", range(4))
def test_exponentials_of_sums(n_numeric, length, rng):
    """Whatever their size: as many terms as it takes at the longest."""
    z, e = rng.normal(size=(n_numeric, 60)), rng.normal(size=n_numeric)
    z /= np.abs(e @ z).max(initial=1e-300)  # the longest sum is 1, and the norm not less
    norm = np.linalg.norm(z, axis=0).max() * np.linalg.norm(e)
    e, largest_norm = e * length / max(norm, 1.0), np.linalg.norm(z, axis=0).max()
    out = np.empty(50)
    work = np.empty(50), out, np.empty(50, np.int64)
    _series.exponentials_of_sums(5, 55, e, z, largest_norm, *work)
    np.testing.assert_allclose(out, np.exp(e @ z[:, 5:55]), rtol=2e-14)


@pytest.mark.parametrize("n_variables", range(5))
def test_series_of_exponentials(n_variables, rng):
    """``sum_a coefficient_a z^a`` is ``exp(e'z)``, and its shifted twin ``z^b exp(e'z)``."""
    series = monomials(n_variables, 9)
    e, z = rng.normal(0, 0.1, n_variables), rng.normal(size=(n_variables, 20))
    coefficients = np.empty(len(series.exponents))
    arguments = (series.parent, series.variable, series.power, len(coefficients))
    _series.exp_coefficients(e, *arguments, coefficients)
    powers = np.prod(z[None] ** series.exponents[:, :, None], axis=1)
    np.testing.assert_allclose(coefficients @ powers, np.exp(e @ z), rtol=1e-9)
    for b in range(series.minus.shape[1]):
        shifted = np.where(series.minus[:, b] >= 0, coefficients[series.minus[:, b]], 0.0)
        np.testing.assert_allclose(
            shifted @ powers, powers[b] * np.exp(e @ z), rtol=1e-6, atol=1e-6
        )


def test_newton_system_is_score_and_information_with_dummies(rng):
    """Profiling the level intercepts out is taking the Schur complement of their dummies."""
    n, n_levels, phi = 300, 4, 0.3
    level, flag = rng.integers(0, n_levels, n), rng.integers(0, 2, n)
    z, own = rng.normal(size=n), (rng.random(n) < 0.2).astype(float)
    y, mean = rng.poisson(2.0, n).astype(float), rng.gamma(2.0, 1.0, n)
    stratum = n_levels * flag + level
    sums = np.array([np.bincount(stratum, mean * z**k, 2 * n_levels) for k in range(2)])
    own_sums = np.bincount(stratum, own * mean, 2 * n_levels)
    mean *= np.exp(phi * flag)
    level_counts = np.bincount(level, y)
    observed = np.array([y @ z, y @ flag, y @ own])
    by_level, scale, rate = np.zeros((5, n_levels)), np.zeros(2), np.zeros(2 * n_levels)
    score, information = np.zeros(3), np.zeros((3, 3))
    indicators, e = np.array([[0.0, 1.0]]), np.array([0.0, phi, 0.0])
    _controls.profile_levels(level_counts, indicators, sums, own_sums, e, by_level, scale, rate)
    fitted = np.exp(-phi * flag) * mean * rate[stratum]
    _controls.newton_system(
        level_counts, indicators, observed, sums, own_sums,
        np.array([fitted @ own, fitted @ (own * z)]), np.array([[fitted @ z**2]]), by_level, rate,
        score, information,
    )  # fmt: skip
    # The intercepts at their best: the means of a level add up to its counts.
    fitted = mean * (level_counts / np.bincount(level, mean))[level]
    regressors, dummies = np.column_stack([z, flag, own]), np.eye(n_levels)[level]
    np.testing.assert_allclose(score, regressors.T @ (y - fitted), atol=1e-9)
    full = np.column_stack([dummies, regressors])
    hessian = full.T @ (fitted[:, None] * full)
    corner = hessian[n_levels:, :n_levels]
    schur = hessian[n_levels:, n_levels:] - corner @ np.linalg.solve(
        hessian[:n_levels, :n_levels], corner.T
    )
    np.testing.assert_allclose(information, schur, rtol=1e-10)


@pytest.mark.parametrize("n_numeric", range(4))
def test_sums_over_controls_are_those_of_their_cells(n_numeric, rng):
    """Series against plain sums over cells: the moments at e, and the variance."""
    n, n_strata, series = 200, 3, monomials(n_numeric, 9)
    stratum = np.sort(rng.integers(0, n_strata, n))
    start = np.searchsorted(stratum, np.arange(n_strata + 1))
    z, e = rng.uniform(-1, 1, (n_numeric, n)), rng.normal(0, 0.02, n_numeric)
    y, w = rng.poisson(2.0, n).astype(float), rng.gamma(2.0, 1.0, n)
    rate, influence = rng.gamma(2.0, 0.5, n_strata), rng.normal(size=n_strata)
    weight = rng.normal(size=n_numeric)
    powers = np.prod(z[None] ** series.exponents[:, :, None], axis=1)
    n_low = series.minus.shape[1]
    tables, squares = np.empty((3, len(powers), n_strata)), np.empty((n_low, n_strata))
    products = np.array([y * w, w * w, y * y])
    _pair_sums.sum_moments(w, products, powers, start, tables, squares)
    for weights, table in zip((w, *products), (*tables, squares), strict=True):
        plain = np.empty(table.shape)
        _controls.segment_sums(weights, powers, start, plain)
        np.testing.assert_allclose(table, plain, rtol=1e-12, atol=1e-12)
        by_stratum = [np.bincount(stratum, weights * row, n_strata) for row in powers]
        np.testing.assert_allclose(table, by_stratum[: len(table)], rtol=1e-12, atol=1e-12)

    coefficients, n_terms = np.empty(len(powers)), len(powers)
    _series.exp_coefficients(e, series.parent, series.variable, series.power, n_terms, coefficients)
    sums, second = np.empty((1 + n_numeric, n_strata)), np.zeros((n_numeric, n_numeric))
    terms = coefficients, series.minus, n_terms, n_terms
    _series.add_moments(tables[0], *terms, sums)
    _series.second_moments(tables[0], *terms, rate, np.empty(n_terms), second)
    mean = w * np.exp(e @ z)
    first = np.vstack([mean, mean * z])
    np.testing.assert_allclose(sums, [np.bincount(stratum, row, n_strata) for row in first])
    plain = np.triu((rate[stratum] * mean * z) @ z.T)
    np.testing.assert_allclose(second, plain, rtol=1e-9, atol=1e-9)

    doubled = coefficients * 2.0 ** series.exponents.sum(axis=1)
    n_coefficients = series.n_up_to[-3]
    variance = _pair_sums.control_variance(
        squares, tables[1], tables[2], coefficients, doubled, series.minus,
        n_coefficients, n_terms, weight, n_numeric, influence, rate,
    )  # fmt: skip
    at = influence[stratum] + weight @ z
    plain = np.sum(((y - rate[stratum] * mean) * at) ** 2)
    np.testing.assert_allclose(variance, plain, rtol=1e-9)
    afresh = _pair_sums.control_variance_afresh(
        y, mean, powers, start, influence, rate, weight, n_numeric
    )
    np.testing.assert_allclose(afresh, plain, rtol=1e-12)


@pytest.mark.parametrize("n_numeric", SERIES_DEGREES)
def test_norms_from_monomials_are_bounds(n_numeric, rng):
    """Even powers of |z| are exact; odd ones, and those beyond the monomials, bounded closely."""
    z, data = rng.normal(size=(n_numeric, 60)), random_screen(0, [])
    series, weights = monomials(n_numeric, SERIES_DEGREES[n_numeric][1]), rng.gamma(2.0, 1.0, 60)
    norm = np.sqrt(np.sum(z**2, axis=0))
    layout = SharedScreener(data, WALD).layout._replace(
        norm_shares=series.norm_shares(), n_up_to=series.n_up_to, largest_norm=norm.max()
    )
    table = (series.powers(z) * weights).reshape(len(series.exponents), 2, 30).sum(axis=2)
    norms = _controls.mean_norms(layout, table)
    plain = np.array([np.average(norm**k, weights=weights) for k in range(len(norms))])
    assert (norms >= plain * (1.0 - 1e-12)).all()
    even = 2 * np.arange(len(layout.norm_shares))
    np.testing.assert_allclose(norms[even], plain[even], rtol=1e-12, atol=1e-100)
    if n_numeric:
        assert (norms[: even[-1]] < 1.3 * plain[: even[-1]]).all()


@pytest.mark.parametrize("covariates", list(COVARIATES)[:5])
def test_controls_are_fitted_by_series_as_by_their_cells(covariates, rng):
    """No series reaches where a cell may be anywhere; and statsmodels has the same means.

    They reach where covariates do nothing, as when counts are dealt to the cells anew. Slopes are
    right to CONTROL_STEP, which is where both ways stop.
    """
    data = random_screen(4, COVARIATES[covariates])
    screener = SharedScreener(data, WALD)
    layout, counts = screener.layout, np.empty(screener.n_places)
    data.counts.scatter(0, screener.place, counts)
    y = counts[: screener.n_controls]
    order = np.flatnonzero(data.controls)[np.argsort(screener.place[data.controls])]
    design, offset = data.intercept_and_covariates()[order], data.offset[order]
    for response in (y, rng.permutation(y)):
        mean, by_cells = np.empty((2, len(y)))
        fit = _controls.fit_controls(layout, response, mean)
        plain = _controls.fit_controls(layout._replace(largest_norm=np.inf), response, by_cells)
        assert fit.usable
        np.testing.assert_allclose(fit.slopes, plain.slopes, atol=_controls.CONTROL_STEP)
        np.testing.assert_allclose(mean, by_cells, rtol=1e-5)
        model = sm.GLM(response, design, family=sm.families.Poisson(), offset=offset)
        np.testing.assert_allclose(mean, model.fit(tol=1e-13).fittedvalues, rtol=1e-5)


def test_curvature_of_a_newton_step_is_what_its_linear_term_leaves(rng):
    """The expected count of perturbed cells after a step, the level intercept being best."""
    n, n_own = 50_000, 200
    z, mean, own = rng.normal(size=(2, n)), rng.gamma(2.0, 1.0, n), np.arange(n) < n_own
    z -= np.average(z, axis=1, weights=mean)[:, None]
    own_moments = (mean[own] @ np.vstack([np.ones(n_own), z[:, own]]).T).astype(float)
    own_second, second = (mean[own] * z[:, own]) @ z[:, own].T, (mean * z) @ z.T
    step = np.array([0.03, -0.02, 0.04])
    change = step[:2] @ z + step[2] * own
    grown = np.average(np.exp(change[own]), weights=mean[own])
    grown /= np.average(np.exp(change), weights=mean)
    linear = np.average(change[own], weights=mean[own]) - np.average(change, weights=mean)
    score = np.array([0.0, 0.0, linear * own_moments[0]])
    curved = _pair_sums.curvature(step, score, own_moments, own_second, second, mean.sum())
    assert abs(grown - 1.0 - linear) > 5e-4
    np.testing.assert_allclose(curved, grown - 1.0 - linear, rtol=0.05)
