"""The cells of a simulated screen, before their counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import sparse

from argen.arrays import FloatArray, IntArray
from argen.data import encode_covariates, perturbations_of
from argen.simulate.model import ScreenModel
from argen.simulate.profile import ScreenProfile


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What is known of each cell before its counts."""

    node_of_cell: IntArray  # (n_cells,) -1 for control
    guide_of_cell: IntArray  # (n_cells,) which of the guides of its node, -1 for control
    more: sparse.csr_array | None  # (n_cells, n_nodes): 1 + guide of further perturbations
    library_size: FloatArray  # (n_cells,)
    covariates: pd.DataFrame  # (n_cells, n_covariates)
    formula: str | None
    coded: FloatArray  # (n_cells, n_columns) covariates as numbers

    def take(self, rows: IntArray) -> Cells:
        """Return some of the cells."""
        return Cells(
            node_of_cell=self.node_of_cell[rows],
            guide_of_cell=self.guide_of_cell[rows],
            more=None if self.more is None else self.more[rows],
            library_size=self.library_size[rows],
            covariates=self.covariates.iloc[rows],
            formula=self.formula,
            coded=self.coded[rows],
        )

    def perturbations(self, n_nodes: int) -> sparse.csc_array:
        """Return what the cells carry: (n_cells, n_nodes)."""
        carried = perturbations_of(self.node_of_cell, n_nodes)
        if self.more is not None:
            carried = sparse.csc_array(carried + (self.more > 0).astype(np.int8))
            carried.sort_indices()
        return carried


def random_cells(model: ScreenModel, rng: np.random.Generator) -> Cells:
    """Draw cells in random sequence, with covariates that go with what they carry.

    Given its label, a numeric covariate is normal with variance 1 and a mean of that label, and
    a batch has odds of that label. This is the same as an assignment by a softmax in which each
    label has its own coefficients of the covariates.
    """
    of_guides, of_more = rng.spawn(2)
    sd = model.group_size_sd
    spread = np.exp(rng.normal(0.0, sd, model.n_nodes) - sd**2 / 2)
    sizes = np.maximum(np.rint(model.cells_per_node * spread), 2).astype(np.int64)
    node = np.repeat(np.arange(-1, model.n_nodes), [model.n_controls, *sizes])
    rng.shuffle(node)
    columns: dict[str, object] = {}
    for number in range(model.n_numeric):
        mean = rng.normal(0.0, model.assignment, model.n_nodes + 1)
        columns[f"x{number + 1}"] = rng.normal(mean[node])
    if model.n_batches > 1:
        log_odds = rng.normal(0.0, model.assignment, (model.n_nodes + 1, model.n_batches))
        # The largest of log odds plus Gumbel noise is a draw from their softmax.
        noise = rng.gumbel(size=(len(node), model.n_batches))
        batch = (log_odds[node] + noise).argmax(axis=1)
        columns["batch"] = pd.Categorical([f"b{number + 1}" for number in batch])
    covariates = pd.DataFrame(columns, index=range(len(node)))
    sd = model.library_size_sd
    library_size = np.exp(rng.normal(0.0, sd, len(node)) - sd**2 / 2)
    return Cells(
        node_of_cell=node,
        guide_of_cell=_random_guides(model, node, of_guides),
        more=_further_perturbations(model, node, of_more),
        library_size=library_size,
        covariates=covariates,
        formula=None,
        coded=encode_covariates(covariates).matrix,
    )


def cells_like(
    model: ScreenModel, profile: ScreenProfile, lenders: IntArray, rng: np.random.Generator
) -> Cells:
    """Draw as many cells of each real label as it has, with replacement, in random sequence."""
    (of_guides,) = rng.spawn(1)
    rows, node = [], []
    for number, lender in enumerate([-1, *lenders], start=-1):
        members = np.flatnonzero(profile.node_of_cell == lender)
        rows.append(rng.choice(members, len(members)))
        node.append(np.full(len(members), number))
    sequence = rng.permutation(sum(map(len, rows)))
    row, node_of_cell = np.concatenate(rows)[sequence], np.concatenate(node)[sequence]
    covariates = profile.covariates.iloc[row].reset_index(drop=True)
    return Cells(
        node_of_cell=node_of_cell,
        guide_of_cell=_random_guides(model, node_of_cell, of_guides),
        more=None,
        library_size=profile.library_size[row],
        covariates=covariates,
        formula=profile.formula,
        coded=encode_covariates(covariates, profile.formula).matrix,
    )


def second_cells(cells: Cells, share: float, rng: np.random.Generator) -> Cells:
    """Draw for a share of the cells the second one that they are to contain.

    It has label, guide and library size of a random cell, and the covariates of the first, which
    are those that are recorded. Where there is none the library size is 0.
    """
    n_cells = len(cells.node_of_cell)
    is_doublet = np.zeros(n_cells, dtype=bool)
    is_doublet[rng.choice(n_cells, round(share * n_cells), replace=False)] = True
    second = cells.take(rng.integers(n_cells, size=n_cells))
    library_size = np.where(is_doublet, second.library_size, 0.0)
    return replace(
        second, library_size=library_size, covariates=cells.covariates, coded=cells.coded
    )


def _random_guides(model: ScreenModel, node: IntArray, rng: np.random.Generator) -> IntArray:
    """Draw for each cell one of the guides of its node."""
    return np.where(node < 0, -1, rng.integers(model.n_guides, size=len(node)))


def _further_perturbations(
    model: ScreenModel, node: IntArray, rng: np.random.Generator
) -> sparse.csr_array | None:
    """Draw what each cell carries beside its first perturbation; None where cells carry one."""
    if not model.more_per_cell:
        return None
    sd, shape = model.more_per_cell_sd, (len(node), model.n_nodes)
    rate = model.more_per_cell * np.exp(rng.normal(0.0, sd, len(node)) - sd**2 / 2)
    cell = np.repeat(np.arange(len(node)), rng.poisson(rate))
    further = rng.integers(model.n_nodes, size=len(cell))
    kept = np.unique(cell * model.n_nodes + further)
    cell, further = kept // model.n_nodes, kept % model.n_nodes
    cell, further = cell[further != node[cell]], further[further != node[cell]]
    guide = rng.integers(model.n_guides, size=len(cell))
    return sparse.csr_array((1 + guide, (cell, further)), shape=shape)
