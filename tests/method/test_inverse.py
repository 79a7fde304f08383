"""The inverse of the total effects, against loops, many draws and the truth."""

import networkx
import numpy as np
import pytest

import argen
from argen.method.inverse import direct_effects, finite_total_effects
from argen.simulate.graphs import random_effects
from tests.screens import screen_of


def totals_of(rng, **options):
    """Total effects of perturbations under a random network: the network, and the totals."""
    direct = random_effects(argen.ScreenModel(n_nodes=7, n_sinks=3, **options), rng)
    knockdown = rng.uniform(1, 3, 7)
    received = np.hstack([np.eye(7), direct[:, 7:]])
    return direct, -knockdown[:, None] * np.linalg.solve(np.eye(7) - direct[:, :7], received)


@pytest.mark.parametrize("n_feedback", [0, 2])
def test_exact_totals_give_exact_direct_effects(rng, n_feedback):
    direct, total = totals_of(rng, n_feedback=n_feedback)
    found, _ = direct_effects(total, np.zeros(total.shape))
    np.testing.assert_allclose(found, direct, atol=1e-10)


def test_each_target_is_a_regression_on_the_other_nodes(rng):
    """Estimates and variances of the loop over targets, each with a system of its own."""
    _, total = totals_of(rng)
    total = total + rng.normal(0, 0.1, total.shape)
    variance = rng.uniform(0.01, 0.1, total.shape)
    found, found_variance = direct_effects(total, variance)
    for k in range(10):
        others = [j for j in range(7) if j != k]
        system = total[np.ix_(others, others)]
        effect = np.linalg.solve(system, total[others, k])
        np.testing.assert_allclose(found[others, k], effect)
        inverse = np.linalg.solve(system, np.eye(len(others)))
        for row, j in enumerate(others):
            expected = 0.0
            for column, a in enumerate(others):
                of_equation = variance[a, k]
                for b_row, b in enumerate(others):
                    of_equation += effect[b_row] ** 2 * variance[a, b]
                expected += inverse[row, column] ** 2 * of_equation
            assert found_variance[j, k] == pytest.approx(expected)


def test_variances_are_those_of_many_draws(rng):
    _, total = totals_of(rng)
    sd = rng.uniform(0.01, 0.03, total.shape)
    draws = [direct_effects(total + rng.normal(0, sd), sd**2)[0] for _ in range(3000)]
    expected = np.sqrt(direct_effects(total, sd**2)[1])
    off_diagonal = ~np.eye(7, 10, dtype=bool)
    ratio = np.std(draws, axis=0)[off_diagonal] / expected[off_diagonal]
    np.testing.assert_allclose(ratio, 1, atol=0.1)


def test_a_singular_matrix_identifies_nothing():
    effect, variance = direct_effects(np.ones((3, 3)), np.ones((3, 3)))
    assert np.isnan(effect).all()
    assert np.isnan(variance).all()


@pytest.fixture(scope="module")
def simulated():
    model = argen.ScreenModel(
        n_nodes=6, n_sinks=2, n_parents=1.5, cells_per_node=400, n_controls=2000, mean_count=10
    )
    return argen.simulate_screen(model, rng=3)


def test_dense_tests_all_pairs_and_finds_the_edges(simulated):
    data, truth = simulated
    network = argen.method.infer_inverse(data)
    assert len(network.candidates) == 6 * 7
    assert network.provenance["method"] == "inverse"
    assert "method     inverse\n" in network.summary()
    merged = network.candidates.merge(truth.to_frame(), on=["source", "target"])
    assert len(merged) == len(truth.to_frame())
    z = (merged["effect_x"] - merged["effect_y"]) / merged["std_error"]
    assert z.abs().max() < 4


def test_sparse_has_the_closure_of_the_screen(simulated):
    network = argen.method.infer_inverse(simulated[0], sparse=True)
    graph = networkx.DiGraph()
    descendants = network.screen.to_frame().query("descendant")
    graph.add_edges_from(descendants[["source", "target"]].itertuples(index=False, name=None))
    closure = {(a, b) for a in graph for b in networkx.descendants(graph, a)}
    candidates = network.candidates[["source", "target"]].itertuples(index=False, name=None)
    assert set(candidates) == closure
    assert network.provenance["method"] == "inverse-sparse"


def test_groups_without_counts_get_half_a_count():
    rng = np.random.default_rng(1)
    node = np.repeat([-1, 0, 1], [200, 50, 50])
    counts = rng.poisson(3.0, (300, 2))
    counts[node == 0, 0] = 0
    data = screen_of(counts, node)
    total = finite_total_effects(data, argen.screen_descendants(data))
    expected = np.log((0.5 / 50) / counts[node < 0, 0].mean())
    assert total.effect[0, 0] == pytest.approx(expected)
    assert total.status[0, 0] == argen.FitStatus.HALF_COUNT
    network = argen.method.infer_inverse(data)
    assert network.candidates["effect"].notna().all()


def test_a_gene_without_counts_is_in_no_equation():
    rng = np.random.default_rng(1)
    counts = rng.poisson(3.0, (400, 3))
    counts[:, 1] = 0
    data = screen_of(counts, np.repeat([-1, 0, 1, 2], 100))
    table = argen.method.infer_inverse(data).candidates.set_index(["source", "target"])
    found = table["effect"].notna()
    assert found["g0", "g2"]
    assert found["g2", "g0"]
    assert not found.drop([("g0", "g2"), ("g2", "g0")]).any()
    assert table.loc[("g1", "g0"), "status"] == "NOT_IDENTIFIED"
