"""The screen of cells that carry several perturbations: against slow twins, and its size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.optimize import brentq

import argen
from argen.data import PerturbSeqData
from argen.engine import ExactEngine, SharedEngine, using_threads
from argen.engine.joint import JointScreener
from argen.engine.joint_test import kinds_of_cells
from argen.errors import FitStatus
from tests.engine.test_saddlepoint import two_sided_log10
from tests.screens import screen_of

CONFIG = argen.InferenceConfig()
N_NODES = 5
# Newton's last step, of both.
FIT_TOLERANCE = 1e-6
# Cells of one kind have the same weight, and sums over those of the smallest are taken as normal.
KIND_TOLERANCE = 0.01


def random_screen(seed: int, mean: float, *, share: float = 0.3) -> PerturbSeqData:
    """Five genes, each in a share of 400 cells and not alike in both batches; two act on others."""
    rng = np.random.default_rng(seed)
    n_cells = 400
    batch = rng.choice(list("ab"), n_cells)
    carries = rng.random((n_cells, N_NODES)) < np.where(batch == "b", share, 0.7 * share)[:, None]
    table = pd.DataFrame({"x": rng.normal(size=n_cells) + 0.3 * carries[:, 0], "batch": batch})
    size = rng.gamma(5.0, 0.2, n_cells)
    total = np.zeros((N_NODES, N_NODES))
    total[0, 1:] = 0.4, 0.0, -1.2, 0.0
    total[2, 4] = 1.0
    log_mean = np.log(mean) + carries @ (total - 1.5 * np.eye(N_NODES))
    log_mean += 0.3 * table[["x"]].to_numpy() + 0.4 * rng.normal(size=(n_cells, 1))
    return screen_of(rng.poisson(np.exp(log_mean) * size[:, None]), carries, table, size)


def dense_design(data: PerturbSeqData) -> np.ndarray:
    return np.column_stack([data.perturbations.toarray(), data.intercept_and_covariates()])


@pytest.mark.parametrize("mean", [0.3, 3.0])
def test_effects_are_those_of_one_dense_regression(mean):
    data = random_screen(1, mean)
    found = JointScreener(data).total_effects(np.arange(N_NODES)).effects
    for target in range(N_NODES):
        y = data.counts.dense(np.array([target]))[0]
        model = sm.GLM(y, dense_design(data), family=sm.families.Poisson(), offset=data.offset)
        fit = model.fit(tol=1e-13, maxiter=300, cov_type="HC0")
        np.testing.assert_allclose(
            found.effect[:, target], fit.params[:N_NODES], atol=FIT_TOLERANCE
        )
        np.testing.assert_allclose(
            found.std_error[:, target], fit.bse[:N_NODES], rtol=FIT_TOLERANCE
        )


def literal_deviates(data: PerturbSeqData, target: int) -> np.ndarray:
    """The test as its equations stand, one perturbation after the other, every cell by itself."""
    y = data.counts.dense(np.array([target]))[0]
    d, offset = data.perturbations.toarray().astype(float), data.offset
    design = dense_design(data)
    params = sm.GLM(y, design, family=sm.families.Poisson(), offset=offset).fit(tol=1e-13).params
    columns = np.column_stack([design, offset])
    n_cells, n_nodes = d.shape

    def weights(k: int) -> np.ndarray:
        """Of the cells in the coefficient of D_k."""
        others = np.delete(columns, k, axis=1)
        left = d[:, k] - others @ np.linalg.lstsq(others, d[:, k], rcond=None)[0]
        return left / (left @ left)

    def means(acting: np.ndarray) -> np.ndarray:
        mu = np.exp(design @ np.append(params[:n_nodes] * acting, params[n_nodes:]) + offset)
        return mu * y.sum() / mu.sum()

    def dispersion(mu: np.ndarray) -> float:
        return float(np.clip(((y - mu) ** 2 - mu).sum() / (mu**2).sum(), 0.05, 20.0))

    plain = means(np.zeros(n_nodes))
    a = 1.0 / dispersion(plain)
    psi = np.log((y + a) / (plain + a))
    left = psi - columns @ np.linalg.lstsq(columns, psi, rcond=None)[0]
    sd = np.sqrt(left @ left / (n_cells - columns.shape[1]))
    acting = np.array(
        [abs(w @ psi) > 3 * sd * np.sqrt(w @ w) for w in map(weights, range(n_nodes))]
    )

    mu = means(acting)
    a = 1.0 / dispersion(mu)
    psi, h = np.log((y + a) / (mu + a)), np.log(mu + a)
    whole = np.column_stack([columns, h, h**2])
    beta, _, rank, _ = np.linalg.lstsq(whole, psi, rcond=None)
    r = (psi - whole @ beta) * np.sqrt(n_cells / (n_cells - rank))
    b = beta[-2:]
    left = whole[:, -2:] - columns @ np.linalg.lstsq(columns, whole[:, -2:], rcond=None)[0]
    of_b = r.var() * np.linalg.inv(left.T @ left)
    signed = []
    for k in range(n_nodes):
        own, n = d[:, k] == 1, d[:, k].sum()
        null = np.where(own, mu * np.exp(-params[k] * acting[k]), mu)
        h_k = np.log(null + a)
        psi_k, h_k = np.log((y + a) / (null + a)), np.column_stack([h_k, h_k**2])
        w = n * weights(k)
        observed, moved = w @ (psi_k - h_k @ b), w @ h_k
        spread = np.average((null / (null + a))[own], weights=w[own] ** 2)
        c = np.where(own, np.sqrt(spread / (mu / (mu + a)).mean()), 1.0)
        v = moved @ of_b @ moved
        normal = observed / np.sqrt((w * c) @ (w * c) * r.var() + v)

        def cumulants(t, cw=w * c, v=v):
            exponent = t * cw[:, None] * r[None, :]
            top = exponent.max(axis=1, keepdims=True)
            weight = np.exp(exponent - top)
            total = weight.mean(axis=1)
            first = (weight * r).mean(axis=1) / total
            second = (weight * r**2).mean(axis=1) / total - first**2
            whole = (top[:, 0] + np.log(total)).sum() + t**2 * v / 2
            return whole, cw @ first + t * v, cw**2 @ second + v

        if abs(normal) < 0.5:
            signed.append(normal)
            continue
        far = 60.0 * observed / ((w * c) @ (w * c) * r.var())
        t = brentq(lambda t: cumulants(t)[1] - observed, -abs(far), abs(far))  # noqa: B023
        value, _, second = cumulants(t)
        s, u = np.sign(t) * np.sqrt(2 * (t * observed - value)), t * np.sqrt(second)
        signed.append(s + np.log(u / s) / s)
    return np.array(signed)


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("mean", [0.3, 3.0])
def test_slow_twin(mean, share):
    data = random_screen(2, mean, share=share)
    targets = np.array([1, 4])
    found = SharedEngine().screen(data, CONFIG).total_effects(targets).effects
    for column, target in enumerate(targets.tolist()):
        expected = two_sided_log10(literal_deviates(data, target))
        np.testing.assert_allclose(
            found.log10_p[:, column], expected, rtol=KIND_TOLERANCE, atol=KIND_TOLERANCE
        )


def test_engines_and_threads_give_the_same_bits():
    data, found = random_screen(3, 1.0), []
    for engine in (SharedEngine(), ExactEngine()):
        for threads in (1, 2):
            with using_threads(threads):
                found.append(argen.screen_descendants(data, CONFIG, engine=engine))
    for other in found[1:]:
        np.testing.assert_array_equal(other.log10_p, found[0].log10_p)
        np.testing.assert_array_equal(other.std_error, found[0].std_error)


def test_an_effect_is_that_of_one_perturbation_whatever_else_cells_carry():
    """Carriers of the first often carry the second; without a cell that carries nothing."""
    rng = np.random.default_rng(4)
    first = rng.random(6000) < 0.3
    second = rng.random(6000) < np.where(first, 0.8, 0.3)
    third = ~first & ~second
    counts = rng.poisson(np.exp(1.0 - 1.5 * second)[:, None] * np.ones(4))
    data = screen_of(counts, np.column_stack([first, second, third, rng.random(6000) < 0.1]))
    assert data.n_controls == 0
    screen = argen.screen_descendants(data, CONFIG)
    assert abs(screen.effect[0, 3]) < 0.1
    assert screen.effect[1, 3] == pytest.approx(-1.5, abs=0.1)


def test_what_cannot_be_told_apart_has_no_effect():
    """Two perturbations always together; a group without counts; counts of one group alone."""
    rng = np.random.default_rng(5)
    carries = rng.random((600, 4)) < 0.2
    carries[:, 1] = carries[:, 0]
    counts = rng.poisson(2.0, (600, 4))
    counts[carries[:, 2], 3] = 0
    counts[~carries[:, 3], 2] = 0
    screen = argen.screen_descendants(screen_of(counts, carries), CONFIG)
    assert np.isnan(screen.effect[:2, 2:]).all()
    assert (screen.status[:2, 3] == FitStatus.NOT_IDENTIFIED).all()
    assert screen.effect[2, 3] == -np.inf
    assert screen.status[2, 3] == FitStatus.ZERO_COUNTS_PERTURBED
    assert screen.log10_p[2, 3] < -20.0
    assert screen.effect[3, 2] == np.inf
    assert screen.status[3, 2] == FitStatus.ZERO_COUNTS_CONTROL


def test_a_level_of_a_covariate_without_counts():
    rng = np.random.default_rng(6)
    batch = rng.choice(list("abc"), 900)
    carries, counts = rng.random((900, 3)) < 0.2, rng.poisson(1.5, (900, 3))
    for level, gene in (("a", 0), ("b", 1)):  # the reference, and another
        counts[batch == level, gene] = 0
    data = screen_of(counts, carries, pd.DataFrame({"batch": batch}))
    screen = argen.screen_descendants(data, CONFIG)
    for gene, level in enumerate("ab"):
        cells = batch != level
        alone = screen_of(counts[cells], carries[cells], pd.DataFrame({"batch": batch[cells]}))
        expected = argen.screen_descendants(alone, CONFIG)
        np.testing.assert_allclose(
            np.delete(screen.effect[:, gene], gene),
            np.delete(expected.effect[:, gene], gene),
            atol=1e-6,
        )


def test_few_counts_are_no_surer_than_the_binomial_test():
    rng = np.random.default_rng(7)
    carries = np.zeros((3000, 3), dtype=bool)
    carries[:300, 0], carries[200:900, 1], carries[800:1500, 2] = True, True, True
    counts = rng.poisson(3.0, (3000, 3))
    counts[:, 2] = 0
    counts[:12, 2] = 1
    counts[2000:2002, 2] = 1
    screen = argen.screen_descendants(screen_of(counts, carries), CONFIG)
    most = 14 * np.log10(0.1) + np.log10(2 * 91 * 0.9**2 / 0.1**2)  # twelve of fourteen or more
    assert most - 0.1 < screen.log10_p[0, 2] < -6.0


def test_kinds_of_cells():
    weight = np.array([1.0, 0.9, 0.3, -0.9, 0.01, 0.02, 0.5])
    carries = np.array([True, True, True, False, False, False, False])
    count, of_kind, of_carriers, rest = kinds_of_cells(weight, carries)
    assert count.sum() == 5.0
    assert rest == pytest.approx(0.01**2 + 0.02**2)
    assert (count * of_kind**2).sum() + rest == pytest.approx((weight**2).sum())
    assert (count[of_carriers].sum(), of_kind.min()) == (3.0, -0.9)


@pytest.mark.rates
@pytest.mark.parametrize(
    ("more_per_cell", "n_parents"),
    [(4.0, 0.0), (0.5, 0.0), (4.0, 1.0)],
    ids=["many", "few carriers", "with effects"],
)
def test_size_at_strict_levels(more_per_cell, n_parents):
    """Overdispersed counts, hidden factors and states: Wald's test rejects too often."""
    model = argen.ScreenModel(
        n_nodes=60, n_parents=n_parents, cells_per_node=2, n_controls=3000, mean_count=1.0,
        more_per_cell=more_per_cell, more_per_cell_sd=0.5, dispersion=0.5, n_factors=2,
        n_states=3, n_batches=3,
    )  # fmt: skip
    found: dict[str, list[np.ndarray]] = {"saddlepoint": [], "wald": []}
    for seed in range(8):
        data, truth = argen.simulate_screen(model, rng=seed)
        null = ~truth.ancestors & ~np.eye(60, dtype=bool)
        for test, p in found.items():
            screen = argen.screen_descendants(data, argen.InferenceConfig(screen_test=test))
            p.append(screen.p_value[null])
    p = {test: np.concatenate(parts) for test, parts in found.items()}
    assert abs(np.mean(p["saddlepoint"] < 0.05) - 0.05) < 0.006
    assert np.mean(p["saddlepoint"] < 0.001) < 0.002
    assert np.mean(p["wald"] < 0.001) > 0.003


def test_cells_of_the_same_library_size_have_no_column_of_rounding():
    rng = np.random.default_rng(1)
    carries = (rng.random((1500, 10)) < 0.12).astype(np.int8)
    counts = rng.poisson(5.0 * np.exp(0.2 * rng.normal(size=(1500, 60))))

    def p_values(size: float) -> np.ndarray:
        data = screen_of(counts, carries, library_size=np.full(1500, size), n_nodes=10)
        screen = argen.screen_descendants(data, argen.InferenceConfig())
        return screen.p_value[screen.pairs]

    for size in (6.7, 1000.0):
        np.testing.assert_allclose(p_values(size), p_values(1.0), atol=1e-6)
