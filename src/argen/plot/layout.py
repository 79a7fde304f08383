"""Where the genes of a network are drawn: layers in causal order, few crossings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from argen.arrays import FloatArray
from argen.network import CausalNetwork

# Passes down and up that put each gene near the genes that it is joined with.
SWEEPS = 12


@dataclass(frozen=True, slots=True)
class LayeredLayout:
    """Places of the genes that have an edge; x from left to right, y downstream negative."""

    genes: tuple[str, ...]  # (n_drawn,), in causal order
    layer: FloatArray  # (n_drawn,): longest path of drawn edges that ends in the gene
    x: FloatArray  # (n_drawn,)
    y: FloatArray  # (n_drawn,)

    @property
    def place(self) -> dict[str, tuple[float, float]]:
        """Each gene's x and y."""
        pairs = zip(self.x.tolist(), self.y.tolist(), strict=True)
        return dict(zip(self.genes, pairs, strict=True))


def layered_layout(network: CausalNetwork, edges: pd.DataFrame | None = None) -> LayeredLayout:
    """Place the genes so that every edge that follows the causal order points down.

    A gene is one layer below the lowest of its parents. Layers too wide are broken into rows.
    Within a row, genes are sorted by the mean place of their neighbours, pass after pass
    (Sugiyama's barycentre heuristic), so that few edges cross.

    Parameters
    ----------
    edges
        Table with source and target; the network's edges when None.
    """
    edges = network.edges if edges is None else edges
    order = [network.genes[gene] for gene in network.causal_order.order]
    drawn = set(edges["source"]) | set(edges["target"])
    genes = tuple(gene for gene in order if gene in drawn)
    number = {gene: i for i, gene in enumerate(genes)}
    pairs = sorted(
        (number[s], number[t])
        for s, t in edges[["source", "target"]].itertuples(index=False, name=None)
    )
    layer = np.zeros(len(genes))
    for source, target in sorted(pairs, key=lambda pair: pair[1]):
        if source < target:  # an edge against the order, of another method, makes no layer
            layer[target] = max(layer[target], layer[source] + 1)
    rows = _rows(layer)
    neighbours = _neighbours(pairs, len(genes))
    x = _sorted_by_neighbours(rows, neighbours, len(genes))
    y = np.zeros(len(genes))
    for depth, row in enumerate(rows):
        y[row] = -depth
    return LayeredLayout(genes, layer, x, y)


def _rows(layer: FloatArray) -> list[list[int]]:
    """Genes of each row, from the top: layers, the wide ones broken."""
    widest = max(6, math.ceil(1.6 * math.sqrt(len(layer))))
    rows: list[list[int]] = []
    for depth in np.unique(layer):
        inside = np.flatnonzero(layer == depth)
        n_rows = math.ceil(len(inside) / widest)
        rows += [part.tolist() for part in np.array_split(inside, n_rows)]
    return rows


def _neighbours(pairs: Sequence[tuple[int, int]], n_genes: int) -> list[list[int]]:
    neighbours: list[list[int]] = [[] for _ in range(n_genes)]
    for source, target in pairs:
        neighbours[source].append(target)
        neighbours[target].append(source)
    return neighbours


def _sorted_by_neighbours(
    rows: list[list[int]], neighbours: list[list[int]], n_genes: int
) -> FloatArray:
    x = np.zeros(n_genes)
    for row in rows:
        x[row] = _spread(len(row))
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            pull = [x[neighbours[gene]].mean() if neighbours[gene] else x[gene] for gene in row]
            x[[row[i] for i in np.argsort(pull, kind="stable")]] = _spread(len(row))
    return x


def _spread(n_genes: int) -> FloatArray:
    """Places around 0, one apart: (n_genes,)."""
    return np.arange(n_genes, dtype=np.float64) - (n_genes - 1) / 2
