"""Everything of a simulated screen that is fixed before the first count is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from threadpoolctl import threadpool_limits

from argen.arrays import FloatArray, IntArray
from argen.data import encode_covariates
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
class Cells:
    """What is known of each cell before its counts."""

    node_of_cell: IntArray  # (n_cells,) -1 for control
    library_size: FloatArray  # (n_cells,)
    covariates: pd.DataFrame  # (n_cells, n_covariates)
    formula: str | None
    coded: FloatArray  # (n_cells, n_columns) covariates as numbers


@dataclass(frozen=True, slots=True, eq=False)
class Equations:
    """Structural equations with all their coefficients; genes that act, then sinks."""

    spread: FloatArray  # (n_acting, n_genes): total effects on what is measured, and on itself
    shift: FloatArray  # (n_nodes + 1, n_acting + n_sinks): of each guide; the last row: control
    penetrance: float
    noise: float
    of_covariate: FloatArray  # (n_columns, n_acting + n_sinks)
    of_factor: FloatArray  # (n_factors, n_acting + n_sinks)
    of_state: FloatArray  # (n_states, n_acting + n_sinks)
    share_of_state: FloatArray  # (n_states,)

    def log_means(self, cells: Cells, part: slice, rng: np.random.Generator) -> FloatArray:
        """Draw the log means of some cells, up to the level of each gene: (n_cells, n_genes)."""
        node = cells.node_of_cell[part]
        works = rng.random(len(node)) < self.penetrance
        state = rng.choice(len(self.share_of_state), size=len(node), p=self.share_of_state)
        cause = rng.standard_normal((len(node), self.shift.shape[1]))
        cause *= self.noise
        cause += self.shift[np.where(works, node, -1)]
        cause += self.of_state[state]
        cause += cells.coded[part] @ self.of_covariate
        cause += rng.standard_normal((len(node), len(self.of_factor))) @ self.of_factor
        n_acting, n_genes = self.spread.shape
        log_means = cause[:, :n_acting] @ self.spread
        n_sinks = self.shift.shape[1] - n_acting
        log_means[:, n_genes - n_sinks :] += cause[:, n_acting:]
        return log_means


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
    equations = _equations(model, whole, measured, cells.coded.shape[1], of_equations)
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
    return _random_cells(model, of_cells), log_count, np.full(n_genes, model.dispersion)


def _of_profile(
    model: ScreenModel,
    profile: ScreenProfile,
    of_cells: np.random.Generator,
    of_levels: np.random.Generator,
) -> tuple[Cells, FloatArray, FloatArray]:
    """Take cells, and the log of the rate and the dispersion of each gene, from a real screen."""
    lenders = _lenders(model, profile, of_levels)
    cells = _cells_like(profile, lenders[: model.n_nodes], of_cells)
    # A gene without counts in the real controls gets half a one.
    least = 0.5 / profile.library_size[profile.node_of_cell < 0].sum()
    return cells, np.log(np.maximum(profile.rate[lenders], least)), profile.dispersion[lenders]


def _random_cells(model: ScreenModel, rng: np.random.Generator) -> Cells:
    """Draw cells in random sequence, with covariates that go with what they carry.

    Given its label, a numeric covariate is normal with variance 1 and a mean of that label, and
    a batch has odds of that label. This is the same as an assignment by a softmax in which each
    label has its own coefficients of the covariates.
    """
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
    return Cells(node, library_size, covariates, None, encode_covariates(covariates).matrix)


def _lenders(model: ScreenModel, profile: ScreenProfile, rng: np.random.Generator) -> IntArray:
    """Draw real genes for the measured ones, as far as there are enough no gene twice."""
    n_real = len(profile.rate)
    nodes = rng.choice(profile.n_nodes, model.n_nodes, replace=model.n_nodes > profile.n_nodes)
    sinks = rng.choice(n_real, model.n_sinks, replace=model.n_sinks > n_real)
    return np.concatenate([nodes, sinks])


def _cells_like(profile: ScreenProfile, lenders: IntArray, rng: np.random.Generator) -> Cells:
    """Draw as many cells of each real label as it has, with replacement, in random sequence."""
    rows, node = [], []
    for number, lender in enumerate([-1, *lenders], start=-1):
        members = np.flatnonzero(profile.node_of_cell == lender)
        rows.append(rng.choice(members, len(members)))
        node.append(np.full(len(members), number))
    sequence = rng.permutation(sum(map(len, rows)))
    row = np.concatenate(rows)[sequence]
    covariates = profile.covariates.iloc[row].reset_index(drop=True)
    return Cells(
        node_of_cell=np.concatenate(node)[sequence],
        library_size=profile.library_size[row],
        covariates=covariates,
        formula=profile.formula,
        coded=encode_covariates(covariates, profile.formula).matrix,
    )


def _equations(
    model: ScreenModel, whole: Truth, measured: IntArray, n_columns: int, rng: np.random.Generator
) -> Equations:
    n_acting, n_genes = whole.direct.shape
    # What a gene receives, it adds to its own level, and each sink gets its share of that.
    received = np.hstack([np.eye(n_acting), whole.direct[:, n_acting:]])
    spread = np.linalg.solve(np.eye(n_acting) - whole.direct[:, :n_acting], received)
    n_states = max(model.n_states, 1)
    of_state = rng.normal(0.0, model.state_effect, (n_states, n_genes))
    share = rng.dirichlet(np.full(n_states, 5.0))
    return Equations(
        spread=np.asarray(spread[:, measured], dtype=np.float64),
        shift=_shifts(model, n_acting, n_genes, rng),
        penetrance=model.penetrance,
        noise=model.noise,
        of_covariate=rng.normal(0.0, model.covariate_effect, (n_columns, n_genes)),
        of_factor=rng.normal(0.0, model.factor_effect, (model.n_factors, n_genes))
        / np.sqrt(max(model.n_factors, 1)),
        of_state=of_state if model.n_states > 1 else np.zeros((1, n_genes)),
        share_of_state=share,
    )


def _shifts(
    model: ScreenModel, n_acting: int, n_genes: int, rng: np.random.Generator
) -> FloatArray:
    """Draw what each guide does by itself; the last row says that a control's does nothing."""
    shift = np.zeros((model.n_nodes + 1, n_genes))
    nodes = np.arange(model.n_nodes)
    shift[nodes, nodes] = -rng.uniform(*model.knockdown, model.n_nodes)
    n_failed = round(model.failed * model.n_nodes)
    n_off_target = round(model.off_target * model.n_nodes)
    for node in rng.choice(model.n_nodes, n_off_target, replace=False):
        others = np.delete(np.arange(n_acting), node)
        shift[node, rng.choice(others)] -= model.off_target_effect
    shift[rng.choice(model.n_nodes, n_failed, replace=False)] = 0.0
    return shift


def _levels_of_controls(
    equations: Equations, cells: Cells, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Log of the mean, and mean square over squared mean, of some control cells: (n_genes,)."""
    controls = np.flatnonzero(cells.node_of_cell < 0)[:CELLS_OF_THE_PILOT]
    pilot = Cells(
        cells.node_of_cell[controls],
        cells.library_size[controls],
        cells.covariates,
        cells.formula,
        cells.coded[controls],
    )
    mean = np.exp(equations.log_means(pilot, slice(None), rng))
    first, second = mean.mean(axis=0), (mean**2).mean(axis=0)
    return np.log(first), second / first**2
