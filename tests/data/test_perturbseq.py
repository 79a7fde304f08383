"""The checked input: perturbations of cells, checksum, and what it says of itself."""

import pickle
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import argen
from argen.data.counts import GeneCounts
from argen.data.guides import Guides
from argen.data.parts import without_perturbation
from argen.data.perturbseq import Panel, perturbations_of
from tests.screens import guided, screen_of


def changed(data: argen.PerturbSeqData, **values) -> argen.PerturbSeqData:
    """The same data with some fields replaced."""
    kept = {field.name: getattr(data, field.name) for field in fields(data)}
    return argen.PerturbSeqData(**(kept | values))


@pytest.fixture
def data(rng):
    node_of_cell = rng.permutation(np.repeat([-1, 0, 1, 2], [40, 10, 12, 14]))
    return screen_of(rng.poisson(1.0, (76, 3)), node_of_cell)


def test_perturbations_and_codes_are_two_ways_to_say_the_same(rng):
    codes = rng.integers(-1, 5, 200)
    matrix = perturbations_of(codes, 5)
    np.testing.assert_array_equal(matrix.toarray(), codes[:, None] == np.arange(5))
    data = screen_of(rng.poisson(1.0, (200, 5)), codes)
    assert data.one_per_cell
    np.testing.assert_array_equal(data.node_of_cell, codes)
    assert data.n_controls == (codes == -1).sum()
    np.testing.assert_array_equal(data.n_perturbed, np.bincount(codes + 1)[1:])
    np.testing.assert_array_equal(data.node_of_cell, codes)
    np.testing.assert_array_equal(data.controls, codes == -1)
    for node in range(5):
        np.testing.assert_array_equal(data.perturbed(node), codes == node)
        np.testing.assert_array_equal(data.cells_of(node), np.flatnonzero(codes == node))


def test_cells_with_several_perturbations_have_no_one_node(rng):
    indicators = np.array([[1, 1], [0, 0], [0, 1]])
    data = screen_of(rng.poisson(1.0, (3, 2)), indicators)
    assert not data.one_per_cell
    assert data.n_controls == 1
    assert data.n_perturbed.tolist() == [1, 2]
    for holder in (data, data):
        with pytest.raises(ValueError, match="several perturbations"):
            _ = holder.node_of_cell


def test_checksum_knows_content_alone(data, tmp_path):
    matrix = data.counts.to_csc()
    other_tiles = GeneCounts.from_matrix(matrix, cells_of_a_tile=7)
    assert changed(data, counts=other_tiles).sha256 == data.sha256
    assert changed(data, counts=other_tiles.to_folder(tmp_path)).sha256 == data.sha256


def test_checksum_knows_all_content(data):
    matrix = data.counts.to_csc().toarray()
    matrix[5, 1] += 1
    codes = data.node_of_cell
    moved = np.where(codes == 2, 1, np.where(codes == 1, 2, codes))
    variants = [
        data,
        changed(data, counts=GeneCounts.from_matrix(matrix)),
        changed(data, perturbations=perturbations_of(moved, 3)),
        changed(data, genes=("g0", "g1", "other")),
        changed(data, n_nodes=2, perturbations=data.perturbations[:, :2]),
        changed(data, library_size=2.0 * data.library_size),
        changed(data, formula="~ 1"),
        guided(data, ["g0_1"] * 76),
        guided(data, ["g0_2"] * 76),
    ]
    assert len({variant.sha256 for variant in variants}) == len(variants)


def test_guides_follow_their_cells(data):
    assert data.take(np.array([3, 5])).guides is None
    labelled = guided(data, [f"guide{k:02}" for k in range(76)])
    assert labelled.guides.labels().tolist() == [f"guide{k:02}" for k in range(76)]
    part = labelled.take(np.array([3, 5]))
    assert part.guides.labels().tolist() == ["guide03", "guide05"]
    resampled = labelled.take(np.array([3, 3, 5]))
    assert resampled.guides.labels().tolist() == ["guide03", "guide03", "guide05"]
    assert resampled.guides.n_cells.sum() == 3


def test_guides_follow_their_nodes(data):
    """In whatever sequence nodes are taken; guides of nodes that are left out are of others."""
    labelled = guided(data, [f"g{n}_1" for n in data.node_of_cell])
    names = ("g-1_1", "g0_1", "g1_1", "g2_1")
    assert labelled.guides.names == names
    assert labelled.guides.node.tolist() == [-1, 0, 1, 2]
    part = labelled.take(genes=np.array([2, 0]))
    assert part.guides.names == names
    assert part.guides.node.tolist() == [-1, 1, -1, 0]
    fewer = without_perturbation(labelled, 1)
    assert fewer.guides.node.tolist() == [-1, 0, -1, 1]
    assert (fewer.guides.n_cells > 0).tolist() == [True, True, False, True]


