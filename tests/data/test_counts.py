"""Counts by gene: whatever the tiles and wherever they are, the matrix that was put in."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from argen.data.counts import GeneCounts, Tile


@st.composite
def matrices(draw):
    """Counts of (n_cells, n_genes), some of them too large for one byte or two."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(0, 40)), draw(st.integers(0, 12))
    largest = draw(st.sampled_from([1, 255, 256, 65_535, 65_536, 2**32 - 1]))
    present = rng.random(shape) < draw(st.floats(0, 1))
    return present * rng.integers(0, largest, shape, endpoint=True)


def assert_same(left: GeneCounts, right: GeneCounts) -> None:
    """Compare the tiles, bit for bit."""
    assert left.shape == right.shape
    for one, other in zip(left.tiles, right.tiles, strict=True):
        np.testing.assert_array_equal(one.start, other.start)
        for name in ("cell", "count"):
            a, b = getattr(one, name)[:], getattr(other, name)[:]
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@given(
    matrix=matrices(),
    cells_of_a_tile=st.integers(1, 50),
    wrap=st.sampled_from([np.asarray, sparse.csr_array, sparse.csc_matrix]),
    in_files=st.booleans(),
    data=st.data(),
)
@settings(deadline=None)
def test_answers_are_those_of_the_matrix(
    tmp_path_factory, matrix, cells_of_a_tile, wrap, in_files, data
):
    counts = GeneCounts.from_matrix(wrap(matrix), cells_of_a_tile=cells_of_a_tile)
    if in_files:
        counts = counts.to_folder(tmp_path_factory.mktemp("tiles"))
    n_cells, n_genes = matrix.shape
    assert counts.shape == (n_cells, n_genes)
    np.testing.assert_array_equal(counts.totals(), matrix.sum(axis=0))
    cells, genes = np.random.default_rng(0).random(n_cells) < 0.5, np.arange(n_genes)[::-1]
    np.testing.assert_array_equal(counts.totals(cells), matrix[cells].sum(axis=0))
    fewer = GeneCounts(tuple(counts.select(cells, genes)), n_genes)
    np.testing.assert_array_equal(fewer.to_csc().toarray(), matrix[cells][:, genes])
    everything = counts.to_csc()
    np.testing.assert_array_equal(everything.toarray(), matrix)
    assert everything.nnz == np.count_nonzero(matrix)
    assert everything.has_sorted_indices
    place = np.random.default_rng(1).permutation(n_cells)
    some = data.draw(st.lists(st.integers(0, n_genes - 1), max_size=15) if n_genes else st.just([]))
    start, places, found = counts.entries(np.array(some, dtype=np.int64), place)
    for number, gene in enumerate(some):
        scattered, part = np.zeros(n_cells, dtype=np.int64), slice(start[number], start[number + 1])
        scattered[places[part]] = found[part]
        np.testing.assert_array_equal(scattered[place], matrix[:, gene])
        assert found[part].all()
    dense = counts.dense(np.array(some, dtype=np.int64))
    assert dense.dtype == np.float64
    assert dense.flags.c_contiguous
    np.testing.assert_array_equal(dense, matrix[:, some].T)
    np.testing.assert_array_equal(counts.block(some).to_csc().toarray(), matrix[:, some])


@given(matrix=matrices(), cells_of_a_tile=st.integers(1, 50), entries=st.integers(1, 200))
@settings(deadline=None)
def test_genes_come_in_the_same_portions_from_any_tiles(matrix, cells_of_a_tile, entries):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("argen.data.counts.ENTRIES_AT_ONCE", entries)
        whole = list(GeneCounts.from_matrix(matrix).by_genes())
        cut = list(GeneCounts.from_matrix(matrix, cells_of_a_tile=cells_of_a_tile).by_genes())
    assert [part.shape for part in whole] == [part.shape for part in cut]
    assert sum(part.n_genes for part in whole) == matrix.shape[1]
    for part in cut:
        assert part.n_genes == 1 or part.to_csc().nnz <= entries


@given(matrix=matrices(), cells_of_a_tile=st.integers(1, 50), seed=st.integers(0, 99))
@settings(deadline=None)
def test_scatter_puts_cells_where_they_belong(matrix, cells_of_a_tile, seed):
    counts = GeneCounts.from_matrix(matrix, cells_of_a_tile=cells_of_a_tile)
    n_cells = len(matrix)
    place = np.random.default_rng(seed).permutation(n_cells + 3)[:n_cells]
    for gene in range(counts.n_genes):
        out = np.full(n_cells + 3, np.nan)
        counts.scatter(gene, place, out)
        expected = np.zeros(n_cells + 3)
        expected[place] = matrix[:, gene]
        np.testing.assert_array_equal(out, expected)


