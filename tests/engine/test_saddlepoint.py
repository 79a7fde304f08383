"""The saddlepoint test: against a slow twin, in both engines, and its size without an effect."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.optimize import brentq
from scipy.special import log_ndtr
from scipy.stats import binomtest

import argen
from argen.data import PerturbSeqData
from argen.engine import ExactEngine, SharedEngine
from argen.engine.exact import ExactScreener
from argen.errors import FitStatus
from argen.glm import _saddlepoint, deviates
from argen.glm._saddlepoint import LONGEST_TILT, N_BINS, N_MOMENTS
from tests.screens import screen_of

CONFIG = argen.InferenceConfig()
N_NODES = 6

# The table of K_0, and the last step of the fit of the controls.
TOLERANCE = 1e-5


def random_screen(seed: int, mean: float, covariates: list[str]) -> argen.PerturbSeqData:
    """Six genes, 40 to 65 cells each and 300 controls; depth, batch and x differ between groups."""
    rng = np.random.default_rng(seed)
    node = np.repeat(np.arange(-1, N_NODES), [300, *range(40, 40 + 5 * N_NODES, 5)])
    n_cells = len(node)
    batch = rng.choice(list("abc"), n_cells)
    table = pd.DataFrame(
        {
            "x": rng.normal(size=n_cells) + 0.2 * node,
            "batch": batch,
            "site": rng.choice(["m", "n"], n_cells),
            **{f"x{k}": rng.normal(size=n_cells) for k in range(2, 6)},
        }
    )
    size = rng.gamma(5.0, 0.2, n_cells)
    shift = rng.normal(0.0, 0.7, (N_NODES + 1, N_NODES))
    shift[-1] = 0.0
    log_mean = np.log(mean) + shift[node] + 0.3 * table[["x"]].to_numpy()
    log_mean += 0.4 * (batch == "b")[:, None] + 0.3 * rng.normal(size=(n_cells, 1))
    counts = rng.poisson(np.exp(log_mean) * size[:, None])
    return screen_of(counts, node, table[covariates], size)


def literal_deviates(data: PerturbSeqData, target: int) -> np.ndarray:
    """The test as its equations stand, one group after the other."""
    y = data.counts.dense(np.array([target]))[0]
    regressors, offset = data.intercept_and_covariates(), data.offset
    group, control = data.node_of_cell, data.controls
    poisson = sm.GLM(
        y[control], regressors[control], family=sm.families.Poisson(), offset=offset[control]
    )
    mu = np.exp(regressors @ poisson.fit(tol=1e-13, maxiter=300).params + offset)
    excess = ((y - mu) ** 2 - mu)[control].sum()
    dispersion = np.clip(excess / (mu[control] ** 2).sum(), 0.05, 20.0)
    a = 1.0 / dispersion
    psi, log_mean = np.log((y + a) / (mu + a)), np.log(mu + a)
    spread = dispersion * mu / (mu + a)
    z = np.column_stack([regressors[:, 1:], offset, log_mean, log_mean**2])

    def within(values: np.ndarray) -> np.ndarray:
        return values - np.array([values[group == g].mean(axis=0) for g in group])

    z_within, psi_within = within(z), within(psi)

    def pieces(used: list[int]):
        cells = np.isin(group, used)
        b, _, rank, _ = np.linalg.lstsq(z_within[cells], psi_within[cells], rcond=None)
        left = ((psi_within[cells] - z_within[cells] @ b) ** 2).sum()
        of_slopes = left / (cells.sum() - len(used) - rank)
        inverse = np.linalg.pinv(z_within[cells].T @ z_within[cells])
        r = (psi_within - z_within @ b)[control]
        r *= np.sqrt(len(r) / (len(r) - 1 - rank))
        found = []
        for j in range(data.n_nodes):
            own = group == j
            n, d = own.sum(), z[own].mean(axis=0) - z[control].mean(axis=0)
            observed = n * (psi[own].mean() - psi[control].mean() - d @ b)
            c = np.sqrt(spread[own].mean() / spread[control].mean())
            v = n**2 * (r.var() / control.sum() + of_slopes * d @ inverse @ d)
            found.append((n, observed, c, v))
        return found, r

    found, r = pieces([-1])
    quiet = [
        j for j, (n, s, c, v) in enumerate(found) if abs(s) < 3.0 * np.sqrt(n * c**2 * r.var() + v)
    ]
    found, r = pieces([-1, *quiet])
    signed = []
    for n, observed, c, v in found:
        normal = observed / np.sqrt(n * c**2 * r.var() + v)

        def cumulants(t, n=n, c=c, v=v):
            exponent = c * t * r
            weight = np.exp(exponent - exponent.max())
            first = (weight @ r) / weight.sum()
            second = (weight @ r**2) / weight.sum() - first**2
            whole = exponent.max() + np.log(weight.mean())
            return n * whole + t**2 * v / 2, n * c * first + t * v, n * c**2 * second + v

        if abs(normal) < 0.5:
            signed.append(normal)
            continue
        bound = 1.01 * abs(observed) / v
        t = brentq(lambda t: cumulants(t)[1] - observed, -bound, bound, xtol=1e-14)  # noqa: B023
        whole, _, second = cumulants(t)
        w, u = np.sign(t) * np.sqrt(2 * (t * observed - whole)), t * np.sqrt(second)
        signed.append(w + np.log(u / w) / w)
    return np.array(signed)


def two_sided_log10(deviate: np.ndarray) -> np.ndarray:
    return (log_ndtr(-np.abs(deviate)) + np.log(2.0)) / np.log(10.0)


@pytest.mark.parametrize("covariates", [[], ["x"], ["batch"], ["x", "batch", "site"]])
@pytest.mark.parametrize("mean", [0.1, 1.0, 20.0])
def test_slow_twin(mean, covariates):
    data = random_screen(3, mean, covariates)
    found = SharedEngine().screen(data, CONFIG).total_effects(np.arange(N_NODES)).effects
    for target in range(N_NODES):
        expected = two_sided_log10(literal_deviates(data, target))
        np.testing.assert_allclose(
            found.log10_p[:, target], expected, rtol=TOLERANCE, atol=TOLERANCE
        )
        assert np.isfinite(expected).all()


@pytest.mark.parametrize("covariates", [["x"], ["x", "batch", "site"]])
def test_engines_agree(covariates):
    data = random_screen(4, 0.5, covariates)
    targets = np.arange(N_NODES)
    shared = SharedEngine().screen(data, CONFIG).total_effects(targets).effects
    exact = ExactEngine().screen(data, CONFIG).total_effects(targets).effects
    np.testing.assert_allclose(shared.log10_p, exact.log10_p, rtol=TOLERANCE, atol=TOLERANCE)


def test_more_covariates_than_the_shared_engine_has_series_for():
    data = random_screen(5, 2.0, ["x", "x2", "x3", "x4", "x5", "batch"])
    screener = SharedEngine().screen(data, CONFIG)
    assert isinstance(screener, ExactScreener)
    found = screener.total_effects(np.arange(2)).effects
    expected = two_sided_log10(literal_deviates(data, 1))
    np.testing.assert_allclose(found.log10_p[:, 1], expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("engine", [SharedEngine(), ExactEngine()])
def test_levels_and_groups_without_counts(engine):
    """A batch without control counts, a group without counts, a gene without control counts."""
    rng = np.random.default_rng(6)
    node = np.repeat(np.arange(-1, 3), [200, 60, 60, 60])
    counts = rng.poisson(2.0, (len(node), 3))
    batch = rng.choice(["a", "b"], len(node))
    counts[(batch == "b") & (node == -1), 0] = 0
    counts[node == 1, 1] = 0
    counts[node == -1, 2] = 0
    data = screen_of(counts, node, pd.DataFrame({"batch": batch}))
    screen = argen.screen_descendants(data, CONFIG, engine=engine)
    between = screen.pairs
    assert np.isfinite(screen.log10_p[between]).all()
    assert (screen.p_value[between] <= 1.0).all()
    assert screen.knockdown.log10_p[1] < -10.0  # a group without counts
    wald = argen.screen_descendants(data, argen.InferenceConfig(screen_test="wald"), engine=engine)
    np.testing.assert_array_equal(screen.effect, wald.effect)
    # Where the controls have no counts there is no residual, and the other test stands.
    np.testing.assert_array_equal(screen.log10_p[:2, 2], wald.log10_p[:2, 2])


@pytest.mark.parametrize("tails", ["short", "long", "few values"])
def test_cumulants_by_bins_are_those_of_plain_sums(tails, rng):
    """K_0 and its derivatives at all knots, and deviates of every size, with and without bins."""
    residuals = rng.normal(size=3000)
    if tails == "long":
        residuals = rng.standard_t(4, 3000)
    elif tails == "few values":
        residuals = rng.choice([-0.7, 0.1, 0.9, 3.0], 3000, p=[0.5, 0.3, 0.19, 0.01])
    residuals -= residuals.mean()
    variance = residuals.var()
    edges, moments, row = np.empty(2), np.empty((N_MOMENTS, N_BINS)), np.empty(4)
    _saddlepoint.bin_moments(residuals, edges, moments)
    work = np.empty(2 * N_BINS), np.empty(2 * N_BINS), np.empty(N_BINS, np.int64)
    by_bins = 0
    for s in np.sinh(np.linspace(-8.0, 8.0, 81)):
        _saddlepoint.tabulate(s, residuals, edges, moments, row, *work)
        exponent = s * residuals
        weight = np.exp(exponent - exponent.max())
        weight /= weight.sum()
        first = weight @ residuals
        k0 = exponent.max() + np.log(np.exp(exponent - exponent.max()).mean())
        np.testing.assert_allclose(row[1:3], [k0, first], rtol=1e-7, atol=1e-7 * (1.0 + abs(s)))
        second = weight @ (residuals - first) ** 2
        np.testing.assert_allclose(row[3], second, rtol=1e-6, atol=1e-7 * variance)
        by_bins += abs(s) * edges[0] <= LONGEST_TILT
    assert 20 < by_bins < 81

    shift = np.linspace(-250.0, 250.0, 101)
    first, hundred = np.arange(len(shift) + 1), np.full(len(shift), 100.0)
    found = []
    for most in (residuals, np.append(residuals, residuals)):
        out = np.empty(len(shift))
        scale, error = np.full(len(shift), 1.1), np.full(len(shift), 5.0)
        deviates(first, hundred, scale, shift, error, most, variance, out)
        found.append(out)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)  # the same residuals twice
    # What is left is the polynomial between knots, whose error grows with the tails.
    between = 1e-5 if tails == "long" else 2e-6
    np.testing.assert_allclose(found[0], plain_deviates(shift, residuals), rtol=between)


def plain_deviates(shift: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Deviates of sums of 100 residuals times 1.1, plus a normal error of variance 5."""
    found = []
    for observed in shift:
        normal = observed / np.sqrt(121.0 * residuals.var() + 5.0)

        def cumulants(t):
            exponent = 1.1 * t * residuals
            weight = np.exp(exponent - exponent.max())
            first = weight @ residuals / weight.sum()
            second = weight @ (residuals - first) ** 2 / weight.sum()
            whole = exponent.max() + np.log(weight.mean())
            return 100 * whole + 2.5 * t**2, 110 * first + 5 * t, 121 * second + 5

        if abs(normal) < 0.5:
            found.append(normal)
            continue
        bound = 1.01 * abs(observed) / 5.0 + 1.0
        t = brentq(lambda t: cumulants(t)[1] - observed, -bound, bound, xtol=1e-13)  # noqa: B023
        whole, _, second = cumulants(t)
        w, u = np.sign(t) * np.sqrt(2 * (t * observed - whole)), t * np.sqrt(second)
        found.append(w + np.log(u / w) / w)
    return np.array(found)


