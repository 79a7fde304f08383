"""The panel: other genes that are read, those with the most counts, and nothing else changes."""

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import argen
from argen.errors import counted
from argen.read.counts import panel
from argen.read.counts.panel import choose_panel
from argen.read.counts.scratch import TileStore
from argen.read.counts.tiling import tile_counts
from argen.read.stored import matrices

NODES = ["n0", "n1", "n2"]
N_CELLS = 600
FORMATS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}


@pytest.fixture
def screen() -> AnnData:
    """Nodes among 40 others of all rates, in a random sequence; two of them have no counts."""
    rng = np.random.default_rng(3)
    genes = rng.permutation([*NODES, *(f"o{k}" for k in range(40))])
    rate = rng.permutation(np.concatenate([np.geomspace(0.01, 8.0, 41), [0.0, 0.0]]))
    rate[np.isin(genes, NODES)] = 1.0
    labels = np.repeat(["control", *NODES, "elsewhere"], [200, 100, 100, 100, 100])
    obs = pd.DataFrame({"perturbation": rng.permutation(labels)})
    obs["confident"] = rng.random(N_CELLS) < 0.8
    counts = rng.poisson(rate, (N_CELLS, 43)).astype(np.float32)
    obs.index = obs.index.map("cell{}".format)
    return AnnData(sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=genes))


def read(given, **options) -> argen.PerturbSeqData:
    asked = {"target": "perturbation", "control": "control"} | options
    return argen.read_perturbseq(given, argen.ReadOptions(**asked))


def expected(screen: AnnData, n: int, *, cells, without=()) -> list[str]:
    """The genes with the most counts in some cells, in the sequence of the file."""
    mean = screen[cells].to_df().mean()
    mean = mean[(mean >= panel.LEAST_MEAN) & ~mean.index.isin([*NODES, *without])]
    most = mean.sort_values(ascending=False, kind="stable").index[:n]
    return [gene for gene in screen.var_names if gene in most]


@pytest.mark.parametrize("n", [1, 7, 1000])
@pytest.mark.parametrize("cells", [None, "confident"])
def test_genes_with_the_most_counts(screen, n, cells):
    data = read(screen, panel=n, cells=cells)
    assert "elsewhere" not in set(screen.obs.loc[data.cells, "perturbation"])
    assert list(data.panel.genes) == expected(screen, n, cells=data.cells)
    counts = screen[data.cells, list(data.panel.genes)].X.toarray()
    np.testing.assert_array_equal(data.panel.counts.to_csc().toarray(), counts)
    assert counted(len(data.panel.genes), "other gene") in data.summary()


def test_nothing_else_changes(screen):
    alone, data = read(screen, panel=0), read(screen)
    assert alone.panel is None
    assert "other genes" not in alone.summary()
    assert data.genes == alone.genes
    assert data.counts.shape == alone.counts.shape
    assert (data.counts.to_csc() != alone.counts.to_csc()).nnz == 0
    np.testing.assert_array_equal(data.library_size, alone.library_size)
    pd.testing.assert_frame_equal(data.left_out, alone.left_out)


def test_sinks_are_not_in_it(screen):
    sinks = expected(screen, 5, cells=slice(None))
    data = read(screen, sinks=sinks, panel=10)
    assert list(data.sinks) == sinks
    assert list(data.panel.genes) == expected(screen, 10, cells=data.cells, without=sinks)
    assert read(screen, sinks="all").panel is None


def test_ties_go_by_the_sequence_of_the_file(screen):
    counts = screen.X.toarray()
    others = np.flatnonzero(~screen.var_names.isin(NODES))
    counts[:, others] = counts[:, others[:1]] = 1.0
    screen.X = sparse.csr_matrix(counts)
    assert read(screen, panel=4).panel.genes == tuple(screen.var_names[others[:4]])


def test_genes_are_shown_by_their_symbols(screen):
    screen.var["symbol"] = [f"symbol of {gene}" for gene in screen.var_names]
    data = read(screen, gene_symbols="symbol", panel=6)
    plain = read(screen, panel=6)
    assert data.panel.genes == tuple(f"symbol of {gene}" for gene in plain.panel.genes)


