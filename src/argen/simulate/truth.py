"""What a simulator put in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.errors import InputError, first_few
from argen.steps import transitive_closure


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The true network: direct effects, and what follows from them.

    Matrices are (n_nodes, n_genes), indexed [source, target]; the genes are the nodes, then the
    sinks, which act on nothing. Effects are changes in the log mean of the target per unit of log
    mean of the source.
    """

    genes: tuple[str, ...]
    direct: FloatArray

    @property
    def nodes(self) -> tuple[str, ...]:
        """Genes that can act on others: (n_nodes,)."""
        return self.genes[: len(self.direct)]

    @property
    def total(self) -> FloatArray:
        """Effects over all paths, ``(I - B)^-1 B``, B the direct effects between nodes."""
        between_nodes = self.direct[:, : len(self.direct)]
        total = np.linalg.solve(np.eye(len(self.direct)) - between_nodes, self.direct)
        return np.where(self.ancestors, total, 0.0)

    @property
    def ancestors(self) -> BoolArray:
        """``ancestors[j, k]``: a path of edges leads from j to k, another gene."""
        edges = self.direct != 0
        nodes, sinks = np.split(edges, [len(edges)], axis=1)
        closure = transitive_closure(nodes)
        return np.hstack([closure, (closure | np.eye(len(edges), dtype=bool)) @ sinks])

    @property
    def has_cycle(self) -> bool:
        """Whether some genes are ancestors of each other."""
        between_nodes = self.ancestors[:, : len(self.direct)]
        return bool((between_nodes & between_nodes.T).any())

    @property
    def order(self) -> list[str]:
        """Nodes in a causal order, most upstream first, ties by column.

        Raises InputError when the network has a cycle.
        """
        if self.has_cycle:
            raise InputError("A network with feedback has no causal order.")
        # An ancestor has fewer ancestors than its descendants.
        n_ancestors = self.ancestors[:, : len(self.direct)].sum(axis=0)
        return [self.nodes[node] for node in np.argsort(n_ancestors, kind="stable")]

    def keep(self, genes: Iterable[str]) -> Truth:
        """Return the network among some of the genes, the others hidden.

        A path whose inner genes are all hidden is a direct effect among those that are left;
        a path back to where it began is a factor on every effect that its gene receives.
        """
        kept = set(genes)
        if unknown := kept - set(self.genes):
            raise InputError(f"Not in the true network: {first_few(sorted(unknown))}.")
        is_kept = np.array([gene in kept for gene in self.genes])
        nodes = np.flatnonzero(is_kept[: len(self.direct)])
        hidden = np.flatnonzero(~is_kept[: len(self.direct)])
        direct = _with_hidden_paths(self.direct, nodes, hidden)[:, is_kept]
        among = np.arange(len(nodes))
        loop = direct[among, among]
        direct[among, among] = 0.0
        direct[:, among] /= 1.0 - loop
        return Truth(tuple(g for g in self.genes if g in kept), direct)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per edge: source, target, effect."""
        source, target = np.nonzero(self.direct)
        names = np.array(self.genes, dtype=object)
        return pd.DataFrame(
            {
                "source": names[source],
                "target": names[target],
                "effect": self.direct[source, target],
            }
        )


def _with_hidden_paths(direct: FloatArray, nodes: IntArray, hidden: IntArray) -> FloatArray:
    """Direct effects of the nodes, and those over hidden genes alone: (n_nodes, n_genes)."""
    among_hidden = direct[np.ix_(hidden, hidden)]
    identity = np.eye(len(hidden))
    onward = np.linalg.solve(identity - among_hidden, direct[hidden])
    found = direct[nodes] + direct[np.ix_(nodes, hidden)] @ onward
    # Where there is no path there is no effect, whatever rounding has left.
    reached = (transitive_closure(among_hidden != 0) | (identity > 0)) @ (direct[hidden] != 0)
    path = (direct[nodes] != 0) | ((direct[np.ix_(nodes, hidden)] != 0) @ reached)
    return np.where(path, found, 0.0)
