"""The simulation of the ARGEN paper."""

from __future__ import annotations

import numpy as np
import pandas as pd

from argen.data import CONTROL, GeneCounts, PerturbSeqData, left_out_table, perturbations_of
from argen.errors import InputError, first_few
from argen.simulate.truth import Truth

_PAPER_EDGES = {
    ("X7", "X1"): -0.5, ("X7", "X2"): -0.5, ("X7", "X3"): 0.5,
    ("X8", "X4"): 0.5, ("X8", "X5"): 0.5, ("X8", "X6"): -0.5,
    ("X1", "X2"): 0.5, ("X1", "X3"): -0.5, ("X2", "X3"): 0.5,
    ("X4", "X5"): 0.5, ("X5", "X6"): -0.5, ("X3", "X6"): -0.5,
}  # fmt: skip


def simulate_paper_screen(
    *,
    rng: np.random.Generator | int,
    n_cells: int = 8000,
    hidden: tuple[str, ...] = (),
    assignment_rng: np.random.Generator | int | None = None,
) -> tuple[PerturbSeqData, Truth]:
    """Simulate the eight-gene screen of the ARGEN paper.

    For cell i and gene j, with L observed and U not::

        log mu_ij = -0.5 - 5 D_ij + sum_k theta_jk log mu_ik + L_i - 0.5 U_i + eps_ij
        Y_ij ~ Poisson(C_i mu_ij)

    L ~ N(0, 1), U ~ N(0.5 L, 1), eps ~ N(0, 0.5^2), C = max(Poisson(10), 1). Assignment
    depends on L: a softmax with logit log 50 + 5 L for control and L for each perturbation.

    Source: Park and Li (2026), simulation study.

    Parameters
    ----------
    rng
        Generator or seed.
    n_cells
        Cells before those of hidden genes are removed.
    hidden
        Genes whose counts, and whose perturbed cells, are removed; X7 and X8 are the common
        causes of the others.
    assignment_rng
        Generator or seed of L and of who carries what, which the paper keeps over its
        replicates; ``rng`` when None.
    """
    nodes = tuple(f"X{j}" for j in range(1, 9))
    unknown = [gene for gene in hidden if gene not in nodes]
    if unknown or len(nodes) - len(set(hidden)) < 2:
        raise InputError(
            f"hidden must name at most six of {', '.join(nodes)}, not {first_few(hidden)}."
        )
    rng = np.random.default_rng(rng)
    assignment = rng if assignment_rng is None else np.random.default_rng(assignment_rng)
    direct = np.zeros((8, 8))
    for (source, target), effect in _PAPER_EDGES.items():
        direct[nodes.index(source), nodes.index(target)] = effect

    observed = assignment.normal(size=n_cells)
    logits = np.column_stack([np.log(50) + 5 * observed, *[observed] * 8])
    # The largest of logits plus Gumbel noise is a draw from their softmax.
    node_of_cell = (logits + assignment.gumbel(size=logits.shape)).argmax(axis=1) - 1
    unobserved = rng.normal(0.5 * observed, 1.0)
    library_size = np.maximum(rng.poisson(10, n_cells), 1).astype(np.float64)
    perturbed = node_of_cell[:, None] == np.arange(8)
    cause = -0.5 - 5.0 * perturbed + (observed - 0.5 * unobserved)[:, None]
    cause += rng.normal(0.0, 0.5, size=cause.shape)
    log_mean = np.linalg.solve((np.eye(8) - direct).T, cause.T).T
    counts = rng.poisson(library_size[:, None] * np.exp(log_mean))

    kept_nodes = np.array([gene not in hidden for gene in nodes])
    kept_cells = (node_of_cell == CONTROL) | kept_nodes[node_of_cell]
    renumbered = np.append(np.cumsum(kept_nodes) - 1, CONTROL)
    visible = tuple(gene for gene in nodes if gene not in hidden)
    left_out = [
        ("target", gene, int((node_of_cell == j).sum()), "hidden by the simulation")
        for j, gene in enumerate(nodes)
        if gene in hidden
    ]
    data = PerturbSeqData(
        counts=GeneCounts.from_matrix(counts[np.ix_(kept_cells, kept_nodes)]),
        genes=visible,
        n_nodes=len(visible),
        n_measured=len(visible),
        cells=pd.Index([f"cell{i}" for i in np.flatnonzero(kept_cells)]),
        perturbations=perturbations_of(renumbered[node_of_cell[kept_cells]], len(visible)),
        library_size=library_size[kept_cells],
        library_size_source="simulated",
        covariates=pd.DataFrame({"L": observed[kept_cells]}),
        formula=None,
        left_out=left_out_table(left_out),
        source="simulated: paper screen",
    )
    return data, Truth(nodes, direct).keep(visible)
