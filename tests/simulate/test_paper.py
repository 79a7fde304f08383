"""The simulation of the paper, and its file."""

import numpy as np
import pytest
from anndata import AnnData

import argen


def test_shapes_and_truth():
    data, truth = argen.simulate_paper_screen(rng=0, n_cells=3000, hidden=("X8",))
    assert data.nodes == truth.nodes == tuple(f"X{j}" for j in range(1, 8))
    assert data.counts.shape == (data.n_cells, 7)
    assert data.left_out["name"].tolist() == ["X8"]
    assert data.n_cells + data.left_out["n_cells"].sum() == 3000
    assert len(truth.to_frame()) == 9


def test_same_seed_same_screen():
    first, second, other = (argen.simulate_paper_screen(rng=s, n_cells=500)[0] for s in (1, 1, 2))
    assert first.sha256 == second.sha256 != other.sha256


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
