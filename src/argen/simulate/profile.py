"""What a simulated screen takes over from a real one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from argen.arrays import FloatArray, IntArray
from argen.data import GENES_AT_ONCE, PerturbSeqData
from argen.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class ScreenProfile:
    """Levels of genes, and cells, of a real screen; cells are the rows of all of these."""

    rate: FloatArray  # (n_genes,) counts per unit of library size in the control cells
    dispersion: FloatArray  # (n_genes,) excess variance of control cells over the square of means
    n_nodes: int
    node_of_cell: IntArray  # (n_cells,) -1 for control
    library_size: FloatArray  # (n_cells,)
    covariates: pd.DataFrame  # (n_cells, n_covariates)
    formula: str | None
    source: str


def like(data: PerturbSeqData) -> ScreenProfile:
    """Measure what ``simulate_screen`` needs to imitate a real screen.

    These are the mean and dispersion of every gene in the control cells, and for every cell what
    it carries, its library size and its covariates. The dispersion is by moments::

        alpha_j = sum_i ((Y_ij - r_j C_i)^2 - r_j C_i) / sum_i (r_j C_i)^2,   0 at least

    with r_j the counts per unit of library size. It has everything that makes cells differ:
    covariates, hidden causes, noise.

    Raises
    ------
    InputError
        When cells carry several perturbations, or when there are no controls.
    """
    if not data.one_per_cell or data.n_controls == 0:
        raise InputError(
            "A screen to imitate needs control cells, and at most one perturbation per cell."
        )
    is_control = data.node_of_cell < 0
    library_size = data.library_size[is_control]
    rates, dispersions = [], []
    for first in range(0, data.counts.n_genes, GENES_AT_ONCE):
        genes = np.arange(first, min(first + GENES_AT_ONCE, data.counts.n_genes))
        counts = data.counts.dense(genes)[:, is_control]
        rate = counts.sum(axis=1) / library_size.sum()
        mean = rate[:, None] * library_size
        excess = ((counts - mean) ** 2 - mean).sum(axis=1)
        squares = (mean**2).sum(axis=1)
        rates.append(rate)
        dispersions.append(np.maximum(excess, 0.0) / np.where(squares > 0, squares, 1.0))
    return ScreenProfile(
        rate=np.concatenate(rates),
        dispersion=np.concatenate(dispersions),
        n_nodes=data.n_nodes,
        node_of_cell=data.node_of_cell,
        library_size=data.library_size,
        covariates=data.covariates,
        formula=data.formula,
        source=data.source,
    )
