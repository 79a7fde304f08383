"""Everything of a simulated screen that is fixed before the first count is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from argen.arrays import FloatArray, IntArray
from argen.simulate.cells import Cells, cells_like, random_cells
from argen.simulate.equations import Equations, random_equations
from argen.simulate.graphs import random_effects
from argen.simulate.model import ScreenModel
from argen.simulate.profile import ScreenProfile
from argen.simulate.truth import Truth

# Cells drawn at once. Each block has a random stream of its own, so this number decides
# which counts a seed gives.
CELLS_OF_A_BLOCK = 4096
CELLS_OF_THE_PILOT = 2000
# No mean of a cell is above it, so that counts stay far from the limits of their type.
LARGEST_MEAN = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class ScreenPlan:
    """A screen that is ready to be drawn, block by block, in any sequence."""

    truth: Truth
    cells: Cells
    equations: Equations
    level: FloatArray  # (n_genes,): added to the log means
    dispersion: FloatArray  # (n_genes,)
    seed: int
    source: str

    @property
    def n_blocks(self) -> int:
        """Number of blocks of cells."""
        return -(-len(self.cells.node_of_cell) // CELLS_OF_A_BLOCK)

    def block(self, number: int) -> sparse.csr_array:
        """Draw the counts of a block of cells: (n_cells, n_genes)."""
        rng = np.random.default_rng([self.seed, number])
        part = slice(number * CELLS_OF_A_BLOCK, (number + 1) * CELLS_OF_A_BLOCK)
        with threadpool_limits(1, user_api="blas"):  # its last bits depend on the threads
            mean = self.equations.log_means(self.cells, part, rng)
        mean += self.level
        mean += np.log(self.cells.library_size[part])[:, None]
        np.exp(np.minimum(mean, np.log(LARGEST_MEAN), out=mean), out=mean)
        if self.dispersion.any():
            # A gamma with mean 1, which hardly varies for a gene without dispersion.
            shape = 1.0 / np.maximum(self.dispersion, 1e-9)
            mean *= rng.standard_gamma(shape, size=mean.shape) / shape
        return sparse.csr_array(rng.poisson(mean))


def plan_screen(
    model: ScreenModel,
    rng: np.random.Generator,
    *,
    direct: FloatArray | None,
    profile: ScreenProfile | None,
) -> ScreenPlan:
    """Draw network, coefficients and cells."""
    of_network, of_cells, of_equations, of_pilot, of_levels, of_blocks = rng.spawn(6)
    if direct is None:
        direct = random_effects(model, of_network)
    acting = [f"g{k + 1}" for k in range(model.n_nodes)]
    acting += [f"h{k + 1}" for k in range(model.n_hidden_genes)]
    sinks = [f"s{k + 1}" for k in range(model.n_sinks)]
    whole = Truth((*acting, *sinks), direct)
    measured = np.r_[: model.n_nodes, len(acting) : len(whole.genes)]
    cells, level, dispersion = (
        _of_model(model, len(measured), of_cells, of_levels)
        if profile is None
        else _of_profile(model, profile, of_cells, of_levels)
    )
    equations = random_equations(model, whole, measured, cells.coded.shape[1], of_equations)
    with threadpool_limits(1, user_api="blas"):
        raised, overdispersed = _levels_of_controls(equations, cells, of_pilot)
    if profile is not None:  # what hidden causes and noise bring about was measured too
        dispersion = np.maximum((1.0 + dispersion) / overdispersed - 1.0, 0.0)
    return ScreenPlan(
        truth=whole.keep([*acting[: model.n_nodes], *sinks]),
        cells=cells,
        equations=equations,
        level=level - raised,
        dispersion=dispersion,
        seed=int(of_blocks.integers(2**63)),
        source="simulated" if profile is None else f"simulated like {profile.source}",
    )


def _of_model(
    model: ScreenModel,
    n_genes: int,
    of_cells: np.random.Generator,
    of_levels: np.random.Generator,
) -> tuple[Cells, FloatArray, FloatArray]:
    """Draw cells, and the log of the mean count and the dispersion of each gene."""
    log_count = of_levels.normal(np.log(model.mean_count), model.mean_count_sd, n_genes)
    return random_cells(model, of_cells), log_count, np.full(n_genes, model.dispersion)


def _of_profile(
    model: ScreenModel,
    profile: ScreenProfile,
    of_cells: np.random.Generator,
    of_levels: np.random.Generator,
) -> tuple[Cells, FloatArray, FloatArray]:
    """Take cells, and the log of the rate and the dispersion of each gene, from a real screen."""
    lenders = _lenders(model, profile, of_levels)
    cells = cells_like(model, profile, lenders[: model.n_nodes], of_cells)
    # A gene without counts in the real controls gets half a one.
    least = 0.5 / profile.library_size[profile.node_of_cell < 0].sum()
    return cells, np.log(np.maximum(profile.rate[lenders], least)), profile.dispersion[lenders]


def _lenders(model: ScreenModel, profile: ScreenProfile, rng: np.random.Generator) -> IntArray:
    """Draw real genes for the measured ones, as far as there are enough no gene twice."""
    n_real = len(profile.rate)
    nodes = rng.choice(profile.n_nodes, model.n_nodes, replace=model.n_nodes > profile.n_nodes)
    sinks = rng.choice(n_real, model.n_sinks, replace=model.n_sinks > n_real)
    return np.concatenate([nodes, sinks])


def _levels_of_controls(
    equations: Equations, cells: Cells, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Log of the mean, and mean square over squared mean, of some control cells: (n_genes,)."""
    controls = np.flatnonzero(cells.node_of_cell < 0)[:CELLS_OF_THE_PILOT]
    pilot = Cells(
        cells.node_of_cell[controls],
        cells.guide_of_cell[controls],
        cells.library_size[controls],
        cells.covariates,
        cells.formula,
        cells.coded[controls],
    )
    mean = np.exp(equations.log_means(pilot, slice(None), rng))
    first, second = mean.mean(axis=0), (mean**2).mean(axis=0)
    return np.log(first), second / first**2
