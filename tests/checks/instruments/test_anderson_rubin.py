"""Anderson-Rubin intervals: closed forms, size with hopeless instruments, and what is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import argen
from argen.checks.instruments import anderson_rubin, checking, strength, two_stages
from argen.checks.instruments.anderson_rubin import confidence_set
from argen.checks.instruments.checking import tables_of_edges
from argen.checks.instruments.strength import effective_cells
from argen.checks.instruments.two_stages import TwoStages
from argen.study.oracle import infer_knowing_ancestors
from tests.screens import screen_of

BOUND = 3.841458820694124
ORACLE = argen.InferenceConfig(rule="published", threads=1)


def random_stages(rng, n: int) -> TwoStages:
    """Effects of n perturbations on n candidates and a target, with errors of any shape."""
    noise = rng.normal(size=(1 + n, n, n))
    noise = 0.01 * noise @ noise.transpose(0, 2, 1) + 0.01 * np.eye(n)
    pi, delta = rng.normal(size=(n, n)) - 2.0 * np.eye(n), rng.normal(size=n)
    return TwoStages(pi, delta, noise, np.zeros((1 + n, n, 0)))


def test_one_candidate_is_fieller(rng):
    """theta is a ratio: its set solves a quadratic (Fieller 1954)."""
    for _ in range(20):
        stages = random_stages(rng, 1)
        pi, delta = stages.pi[0, 0], stages.delta[0]
        v_delta, v_pi = stages.noise[:, 0, 0]
        for value in rng.normal(size=3):
            expected = (delta - value * pi) ** 2 / (v_delta + value**2 * v_pi)
            assert stages.statistic(0, value) == pytest.approx(expected, rel=1e-10)
        a, b, c = pi**2 - BOUND * v_pi, -2 * delta * pi, delta**2 - BOUND * v_delta
        found = confidence_set(lambda v: stages.statistic(0, v), delta / pi, 0.1, BOUND)  # noqa: B023
        assert a > 0
        roots = sorted(np.roots([a, b, c]).real)
        np.testing.assert_allclose(found, [roots], rtol=1e-6)


def test_the_statistic_is_the_least_distance(rng):
    """At the weights where it settles no other value of the nuisance effects is nearer."""
    stages = random_stages(rng, 3)
    estimates = stages.effects()
    np.testing.assert_allclose(stages.pi.T @ estimates, stages.delta, rtol=1e-10)
    assert stages.statistic(1, estimates[1]) == pytest.approx(0.0, abs=1e-16)
    value = estimates[1] + 0.05

    def distance(others, weights):
        theta = np.array([others[0], value, others[1]])
        u = stages.delta - stages.pi.T @ theta
        return float(u @ np.linalg.solve(stages.spread(weights), u))

    others = estimates[[0, 2]]
    for _ in range(20):  # weights follow the minimum, one full minimisation after the other
        weights = np.array([others[0], value, others[1]])
        options = {"xatol": 1e-12, "fatol": 1e-14}
        found = minimize(distance, others, args=(weights,), method="Nelder-Mead", options=options)
        others = found.x
    assert stages.statistic(1, value) == pytest.approx(found.fun, rel=1e-3)


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        (lambda v: (v / 0.1) ** 2, [(-0.196, 0.196)]),
        (lambda v: 4.0 * v**2 / (1.0 + v**2), [(-4.93, 4.93)]),
        (lambda v: 2.0 * v**2 / (1.0 + v**2), [(-np.inf, np.inf)]),
        (lambda v: np.exp(min(40.0 * v, 50.0)) - 1.0, [(-np.inf, 0.0394)]),
        (
            lambda v: 3.0 * v**2 / (0.1 + v**4),
            [(-np.inf, -0.787), (-0.402, 0.402), (0.787, np.inf)],
        ),
    ],
    ids=["interval", "long", "line", "ray", "gap"],
)  # fmt: skip
def test_shapes_of_the_set(statistic, expected):
    found = confidence_set(statistic, 0.0, 0.1, BOUND)
    np.testing.assert_allclose(found, expected, rtol=0.03)


@pytest.mark.rates
def test_covers_where_perturbations_hardly_work():
    """Knock-downs of a few percent: the intervals are long, hold the truth, and tests keep size."""
    model = argen.ScreenModel(
        n_nodes=6, n_parents=1.5, mean_count=3.0, cells_per_node=100, n_controls=800,
        knockdown=(0.3, 0.4), dispersion=0.3,
    )  # fmt: skip
    held, infinite, p_null = [], [], []
    for seed in range(20):
        data, truth = argen.simulate_screen(model, rng=seed)
        network = infer_knowing_ancestors(data, truth, ORACLE)
        # Every candidate, as if it were an edge.
        network.candidates["selected"] = True
        table = tables_of_edges(network, data)[1]
        place = {gene: i for i, gene in enumerate(network.genes)}
        ends = [table[end].map(place).to_numpy() for end in ("source", "target")]
        true = truth.direct[ends[0], ends[1]]
        held += ((table["ar_low"] <= true) & (true <= table["ar_high"])).tolist()
        infinite += (table["shape"] == "line").tolist()
        p_null += table.loc[true == 0, "ar_p_value"].tolist()
    assert len(held) > 200
    assert np.mean(held) > 0.93
    assert np.mean(infinite) > 0.4
    assert np.mean(np.array(p_null) < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(p_null))


def test_is_the_usual_interval_where_perturbations_work():
    model = argen.ScreenModel(n_nodes=6, n_parents=1, mean_count=10.0, cells_per_node=400)
    data, _ = argen.simulate_screen(model, rng=1)
    network = argen.infer_network(data)
    table = tables_of_edges(network, data)[1]
    assert len(table) == len(network.edges) > 3
    assert (table["shape"] == "interval").all()
    usual, robust = (table[f"{k}_high"] - table[f"{k}_low"] for k in ("ci", "ar"))
    np.testing.assert_allclose(robust, usual, rtol=0.25)
    # Both know the same edges.
    assert ((table["ar_low"] > 0) == (table["ci_low"] > 0)).all()


def test_speaks_of_edges_that_lose_their_sign_and_keeps_quiet_of_others():
    strong = argen.ScreenModel(n_nodes=8, n_parents=1, mean_count=5.0)
    data, _ = argen.simulate_screen(strong, rng=2)
    network = argen.infer_network(data)
    found = argen.check(network, data, n_null_tests=0, every_edge=True)
    assert not [f for f in found.findings if "strong instruments" in f.assumption]
    assert len(found.tables["weak_instruments"]) == len(network.edges)
    # Candidates that are no edges do hold 0; as edges they are named.
    network.candidates["selected"] = True
    found = argen.check(network, data, n_null_tests=0, every_edge=True)
    (finding,) = [f for f in found.findings if "an Anderson-Rubin set" in f.evidence]
    lost = found.tables["weak_instruments"].query("ar_low <= 0 <= ar_high")
    assert finding.evidence.startswith(f"{len(lost)} of the {len(network.candidates)} edges")


def test_effective_cells(rng):
    """Without covariates the harmonic mean of cells and controls; less where covariates differ."""
    node = np.repeat([-1, 0, 1], [400, 100, 50])
    counts = rng.poisson(3.0, (len(node), 2))
    alike = screen_of(counts, node, pd.DataFrame(index=range(len(node))))
    expected = [1 / (1 / 100 + 1 / 400), 1 / (1 / 50 + 1 / 400)]
    np.testing.assert_allclose(effective_cells(alike), expected)
    x = rng.normal(size=len(node)) + 2.0 * (node == 0)
    apart = screen_of(counts, node, pd.DataFrame({"x": x}))
    few, same = effective_cells(apart)
    assert few < 0.7 * expected[0]
    assert same == pytest.approx(expected[1], rel=0.05)


def test_checks_of_a_result_need_no_cells(tmp_path):
    data, _ = argen.simulate_paper_screen(rng=1, n_cells=3000)
    network = argen.infer_network(data)
    found = argen.check(argen.load(argen.save(network, tmp_path / "n")))
    whole = argen.check(network, data, n_null_tests=0)
    for name, table in found.tables.items():
        if name == "weak_points":  # which knows more with the cells
            continue
        pd.testing.assert_frame_equal(table, whole.tables[name][table.columns])
    assert "not checked, as they need the cells" in found.summary()


def test_many_nodes_and_targets_of_many_candidates(monkeypatch):
    data, _ = argen.simulate_screen(argen.ScreenModel(n_nodes=20, n_parents=3), rng=2)
    network = argen.infer_network(data)
    n_candidates = network.edges["target"].map(network.candidates.groupby("target").size())
    for module in (checking, strength):
        monkeypatch.setattr(module, "MOST_NODES", 10)
    for module in (strength, two_stages):
        monkeypatch.setattr(module, "MOST_CANDIDATES", int(n_candidates.median()))
    found = argen.check(network, data, n_null_tests=0, every_edge=True)
    found_strength = found.tables["strength"]
    assert len(found_strength) == len(network.edges)
    n_not = int((n_candidates > n_candidates.median()).sum())
    assert found_strength["conditional_f"].isna().sum() == n_not > 0
    assert any(f"strength of {n_not} sources: not computed" in line for line in found.measured)
    assert (found.tables["weak_instruments"]["shape"] == "not computed").sum() == n_not


def test_a_set_with_values_of_both_signs():
    """A candidate that is hardly moved, and a target that surely is: anything but little."""
    noise = np.array([[[0.01]], [[1.0]]])
    stages = TwoStages(np.array([[0.5]]), np.array([1.0]), noise, np.zeros((2, 1, 0)))
    low, _, p_value, shape, one_sign = anderson_rubin._ends(stages, 0, BOUND)
    assert shape == "gap"
    assert low > 0
    assert not one_sign
    assert p_value < 1e-20
