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

    ``order`` lists node indices, most upstream first. ``closure[j, k]`` says that a path of
    screened descendants leads from j to k.
    """

    order: IntArray  # (n_nodes,)
    closure: BoolArray  # (n_nodes, n_nodes)

    @property
    def position(self) -> IntArray:
        """Place of each node in the order, 0 for the most upstream: (n_nodes,)."""
        position = np.empty(len(self.order), dtype=np.int64)
        position[self.order] = np.arange(len(self.order))
        return position

    def candidates(self, target: int) -> IntArray:
        """Nodes upstream of ``target`` of which it is a descendant, most upstream first."""
        before = self.order[: self.position[target]]
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
    """Order the nodes by peeling leaves off the closure of the screen.

    Among the nodes not yet placed, ``nu_j`` counts those in the closure of j and ``mu_j`` sums
    their scores ``-log10(p_jk + 1e-16)`` (p = 1 where missing). The node with the least ``nu``
    is placed, ties by the least ``mu``, then by column; the first placed is the last in the
    order. The result is acyclic also when two nodes are descendants of each other.

    Parameters
    ----------
    is_descendant
        (n_nodes, n_nodes), the significant pairs of the screen.
    p_value
        (n_nodes, n_nodes), unadjusted; NaN where missing.
    """
    closure = transitive_closure(is_descendant)
    scores = -np.log10(np.where(np.isnan(p_value), 1.0, p_value) + SCORE_FLOOR)
    scores = np.where(closure, scores, 0.0)
    n_nodes = len(closure)
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
    return CausalOrder(np.array(placed[::-1], dtype=np.int64), closure)
