"""Closure, peeling and candidates against networkx and a literal reading of the rule."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argen.steps.order import causal_order, ranked_order, transitive_closure

# Around the eight bits of a packed byte, and its multiples.
SIZES = [0, 1, 2, 7, 8, 9, 64, 65]


def random_digraph(rng: np.random.Generator, n_nodes: int, edges_per_node: float) -> np.ndarray:
    """Adjacency [source, target] with cycles and self-loops."""
    return rng.random((n_nodes, n_nodes)) < edges_per_node / max(n_nodes, 1)


def random_p_values(rng: np.random.Generator, n_nodes: int, kind: str) -> np.ndarray:
    """Either no two alike, or scores of exactly 0 or 16, so that sums tie exactly."""
    if kind == "distinct":
        return 10.0 ** -rng.uniform(0, 20, (n_nodes, n_nodes))
    return rng.choice([0.0, 1.0, np.nan], (n_nodes, n_nodes))


def literal_closure(is_descendant: np.ndarray) -> np.ndarray:
    graph = nx.from_numpy_array(is_descendant, create_using=nx.DiGraph)
    closure = np.zeros_like(is_descendant)
    for j in graph:
        closure[j, list(nx.descendants(graph, j))] = True
    return closure


def literal_order(closure: np.ndarray, p_value: np.ndarray) -> list[int]:
    """Place the node with the fewest open descendants; then the least score; then by column."""
    open_nodes = list(range(len(closure)))
    placed: list[int] = []
    while open_nodes:
        keys = []
        for j in open_nodes:
            below = [k for k in open_nodes if closure[j, k]]
            p_below = [1.0 if math.isnan(p_value[j, k]) else p_value[j, k] for k in below]
            keys.append((len(below), math.fsum(-math.log10(p + 1e-16) for p in p_below), j))
        leaf = min(keys)[2]
        placed.append(leaf)
        open_nodes.remove(leaf)
    return placed[::-1]


graphs = st.builds(
    lambda seed, n_nodes, density: random_digraph(np.random.default_rng(seed), n_nodes, density),
    seed=st.integers(0, 2**32 - 1),
    n_nodes=st.integers(0, 20),
    density=st.floats(0.0, 3.0),
)


@pytest.mark.parametrize("n_nodes", SIZES)
@pytest.mark.parametrize("edges_per_node", [0.0, 0.5, 1.0, 3.0])
def test_closure_is_reachability(n_nodes, edges_per_node):
    rng = np.random.default_rng([n_nodes, int(10 * edges_per_node)])
    for _ in range(5):
        is_descendant = random_digraph(rng, n_nodes, edges_per_node)
        before = is_descendant.copy()
        closure = transitive_closure(is_descendant)
        np.testing.assert_array_equal(closure, literal_closure(is_descendant))
        np.testing.assert_array_equal(is_descendant, before)
        assert closure.dtype == bool


@pytest.mark.parametrize("n_nodes", SIZES[2:])
def test_closure_of_a_ring_is_everything_but_oneself(n_nodes):
    ring = np.roll(np.eye(n_nodes, dtype=bool), 1, axis=1)
    np.testing.assert_array_equal(transitive_closure(ring), ~np.eye(n_nodes, dtype=bool))


@given(is_descendant=graphs)
@settings(deadline=None)
def test_closure_is_closed(is_descendant):
    closure = transitive_closure(is_descendant)
    np.testing.assert_array_equal(transitive_closure(closure), closure)


@given(
    is_descendant=graphs,
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["distinct", "tied"]),
)
@settings(max_examples=200, deadline=None)
def test_order_is_the_literal_peeling(is_descendant, seed, kind):
    p_value = random_p_values(np.random.default_rng(seed), len(is_descendant), kind)
    order = causal_order(is_descendant, p_value)
    np.testing.assert_array_equal(order.possible, literal_closure(is_descendant))
    assert order.order.tolist() == literal_order(order.possible, p_value)


@given(is_descendant=graphs, seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_candidates_are_upstream_and_never_make_a_cycle(is_descendant, seed):
    n_nodes = len(is_descendant)
    order = causal_order(
        is_descendant, random_p_values(np.random.default_rng(seed), n_nodes, "distinct")
    )
    assert sorted(order.order) == list(range(n_nodes))
    assert order.position[order.order].tolist() == list(range(n_nodes))
    graph = nx.DiGraph()
    graph.add_nodes_from(range(n_nodes))
    for target in range(n_nodes):
        candidates = order.candidates(target)
        assert (np.diff(order.position[candidates]) > 0).all()
        before = set(order.order[: order.position[target]].tolist())
        expected = {g for g in before if order.possible[g, target]}
        assert set(candidates.tolist()) == expected
        graph.add_edges_from((int(g), target) for g in candidates)
    assert nx.is_directed_acyclic_graph(graph)


@given(is_descendant=graphs, seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_no_candidate_of_an_acyclic_screen_is_lost(is_descendant, seed):
    acyclic = np.triu(is_descendant, 1)
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(acyclic))
    acyclic = acyclic[np.ix_(shuffled, shuffled)]
    order = causal_order(acyclic, random_p_values(rng, len(acyclic), "distinct"))
    for target in range(len(acyclic)):
        ancestors = set(np.flatnonzero(order.possible[:, target]).tolist())
        assert set(order.candidates(target).tolist()) == ancestors


@pytest.mark.parametrize("n_nodes", SIZES)
def test_empty_screen_places_columns_from_the_last_position(n_nodes):
    order = causal_order(np.zeros((n_nodes, n_nodes), bool), np.full((n_nodes, n_nodes), np.nan))
    assert order.order.tolist() == list(range(n_nodes))[::-1]
    assert all(len(order.candidates(t)) == 0 for t in range(n_nodes))


@pytest.mark.parametrize("p", [0.0, 1.0, np.nan, 0.003])
def test_ties_follow_the_columns(p):
    # 0 -> 2 and 1 -> 3: of the leaves 2 and 3 the first goes, which makes 0 a leaf too.
    is_descendant = np.zeros((4, 4), bool)
    is_descendant[0, 2] = is_descendant[1, 3] = True
    assert causal_order(is_descendant, np.full((4, 4), p)).order.tolist() == [1, 3, 0, 2]


def test_saturated_scores_tie():
    # Mutual descendants: -log10(p + 1e-16) is 16 for both, far apart as their p-values are.
    is_descendant = np.array([[False, True], [True, False]])
    p_value = np.array([[np.nan, 1e-300], [1e-40, np.nan]])
    assert causal_order(is_descendant, p_value).order.tolist() == [1, 0]
    assert causal_order(is_descendant, p_value.T).order.tolist() == [1, 0]


def test_mutual_descendants_are_ordered_by_their_evidence():
    # Both reach each other (nu = 1); the weaker direction is given up.
    is_descendant = np.array([[False, True], [True, False]])
    p_value = np.array([[np.nan, 1e-9], [1e-3, np.nan]])
    order = causal_order(is_descendant, p_value)
    assert order.order.tolist() == [0, 1]
    assert order.candidates(1).tolist() == [0]
    assert order.candidates(0).tolist() == []
    swapped = causal_order(is_descendant, p_value.T)
    assert swapped.order.tolist() == [1, 0]


def test_a_pair_in_the_closure_alone_scores_by_its_own_test():
    # 0 -> 1 -> 2 -> 0 is a ring: all have nu = 2, and the sums of both scores decide.
    ring = np.roll(np.eye(3, dtype=bool), 1, axis=1)
    p_value = np.array([[np.nan, 1e-4, 1e-9], [0.5, np.nan, 1e-4], [1e-4, 0.9, np.nan]])
    order = causal_order(ring, p_value)
    assert order.order[-1] == 2  # 4.05, against 4.30 of node 1 and 13 of node 0
    assert order.order.tolist() == literal_order(order.possible, p_value)


@given(
    is_descendant=graphs,
    n_sinks=st.integers(0, 20),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_sinks_come_last_and_move_no_node(is_descendant, n_sinks, seed):
    rng = np.random.default_rng(seed)
    n_nodes = len(is_descendant)
    p_value = random_p_values(rng, n_nodes, "tied")
    to_sinks = rng.random((n_nodes, n_sinks)) < 0.2
    alone = causal_order(is_descendant, p_value)
    whole = causal_order(
        np.hstack([is_descendant, to_sinks]),
        np.hstack([p_value, rng.random((n_nodes, n_sinks))]),
    )
    np.testing.assert_array_equal(whole.order[:n_nodes], alone.order)
    assert whole.order[n_nodes:].tolist() == list(range(n_nodes, n_nodes + n_sinks))
    np.testing.assert_array_equal(whole.possible[:, :n_nodes], alone.possible)
    # With the sinks as nodes without descendants, reachability is the same.
    square = np.zeros((n_nodes + n_sinks, n_nodes + n_sinks), dtype=bool)
    square[:n_nodes] = np.hstack([is_descendant, to_sinks])
    np.testing.assert_array_equal(whole.possible, literal_closure(square)[:n_nodes])
    for target in range(n_nodes + n_sinks):
        expected = [j for j in alone.order if target >= n_nodes and whole.possible[j, target]]
        if target < n_nodes:
            expected = alone.candidates(target).tolist()
        assert whole.candidates(target).tolist() == expected


def literal_ranked_order(possible: np.ndarray, log10_p: np.ndarray) -> nx.DiGraph:
    """Lock pair after pair, unless it would close a cycle."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(possible)))
    source, target = np.nonzero(possible[:, : len(possible)])
    pairs = sorted(zip(log10_p[source, target], source, target, strict=True))
    for _, j, k in pairs:
        if not nx.has_path(graph, k, j):
            graph.add_edge(j, k)
    return graph


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n_nodes", [1, 5, 30, 70])
def test_ranked_order_locks_the_surest_pairs(n_nodes, seed):
    rng = np.random.default_rng(seed)
    n_genes = n_nodes + 3
    possible = rng.random((n_nodes, n_genes)) < rng.choice([0.05, 0.3])
    np.fill_diagonal(possible, False)
    log10_p = -rng.exponential(3.0, (n_nodes, n_genes))
    order = ranked_order(possible, np.zeros_like(possible), log10_p)
    assert sorted(order.order.tolist()) == list(range(n_genes))
    assert order.order[n_nodes:].tolist() == list(range(n_nodes, n_genes))
    locked = nx.transitive_closure(literal_ranked_order(possible, log10_p))
    position = order.position
    assert all(position[j] < position[k] for j, k in locked.edges)
    for target in range(n_nodes):
        expected = {j for j in np.flatnonzero(possible[:, target]) if locked.has_edge(j, target)}
        assert set(order.candidates(target).tolist()) == expected
    for sink in range(n_nodes, n_genes):
        assert set(order.candidates(sink).tolist()) == set(np.flatnonzero(possible[:, sink]))


def test_ranked_order_is_sure_of_paths():
    certain = np.zeros((3, 4), dtype=bool)
    certain[0, 1] = certain[1, 2] = certain[2, 3] = True  # 0 > 1 > 2 > sink
    order = ranked_order(np.zeros_like(certain), certain, np.where(certain, -9.0, np.nan))
    np.testing.assert_array_equal(order.sure, np.triu(np.ones((3, 4), dtype=bool), 1))
    np.testing.assert_array_equal(order.possible, order.sure)
    assert order.candidates(3).tolist() == [0, 1, 2]


def test_ranked_order_keeps_the_surer_direction_of_a_pair():
    both = ~np.eye(2, dtype=bool)
    log10_p = np.array([[np.nan, -3.0], [-5.0, np.nan]])
    assert ranked_order(both, both, log10_p).order.tolist() == [1, 0]
    assert ranked_order(both, both, log10_p.T).order.tolist() == [0, 1]