def test_cells_with_several_guides():
    """A label lists them; guides of controls count where there is nothing else."""
    carried = np.array([[1, 0, 0, 0], [1, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]])
    guides = Guides(
        ("a1", "a2", "b1", "NT"),
        np.array([0, 0, 1, -1]),
        sparse.csc_array(carried.astype(np.int8)),
    )
    assert guides.labels().tolist() == ["a1", "a1+a2", "b1", "NT", ""]
    assert guides.n_cells.tolist() == [2, 1, 1, 3]
    assert guides.cells_of(3).tolist() == [1, 2, 3]
    assert not guides.one_per_cell
    assert guides.take(np.array([0, 3, 3, 4])).one_per_cell
    assert guides.take(np.array([4])).labels().tolist() == [""]


def test_summary_says_how_each_covariate_enters(rng):
    table = pd.DataFrame(
        {
            "p_mito": rng.random(76),
            "lane": rng.choice(list("abc"), 76),
            "batch": rng.integers(0, 4, 76),
            "n_genes": np.arange(76),
        }
    )
    data = screen_of(rng.poisson(1.0, (76, 3)), rng.integers(-1, 3, 76), table)
    summary = data.summary()
    expected = "covariates: p_mito (numeric), lane (3 levels), batch (numeric), n_genes (numeric)\n"
    assert expected in summary
    assert "covariate batch is a number with 4 values and has one slope; write C(batch)" in summary
    assert summary.count("is a number with") == 1
    by_level = changed(data, formula="~ p_mito + lane + C(batch) + n_genes")
    assert "batch (4 levels)" in by_level.summary()
    assert "is a number with" not in by_level.summary()
    assert "covariates: none" in screen_of(rng.poisson(1.0, (9, 2)), [-1] * 9).summary()


@pytest.mark.parametrize("step", [argen.infer_network, argen.screen_descendants])
@pytest.mark.parametrize("given", ["screen.h5ad", pd.DataFrame()])
def test_what_was_not_read_is_refused(step, given):
    with pytest.raises(argen.InputError, match=r"^Expected PerturbSeqData, not .*read_perturbseq"):
        step(given)


def test_it_is_shown_in_one_line(data):
    assert repr(data) == "PerturbSeqData(76 cells, 3 nodes, 0 sinks)"
    fewer = changed(data, n_nodes=2, perturbations=data.perturbations[:, :2])
    assert fewer.sinks == ("g2",)
    assert repr(fewer) == "PerturbSeqData(76 cells, 2 nodes, 1 sinks)"


@pytest.fixture
def with_panel(data, rng):
    counts = GeneCounts.from_matrix(rng.poisson(1.0, (76, 2)))
    return changed(data, panel=Panel(("p0", "p1"), counts))


def every_count(data) -> np.ndarray:
    return np.hstack([counts.to_csc().toarray() for counts in (data.counts, data.panel.counts)])


def test_a_panel_is_part_of_the_content(data, with_panel, tmp_path):
    counts = with_panel.panel.counts
    other_tiles = GeneCounts.from_matrix(counts.to_csc(), cells_of_a_tile=7).to_folder(tmp_path)
    same = changed(with_panel, panel=Panel(("p0", "p1"), other_tiles))
    assert same.sha256 == with_panel.sha256 == pickle.loads(pickle.dumps(with_panel)).sha256
    variants = [
        data,
        with_panel,
        with_panel.with_panel_as_sinks(),
        changed(with_panel, panel=Panel(("p0", "other"), counts)),
        changed(with_panel, panel=Panel(("p0", "p1"), counts.block(np.array([1, 0])))),
    ]
    assert len({variant.sha256 for variant in variants}) == len(variants)


def test_a_panel_follows_its_cells(with_panel):
    both = np.hstack(
        [with_panel.counts.to_csc().toarray(), with_panel.panel.counts.to_csc().toarray()]
    )
    for cells in (np.array([3, 5, 60]), np.array([3, 3, 5])):
        every = with_panel.take(cells).with_panel_as_sinks()
        np.testing.assert_array_equal(every.counts.to_csc().toarray(), both[cells])
    fewer = with_panel.take(genes=np.array([0, 2]))
    assert fewer.genes == ("g0", "g2")
    assert fewer.panel is with_panel.panel


def test_a_panel_as_sinks(data, with_panel, tmp_path):
    every = with_panel.with_panel_as_sinks()
    assert every.sinks == ("p0", "p1")
    assert every.panel is None
    assert data.with_panel_as_sinks() is data
    both = every_count(with_panel)
    np.testing.assert_array_equal(
        every.counts.dense(np.array([4, 1, 0, 3])).T, both[:, [4, 1, 0, 3]]
    )
    np.testing.assert_array_equal(every.counts.totals(), both.sum(axis=0))
    assert every.counts.nbytes == with_panel.counts.nbytes + with_panel.panel.counts.nbytes
    outside = changed(
        with_panel, panel=Panel(("p0", "p1"), with_panel.panel.counts.to_folder(tmp_path))
    ).with_panel_as_sinks()
    assert outside.sha256 == every.sha256


def test_whoever_computes_a_block_gets_no_panel(with_panel):
    moved = with_panel.with_counts(with_panel.counts.only(np.array([1])))
    assert moved.panel is None
    assert with_panel.panel is not None


def test_a_panel_in_the_summary(data, with_panel):
    assert "2 other genes (response programs are looked for in them)" in with_panel.summary()
    assert "other genes" not in data.summary()
