"""Numbers of the graph, which networkx computes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from argen.errors import InputError, first_few, nearest
from argen.network import CausalNetwork

if TYPE_CHECKING:
    import networkx


def degree_table(network: CausalNetwork) -> pd.DataFrame:
    """Return each gene's edges, most first: gene, parents, children. Sinks have no children."""
    edges = network.edges
    table = pd.DataFrame({"gene": list(network.genes)})
    for name, end in (("parents", "target"), ("children", "source")):
        table[name] = table["gene"].map(edges[end].value_counts()).fillna(0).astype(int)
    by = (table["parents"] + table["children"]).sort_values(ascending=False, kind="stable")
    return table.loc[by.index].reset_index(drop=True)


def centrality_table(network: CausalNetwork) -> pd.DataFrame:
    """Return how central each gene is, by several measures, the largest PageRank first.

    ``parents``, ``children`` and ``degree`` count edges (degree as a share of the other genes).
    ``betweenness`` is the share of shortest paths through a gene. ``closeness``, ``pagerank``
    and ``katz`` are those of the reversed graph, so that a gene is central when it acts on many,
    and on central ones. ``hub`` and ``authority`` are those of HITS: good hubs act on good
    authorities. No measure weighs edges by their effects.
    """
    import networkx

    graph = _graph(network)
    upstream = graph.reverse(copy=False)
    hub, authority = _hits(graph)
    table = degree_table(network).set_index("gene")
    columns = {
        "degree": networkx.degree_centrality(graph),
        "betweenness": networkx.betweenness_centrality(graph),
        "closeness": networkx.closeness_centrality(upstream),
        "pagerank": networkx.pagerank(upstream, weight=None),
        "katz": _katz(upstream),
        "hub": hub,
        "authority": authority,
    }
    for name, values in columns.items():
        table[name] = pd.Series(values, dtype=np.float64)
    return table.reset_index().sort_values(
        "pagerank", ascending=False, kind="stable", ignore_index=True
    )


def _graph(network: CausalNetwork) -> networkx.DiGraph:
    """Genes and edges, in the sequence of the tables."""
    import networkx

    graph = networkx.DiGraph()
    graph.add_nodes_from(network.genes)
    graph.add_edges_from(network.edges[["source", "target"]].itertuples(index=False, name=None))
    return graph


def _katz(graph: networkx.DiGraph) -> dict[str, float]:
    """Katz centrality with attenuation 0.1; without cycles it always exists."""
    import networkx

    largest = max((abs(v) for v in _spectrum(graph)), default=0.0)
    alpha = 0.1 if largest < 5.0 else 0.5 / largest  # other methods have cycles
    found: dict[str, float] = networkx.katz_centrality_numpy(graph, alpha=alpha, weight=None)
    return found


def _spectrum(graph: networkx.DiGraph) -> list[complex]:
    import networkx

    if networkx.is_directed_acyclic_graph(graph):
        return []
    return list(np.linalg.eigvals(networkx.to_numpy_array(graph, weight=None)))


def _hits(graph: networkx.DiGraph) -> tuple[dict[str, float], dict[str, float]]:
    """Hubs and authorities; those of a graph without edges are 0."""
    import networkx

    if not graph.number_of_edges():
        none = dict.fromkeys(graph, 0.0)
        return none, none
    hub, authority = networkx.hits(graph, max_iter=10_000)
    # Rounding leaves what is 0 a little below.
    return {g: max(v, 0.0) for g, v in hub.items()}, {g: max(v, 0.0) for g, v in authority.items()}


def hubs(network: CausalNetwork, n: int = 10) -> pd.DataFrame:
    """Return the genes with most children, and those with most parents: kind, gene, n_edges."""
    parts = []
    for kind, column in (("acts on most", "children"), ("acted on by most", "parents")):
        ranked = degree_table(network).sort_values(column, ascending=False, kind="stable")
        ranked = ranked[ranked[column] > 0].head(n)
        parts.append(
            pd.DataFrame({"kind": kind, "gene": ranked["gene"], "n_edges": ranked[column]})
        )
    return pd.concat(parts, ignore_index=True)


