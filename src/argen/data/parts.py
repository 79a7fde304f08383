"""Parts of a screen, as screens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from argen.arrays import IntArray
from argen.data.perturbseq import PerturbSeqData


def only_cells(data: PerturbSeqData, cells: IntArray) -> PerturbSeqData:
    """Take some of the cells; a covariate that is constant over them is left out.

    Parameters
    ----------
    cells
        Increasing numbers, some perhaps several times.
    """
    return _without_constants(data.take(cells))


def without_perturbation(data: PerturbSeqData, node: int) -> PerturbSeqData:
    """Leave out the cells of one perturbation, so that its gene becomes the first of the sinks."""
    nodes, sinks = np.arange(data.n_nodes), np.arange(data.n_nodes, data.n_genes)
    genes = np.concatenate([np.delete(nodes, node), [node], sinks])
    fewer = data.take(np.flatnonzero(~data.perturbed(node)), genes, n_nodes=data.n_nodes - 1)
    return _without_constants(fewer)


def without_gene(data: PerturbSeqData, node: int) -> PerturbSeqData:
    """Leave out a node and the cells of its perturbation, as if nobody had thought of it."""
    genes = np.delete(np.arange(data.n_genes), node)
    return _without_constants(data.take(np.flatnonzero(~data.perturbed(node)), genes))


def _without_constants(data: PerturbSeqData) -> PerturbSeqData:
    """Leave out covariates that are constant; a formula stays as it is."""
    if data.formula is not None:
        return data
    varies = [name for name in data.covariates.columns if data.covariates[name].nunique() > 1]
    return replace(data, covariates=data.covariates[varies])
