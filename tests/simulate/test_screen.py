"""Random screens: the counts follow the model that is stated."""

import numpy as np
import pandas as pd
import pytest

import argen
from argen.simulate.screen import planned

# Nothing moves a gene but its guide and its parents.
QUIET = {"noise": 0.0, "n_factors": 0, "n_numeric": 0, "library_size_sd": 0.0, "mean_count_sd": 0.0}


def mean_counts(data: argen.PerturbSeqData, node: int) -> np.ndarray:
    """Mean count of every gene in the cells of a node (-1: control)."""
    return data.counts.dense(np.arange(len(data.genes)))[:, data.node_of_cell == node].mean(axis=1)


def test_log_means_are_those_of_a_loop_over_cells_and_genes():
    model = argen.ScreenModel(
        n_nodes=5, n_hidden_genes=2, n_sinks=3, n_parents=1.5, off_target=0.4, noise=0.0,
        n_factors=0, n_numeric=2, n_batches=3, cells_per_node=4, n_controls=6,
    )  # fmt: skip
    direct = np.triu(np.random.default_rng(1).normal(size=(7, 10)), 1)
    plan = planned(model, 3, direct, None)
    equations, cells = plan.equations, plan.cells
    found = equations.log_means(cells, slice(None), np.random.default_rng(0))
    for cell, node in enumerate(cells.node_of_cell):
        log_mean = np.zeros(10)
        for gene in range(10):  # in causal order; genes 5 and 6 are hidden
            log_mean[gene] = equations.shift[node, gene] if node >= 0 else 0.0
            for column, value in enumerate(cells.coded[cell]):
                log_mean[gene] += value * equations.of_covariate[column, gene]
            for parent in range(min(gene, 7)):
                log_mean[gene] += direct[parent, gene] * log_mean[parent]
        np.testing.assert_allclose(found[cell], log_mean[[0, 1, 2, 3, 4, 7, 8, 9]], atol=1e-12)


def test_effects_that_saturate_are_those_of_a_loop():
    model = argen.ScreenModel(
        n_nodes=5, n_hidden_genes=2, n_sinks=3, n_parents=1.5, saturation=0.7, noise=0.0,
        n_factors=0, n_numeric=2, cells_per_node=4, n_controls=6,
    )  # fmt: skip
    # Genes 6, 5, ... 0 are in causal order.
    direct = np.random.default_rng(1).normal(size=(7, 10))
    direct[:, :7] = np.tril(direct[:, :7], -1)
    plan = planned(model, 3, direct, None)
    equations, cells = plan.equations, plan.cells
    found = equations.log_means(cells, slice(None), np.random.default_rng(0))
    for cell, node in enumerate(cells.node_of_cell):
        log_mean = np.zeros(10)
        for gene in (6, 5, 4, 3, 2, 1, 0, 7, 8, 9):
            log_mean[gene] = equations.shift[node, gene]
            log_mean[gene] += cells.coded[cell] @ equations.of_covariate[:, gene]
            for parent in range(7):
                passed_on = np.tanh(0.7 * log_mean[parent]) / 0.7
                log_mean[gene] += direct[parent, gene] * passed_on
        np.testing.assert_allclose(found[cell], log_mean[[0, 1, 2, 3, 4, 7, 8, 9]], atol=1e-12)


def test_effects_that_hardly_saturate_add_up():
    options = {"n_nodes": 6, "n_sinks": 4, "n_parents": 1.5}
    log_means = []
    for saturation in (0.0, 1e-5):
        plan = planned(argen.ScreenModel(**options, saturation=saturation), 1, None, None)
        rng = np.random.default_rng(0)
        log_means.append(plan.equations.log_means(plan.cells, slice(None), rng))
    np.testing.assert_allclose(*log_means, atol=1e-7)


def test_counts_have_the_effects_of_the_truth():
    model = argen.ScreenModel(
        n_nodes=4, n_sinks=2, n_parents=1.5, effect=(0.2, 0.3), knockdown=(1, 1),
        cells_per_node=4000, n_controls=4000, mean_count=20, **QUIET,
    )  # fmt: skip
    data, truth = argen.simulate_screen(model, rng=1)
    control = mean_counts(data, -1)
    # 80,000 counts a group: a standard error of .005 in the log ratio.
    np.testing.assert_allclose(control, 20, rtol=0.02)
    for node in range(4):
        expected = -(truth.total[node] + np.eye(4, 6)[node])
        np.testing.assert_allclose(np.log(mean_counts(data, node) / control), expected, atol=0.03)


def test_guides_that_fail_miss_cells_or_hit_others():
    model = argen.ScreenModel(
        n_nodes=20, n_parents=0, knockdown=(2, 2), failed=0.25, penetrance=0.6, off_target=0.5,
        cells_per_node=2000, n_controls=4000, mean_count=20, **QUIET,
    )  # fmt: skip
    data, _ = argen.simulate_screen(model, rng=2)
    control = mean_counts(data, -1)
    ratios = np.array([mean_counts(data, node) / control for node in range(20)])
    own, other = np.diagonal(ratios), ratios[~np.eye(20, dtype=bool)]
    working = 0.4 + 0.6 * np.exp(-2)
    assert np.isclose(own, 1, atol=0.03).sum() == 5
    assert np.isclose(own, working, atol=0.03).sum() == 15
    hit = np.isclose(other, 0.4 + 0.6 * np.exp(-1), atol=0.03)
    assert 5 <= hit.sum() <= 10  # ten guides, of which five at most do nothing at all
    assert np.isclose(other[~hit], 1, atol=0.03).all()


