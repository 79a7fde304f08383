"""Parts of a screen, as screens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from argen.arrays import BoolArray
from argen.data.counts import GeneCounts
from argen.data.perturbseq import PerturbSeqData


def cells_of(data: PerturbSeqData, kept: BoolArray) -> PerturbSeqData:
    """Take some of the cells; a covariate that is constant over them is left out."""
    covariates = data.covariates[kept]
    if data.formula is None:
        varies = [name for name in covariates.columns if len(covariates[name].unique()) > 1]
        covariates = covariates[varies]
    tiles = data.counts.select(kept, np.arange(data.counts.n_genes))
    perturbations = sparse.csc_array(sparse.csr_array(data.perturbations)[np.flatnonzero(kept)])
    perturbations.sort_indices()
    return replace(
        data,
        counts=GeneCounts(tuple(tiles), data.counts.n_genes),
        cells=data.cells[kept],
        perturbations=perturbations,
        library_size=data.library_size[kept],
        covariates=covariates,
    )


def without_perturbation(data: PerturbSeqData, node: int) -> PerturbSeqData:
    """Leave out the cells of one perturbation, so that its gene becomes the first of the sinks."""
    genes = np.append(np.delete(np.arange(data.n_nodes), node), node)
    genes = np.concatenate([genes, np.arange(data.n_nodes, len(data.genes))])
    carried = sparse.csr_array(data.perturbations)
    kept = np.asarray(carried[:, [node]].sum(axis=1)).reshape(-1) == 0
    perturbations = sparse.csc_array(carried[:, genes[: data.n_nodes - 1]])
    perturbations.sort_indices()
    fewer = replace(
        data,
        counts=data.counts.block(genes),
        genes=tuple(data.genes[k] for k in genes),
        n_nodes=data.n_nodes - 1,
        perturbations=perturbations,
    )
    return cells_of(fewer, kept)


def without_gene(data: PerturbSeqData, node: int) -> PerturbSeqData:
    """Leave out a node and the cells of its perturbation, as if nobody had thought of it."""
    fewer = without_perturbation(data, node)
    kept = np.delete(np.arange(len(fewer.genes)), fewer.n_nodes)
    genes = tuple(fewer.genes[k] for k in kept)
    return replace(fewer, counts=fewer.counts.block(kept), genes=genes)
