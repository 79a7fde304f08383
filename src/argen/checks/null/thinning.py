"""Null screens in which guides work and no gene acts on another.

The test of a direct effect needs guides that work, so that cells which merely pose as perturbed say
little of it. Let the cells carry labels that have nothing to do with them, and let every molecule
of the gene that a cell's label names be kept with probability s. A count of mean mu becomes one of
mean s mu of the same kind (a thinned Poisson count is Poisson, whatever the cell's own mean), so
that these are cells whose guide has left the share s of the gene. Everything else is as it was:
depth, covariates, overdispersion, hidden confounders.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from argen.arrays import FloatArray
from argen.data import GeneCounts, PerturbSeqData
from argen.steps import CausalOrder

# Most candidates that a gene is given.
N_CANDIDATES = 5


def thinned(data: PerturbSeqData, left: FloatArray, rng: np.random.Generator) -> PerturbSeqData:
    """Thin the counts of each node in the cells that carry its perturbation.

    Parameters
    ----------
    left
        (n_nodes,) share that is left; 1 or more leaves all, as no molecules can be added.
    """
    counts, carried = data.counts.to_csc(), data.perturbations
    for node, share in enumerate(np.minimum(left, 1.0).tolist()):
        entries = slice(counts.indptr[node], counts.indptr[node + 1])
        carriers = carried.indices[carried.indptr[node] : carried.indptr[node + 1]]
        own, found = np.isin(counts.indices[entries], carriers), counts.data[entries]
        found[own] = rng.binomial(found[own], share)
    return replace(data, counts=GeneCounts.from_matrix(counts), panel=None)


def false_candidates(n_nodes: int, n_genes: int, rng: np.random.Generator) -> CausalOrder:
    """Give every gene candidates that have nothing to do with it.

    The nodes are put into a random sequence and cut into blocks. The candidates of a node are
    those before it in its block, so that they have no others; of a sink, all of a block but one.
    """
    sequence, size = rng.permutation(n_nodes), N_CANDIDATES + 1
    place = np.argsort(sequence)
    possible = np.zeros((n_nodes, n_genes), dtype=bool)
    together = place[:, None] // size == place[None, :] // size
    possible[:, :n_nodes] = together & (place[:, None] < place[None, :])
    of_sinks = rng.integers(-(-n_nodes // size), size=n_genes - n_nodes)
    possible[:, n_nodes:] = (place[:, None] // size == of_sinks) & (
        place[:, None] % size < N_CANDIDATES
    )
    order = np.concatenate([sequence, np.arange(n_nodes, n_genes)])
    return CausalOrder(order, possible, possible)
