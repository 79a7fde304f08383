"""A screen of the shape of a genome-scale experiment, drawn fast."""

import numpy as np
import pandas as pd
from scipy import sparse

import argen
from argen.counts import GeneCounts
from argen.perturbseq import left_out_table, perturbations_of


def k562_like_screen(
    n_nodes: int,
    *,
    n_controls: int = 10_000,
    cells_per_node: int = 150,
    n_levels: int = 48,
    descendants: float = 0.04,
    more_covariates: bool = False,
    seed: int = 0,
) -> argen.PerturbSeqData:
    """One numeric and one categorical covariate; or three and two."""
    rng = np.random.default_rng(seed)
    node_of_cell = np.repeat(np.arange(-1, n_nodes), [n_controls, *[cells_per_node] * n_nodes])
    n_cells = len(node_of_cell)
    gem_group = rng.integers(0, n_levels, n_cells)
    covariates = {"p_mito": rng.normal(size=n_cells), "gem_group": gem_group.astype(str)}
    log_common = 0.1 * covariates["p_mito"]
    if more_covariates:
        covariates |= {
            "s_score": rng.exponential(size=n_cells),
            "g2m_score": rng.normal(size=n_cells),
            "replicate": rng.choice(["r1", "r2", "r3"], n_cells),
        }
        log_common = log_common + 0.1 * covariates["s_score"] - 0.1 * covariates["g2m_score"]
    log_size = rng.normal(0.0, 0.35, n_cells)
    columns = []
    for node in range(n_nodes):
        effects = np.zeros(n_nodes + 1)  # the last is that of the controls
        hit = rng.random(n_nodes) < descendants
        effects[:-1][hit] = rng.normal(0.0, 0.5, hit.sum())
        effects[node] = -2.0
        log_mean = rng.normal(0.0, 1.2) + log_common + rng.normal(0, 0.1, n_levels)[gem_group]
        mean = np.exp(log_mean + log_size + effects[node_of_cell]) * rng.gamma(4, 0.25, n_cells)
        columns.append(sparse.csc_array(rng.poisson(mean)[:, None]))
    return argen.PerturbSeqData(
        counts=GeneCounts.from_matrix(sparse.hstack(columns)),
        genes=tuple(f"g{node}" for node in range(n_nodes)),
        n_nodes=n_nodes,
        n_measured=n_nodes,
        cells=pd.RangeIndex(n_cells),
        perturbations=perturbations_of(node_of_cell, n_nodes),
        library_size=np.exp(log_size),
        library_size_source="simulated",
        covariates=pd.DataFrame(covariates),
        formula=None,
        left_out=left_out_table([]),
        source="simulated",
    )
