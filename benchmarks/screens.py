"""Screens of the shape of genome-scale experiments, drawn fast, in memory or into a file."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

import argen
from argen.data.counts import GeneCounts
from argen.data.perturbseq import left_out_table, perturbations_of
from argen.simulate.files import fill_rows

CELLS_OF_A_BLOCK = 5_000


def k562_like_screen(
    n_nodes: int,
    *,
    n_controls: int = 10_000,
    cells_per_node: int = 150,
    n_levels: int = 48,
    descendants: float = 0.04,
    more_covariates: bool = False,
    n_measured: int | None = None,
    seed: int = 0,
) -> argen.PerturbSeqData:
    """One numeric and one categorical covariate; or three and two.

    Only the first ``n_measured`` genes have counts, all when None.
    """
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
    n_measured = n_nodes if n_measured is None else n_measured
    for node in range(n_measured):
        effects = np.zeros(n_nodes + 1)  # the last is that of the controls
        hit = rng.random(n_nodes) < descendants
        effects[:-1][hit] = rng.normal(0.0, 0.5, hit.sum())
        effects[node] = -2.0
        log_mean = rng.normal(0.0, 1.2) + log_common + rng.normal(0, 0.1, n_levels)[gem_group]
        mean = np.exp(log_mean + log_size + effects[node_of_cell]) * rng.gamma(4, 0.25, n_cells)
        columns.append(sparse.csc_array(rng.poisson(mean)[:, None]))
    columns.append(sparse.csc_array((n_cells, n_nodes - n_measured), dtype=np.int64))
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


def write_screen(
    path: Path,
    *,
    n_nodes: int,
    n_sinks: int = 0,
    cells_per_node: int = 150,
    n_controls: int = 10_000,
    n_levels: int = 48,
    n_modules: int = 12,
    seed: int = 0,
) -> int:
    """Write a screen as an .h5ad file of compressed rows, block by block; returns its counts.

    The nodes fall into modules; in a module each gene acts on all later ones, so that with
    twelve modules about 4 % of the ordered pairs are true descendants. Each sink hangs on the
    first half of one module. Cells come in random order.
    """
    rng = np.random.default_rng(seed)
    n_genes = n_nodes + n_sinks
    carried = np.repeat(np.arange(-1, n_nodes), [n_controls, *[cells_per_node] * n_nodes])
    rng.shuffle(carried)
    n_cells = len(carried)
    gem_group = rng.integers(0, n_levels, n_cells)
    p_mito, log_size = rng.normal(size=n_cells), rng.normal(0.0, 0.35, n_cells)
    base = np.append(rng.normal(0.0, 1.2, n_nodes), rng.normal(-1.5, 1.0, n_sinks))
    of_level = rng.normal(0.0, 0.1, (n_levels, n_genes)).astype(np.float32)
    effects = _effects_of_modules(rng, n_nodes, n_sinks, n_modules)
    names = np.array([*(f"g{k}" for k in range(n_nodes)), "non-targeting"], dtype=object)
    obs = pd.DataFrame(
        {
            "perturbation": pd.Categorical(names[carried]),
            "gem_group": pd.Categorical(gem_group.astype(str)),
            "p_mito": p_mito,
            "library_size": np.exp(log_size),
        },
        index=[f"cell{i}" for i in range(n_cells)],
    )
    genes = [*names[:-1], *(f"s{k}" for k in range(n_sinks))]
    nothing = sparse.csr_matrix((n_cells, n_genes), dtype=np.float32)
    AnnData(X=nothing, obs=obs, var=pd.DataFrame(index=genes)).write_h5ad(path)

    def blocks():
        for start in range(0, n_cells, CELLS_OF_A_BLOCK):
            cells = slice(start, start + CELLS_OF_A_BLOCK)
            log_mean = base + effects[carried[cells]] + of_level[gem_group[cells]]
            log_mean += (log_size[cells] + 0.1 * p_mito[cells])[:, None]
            mean = np.exp(log_mean, dtype=np.float32)
            mean *= rng.standard_gamma(4.0, mean.shape, dtype=np.float32) / 4
            yield sparse.csr_array(rng.poisson(mean).astype(np.float32))

    with h5py.File(path, "r+") as file:
        return fill_rows(file["X"], blocks())


def _effects_of_modules(rng, n_nodes: int, n_sinks: int, n_modules: int) -> np.ndarray:
    """Total effects of each perturbation, the last row that of the controls: (n_nodes + 1, ...)."""
    effects = np.zeros((n_nodes + 1, n_nodes + n_sinks), dtype=np.float32)
    for module in np.array_split(np.arange(n_nodes), n_modules):
        drawn = rng.normal(0.0, 0.5, (len(module), len(module)))
        effects[np.ix_(module, module)] = np.triu(drawn, 1) - 2.0 * np.eye(len(module))
    for sink, module in enumerate(rng.integers(0, n_modules, n_sinks)):
        upstream = np.array_split(np.arange(n_nodes), n_modules)[module]
        upstream = upstream[: (len(upstream) + 1) // 2]
        effects[upstream, n_nodes + sink] = rng.normal(0.0, 0.5, len(upstream))
    return effects