def test_nodes_without_counts_take_their_cells_along(screen):
    counts = screen.X.tolil()
    counts[:, screen.var_names.get_loc("n1")] = 0
    screen.X = counts.tocsr()
    with pytest.warns(argen.ArgenWarning, match="n1"):
        data = read(screen, sinks=["o3"])
    assert "n1" not in data.panel.genes
    assert data.panel.counts.n_cells == data.n_cells < 500
    found = data.with_panel_as_sinks()
    counts = screen[found.cells, list(found.genes)].X.toarray()
    np.testing.assert_array_equal(found.counts.to_csc().toarray(), counts)


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data")
@pytest.mark.parametrize("as_matrix", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("most_cells", [60, 5000])
@pytest.mark.parametrize("kind", ["object", "backed", "file", "zarr", "layer", "raw"])
def test_the_choice_is_the_same_however_counts_are_stored(
    screen, tmp_path, monkeypatch, as_matrix, most_cells, kind
):
    monkeypatch.setattr(panel, "MOST_CELLS", most_cells)
    options = {"cells": "confident", "panel": 8, "sinks": ["o1", "o20"]}
    known = read(screen, **options)
    monkeypatch.setattr(matrices, "MOST_ENTRIES_OF_A_BLOCK", 700)
    counts = as_matrix(screen.X.toarray())
    given = AnnData(counts, obs=screen.obs, var=screen.var)
    if kind in ("layer", "raw"):
        raw, given = given, AnnData(screen.X.log1p(), obs=screen.obs, var=screen.var)
        options["layer"] = "raw"
        if kind == "raw":
            given.raw = raw
        else:
            given.layers["counts"], options["layer"] = counts, "counts"
    elif kind == "zarr":
        pytest.importorskip("zarr")
        given.write_zarr(tmp_path / "screen.zarr")
        given = tmp_path / "screen.zarr"
    elif kind != "object":
        given.write_h5ad(tmp_path / "screen.h5ad")
        given = tmp_path / "screen.h5ad"
    if kind == "backed":
        given = anndata.read_h5ad(given, backed="r")
    data = read(given, **options, memory=0)
    assert data.panel.genes == known.panel.genes
    assert data.sha256 == known.sha256
    if kind == "backed":
        given.file.close()


def test_cells_that_are_looked_at_are_spread_over_the_file(monkeypatch):
    """Each stretch of a file has its own genes, of which all are seen."""
    monkeypatch.setattr(panel, "MOST_CELLS", 100)
    monkeypatch.setattr(matrices, "MOST_ENTRIES_OF_A_BLOCK", 37)
    counts = np.kron(np.eye(10), np.full((100, 3), 5.0))
    used = np.ones(1000, dtype=bool)
    used[::3] = False
    matrix = matrices.block_matrix(sparse.csr_matrix(counts), "X")
    chosen = choose_panel(matrix, used, np.array([4]), 30, TileStore(10**9), 2)
    np.testing.assert_array_equal(chosen, np.delete(np.arange(30), 4))
    assert not len(choose_panel(matrix, used & False, np.array([4]), 30, TileStore(0), 1))


def test_in_files_with_the_rest(screen, tmp_path, monkeypatch):
    path, scratch = tmp_path / "screen.h5ad", tmp_path / "kept"
    screen.write_h5ad(path)
    first = read(path, scratch=scratch, memory=0, panel=9)

    def refuse(*_):
        raise AssertionError("the matrix was read again")

    with monkeypatch.context() as patch:
        patch.setattr("argen.read.selection.choose_panel", refuse)
        patch.setattr("argen.read.selection.tile_counts", refuse)
        again = read(path, scratch=scratch, memory=0, panel=9)
        with pytest.raises(AssertionError):
            read(path, scratch=scratch, memory=0, panel=8)
    assert again.panel.genes == first.panel.genes
    assert again.sha256 == first.sha256 == read(screen, panel=9).sha256
    assert all(tile.cell.path.parent.parent == scratch for tile in again.panel.counts.tiles)


def test_one_pass_reads_it(screen, monkeypatch):
    """Beside the look, every count is read once."""
    passes = []

    def counted(*given):
        passes.append(given)
        return tile_counts(*given)

    monkeypatch.setattr("argen.read.selection.tile_counts", counted)
    assert read(screen, sinks=["o3"]).panel is not None
    assert len(passes) == 1


@pytest.mark.parametrize("bad", [-1, 2.5, True, "all", None])
def test_how_many_is_a_number(screen, bad):
    with pytest.raises(argen.InputError, match="panel must be a whole number from 0, not"):
        read(screen, panel=bad)