@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")
def test_many_levels_of_which_some_are_in_groups_with_an_effect_alone():
    """A level without controls, whose cells all have an effect, takes no part in the regression."""
    rng = np.random.default_rng(9)
    node = np.repeat(np.arange(-1, N_NODES), [300, *[40] * N_NODES])
    batch = np.where(node == 2, "only", rng.choice(list("ab"), len(node)))
    mean = np.where(node == 2, 20.0, 2.0)[:, None] * np.ones(N_NODES)
    data = screen_of(rng.poisson(mean), node, pd.DataFrame({"batch": batch}))
    found = SharedEngine().screen(data, CONFIG).total_effects(np.arange(2)).effects
    others = [0, 1, 3, 4, 5]
    for target in range(2):
        deviates_of = two_sided_log10(literal_deviates(data, target))
        np.testing.assert_allclose(
            found.log10_p[others, target], deviates_of[others], rtol=TOLERANCE, atol=TOLERANCE
        )


def null_p_values(screen_test: str, n_screens: int) -> np.ndarray:
    """P-values without any effect: hidden confounding, batches of other depth, few counts."""
    found = []
    for seed in range(n_screens):
        rng = np.random.default_rng(1000 + seed)
        n_nodes = 40
        node = np.repeat(np.arange(-1, n_nodes), [1000, *[60] * n_nodes])
        hidden = rng.normal(size=(len(node), 2))
        size = rng.gamma(4.0, 0.25, len(node))
        level = np.log(rng.gamma(2.0, 0.5, n_nodes) + 0.05)
        log_mean = level + hidden @ rng.normal(0.0, 0.7, (2, n_nodes))
        counts = rng.poisson(np.exp(log_mean) * size[:, None])
        data = screen_of(counts, node, library_size=size)
        config = argen.InferenceConfig(screen_test=screen_test)
        screen = argen.screen_descendants(data, config)
        p_value = screen.p_value[screen.pairs]
        found.append(p_value[np.isfinite(p_value)])
    return np.concatenate(found)


