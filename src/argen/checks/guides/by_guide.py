"""Effects of single guides, side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from argen.arrays import IntArray
from argen.checks.guides.group_effects import EffectsOfGroups, FitsOfGroups, GroupFits
from argen.checks.guides.joint_effects import JointFits
from argen.data import Guides, PerturbSeqData
from argen.network import CausalNetwork
from argen.pvalues import two_sided

# Guides of fewer cells have no part: their variances cannot be told.
FEWEST_CELLS = 10
# Beyond it the pairs compared are the edges.
MOST_GENES = 100
# The same where cells carry several perturbations, so that each pair takes some milliseconds.
MOST_GENES_JOINTLY = 30
# More guides than those of so many candidates cost too much: of all pairs of guides and of genes
# where cells carry several.
MOST_CANDIDATES, MOST_CANDIDATES_JOINTLY = 100, 20
_COLUMNS = ["source", "guide", "n_cells", "target", "effect", "std_error", "p_value"]


@dataclass(frozen=True, slots=True)
class GuideEffects:
    """Effects of every guide, of those genes that are asked for."""

    guides: tuple[str, ...]  # (n_guides,), those of a node together
    node: IntArray  # (n_guides,): whose guide it is
    n_cells: IntArray  # (n_guides,)
    fits: FitsOfGroups  # of guides, and last of the cells of guides without a part
    whole: EffectsOfGroups | None  # of all guides on all genes, where these are few
    too_few: tuple[str, ...]  # guides of fewer than FEWEST_CELLS cells
    is_quick: bool  # whether it takes less than seconds to compare all pairs
    most_candidates: int  # more guides than theirs cost too much

    def of(self, nodes: IntArray) -> IntArray:
        """Guides of some nodes."""
        return np.flatnonzero(np.isin(self.node, nodes))

    def among(self, guides: IntArray, genes: IntArray) -> EffectsOfGroups:
        """Effects of some guides on some genes."""
        if self.whole is not None:
            return self.whole.part(guides, genes)
        return self.fits.among(guides, genes)


def guide_effects(data: PerturbSeqData, labels: NDArray[np.object_]) -> GuideEffects:
    """Fit genes with an intercept for each guide: cells with one perturbation at most.

    Parameters
    ----------
    labels
        (n_cells,) guide of each cell; those of controls are not looked at.
    """
    node = data.node_of_cell
    pairs = pd.MultiIndex.from_arrays([node, labels])
    code, known = pd.factorize(pairs)
    sizes = np.bincount(code)
    named: list[tuple[int, str]] = list(known)
    found_node = np.array([pair[0] for pair in named], dtype=np.int64)
    enough = (found_node >= 0) & (sizes >= FEWEST_CELLS)
    by_name = sorted(range(len(named)), key=named.__getitem__)
    order = np.array([k for k in by_name if enough[k]], dtype=np.int64)
    few = np.flatnonzero((found_node >= 0) & (sizes < FEWEST_CELLS))
    place = np.full(len(named), len(order))
    place[order] = np.arange(len(order))
    n_groups = len(order) + (1 if len(few) else 0)
    fits = GroupFits(data, np.where(node < 0, n_groups, place[code]))
    is_small = data.n_genes <= MOST_GENES
    return GuideEffects(
        guides=tuple(named[k][1] for k in order.tolist()),
        node=found_node[order],
        n_cells=sizes[order],
        fits=fits,
        whole=fits.among(np.arange(n_groups), np.arange(data.n_genes)) if is_small else None,
        too_few=tuple(f"{named[k][1]} ({sizes[k]} cells)" for k in few.tolist()),
        is_quick=is_small,
        most_candidates=MOST_CANDIDATES,
    )


def joint_guide_effects(data: PerturbSeqData, guides: Guides) -> GuideEffects:
    """Fit genes on all guides at once: cells with several perturbations.

    Cells that carry several guides of a node, or one of too few cells, have an indicator of their
    own, one for each node.
    """
    alone = _one_of_each_node(guides, data.n_nodes)
    n_cells = np.diff(alone.indptr)
    named = sorted(np.flatnonzero(guides.node >= 0).tolist(), key=_by_node(guides))
    order = np.array([g for g in named if n_cells[g] >= FEWEST_CELLS], dtype=np.int64)
    few = [g for g in named if n_cells[g] < FEWEST_CELLS]
    kept, node = alone[:, order], guides.node[order]
    of_node = np.eye(data.n_nodes, dtype=np.int8)[node]
    others = sparse.csc_array(data.perturbations - kept @ sparse.csr_array(of_node))
    others.eliminate_zeros()
    others = others[:, np.flatnonzero(np.diff(others.indptr))]
    fits = JointFits(data, sparse.hstack([kept, others], format="csc"))
    return GuideEffects(
        guides=tuple(guides.names[g] for g in order.tolist()),
        node=node,
        n_cells=n_cells[order],
        fits=fits,
        whole=None,
        too_few=tuple(f"{guides.names[g]} ({n_cells[g]} cells)" for g in few),
        is_quick=data.n_genes <= MOST_GENES_JOINTLY,
        most_candidates=MOST_CANDIDATES_JOINTLY,
    )


def _by_node(guides: Guides) -> Callable[[int], tuple[int, str]]:
    return lambda guide: (int(guides.node[guide]), guides.names[guide])


def _one_of_each_node(guides: Guides, n_nodes: int) -> sparse.csc_array:
    """Take the guides that cells carry as the only one of their node: (n_cells, n_guides)."""
    carried = guides.carried.tocoo()
    node = guides.node[carried.col]
    code = carried.row.astype(np.int64) * (n_nodes + 1) + node  # -1 of those of no node
    _, place, n_of_node = np.unique(code, return_inverse=True, return_counts=True)
    kept = (node >= 0) & (n_of_node[place] == 1)
    entries = carried.data[kept], (carried.row[kept], carried.col[kept])
    return sparse.csc_array(entries, shape=carried.shape)


def permuted_among_carriers(guides: Guides, n_nodes: int, rng: np.random.Generator) -> Guides:
    """Permute the guides of each node among the cells that carry one of them alone."""
    alone = _one_of_each_node(guides, n_nodes).tocoo()
    row, column = alone.row.astype(np.int64), alone.col.astype(np.int64)
    for node in range(n_nodes):
        own = np.flatnonzero(guides.node[column] == node)
        column[own] = column[rng.permutation(own)]
    carried = sparse.csc_array((alone.data, (row, column)), shape=alone.shape)
    carried.sort_indices()
    return Guides(guides.names, guides.node, carried)


def compared_pairs(network: CausalNetwork, *, every_pair: bool) -> list[tuple[int, int]]:
    """Pairs of a node and another gene whose guides are compared.

    All pairs of nodes and all edges into sinks, or the edges alone.
    """
    number = {gene: k for k, gene in enumerate(network.genes)}
    edges = network.edges[["source", "target"]].itertuples(index=False, name=None)
    pairs = {(number[source], number[target]) for source, target in edges}
    if every_pair:
        pairs |= {(a, b) for a, b in np.argwhere(~np.eye(len(network.nodes), dtype=bool)).tolist()}
    return sorted(pairs)


def guide_table(
    found: GuideEffects, genes: tuple[str, ...], pairs: list[tuple[int, int]]
) -> pd.DataFrame:
    """Return the effects of the guides side by side: on their own gene, and of each pair."""
    targets: dict[int, list[int]] = {node: [node] for node in np.unique(found.node).tolist()}
    for source, target in pairs:
        if source in targets:
            targets[source].append(target)
    parts = []
    for source, of_source in targets.items():
        own, columns = found.of(np.array([source])), np.unique(of_source)
        effects = found.among(own, columns)
        std_error = effects.std_error
        each = {
            "source": genes[source],
            "guide": np.repeat([found.guides[g] for g in own], len(columns)),
            "n_cells": np.repeat(found.n_cells[own], len(columns)),
            "target": np.tile(np.array(genes, dtype=object)[columns], len(own)),
            "effect": effects.effect.reshape(-1),
            "std_error": std_error.reshape(-1),
            "p_value": two_sided(effects.effect / std_error)[0].reshape(-1),
        }
        parts.append(pd.DataFrame(each))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_COLUMNS)


def permuted_guides(
    data: PerturbSeqData, labels: NDArray[np.object_], rng: np.random.Generator
) -> NDArray[np.object_]:
    """Permute the labels of guides among the cells of each node, so that they do not differ."""
    labels, node = labels.copy(), data.node_of_cell
    for k in range(data.n_nodes):
        cells = np.flatnonzero(node == k)
        labels[cells] = labels[rng.permutation(cells)]
    return labels
