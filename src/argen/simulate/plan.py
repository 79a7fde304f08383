"""Everything of a simulated screen that is fixed before the first count is drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.simulate.cells import Cells, cells_like, random_cells, second_cells
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
    ambient: float = 0.0  # share of the counts
    average: FloatArray | float = 0.0  # (n_genes,): rates of the average cell
    second: ScreenPlan | None = None  # the second cells of doublets

    @property
    def n_blocks(self) -> int:
        """Number of blocks of cells."""
        return -(-len(self.cells.node_of_cell) // CELLS_OF_A_BLOCK)

    @property
    def library_size(self) -> FloatArray:
        """What is recorded of each cell, with the second one in it: (n_cells,)."""
        own = self.cells.library_size
        return own if self.second is None else own + self.second.cells.library_size

    def works(self) -> BoolArray:
        """Say in which cells the guide works: (n_cells,), False for controls."""
        blocks = map(self._stream, range(self.n_blocks))
        return np.concatenate([self.equations.works(self.cells, part, rng) for part, rng in blocks])

    def block(self, number: int) -> sparse.csr_array:
        """Draw the counts of a block of cells: (n_cells, n_genes)."""
        counts = self._own_counts(number)
        if self.second is not None:
            counts += self.second._own_counts(number)
        return sparse.csr_array(counts)

    def _stream(self, number: int) -> tuple[slice, np.random.Generator]:
        """Which cells a block has, and their random numbers."""
        part = slice(number * CELLS_OF_A_BLOCK, (number + 1) * CELLS_OF_A_BLOCK)
        return part, np.random.default_rng([self.seed, number])

    def _own_counts(self, number: int) -> IntArray:
        part, rng = self._stream(number)
        with threadpool_limits(1, user_api="blas"):  # its last bits depend on the threads
            mean = self.equations.log_means(self.cells, part, rng)
        mean += self.level
        library_size = self.cells.library_size[part][:, None]
        with np.errstate(divide="ignore"):  # there may be no second cell
            mean += np.log(library_size)
        np.exp(np.minimum(mean, np.log(LARGEST_MEAN), out=mean), out=mean)
        if self.dispersion.any():
            # A gamma with mean 1, which hardly varies for a gene without dispersion.
            shape = 1.0 / np.maximum(self.dispersion, 1e-9)
            mean *= rng.standard_gamma(shape, size=mean.shape) / shape
        if self.ambient:
            mean *= 1.0 - self.ambient
            mean += self.ambient * library_size * self.average
        return np.asarray(rng.poisson(mean))


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
    plan = ScreenPlan(
        truth=whole.keep([*acting[: model.n_nodes], *sinks]),
        cells=cells,
        equations=equations,
        level=level - raised,
        dispersion=dispersion,
        seed=int(of_blocks.integers(2**63)),
        source="simulated" if profile is None else f"simulated like {profile.source}",
    )
    return _as_captured(model, plan, of_cells, of_pilot, of_blocks)


def _as_captured(
    model: ScreenModel,
    plan: ScreenPlan,
    of_cells: np.random.Generator,
    of_pilot: np.random.Generator,
    of_blocks: np.random.Generator,
) -> ScreenPlan:
    """Add what happens to the cells when they are captured: second cells, depth, ambient counts."""
    second = None
    if model.doublets:
        cells = second_cells(plan.cells, model.doublets, of_cells)
        second = replace(plan, cells=cells, seed=int(of_blocks.integers(2**63)))
    if model.depth_effect:
        plan = _of_less_depth(plan, model.depth_effect)
        second = second and _of_less_depth(second, model.depth_effect)
    if model.ambient:
        average = _average_rates(plan, of_pilot)
        plan = replace(plan, ambient=model.ambient, average=average)
        second = second and replace(second, ambient=model.ambient, average=average)
    return replace(plan, second=second)


def _of_less_depth(plan: ScreenPlan, depth_effect: float) -> ScreenPlan:
    """Let library sizes fall with the knock-down, where it works."""
    fall = depth_effect * plan.works() * plan.equations.own_knockdown(plan.cells)
    cells = replace(plan.cells, library_size=plan.cells.library_size * np.exp(-fall))
    return replace(plan, cells=cells)


def _average_rates(plan: ScreenPlan, rng: np.random.Generator) -> FloatArray:
    """Return counts per unit of library size of some cells of every label: (n_genes,)."""
    part = slice(CELLS_OF_THE_PILOT)  # cells are in random sequence
    library_size = plan.cells.library_size[part]
    with threadpool_limits(1, user_api="blas"):
        rate = np.exp(plan.equations.log_means(plan.cells, part, rng) + plan.level)
        return np.asarray(library_size @ rate / library_size.sum())


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
    alone = replace(cells.take(controls), more=None)
    mean = np.exp(equations.log_means(alone, slice(None), rng))
    first, second = mean.mean(axis=0), (mean**2).mean(axis=0)
    return np.log(first), second / first**2