@pytest.mark.rates
def test_size_at_strict_levels():
    """Under hidden confounding with few counts, where Wald's test rejects too often."""
    p_value = null_p_values("saddlepoint", 20)  # 31,200 tests
    assert abs(np.mean(p_value < 0.05) - 0.05) < 0.006
    assert np.mean(p_value < 0.001) < 0.0018  # .001 and four errors of a count of 31
    wald = null_p_values("wald", 4)
    assert np.mean(wald < 0.001) > 3 * 0.001


@pytest.mark.rates
@pytest.mark.parametrize("engine", [SharedEngine(), ExactEngine()])
def test_few_counts_of_the_controls_say_little(engine):
    """Sixty controls, a count or two among them, and a covariate that seems to explain them.

    One percent of p-values were below .001: slopes carried on to groups without counts, and groups
    with eight counts where the controls have one.
    """
    model = argen.ScreenModel(
        n_nodes=10, n_parents=0, n_controls=60, cells_per_node=60, mean_count=0.05,
        mean_count_sd=0.5, covariate_effect=0.3,
    )  # fmt: skip
    p, n_empty = [], 0
    for seed in range(20):
        data, _ = argen.simulate_screen(model, rng=seed)
        screen = argen.screen_descendants(data, engine=engine)
        p.append(screen.p_value[screen.pairs])
        n_empty += int((screen.status == FitStatus.ZERO_COUNTS_PERTURBED).sum())
    found = np.concatenate(p)
    assert n_empty > 50
    assert np.mean(found[np.isfinite(found)] < 0.001) <= 0.002


