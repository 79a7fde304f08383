"""What happens to cells as they are captured: second cells, ambient counts, depth."""

import anndata
import numpy as np
import pytest

import argen
from argen.simulate.screen import planned

# Nothing moves a gene but its guide; every cell has a library size of 1 before it is captured.
QUIET = argen.ScreenModel(
    n_nodes=3, n_parents=0, knockdown=(1, 1), cells_per_node=8000, n_controls=8000, mean_count=20,
    noise=0.0, n_factors=0, n_numeric=0, library_size_sd=0.0, mean_count_sd=0.0,
)  # fmt: skip


def screen_of(**options) -> tuple[argen.PerturbSeqData, np.ndarray]:
    """A screen and its counts, (n_genes, n_cells)."""
    data, _ = argen.simulate_screen(argen.ScreenModel(**(QUIET.to_dict() | options)), rng=1)
    return data, data.counts.dense(np.arange(data.n_genes))


def test_doublets_have_the_counts_of_both_cells():
    data, counts = screen_of(doublets=0.25, dispersion=0.3)
    is_doublet = data.library_size == 2.0
    assert is_doublet.mean() == 0.25
    assert (data.library_size[~is_doublet] == 1.0).all()
    # A quarter of the second cells has the perturbation of any one node.
    second = 0.75 + 0.25 * np.exp(-1)
    for label in range(-1, 3):
        for gene in range(3):
            first = np.exp(-1) if gene == label else 1.0
            of_label = counts[gene, data.node_of_cell == label]
            doublet = is_doublet[data.node_of_cell == label]
            # 2,000 cells with a standard deviation of 16: a standard error of .36.
            assert of_label[doublet].mean() == pytest.approx(20 * (first + second), abs=1.5)
            assert of_label[~doublet].mean() == pytest.approx(20 * first, abs=0.7)


def test_doublets_leave_other_cells_and_labels_alone():
    plain, before = screen_of()
    data, after = screen_of(doublets=0.1)
    assert (plain.node_of_cell == data.node_of_cell).all()
    single = data.library_size == 1.0
    np.testing.assert_array_equal(before[:, single], after[:, single])
    assert (before <= after).all()


def test_ambient_counts_come_from_the_average_cell():
    data, counts = screen_of(ambient=0.2)
    average = 20 * (0.75 + 0.25 * np.exp(-1))
    for label in range(-1, 3):
        for gene in range(3):
            own = 20 * np.exp(-1) if gene == label else 20
            mean = counts[gene, data.node_of_cell == label].mean()
            # 8,000 cells: a standard error of .05, and as much of the average.
            assert mean == pytest.approx(0.8 * own + 0.2 * average, abs=0.3)


@pytest.mark.parametrize("options", [{}, {"doublets": 0.2}])
def test_depth_falls_with_the_knockdown_that_works(options):
    model = argen.ScreenModel(
        **(QUIET.to_dict() | options | {"penetrance": 0.5, "depth_effect": 0.3})
    )
    plan = planned(model, 1, None, None)
    works = plan.works()
    np.testing.assert_allclose(plan.cells.library_size, np.where(works, np.exp(-0.3), 1.0))
    data, _ = argen.simulate_screen(model, rng=1)
    np.testing.assert_array_equal(data.library_size, plan.library_size)
    counts = data.counts.dense(np.arange(3))
    single = data.library_size <= 1.0
    for working in (True, False):
        cells = (data.node_of_cell == 0) & (works == working) & single
        depth = np.exp(-0.3) if working else 1.0
        own = np.exp(-1) if working else 1.0
        expected = 20 * depth * np.array([own, 1.0, 1.0])
        # 3,000 cells or more: a standard error of .08.
        np.testing.assert_allclose(counts[:, cells].mean(axis=1), expected, atol=0.4)


def test_second_cells_lose_depth_by_their_own_guides():
    model = argen.ScreenModel(
        **(QUIET.to_dict() | {"doublets": 1.0, "penetrance": 0.5, "depth_effect": 0.3})
    )
    plan = planned(model, 1, None, None)
    works = plan.second.works()
    np.testing.assert_allclose(plan.second.cells.library_size, np.where(works, np.exp(-0.3), 1.0))
    counts = np.vstack([plan.block(number).toarray() for number in range(plan.n_blocks)])
    control = plan.cells.node_of_cell == -1
    for working in (True, False):
        cells = control & (plan.second.cells.node_of_cell == 0) & (works == working)
        depth = np.exp(-0.3) if working else 1.0
        own = np.exp(-1) if working else 1.0
        expected = 20 + 20 * depth * np.array([own, 1.0, 1.0])
        # A thousand cells: a standard error of .2.
        np.testing.assert_allclose(counts[cells].mean(axis=0), expected, atol=0.9)


def test_written_as_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("argen.simulate.plan.CELLS_OF_A_BLOCK", 300)
    model = argen.ScreenModel(
        n_nodes=5, n_sinks=2, n_parents=1, n_controls=500, n_batches=2, doublets=0.2, ambient=0.1,
        depth_effect=0.1, penetrance=0.8, n_guides=2, saturation=0.5, n_programs=1,
    )  # fmt: skip
    data, truth = argen.simulate_screen(model, rng=1)
    argen.write_screen(tmp_path / "screen.h5ad", model, rng=1)
    expected = argen.simulated_anndata(data, truth)
    found = anndata.read_h5ad(tmp_path / "screen.h5ad")
    assert (found.X != expected.X).nnz == 0
    assert found.obs.equals(expected.obs)
    like = argen.simulate_screen(model, rng=1, profile=argen.like(data))[0]
    assert like.n_cells == data.n_cells
    assert like.guides is not None
