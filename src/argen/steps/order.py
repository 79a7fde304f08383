"""From screened descendants to a causal order and candidate parents.

Every matrix of this module is indexed [source, target].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.glm import compiled

# Added to p before the logarithm, so that the score of one pair is at most 16.
SCORE_FLOOR = 1e-16


@dataclass(frozen=True, slots=True)
class CausalOrder:
    """Who can be upstream of whom.

    ``order`` lists column numbers, most upstream first: the nodes, and behind them the sinks,
    genes that nobody perturbed. ``possible[j, k]`` says that j may act on k, ``sure[j, k]`` that
    it has an effect on k beyond doubt, itself or through others. In the published rule both are
    the same: a path of screened descendants leads from j to k.
    """

    order: IntArray  # (n_genes,)
    possible: BoolArray  # (n_nodes, n_genes)
    sure: BoolArray  # (n_nodes, n_genes)

    @property
    def n_nodes(self) -> int:
        """Number of genes that can be upstream of others."""
        return len(self.possible)

    @property
    def position(self) -> IntArray:
        """Place of each gene in the order, 0 for the most upstream: (n_genes,)."""
        position = np.empty(len(self.order), dtype=np.int64)
        position[self.order] = np.arange(len(self.order))
        return position

    def candidates(self, target: int) -> IntArray:
        """Nodes upstream of ``target`` that may act on it, most upstream first."""
        before = self.order[: min(self.position[target], self.n_nodes)]
        return np.asarray(before[self.possible[before, target]])


def transitive_closure(is_descendant: BoolArray) -> BoolArray:
    """``closure[j, k]``: k can be reached from j by one or more steps; never j itself.

    Warshall's algorithm, a whole row of bits at a time.
    """
    n_nodes = len(is_descendant)
    reached = np.packbits(is_descendant, axis=1)
    for via in range(n_nodes):
        comes_by = (reached[:, via >> 3] >> (7 - (via & 7))) & 1 == 1
        reached[comes_by] |= reached[via]
    closure = np.unpackbits(reached, axis=1, count=n_nodes).astype(bool)
    np.fill_diagonal(closure, False)
    return closure


def causal_order(is_descendant: BoolArray, p_value: FloatArray) -> CausalOrder:
    """Order the genes by peeling leaves off the closure of the screen.

    Among the nodes not yet placed, ``nu_j`` counts those in the closure of j and ``mu_j`` sums
    their scores ``-log10(p_jk + 1e-16)`` (p = 1 where missing). The node with the least ``nu``
    is placed, ties by the least ``mu``, then by column; the first placed is the last in the
    order. The result is acyclic also when two nodes are descendants of each other. Sinks have no
    descendants: they come last, in the sequence of their columns, and move no node.

    Parameters
    ----------
    is_descendant
        (n_nodes, n_genes), the significant pairs of the screen, the nodes before the sinks.
    p_value
        (n_nodes, n_genes), unadjusted; NaN where missing.
    """
    n_nodes, n_genes = is_descendant.shape
    reachable = closure_of(is_descendant)
    closure, p_value = reachable[:, :n_nodes], p_value[:, :n_nodes]
    scores = -np.log10(np.where(np.isnan(p_value), 1.0, p_value) + SCORE_FLOOR)
    scores = np.where(closure, scores, 0.0)
    remaining = np.ones(n_nodes, dtype=bool)
    n_below = closure.sum(axis=1)
    placed: list[int] = []
    for _ in range(n_nodes):
        open_nodes = np.flatnonzero(remaining)
        tied = open_nodes[n_below[open_nodes] == n_below[open_nodes].min()]
        leaf = int(tied[0])
        if len(tied) > 1 and n_below[leaf] > 0:
            leaf = int(tied[np.argmin(scores[tied][:, open_nodes].sum(axis=1))])
        placed.append(leaf)
        remaining[leaf] = False
        n_below -= closure[:, leaf]
    order = np.concatenate([np.array(placed[::-1], dtype=np.int64), np.arange(n_nodes, n_genes)])
    return CausalOrder(order, reachable, reachable)


def ranked_order(possible: BoolArray, certain: BoolArray, log10_p: FloatArray) -> CausalOrder:
    """Order the genes by their pairs, the surest pair first.

    Pairs of nodes are taken by increasing p-value, ties by row and column: j comes before k,
    unless pairs before have put k before j (ranked pairs; Tideman 1987). Genes that no pair
    orders stay in the sequence of their columns; sinks come last, and move no node.

    Parameters
    ----------
    possible
        (n_nodes, n_genes), the pairs to take, the nodes before the sinks.
    certain
        (n_nodes, n_genes); paths of these are ``sure`` in the result, and possible too.
    log10_p
        (n_nodes, n_genes); NaN where missing.
    """
    n_nodes, n_genes = possible.shape
    between = slice(0, n_nodes)
    sure = closure_of(certain)
    possible = possible | sure
    source, target = np.nonzero(possible[:, between])
    # A pair that is sure by its path alone ranks by its own p-value, as all do.
    rank = np.argsort(log10_p[source, target], kind="stable")  # missing ones come last
    reached = np.zeros((n_nodes, (n_nodes + 63) // 64), dtype=np.uint64)
    _lock(source[rank], target[rank], reached)
    n_after = np.unpackbits(reached.view(np.uint8), axis=1).sum(axis=1, dtype=np.int64)
    nodes = np.argsort(-n_after, kind="stable")
    return CausalOrder(np.concatenate([nodes, np.arange(n_nodes, n_genes)]), possible, sure)


@compiled()
def _lock(source: IntArray, target: IntArray, reached: Any) -> None:
    """Put source before target, pair by pair, unless target is before source already.

    ``reached`` (n_nodes, n_words), bits of uint64: bit k of row j says that j is before k.
    """
    one = np.uint64(1)
    n_nodes, n_words = reached.shape
    for pair in range(source.shape[0]):
        j, k = source[pair], target[pair]
        j_word, j_bit = j >> 6, one << np.uint64(j & 63)
        k_word, k_bit = k >> 6, one << np.uint64(k & 63)
        if reached[k, j_word] & j_bit or reached[j, k_word] & k_bit:
            continue
        for i in range(n_nodes):
            if i == j or reached[i, j_word] & j_bit:
                for word in range(n_words):
                    reached[i, word] |= reached[k, word]
                reached[i, k_word] |= k_bit


def closure_of(is_descendant: BoolArray) -> BoolArray:
    """Transitive closure of nodes and sinks: (n_nodes, n_genes)."""
    closure = transitive_closure(is_descendant[:, : len(is_descendant)])
    return np.hstack([closure, _reached_sinks(closure, is_descendant)])


def _reached_sinks(closure: BoolArray, is_descendant: BoolArray) -> BoolArray:
    """Sinks that a node, or a node downstream of it, was found to move: (n_nodes, n_sinks)."""
    direct = is_descendant[:, len(closure) :]
    bits = np.packbits(direct, axis=1)
    reached = np.array(
        [
            own | np.bitwise_or.reduce(bits[below], axis=0)
            for own, below in zip(bits, closure, strict=True)
        ],
        dtype=np.uint8,
    ).reshape(bits.shape)
    return np.unpackbits(reached, axis=1, count=direct.shape[1]).astype(bool)
