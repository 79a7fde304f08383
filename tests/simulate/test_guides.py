"""Guides that differ, and response programs: what was drawn is what the counts have."""

import anndata
import numpy as np
import pandas as pd
import pytest

import argen
from argen.simulate.screen import planned

# Nothing moves a gene but its guide and its parents.
QUIET = {"noise": 0.0, "n_factors": 0, "n_numeric": 0, "library_size_sd": 0.0, "mean_count_sd": 0.0}
UNEVEN = {"penetrance": 0.7, "penetrance_sd": 1.0, "n_guides": 3, "guide_penetrance_sd": 0.5}


def log_means_of(model: argen.ScreenModel, seed: int, direct: np.ndarray | None = None):
    """A plan, its log means up to the level of each gene, and where guides work."""
    plan = planned(model, seed, direct, None)
    everything = slice(None)
    works = plan.equations.works(plan.cells, everything, np.random.default_rng(0))
    log_means = plan.equations.log_means(plan.cells, everything, np.random.default_rng(0))
    return plan, log_means, works


def test_a_program_reaches_genes_beside_and_through_the_network():
    model = argen.ScreenModel(
        n_nodes=6, n_hidden_genes=2, n_sinks=4, n_parents=2, n_programs=2, program_effect=0.5,
        program_share=0.5, penetrance=0.6, failed=0.3, **QUIET,
    )  # fmt: skip
    direct = np.triu(np.random.default_rng(1).normal(size=(8, 12)), 1)
    plan, log_means, works = log_means_of(model, 3, direct)
    equations, node = plan.equations, plan.cells.node_of_cell
    between, identity = direct[:, :8], np.eye(8)
    total = np.hstack([identity, np.zeros((8, 4))]) + np.linalg.solve(identity - between, direct)
    total = np.vstack([total, np.eye(4, 12, 8)])
    measured = np.r_[:6, 8:12]
    cause = equations.shift[node] + equations.score[node] @ equations.of_program
    expected = np.where(works[:, None], (cause @ total)[:, measured], 0.0)
    np.testing.assert_allclose(log_means, expected, atol=1e-12)
    assert (equations.score[:-1] > 0).sum(axis=0).tolist() == [3, 3]
    assert not works[np.isin(node, [*np.flatnonzero(equations.penetrance[:, 0] == 0)])].any()


def test_counts_move_by_the_program_and_the_truth_stays():
    plain = argen.ScreenModel(
        n_nodes=4, n_sinks=3, n_parents=0, knockdown=(0, 0), cells_per_node=4000, n_controls=4000,
        mean_count=20, **QUIET,
    )  # fmt: skip
    model = argen.ScreenModel(**(plain.to_dict() | {"n_programs": 1, "program_effect": 0.3}))
    data, truth = argen.simulate_screen(model, rng=1)
    assert not truth.direct.any()
    equations = planned(model, 1, None, None).equations
    counts = data.counts.dense(np.arange(7))
    control = counts[:, data.node_of_cell == -1].mean(axis=1)
    for node in range(4):
        ratio = counts[:, data.node_of_cell == node].mean(axis=1) / control
        expected = equations.score[node] @ equations.of_program
        # 80,000 counts a group: a standard error of .005 in the log ratio.
        np.testing.assert_allclose(np.log(ratio), expected, atol=0.03)


def test_guides_work_in_the_share_of_cells_that_was_drawn():
    model = argen.ScreenModel(n_nodes=40, cells_per_node=600, failed=0.1, **UNEVEN)
    plan, _, works = log_means_of(model, 2)
    penetrance, node = plan.equations.penetrance, plan.cells.node_of_cell
    assert penetrance.shape == (41, 3)
    fails = penetrance[:-1, 0] == 0
    assert fails.sum() == 4
    assert (penetrance[:-1][fails] == 0).all()
    logit = np.log(penetrance[:-1][~fails] / (1 - penetrance[:-1][~fails]))
    # 36 nodes of three guides: standard errors of .12 and .04.
    assert logit.mean(axis=1).std(ddof=1) == pytest.approx(np.sqrt(1 + 0.25 / 3), abs=0.3)
    assert np.sqrt(logit.var(axis=1, ddof=1).mean()) == pytest.approx(0.5, abs=0.1)
    for guide in range(3):
        of_guide = plan.cells.guide_of_cell == guide
        realised = np.array([works[of_guide & (node == k)].mean() for k in range(40)])
        # About 200 cells a guide: four standard errors are .14.
        np.testing.assert_allclose(realised, penetrance[:-1, guide], atol=0.15)
    assert not works[node < 0].any()


def test_the_mean_penetrance_is_that_of_the_model():
    equations = planned(argen.ScreenModel(**UNEVEN), 1, None, None).equations
    assert equations.penetrance[:-1].mean() == pytest.approx(0.7, abs=1e-9)
    whole = argen.ScreenModel(**(UNEVEN | {"penetrance": 1.0}))
    assert (planned(whole, 1, None, None).equations.penetrance[:-1] == 1.0).all()


def test_strength_is_a_factor_on_the_knockdown():
    model = argen.ScreenModel(
        n_nodes=3, n_parents=0, n_guides=2, guide_strength_sd=0.5, knockdown=(1, 1),
        cells_per_node=6000, mean_count=20, n_controls=4000, **QUIET,
    )  # fmt: skip
    data, _ = argen.simulate_screen(model, rng=4)
    strength = planned(model, 4, None, None).equations.strength
    counts, guides = data.counts.dense(np.arange(3)), data.guides.labels()
    for node in range(3):
        for guide in range(2):
            ratio = counts[node, guides == f"g{node + 1}_{guide + 1}"].mean()
            ratio /= counts[node, guides == "control"].mean()
            assert np.log(ratio) == pytest.approx(-strength[node, guide], abs=0.03)


def test_labels_of_guides_go_into_files_and_parts(tmp_path):
    model = argen.ScreenModel(n_nodes=3, n_parents=1, n_guides=3, cells_per_node=90, n_controls=50)
    data, truth = argen.simulate_screen(model, rng=5)
    labels = pd.Series(data.guides.labels())
    of_node = labels[data.node_of_cell == 1]
    assert set(of_node) == {"g2_1", "g2_2", "g2_3"}
    assert of_node.value_counts().min() > 10
    assert set(labels[data.controls]) == {"control"}
    assert data.guides.names == ("control", *(f"g{k}_{n}" for k in (1, 2, 3) for n in (1, 2, 3)))
    assert data.guides.node.tolist() == [-1, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    path = tmp_path / "screen.h5ad"
    argen.write_screen(path, model, rng=5)
    in_memory, on_disk = argen.simulated_anndata(data, truth).obs, anndata.read_h5ad(path).obs
    assert on_disk.equals(in_memory)
    assert on_disk["guide"].tolist() == labels.tolist()


def test_guides_are_drawn_apart_from_everything_else():
    plain = argen.ScreenModel(n_nodes=5, n_parents=1)
    several = argen.ScreenModel(n_nodes=5, n_parents=1, n_guides=4)
    first, second = (argen.simulate_screen(model, rng=1)[0] for model in (plain, several))
    assert (first.counts.to_csc() != second.counts.to_csc()).nnz == 0
    assert first.sha256 != second.sha256
