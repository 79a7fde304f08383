"""The paper's simulation, and what the method and the naive regression make of it."""

import numpy as np
import pytest
from anndata import AnnData

import argen

# Mean and standard deviation of the estimates over 100 replicates of the paper's simulation
# with X7 and X8 hidden, as published; its random numbers are not ours.
PUBLISHED = {
    ("X1", "X2"): (0.500, 0.038, 1.221),
    ("X1", "X3"): (-0.503, 0.047, -0.481),
    ("X2", "X3"): (0.496, 0.041, 0.873),
    ("X4", "X5"): (0.501, 0.067, 1.351),
    ("X5", "X6"): (-0.496, 0.083, -1.943),
    ("X3", "X6"): (-0.497, 0.058, -3.336),
}


def test_shapes_and_truth():
    data, truth = argen.simulate_paper_screen(rng=0, n_cells=3000, hidden=("X8",))
    assert data.nodes == truth.nodes == tuple(f"X{j}" for j in range(1, 8))
    assert data.counts.shape == (data.n_cells, 7)
    assert data.left_out["name"].tolist() == ["X8"]
    assert data.n_cells + data.left_out["n_cells"].sum() == 3000
    assert len(truth.to_frame()) == 9


def test_same_seed_same_screen():
    first, second, other = (argen.simulate_paper_screen(rng=s, n_cells=500)[0] for s in (1, 1, 2))
    assert first.checksum() == second.checksum() != other.checksum()


def test_total_effects_add_up_over_paths():
    _, truth = argen.simulate_paper_screen(rng=0, n_cells=500)
    place = {gene: g for g, gene in enumerate(truth.nodes)}
    # X1 -> X3 directly (-0.5) and through X2 (0.5 * 0.5).
    assert truth.total[place["X1"], place["X3"]] == pytest.approx(-0.25)
    assert np.trace(truth.total) == pytest.approx(0)


def test_file_layout():
    data, truth = argen.simulate_paper_screen(rng=0, n_cells=500)
    adata = argen.simulated_anndata(data, truth)
    assert isinstance(adata, AnnData)
    assert set(adata.obs) == {"perturbation", "library_size", "L"}
    assert (adata.obs["perturbation"] == "non-targeting").sum() == data.n_controls
    assert adata.uns["truth"]["effect"].tolist() == truth.to_frame()["effect"].tolist()


def test_a_hidden_mediator_leaves_its_path():
    _, truth = argen.simulate_paper_screen(rng=0, n_cells=500, hidden=("X2",))
    effects = truth.to_frame().set_index(["source", "target"])["effect"]
    # X1 -> X3 directly (-0.5), and through the hidden X2 (0.5 * 0.5).
    assert effects["X1", "X3"] == pytest.approx(-0.25)


def test_labels_and_covariate_can_stay_while_counts_change():
    first, second = (
        argen.simulate_paper_screen(rng=seed, n_cells=500, assignment_rng=5)[0] for seed in (1, 2)
    )
    assert (first.node_of_cell == second.node_of_cell).all()
    assert first.covariates.equals(second.covariates)
    assert (first.counts.totals() != second.counts.totals()).any()


def test_unknown_hidden_gene():
    with pytest.raises(argen.InputError, match="hidden must name at most six of X1"):
        argen.simulate_paper_screen(rng=0, hidden=("X9",))


def test_twenty_replicates_agree_with_the_published_table():
    """Means within four standard errors; spreads within the range that 20 draws allow."""
    n_replicates = 20
    estimates = {pair: [] for pair in PUBLISHED}
    naive = {pair: [] for pair in PUBLISHED}
    n_false, n_called = 0, 0
    for seed in range(n_replicates):
        data, truth = argen.simulate_paper_screen(rng=seed, hidden=("X7", "X8"))
        network = argen.infer_network(data)
        true_pairs = set(truth.to_frame()[["source", "target"]].itertuples(index=False, name=None))
        called = set(network.edges[["source", "target"]].itertuples(index=False, name=None))
        assert true_pairs <= called
        n_false += len(called - true_pairs)
        n_called += len(called)
        for found, result in ((estimates, network), (naive, argen.baselines.infer_naive(data))):
            effects = result.candidates.set_index(["source", "target"])["effect"]
            for pair in found:
                found[pair].append(effects[pair])
    for pair, (mean, spread, naive_mean) in PUBLISHED.items():
        margin = 4 * spread * np.sqrt(1 / n_replicates + 1 / 100)
        assert np.mean(estimates[pair]) == pytest.approx(mean, abs=margin)
        assert 0.5 * spread < np.std(estimates[pair]) < 1.7 * spread
        assert np.mean(naive[pair]) == pytest.approx(naive_mean, abs=0.3)
    # The published mean false discovery proportion is .032.
    assert n_false / n_called < 0.1
