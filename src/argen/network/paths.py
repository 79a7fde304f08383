"""Along which paths, and through which genes, one gene acts on another."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import pandas as pd

from argen.arrays import FloatArray
from argen.errors import InputError
from argen.network.joint_errors import JointErrors, joint_errors
from argen.network.prediction import node_number, onward_of, std_error_of
from argen.network.result import CausalNetwork
from argen.pvalues import critical_value
from argen.steps import transitive_closure


@dataclass(frozen=True, slots=True, eq=False)
class EffectPaths:
    """Along which paths, and through which genes, one gene acts on another.

    Effects are changes of the log mean of the target per unit of log mean of the source.
    """

    source: str
    target: str
    total: float
    """Effect over all paths: the sum of what they contribute."""
    std_error: float
    n_paths: int
    """Directed paths in all."""
    paths: pd.DataFrame
    """One row a path, the largest contribution first: path (a tuple of genes), n_steps, effect
    (the product of its direct effects), std_error, ci_low, ci_high, share of the total."""
    mediators: pd.DataFrame
    """One row for each gene between, the largest effect first: gene, effect over the paths through
    it, std_error, ci_low, ci_high, share of the total. A path counts for each gene on it, so
    that shares need not add up to 1; where paths oppose each other they can be negative, or
    above 1."""

    def summary(self) -> str:
        """Return the total, the paths and the mediators in words."""
        lines = [
            f"{self.source} to {self.target}: total effect {self.total:.3g} (standard error "
            f"{self.std_error:.2g}) over {self.n_paths} directed paths"
        ]
        for path, effect, share in zip(
            *(self.paths[c] for c in ("path", "effect", "share")), strict=True
        ):
            lines.append(f"  {effect:+.3g} ({100 * share:.0f} %)  {' > '.join(path)}")
        if self.n_paths > len(self.paths):
            rest = self.total - self.paths["effect"].sum()
            lines.append(f"  {rest:+.3g}  over {self.n_paths - len(self.paths)} more paths")
        for gene, effect, share in zip(
            *(self.mediators[c] for c in ("gene", "effect", "share")), strict=True
        ):
            lines.append(f"  through {gene}: {effect:+.3g} ({100 * share:.0f} %)")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def paths(network: CausalNetwork, source: str, target: str, *, most: int = 100) -> EffectPaths:
    """Split the total effect of a node on a gene by directed paths and by mediators.

    A path contributes the product of its direct effects, and the sum over all paths is the
    total effect, ``(I - B)^-1``. What goes through a gene is the product of the totals to
    it and from it; its share is over the total.

    Parameters
    ----------
    source, target
        A node, and another node or a sink.
    most
        How many paths to list, the largest contributions first; all are counted.
    """
    s, t = node_number(network, source), _gene_number(network, target)
    if s == t:
        raise InputError(f"Source and target are both {source!r}: expected two genes.")
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise InputError(f"most must be a whole number from 1, not {most!r}.")
    errors = joint_errors(network)
    between = _Between(errors, s, t)
    listed = between.strongest_paths(most)
    genes = network.genes
    level = network.config.confidence
    columns = ["effect", "std_error", "ci_low", "ci_high", "share"]
    total, std_error = between.total()
    of_paths = [between.path_effect(path) for path in listed]
    of_genes = [(genes[m], *between.through(m)) for m in between.mediators()]
    table = pd.DataFrame(
        {
            "path": pd.Series([_names(path, between, genes) for path in listed], dtype=object),
            "n_steps": np.array([len(path) for path in listed], dtype=np.int64),
            **_estimates([e for e, _ in of_paths], [v for _, v in of_paths], total, level),
        }
    )
    mediators = pd.DataFrame(
        {
            "gene": pd.Series([name for name, _, _ in of_genes], dtype=object),
            **_estimates([e for _, e, _ in of_genes], [v for _, _, v in of_genes], total, level),
        }
    )
    largest = np.argsort(-mediators["effect"].abs().to_numpy(), kind="stable")
    return EffectPaths(
        source=source,
        target=target,
        total=total,
        std_error=std_error,
        n_paths=between.n_paths(),
        paths=table[["path", "n_steps", *columns]],
        mediators=mediators.iloc[largest].reset_index(drop=True),
    )


def _gene_number(network: CausalNetwork, gene: str) -> int:
    return network.genes.index(gene) if gene in network.sinks else node_number(network, gene)


def _estimates(
    effects: list[float], std_errors: list[float], total: float, level: float
) -> dict[str, FloatArray]:
    effect, std_error = np.array(effects, dtype=np.float64), np.array(std_errors, dtype=np.float64)
    share = effect / total if total != 0.0 else np.full(len(effect), np.nan)
    margin = critical_value(level) * std_error
    return {
        "effect": effect,
        "std_error": std_error,
        "ci_low": effect - margin,
        "ci_high": effect + margin,
        "share": share,
    }


class _Between:
    """The edges on the way from one gene to another."""

    def __init__(self, errors: JointErrors, source: int, target: int) -> None:
        edges = errors.direct() != 0.0
        reaches = transitive_closure(edges[:, : errors.n_nodes]) | np.eye(
            errors.n_nodes, dtype=bool
        )
        leads = np.zeros(errors.n_genes, dtype=bool)  # to the target
        leads[: errors.n_nodes] = reaches @ edges[:, target]
        leads[target] = True
        chosen = np.flatnonzero(reaches[source, errors.source] & leads[errors.target])
        self.start, self.end = source, target
        self.source, self.target = errors.source[chosen], errors.target[chosen]
        self.effect = errors.effect[chosen]
        self.covariance = errors.covariance(errors.rows[chosen])
        self.over_paths = errors.over_paths(errors.direct())
        self.nodes = errors.order[np.isin(errors.order, self.source)]

    def total(self) -> tuple[float, float]:
        """Effect over all paths, and its standard error."""
        over = self.over_paths
        return float(over[self.start, self.end]), self._error(self._slopes(self.start, self.end))

    def through(self, node: int) -> tuple[float, float]:
        """Effect over the paths through a node, and its standard error."""
        over = self.over_paths
        first, second = over[self.start, node], over[node, self.end]
        slopes = self._slopes(self.start, node) * second + first * self._slopes(node, self.end)
        return float(first * second), self._error(slopes)

    def path_effect(self, path: tuple[int, ...]) -> tuple[float, float]:
        """Product of the direct effects along a path of edges, and its standard error."""
        steps = self.effect[list(path)]
        slopes = np.zeros(len(self.effect))
        for place, edge in enumerate(path):
            slopes[edge] = np.prod(np.delete(steps, place))
        return float(np.prod(steps)), self._error(slopes)

    def mediators(self) -> list[int]:
        """Nodes between the two, most upstream first."""
        return [node for node in self.nodes.tolist() if node != self.start]

    def n_paths(self) -> int:
        """Count the paths from start to end."""
        ways = {self.end: 1}
        for node in self.nodes[::-1].tolist():
            ways[node] = sum(ways[k] for k in self.target[self.source == node].tolist())
        return ways.get(self.start, 0)

    def strongest_paths(self, most: int) -> list[tuple[int, ...]]:
        """Paths as tuples of edges, the largest product of sizes first.

        Best first: what is still to come of a path is bounded by the largest product from its
        last node to the end, which is exact.
        """
        with np.errstate(divide="ignore"):
            size = np.log(np.abs(self.effect))
        ahead: dict[int, float] = {self.end: 0.0}
        out: dict[int, list[int]] = {}
        for node in self.nodes[::-1].tolist():
            out[node] = np.flatnonzero(self.source == node).tolist()
            ahead[node] = max(float(size[e]) + ahead[int(self.target[e])] for e in out[node])
        found: list[tuple[int, ...]] = []
        open_paths: list[tuple[float, int, tuple[int, ...], float]] = []
        if len(self.effect):
            open_paths.append((-ahead[self.start], self.start, (), 0.0))
        while open_paths and len(found) < most:
            _, node, path, so_far = heapq.heappop(open_paths)
            if node == self.end:
                found.append(path)
                continue
            for edge in out[node]:
                follower, size_so_far = int(self.target[edge]), so_far + float(size[edge])
                bound = -(size_so_far + ahead[follower])
                heapq.heappush(open_paths, (bound, follower, (*path, edge), size_so_far))
        return found

    def _slopes(self, start: int, end: int) -> FloatArray:
        """Return the derivatives of the effect over all paths by the edges: (n_edges,)."""
        onward = onward_of(self.over_paths, self.target, np.array([end]))[:, 0]
        return np.asarray(self.over_paths[start, self.source] * onward)

    def _error(self, slopes: FloatArray) -> float:
        return float(std_error_of(slopes[None], self.covariance)[0]) if len(slopes) else 0.0


def _names(path: tuple[int, ...], between: _Between, genes: tuple[str, ...]) -> tuple[str, ...]:
    followers = [genes[between.target[edge]] for edge in path]
    return (genes[between.start], *followers)
