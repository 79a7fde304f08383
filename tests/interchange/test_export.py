"""Results for other tools, read back by those tools."""

import json

import anndata
import igraph
import mudata
import networkx
import numpy as np
import pandas as pd
import pytest
from ndex2.cx2 import RawCX2NetworkFactory

import argen
from argen.interchange import to_cx2
from argen.network import columns_stay


@pytest.fixture
def paper_screen_file(paper_screen, paper_network, tmp_path):
    """The file of the paper's screen, and its network."""
    path = tmp_path / "screen.h5ad"
    argen.simulated_anndata(*paper_screen).write_h5ad(path)
    return path, paper_network


def test_cx2_is_what_the_reader_of_ndex_takes(paper_network, tmp_path):
    (path,) = argen.export(paper_network, "cx2", tmp_path)
    read = RawCX2NetworkFactory().get_cx2network(json.loads(path.read_text("utf-8")))
    names = {number: node["v"]["name"] for number, node in read.get_nodes().items()}
    edges = {(names[e["s"]], names[e["t"]]): e["v"]["effect"] for e in read.get_edges().values()}
    table = paper_network.edges
    expected = dict(zip(zip(table["source"], table["target"], strict=True), table["effect"],
                        strict=True))  # fmt: skip
    assert edges == expected
    assert read.get_status() == {"success": True}


def test_cx2_leaves_out_what_json_cannot_hold(paper_network):
    text = json.dumps(to_cx2(paper_network), allow_nan=False)
    declared = json.loads(text)[2]["attributeDeclarations"][0]
    assert declared["edges"]["selected"] == {"d": "boolean"}
    assert declared["nodes"]["position"] == {"d": "long"}
    edges = next(part["edges"] for part in json.loads(text) if "edges" in part)
    for edge in edges:
        acts = "activates" if edge["v"]["effect"] > 0 else "represses"
        assert edge["v"]["interaction"] == acts


def test_parquet_has_every_table_of_the_results_folder(paper_network, tmp_path):
    paths = argen.export(paper_network, "parquet", tmp_path)
    folder = argen.write_results(paper_network, tmp_path / "results")
    assert {path.stem for path in paths} == {path.stem for path in folder.glob("*.tsv")}
    edges = pd.read_parquet(tmp_path / "edges.parquet")
    pd.testing.assert_frame_equal(edges, paper_network.edges.reset_index(drop=True))


def test_h5ad_holds_the_cells_of_the_screen(paper_screen_file, tmp_path):
    path, network = paper_screen_file
    (written,) = argen.export(network, "h5ad", tmp_path / "out", screen=path)
    adata = anndata.read_h5ad(written)
    assert adata.n_obs == anndata.read_h5ad(path).n_obs
    assert adata.varp["argen_direct_effect"].nnz == len(network.edges)
    assert list(adata.uns["argen"]["candidates"].columns) == list(network.candidates.columns)


def test_mudata_gets_the_keys_in_the_modality_of_the_genes(paper_screen_file, tmp_path):
    path, network = paper_screen_file
    rna = anndata.read_h5ad(path)
    guide = anndata.AnnData(np.ones((rna.n_obs, 2)), obs=rna.obs[[]])
    with columns_stay():
        mdata = mudata.MuData({"rna": rna, "guide": guide})
        mdata.write_h5mu(tmp_path / "screen.h5mu")
    (written,) = argen.export(network, "h5mu", tmp_path, screen=tmp_path / "screen.h5mu")
    again = mudata.read_h5mu(written)
    assert again["rna"].varp["argen_direct_effect"].nnz == len(network.edges)
    assert again["guide"].shape == guide.shape
    assert "argen" not in mdata["rna"].uns
    with pytest.raises(argen.InputError, match="no modality 'gex', but 'rna', 'guide'"):
        argen.to_mudata(network, mdata, modality="gex")


# Older anndata warns of an index without cells.
@pytest.mark.filterwarnings("ignore:Transforming to str index")
def test_without_a_screen_there_are_no_cells(paper_network, tmp_path):
    (path,) = argen.export(paper_network, "h5mu", tmp_path)
    assert mudata.read_h5mu(path)["rna"].shape == (0, len(paper_network.genes))
    (path,) = argen.export(paper_network, "h5ad", tmp_path)
    assert anndata.read_h5ad(path).shape == (0, len(paper_network.genes))


def test_igraph_has_the_graph_of_networkx(paper_network):
    graph = argen.to_igraph(paper_network)
    assert graph.is_dag()
    names = graph.vs["name"]
    edges = {(names[e.source], names[e.target]): e["effect"] for e in graph.es}
    own = networkx.get_edge_attributes(argen.to_networkx(paper_network), "effect")
    assert edges == own
    assert isinstance(graph, igraph.Graph)


def test_what_cannot_be_written_is_refused(paper_network, tmp_path):
    with pytest.raises(argen.InputError, match="one of 'cx2', 'h5ad', 'h5mu', 'parquet'"):
        argen.export(paper_network, "gml", tmp_path)
    with pytest.raises(argen.InputError, match="screen is for h5ad and h5mu: cx2 holds no cells"):
        argen.export(paper_network, "cx2", tmp_path, screen="screen.h5ad")
    (tmp_path / "other.h5ad").write_text("no file of this kind")
    with pytest.raises(argen.InputError, match=r"'.*other.h5ad' cannot be read: "):
        argen.export(paper_network, "h5ad", tmp_path, screen=tmp_path / "other.h5ad")
