"""From screened descendants to a causal order and candidate parents.

Every matrix of this module is indexed [source, target].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from argen._arrays import BoolArray, FloatArray, IntArray

# Added to p before the logarithm, so that the score of one pair is at most 16.
SCORE_FLOOR = 1e-16


@dataclass(frozen=True, slots=True)
class CausalOrder:
    """Who can be upstream of whom.

    ``order`` lists column numbers, most upstream first: the nodes, and behind them the sinks,
    genes that nobody perturbed. ``closure[j, k]`` says that a path of screened descendants
    leads from j to k.
    """

    order: IntArray  # (n_genes,)
    closure: BoolArray  # (n_nodes, n_genes)

    @property
    def n_nodes(self) -> int:
        """Number of genes that can be upstream of others."""
        return len(self.closure)

    @property
    def position(self) -> IntArray:
        """Place of each gene in the order, 0 for the most upstream: (n_genes,)."""
        position = np.empty(len(self.order), dtype=np.int64)
        position[self.order] = np.arange(len(self.order))
        return position

    def candidates(self, target: int) -> IntArray:
        """Nodes upstream of ``target`` of which it is a descendant, most upstream first."""
        before = self.order[: min(self.position[target], self.n_nodes)]
        return np.asarray(before[self.closure[before, target]])


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
    closure = transitive_closure(is_descendant[:, :n_nodes])
    p_value = p_value[:, :n_nodes]
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
    return CausalOrder(order, np.hstack([closure, _reached_sinks(closure, is_descendant)]))


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