def test_files_hold_what_memory_held(rng, tmp_path):
    counts = GeneCounts.from_matrix(rng.poisson(0.3, (90, 7)), cells_of_a_tile=40)
    stored = counts.to_folder(tmp_path)
    assert_same(stored, counts)
    assert_same(stored.block([2, 3, 6]), counts.block([2, 3, 6]))
    assert stored.nbytes == counts.nbytes == sum(f.stat().st_size for f in tmp_path.iterdir())


def test_files_are_shipped_by_name(rng, tmp_path):
    counts = GeneCounts.from_matrix(rng.poisson(3.0, (5000, 40)))
    stored = counts.to_folder(tmp_path)
    shipped = pickle.dumps(stored)
    assert len(shipped) < 2000 < len(pickle.dumps(counts))
    assert_same(pickle.loads(shipped), counts)
    assert_same(pickle.loads(pickle.dumps(counts)), counts)


@pytest.mark.parametrize(("largest", "width"), [(255, 1), (256, 2), (65_535, 2), (65_536, 4)])
def test_entries_take_as_few_bytes_as_can_hold_them(largest, width):
    counts = GeneCounts.from_matrix(np.array([[1, 0], [largest, 7]]))
    assert counts.nbytes == 3 * (2 + width)


def test_the_matrix_is_copied(rng):
    matrix = sparse.csc_array(rng.poisson(1.0, (30, 4)))
    before = matrix.copy()
    counts = GeneCounts.from_matrix(matrix)
    matrix.data[:] = 9
    assert (counts.to_csc() != before).nnz == 0


def test_tiles_put_together_are_one_tile(rng):
    counts = rng.poisson(0.6, (90, 7))
    counts[80, 3] = 300  # does not fit the type of the other tiles
    parts = [Tile.of(sparse.csc_array(counts[a:b])) for a, b in ((0, 40), (40, 41), (41, 90))]
    joined, whole = Tile.joined(parts), Tile.of(sparse.csc_array(counts))
    assert joined.n_cells == whole.n_cells
    for name in ("start", "cell", "count"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
        assert getattr(joined, name).dtype == getattr(whole, name).dtype
    assert Tile.joined(parts[:1]) is parts[0]


def test_some_genes_keep_their_numbers(rng):
    counts = rng.poisson(0.6, (90, 7))
    some = GeneCounts.from_matrix(counts, cells_of_a_tile=40).only(np.array([5, 2, 5]))
    expected = counts.copy()
    expected[:, [0, 1, 3, 4, 6]] = 0
    np.testing.assert_array_equal(some.to_csc().toarray(), expected)
    assert some.nbytes < GeneCounts.from_matrix(counts).nbytes / 2


def test_tiles_of_rows(rng):
    counts = rng.poisson(1.0, (50, 12)).astype(np.float32)
    counts[3, 4] = 70_000.0
    rows = sparse.csr_array(counts)
    rows.data[:5] = 0.0  # stored zeros
    for genes in ([3, 0, 11], [4, 5], []):
        genes = np.array(genes, dtype=np.int64)
        tile, expected = (
            Tile.of_rows(rows, genes),
            Tile.of(sparse.csc_array(rows.toarray()[:, genes])),
        )
        assert tile.n_cells == expected.n_cells
        for name in ("start", "cell", "count"):
            mine, its = getattr(tile, name), getattr(expected, name)
            np.testing.assert_array_equal(mine, its)
            assert mine.dtype == its.dtype


@pytest.mark.parametrize("in_files", [False, True])
def test_parts_beside_each_other(rng, tmp_path, in_files):
    matrix = rng.poisson(0.7, (90, 7))
    counts = GeneCounts.from_matrix(matrix, cells_of_a_tile=40)
    counts = counts.to_folder(tmp_path) if in_files else counts
    first, second = counts.part(0, 4), counts.part(4, 7)
    np.testing.assert_array_equal(first.to_csc().toarray(), matrix[:, :4])
    np.testing.assert_array_equal(second.to_csc().toarray(), matrix[:, 4:])
    assert counts.part(7, 7).shape == (90, 0)
    every = second.beside(first)
    sequence = [4, 5, 6, 0, 1, 2, 3]
    np.testing.assert_array_equal(every.to_csc().toarray(), matrix[:, sequence])
    np.testing.assert_array_equal(every.dense(np.array([6, 2, 3])).T, matrix[:, [3, 6, 0]])
    assert every.nbytes == counts.nbytes
    in_memory = [isinstance(tile.cell, np.ndarray) for tile in (*first.tiles, *second.tiles)]
    assert not any(in_memory) if in_files else all(in_memory)
