"""What follows from direct effects, against paths that networkx enumerates."""

import itertools

import networkx
import numpy as np
import pytest

import argen
from argen.simulate.graphs import random_effects


@pytest.fixture
def truth(rng):
    """Eight nodes in random columns, and two sinks."""
    effects = random_effects(argen.ScreenModel(n_nodes=8, n_sinks=2, n_parents=1.5), rng)
    return argen.Truth(tuple("abcdefghij"), effects)


def graph_of(truth: argen.Truth) -> networkx.DiGraph:
    graph = networkx.DiGraph()
    graph.add_nodes_from(truth.genes)
    for row in truth.to_frame().itertuples():
        graph.add_edge(row.source, row.target, effect=row.effect)
    return graph


def effect_over(graph: networkx.DiGraph, path: list[str]) -> float:
    return float(np.prod([graph.edges[end]["effect"] for end in itertools.pairwise(path)]))


def test_total_effects_and_ancestors_are_those_of_all_paths(truth):
    graph = graph_of(truth)
    for j, source in enumerate(truth.nodes):
        for k, target in enumerate(truth.genes):
            paths = list(networkx.all_simple_paths(graph, source, target)) if j != k else []
            assert truth.ancestors[j, k] == bool(paths)
            expected = sum(effect_over(graph, path) for path in paths)
            assert truth.total[j, k] == pytest.approx(expected, abs=1e-12)


def test_order_puts_every_source_before_its_targets(truth):
    place = {gene: number for number, gene in enumerate(truth.order)}
    assert sorted(place) == sorted(truth.nodes)
    for row in truth.to_frame().itertuples():
        assert row.target in "ij" or place[row.source] < place[row.target]


def test_paths_through_hidden_genes_alone_become_direct(truth):
    graph, kept = graph_of(truth), set("abcfgi")
    hidden_truth = truth.keep(kept)
    assert hidden_truth.genes == tuple("abcfgi")
    assert hidden_truth.nodes == tuple("abcfg")
    found = hidden_truth.to_frame().set_index(["source", "target"])["effect"].to_dict()
    expected = {}
    for source in hidden_truth.nodes:
        for target in set(hidden_truth.genes) - {source}:
            for path in networkx.all_simple_paths(graph, source, target):
                if not kept & set(path[1:-1]):
                    pair = source, target
                    expected[pair] = expected.get(pair, 0.0) + effect_over(graph, path)
    assert len(expected) > len(set(graph.edges) & set(expected))  # some came from hidden paths
    assert found == pytest.approx(expected)


def test_hidden_genes_leave_total_effects_alone(truth):
    kept = [truth.genes.index(gene) for gene in "abcfgi"]
    expected = truth.total[np.ix_(kept[:-1], kept)]
    np.testing.assert_allclose(truth.keep("abcfgi").total, expected, atol=1e-12)


def test_a_hidden_loop_is_a_factor():
    # a -> b, b -> h -> b with h hidden: b receives 0.5 / (1 - 0.4 * 0.5) of a.
    direct = np.array([[0, 0.5, 0], [0, 0, 0.4], [0, 0.5, 0]])
    truth = argen.Truth(("a", "b", "h"), direct)
    assert truth.has_cycle
    kept = truth.keep(["a", "b"])
    np.testing.assert_allclose(kept.direct, [[0, 0.625], [0, 0]])
    assert not kept.has_cycle
    with pytest.raises(argen.InputError, match="has no causal order"):
        _ = truth.order


def test_unknown_genes_are_refused(truth):
    with pytest.raises(argen.InputError, match="Not in the true network: 'z'"):
        truth.keep(["a", "z"])
