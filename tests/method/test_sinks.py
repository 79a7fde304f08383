"""Genes that nobody perturbed are targets, never parents, and change nothing between nodes."""

from __future__ import annotations

import networkx
import numpy as np
import pandas as pd
import pytest

import argen
from argen.engine import ExactEngine
from tests.screens import screen_of

N_NODES, N_SINKS = 4, 6


@pytest.fixture(scope="module")
def counts_and_cells():
    """A chain of nodes under a hidden cause; each sink hangs on one node, or on none."""
    rng = np.random.default_rng(5)
    n_cells = 5000
    node_of_cell = np.where(rng.random(n_cells) < 0.4, -1, rng.integers(0, N_NODES, n_cells))
    hidden, depth = rng.normal(size=n_cells), rng.normal(size=n_cells)
    log_mean = np.zeros((n_cells, N_NODES + N_SINKS))
    for gene in range(N_NODES + N_SINKS):
        log_mean[:, gene] = 0.5 * hidden + 0.2 * depth - 2.0 * (node_of_cell == gene)
        if 0 < gene < N_NODES:
            log_mean[:, gene] += 0.6 * log_mean[:, gene - 1]
        elif gene < N_NODES + 4:
            log_mean[:, gene] += 0.6 * log_mean[:, gene - N_NODES]
    return rng.poisson(2.0 * np.exp(log_mean)), node_of_cell, pd.DataFrame({"depth": depth})


@pytest.fixture(scope="module")
def with_sinks(counts_and_cells):
    return screen_of(*counts_and_cells, n_nodes=N_NODES)


@pytest.fixture(scope="module")
def alone(counts_and_cells):
    counts, node_of_cell, covariates = counts_and_cells
    return screen_of(counts[:, :N_NODES], node_of_cell, covariates)


CONFIGS = [
    argen.InferenceConfig(),
    argen.InferenceConfig(rule="published"),
    argen.InferenceConfig(rule="published", edge_adjustment="bh"),
    argen.InferenceConfig(
        rule="published", edge_adjustment="holm", edge_scope="target", screen_adjustment="storey"
    ),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_the_network_of_the_nodes_is_the_same(with_sinks, alone, config):
    whole, nodes = argen.infer_network(with_sinks, config), argen.infer_network(alone, config)
    assert whole.order == nodes.order
    among_nodes = whole.candidates[~whole.candidates["sink"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(among_nodes, nodes.candidates, check_exact=True)
    total = whole.total_effects()
    pd.testing.assert_frame_equal(
        total[~total["sink"]].reset_index(drop=True), nodes.total_effects(), check_exact=True
    )


def test_sinks_have_parents_and_no_children(with_sinks):
    network = argen.infer_network(with_sinks)
    assert network.sinks == tuple(f"g{k}" for k in range(N_NODES, N_NODES + N_SINKS))
    for sink in range(4):
        parents = network.parents(f"g{N_NODES + sink}")
        assert f"g{sink}" in set(parents["source"])
    assert not set(network.candidates["source"]) & set(network.sinks)
    assert network.children("g5").empty
    assert set(network.ancestors("g7")) >= {"g0", "g1", "g2", "g3"}
    assert "4 genes and 6 sinks" in network.summary()


def test_both_engines_agree_on_sinks(with_sinks):
    config = argen.InferenceConfig(rule="published")
    fast = argen.infer_network(with_sinks, config)
    slow = argen.infer_network(with_sinks, config, engine=ExactEngine())
    np.testing.assert_allclose(
        fast.candidates["effect"], slow.candidates["effect"], rtol=0, atol=1e-8
    )
    np.testing.assert_allclose(
        fast.candidates["std_error"], slow.candidates["std_error"], rtol=1e-7
    )
    assert fast.provenance["parent_fits"].get("exact", 0) == 0
    naive = argen.method.infer_naive(with_sinks, config)
    assert list(naive.candidates["target"]) == list(fast.candidates["target"])


def test_sinks_in_graphs_objects_and_files(with_sinks, tmp_path):
    network = argen.infer_network(with_sinks)
    graph = argen.to_networkx(network)
    with_edges = set(network.edges["target"])
    assert set(graph.nodes) == set(network.nodes) | with_edges
    assert {g for g, is_sink in graph.nodes(data="sink") if is_sink} == with_edges & set(
        network.sinks
    )
    folder = argen.write_results(network, tmp_path / "results")
    assert set(networkx.read_graphml(folder / "network.graphml").nodes) == set(graph.nodes)
    again = argen.load(folder)
    assert again.genes == network.genes
    pd.testing.assert_frame_equal(again.candidates, network.candidates, check_exact=True)
    pd.testing.assert_frame_equal(again.total_effects(), network.total_effects(), check_exact=True)
    annotated = argen.to_anndata(network)
    assert list(annotated.var_names[annotated.var["argen_sink"]]) == list(network.sinks)
    assert annotated.var["argen_position"].isna().sum() == N_SINKS


def test_a_sink_needs_no_cells_of_its_own(with_sinks):
    data = with_sinks
    assert data.n_nodes == N_NODES
    assert argen.screen_descendants(with_sinks).effect.shape == (N_NODES, N_NODES + N_SINKS)
