"""Cells that carry several perturbations: what was drawn is what the counts have."""

import numpy as np
import pytest

import argen
from argen.simulate import simulated_anndata, write_screen

MODEL = argen.ScreenModel(
    n_nodes=8, n_parents=0, cells_per_node=20, n_controls=4000, more_per_cell=2.0, n_guides=3,
    noise=0.0, n_factors=0, n_numeric=0, mean_count=20.0, assignment=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def screen():
    return argen.simulate_screen(MODEL, rng=1)


def test_cells_carry_as_many_more_as_was_asked_for(screen):
    data, _ = screen
    n_carried = np.bincount(data.perturbations.indices, minlength=data.n_cells)
    # None twice: of 2 draws among 8 genes a few are the same.
    expected = 8 * (1 - np.exp(-2.0 / 8)) * (1 - 160 / 8 / 4160) + 160 / 4160
    assert n_carried.mean() == pytest.approx(expected, abs=0.08)
    assert data.perturbations.max() == 1
    assert np.var(n_carried) < 2.2
    uneven = argen.simulate_screen(
        argen.ScreenModel(n_nodes=40, n_controls=4000, more_per_cell=2.0, more_per_cell_sd=1.0),
        rng=1,
    )[0]
    carried = np.bincount(uneven.perturbations.indices, minlength=uneven.n_cells)
    assert np.var(carried) > 4.0


def test_each_perturbation_lowers_its_gene_whatever_else_cells_carry(screen):
    data, _ = screen
    carried, size = data.perturbations.toarray() == 1, data.library_size
    for node in range(3):
        counts, own = data.counts.dense(np.array([node]))[0], carried[:, node]
        several = own & (carried.sum(axis=1) > 2)
        rates = [counts[cells].sum() / size[cells].sum() for cells in (several, own, ~own)]
        assert 2.0 < np.log(rates[2] / rates[0]) < 3.0
        assert rates[0] == pytest.approx(rates[1], rel=0.1)


def test_guides_go_with_perturbations(screen):
    data, _ = screen
    of_node = np.zeros((len(data.guides.names), data.n_nodes), dtype=int)
    targeting = np.flatnonzero(data.guides.node >= 0)
    of_node[targeting, data.guides.node[targeting]] = 1
    np.testing.assert_array_equal(data.guides.carried @ of_node, data.perturbations.toarray())


def test_files_have_the_same_screen(screen, tmp_path):
    data, truth = screen
    options = argen.ReadOptions(
        target="perturbation", control="non-targeting", separator="+", library_size="library_size",
        panel=0,
    )  # fmt: skip
    write_screen(tmp_path / "screen.h5ad", MODEL, rng=1)
    for source in (simulated_anndata(data, truth), tmp_path / "screen.h5ad"):
        read = argen.read_perturbseq(source, options)
        order = [data.nodes.index(node) for node in read.nodes]
        np.testing.assert_array_equal(
            read.perturbations.toarray(), data.perturbations.toarray()[:, order]
        )


def test_other_numbers_of_a_seed_stay():
    """Without an effect of the guides the counts are those of one perturbation a cell."""
    plain = argen.ScreenModel(n_nodes=5, n_controls=200, knockdown=(0.0, 0.0))
    several = argen.ScreenModel(n_nodes=5, n_controls=200, knockdown=(0.0, 0.0), more_per_cell=1.0)
    one, two = (argen.simulate_screen(model, rng=3)[0] for model in (plain, several))
    genes = np.arange(5)
    np.testing.assert_array_equal(one.counts.dense(genes), two.counts.dense(genes))
    assert one.one_per_cell
    assert not two.one_per_cell


def test_not_with_what_knows_of_one_perturbation_in_a_cell():
    for option in ("doublets", "depth_effect"):
        with pytest.raises(argen.InputError, match="more_per_cell must be 0 with doublets or"):
            argen.ScreenModel(more_per_cell=1.0, **{option: 0.1})