@pytest.mark.parametrize("dispersion", [0.0, 0.5])
def test_variance_is_that_of_the_dispersion(dispersion):
    model = argen.ScreenModel(
        n_nodes=3, n_parents=0, n_controls=20_000, mean_count=5, dispersion=dispersion, **QUIET
    )
    data, _ = argen.simulate_screen(model, rng=3)
    counts = data.counts.dense(np.arange(3))[:, data.node_of_cell < 0]
    np.testing.assert_allclose(counts.var(axis=1), 5 + dispersion * 25, rtol=0.06)


def test_hidden_causes_move_genes_together():
    moved = {}
    for name, options in {
        "nothing": {},
        "factors": {"n_factors": 2, "factor_effect": 1.0},
        "states": {"n_states": 3, "state_effect": 1.0},
    }.items():
        model = argen.ScreenModel(
            n_nodes=6, n_parents=0, n_controls=3000, mean_count=20, **(QUIET | options)
        )
        data, _ = argen.simulate_screen(model, rng=4)
        counts = np.log1p(data.counts.dense(np.arange(6))[:, data.node_of_cell < 0])
        moved[name] = np.abs(np.corrcoef(counts)[np.triu_indices(6, 1)]).mean()
    assert moved["nothing"] < 0.05
    assert moved["factors"] > 0.3
    assert moved["states"] > 0.3


def test_covariates_drive_assignment_and_expression():
    model = argen.ScreenModel(
        n_nodes=5, n_parents=0, n_batches=4, assignment=1.0, cells_per_node=1000, n_controls=1000,
        mean_count=20, **(QUIET | {"n_numeric": 1}),
    )  # fmt: skip
    data, _ = argen.simulate_screen(model, rng=5)
    table = data.covariates.assign(node=data.node_of_cell)
    assert isinstance(table["batch"].dtype, pd.CategoricalDtype)
    assert table.groupby("node")["x1"].mean().std() > 0.4
    shares = pd.crosstab(table["node"], table["batch"], normalize="index")
    assert shares.std().mean() > 0.1
    controls = (data.node_of_cell < 0).nonzero()[0]
    counts = np.log1p(data.counts.dense(np.arange(5))[:, controls])
    of_covariate = [np.corrcoef(y, table["x1"].to_numpy()[controls])[0, 1] for y in counts]
    assert np.abs(of_covariate).max() > 0.3


def test_sizes_of_groups_and_library():
    model = argen.ScreenModel(
        n_nodes=200, cells_per_node=100, group_size_sd=0.5, n_controls=300, library_size_sd=0.7
    )
    data, _ = argen.simulate_screen(model, rng=6)
    assert data.n_controls == 300
    assert np.log(data.n_perturbed).std() == pytest.approx(0.5, abs=0.08)
    assert data.n_perturbed.mean() == pytest.approx(100, rel=0.1)
    assert np.log(data.library_size).std() == pytest.approx(0.7, abs=0.02)
    assert data.library_size.mean() == pytest.approx(1, abs=0.03)


def test_a_seed_decides_every_count():
    model = argen.ScreenModel(n_nodes=5, n_controls=5000, n_states=2, dispersion=0.1)  # two blocks
    first, second, other = (argen.simulate_screen(model, rng=seed)[0] for seed in (1, 1, 2))
    assert first.sha256 == second.sha256 != other.sha256


def test_the_method_recovers_what_hidden_genes_leave():
    model = argen.ScreenModel(
        n_nodes=8, n_hidden_genes=3, n_parents=1.5, effect=(0.5, 0.8), cells_per_node=600,
        n_controls=3000, mean_count=10,
    )  # fmt: skip
    data, truth = argen.simulate_screen(model, rng=1)
    edges = argen.infer_network(data).candidates.merge(truth.to_frame(), on=["source", "target"])
    assert len(edges) >= 5
    z = (edges["effect_x"] - edges["effect_y"]) / edges["std_error"]
    assert z.abs().max() < 3.5


def test_a_cycle_is_refused_where_effects_saturate():
    direct = np.zeros((3, 3))
    direct[[0, 1], [1, 0]] = 0.1
    model = argen.ScreenModel(n_nodes=3, n_parents=1, saturation=1.0)
    with pytest.raises(argen.InputError, match="saturation must be 0 with feedback"):
        argen.simulate_screen(model, rng=1, direct=direct)


@pytest.mark.parametrize(
    ("direct", "words"),
    [
        (np.zeros((3, 3)), r"direct must be a finite matrix \(4, 4\) for the 4 nodes"),
        (np.eye(4), "no gene acts on itself"),
        (np.full((4, 4), np.nan), "must be a finite matrix"),
        (np.ones((4, 4)) - np.eye(4), "a cycle in which effects grow"),
    ],
)
def test_bad_networks(direct, words):
    model = argen.ScreenModel(n_nodes=4, n_parents=1)
    with pytest.raises(argen.InputError, match=words):
        argen.simulate_screen(model, rng=1, direct=direct)
