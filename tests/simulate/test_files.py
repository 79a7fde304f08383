"""Screens on disk."""

import anndata
import numpy as np
import pytest

import argen

MODEL = argen.ScreenModel(n_nodes=6, n_sinks=3, n_parents=1, n_controls=5000, n_batches=2)


def test_written_by_blocks_as_simulated_in_memory(tmp_path):
    data, truth = argen.simulate_screen(MODEL, rng=1)
    path = tmp_path / "screen.h5ad"
    written = argen.write_screen(path, MODEL, rng=1)
    np.testing.assert_array_equal(written.direct, truth.direct)
    expected, found = argen.simulated_anndata(data, truth), anndata.read_h5ad(path)
    assert (found.X != expected.X).nnz == 0
    assert found.X.dtype == np.float32
    assert found.obs.equals(expected.obs)
    assert found.uns["truth"].astype({"effect": float}).equals(truth.to_frame())


def test_reads_back_as_the_same_screen(tmp_path):
    path = tmp_path / "screen.h5ad"
    argen.write_screen(path, MODEL, rng=2)
    options = argen.ReadOptions(
        target="perturbation",
        control="non-targeting",
        library_size="library_size",
        covariates=["x1", "batch"],
    )
    read = argen.read_perturbseq(path, options)
    data, _ = argen.simulate_screen(MODEL, rng=2)
    assert read.nodes == data.nodes
    counts = read.counts.dense(np.arange(6)), data.counts.dense(np.arange(6))
    np.testing.assert_array_equal(*counts)
    np.testing.assert_array_equal(read.node_of_cell, data.node_of_cell)


def test_blocks_make_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr("argen.simulate.plan.CELLS_OF_A_BLOCK", 777)
    path = tmp_path / "screen.h5ad"
    argen.write_screen(path, MODEL, rng=1)
    found = anndata.read_h5ad(path)
    assert found.shape == (5000 + 6 * 150, 9)
    assert found.X.has_sorted_indices
    assert (np.diff(found.X.indptr) > 0).mean() > 0.9


@pytest.mark.parametrize(("most", "kind"), [(2**31 - 1, np.int32), (1000, np.int64)])
def test_places_of_entries_have_one_type(most, kind, tmp_path, monkeypatch):
    """Else scipy cannot change the form of the matrix."""
    monkeypatch.setattr("argen.simulate.files.LARGEST_SHORT", most)
    path = tmp_path / "screen.h5ad"
    argen.write_screen(path, MODEL, rng=1)
    found = anndata.read_h5ad(path).X
    assert found.indptr.dtype == found.indices.dtype == kind
    expected = argen.simulated_anndata(*argen.simulate_screen(MODEL, rng=1)).X
    assert expected.indptr.dtype == expected.indices.dtype
    for form in ("coo", "csc"):
        assert (found.asformat(form) != expected.asformat(form)).nnz == 0