def test_few_counts_are_no_surer_than_the_binomial_test():
    node = np.repeat([-1, 0, 1], [100, 60, 60])
    counts = np.zeros((220, 2), dtype=np.int64)
    counts[:100:50, 1] = 1  # two of the controls
    counts[100:112, 1] = 1  # twelve of the first group, none of the second
    counts[:, 0] = 3
    data = screen_of(counts, node, pd.DataFrame(index=range(220)))
    screen = argen.screen_descendants(data)
    more = 2 * binomtest(12, 14, 60 / 160, alternative="greater").pvalue
    assert screen.p_value[0, 1] == pytest.approx(more, rel=1e-9)
    plain = argen.screen_descendants(data, argen.InferenceConfig(screen_test="wald"))
    assert plain.p_value[0, 1] != screen.p_value[0, 1]


def test_cells_of_the_same_library_size_have_no_column_of_rounding():
    """What centring leaves of a constant is no covariate: p-values did depend on the processor."""
    rng = np.random.default_rng(1)
    node = np.repeat(np.arange(-1, 10), [600, *[150] * 10])
    counts = rng.poisson(5.0 * np.exp(0.2 * rng.normal(size=(len(node), 80))))

    def p_values(size: object) -> np.ndarray:
        data = screen_of(counts, node, library_size=size * np.ones(len(node)), n_nodes=10)
        screen = argen.screen_descendants(data, CONFIG)
        return screen.p_value[screen.pairs]

    same = [p_values(size) for size in (1.0, 6.7, 1000.0)]
    np.testing.assert_allclose(same[1], same[0], atol=1e-6)
    np.testing.assert_allclose(same[2], same[0], atol=1e-6)
    nearly_the_same = p_values(np.exp(1e-3 * rng.normal(size=len(node))))
    assert np.abs(nearly_the_same - same[0]).mean() < 0.02  # three regressors of no use
    assert binomtest(int((same[0] < 0.05).sum()), len(same[0]), 0.05).pvalue > 0.01