def layers(network: CausalNetwork) -> pd.DataFrame:
    """Return the layer of each gene, from the top: the longest path of edges that leads to it.

    Raises
    ------
    InputError
        When the edges form a cycle, as those of other methods may.
    """
    import networkx

    graph = _graph(network)
    if not networkx.is_directed_acyclic_graph(graph):
        cycle = [source for source, _ in networkx.find_cycle(graph)]
        raise InputError(
            f"The edges form a cycle (through {first_few(cycle)}), so that there are no layers: "
            "take the network of a method without cycles."
        )
    depth = dict.fromkeys(network.genes, 0)
    for gene in networkx.topological_sort(graph):
        for child in graph.successors(gene):
            depth[child] = max(depth[child], depth[gene] + 1)
    table = pd.DataFrame({"gene": list(depth), "layer": list(depth.values())})
    return table.sort_values("layer", kind="stable", ignore_index=True)


def modules(
    network: CausalNetwork, *, smallest: int = 3, resolution: float = 1.0, seed: int = 1
) -> pd.DataFrame:
    """Return the modules of genes that are linked with each other more than with others.

    Louvain's method on the edges, either direction, each weighted by the size of its effect. A
    module of fewer than ``smallest`` genes joins the one that it is linked with most; what is
    linked with nothing has module 0. One row a gene: gene, module (the largest is 1), size, and
    ``joined``, for genes of small modules.

    Parameters
    ----------
    resolution
        Above 1: more and smaller modules.
    """
    import networkx

    graph = networkx.Graph()
    graph.add_nodes_from(network.genes)
    for source, target, effect in network.edges[["source", "target", "effect"]].itertuples(
        index=False, name=None
    ):
        size = abs(effect) if np.isfinite(effect) else 1.0
        before = graph.get_edge_data(source, target, {"weight": 0.0})["weight"]
        graph.add_edge(source, target, weight=before + size)
    found = networkx.community.louvain_communities(
        graph, weight="weight", resolution=resolution, seed=seed
    )
    linked = [set(group) for group in found if any(graph[gene] for gene in group)]
    joined: set[str] = set()
    # A small component is as large as it can be.
    while small := [g for g in linked if len(g) < smallest and _touches(graph, g)]:
        little = min(small, key=lambda g: (len(g), sorted(g)))
        linked.remove(little)
        ties = [_weight_between(graph, little, other) for other in linked]
        linked[int(np.argmax(ties))] |= little
        joined |= little
    linked.sort(key=lambda g: (-len(g), sorted(g)))
    number = {gene: k + 1 for k, group in enumerate(linked) for gene in group}
    table = pd.DataFrame({"gene": list(network.genes)})
    table["module"] = table["gene"].map(number).fillna(0).astype(int)
    table["size"] = table.groupby("module")["gene"].transform("size")
    table["joined"] = table["gene"].isin(joined)
    place = table["module"].replace(0, len(network.genes) + 1)
    return table.loc[place.sort_values(kind="stable").index].reset_index(drop=True)


def _weight_between(graph: networkx.Graph, one: set[str], other: set[str]) -> float:
    return float(sum(d["weight"] for g in one for n, d in graph[g].items() if n in other))


def _touches(graph: networkx.Graph, group: set[str]) -> bool:
    """Whether a group is linked with genes outside of it."""
    return any(n not in group for gene in group for n in graph[gene])


def subnetwork(
    network: CausalNetwork, regulators: Iterable[str], *, depth: int | None = None
) -> pd.DataFrame:
    """Return the edges on paths from some genes: rows of ``network.edges`` and their ``step``.

    ``step`` is 1 for edges that leave a regulator, 2 for those that leave its children, ...

    Parameters
    ----------
    regulators
        Names of genes.
    depth
        Largest step; all when None.

    Raises
    ------
    InputError
        When a name is no gene of the network.
    """
    regulators = [regulators] if isinstance(regulators, str) else list(regulators)
    for name in regulators:
        if name not in network.genes:
            raise InputError(f"{name!r} is no gene of the network.{nearest(name, network.genes)}")
    edges, reached, step = network.edges, set(regulators), 0
    steps = pd.Series(0, index=edges.index)
    frontier = set(regulators)
    while frontier and (depth is None or step < depth):
        step += 1
        leaving = edges["source"].isin(frontier) & (steps == 0)
        steps[leaving] = step
        frontier = set(edges.loc[leaving, "target"]) - reached
        reached |= frontier
    return edges.assign(step=steps)[steps > 0].reset_index(drop=True)
