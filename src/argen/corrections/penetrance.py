"""In what share of its cells each guide works, and what follows for total effects."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import ndtr

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.corrections.by_guide import EquationsOfScreen, GuidesOfCells, PerturbationEquations
from argen.corrections.guides import GuideStrengths, measure_guides
from argen.corrections.lowered import (
    LARGEST_RATIO,
    LEVEL_OF_GENES,
    CellsOfPerturbations,
    lowered_genes,
)
from argen.corrections.mixture import FEW_SHARES, SHARES, AtShare, Prepared, filled
from argen.corrections.shares import (
    Shares,
    interval,
    normal_by_moments,
    p_value_of_escape,
    pooled_shares,
)
from argen.data import PerturbSeqData
from argen.engine import in_threads, using_threads
from argen.glm import LEAST_LEFT
from argen.pvalues import critical_value
from argen.steps import DescendantScreen

# Of the test that cells escape at all.
LEVEL_OF_ESCAPE = 0.02
# Half the distance of the two shares that give the slope of an equation.
_NEAR = 0.05
_Z = critical_value(0.95)
# Knock-downs that tell what they are like.
FEWEST_KNOCKDOWNS = 5


@dataclass(frozen=True, slots=True, eq=False)
class LoweredGenes:
    """Genes that a perturbation lowers, as they are in the cells where its guide works.

    They are estimated together with the share, which is better than demixing where a gene is
    nearly gone: cells that seem to escape hardly count.
    """

    genes: IntArray  # (n_low,) numbers of genes
    effect: FloatArray  # (n_low,) log rate ratio of working cells and controls
    variance: FloatArray  # (n_low,) at the same share
    by_share: FloatArray  # (n_low,) derivative by the share


@dataclass(frozen=True, slots=True, eq=False)
class Penetrance:
    """Share of the cells of each perturbation in which its guide works: (n_nodes,) each.

    Where cells are not called to escape, ``corrected`` is false, the share is 1 and its error 0.
    The interval and the p-value are of the cells of the perturbation alone, and say something in
    either case.

    The cells at hand are a draw: the share of them in which the guide works, which rates follow,
    differs by chance from that of all such cells. ``realised_error`` is the standard error of
    ``share`` as an estimate of it, and smaller than ``std_error`` where the cells tell.
    """

    share: FloatArray
    std_error: FloatArray
    realised_error: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    p_value: FloatArray  # of a share of 1, one-sided; NaN without genes that tell
    corrected: BoolArray
    n_genes: IntArray  # that are lowered, and tell
    screen_p_value: float  # of all shares being 1
    lowered: list[LoweredGenes | None]  # None where not corrected, or without such genes
    guides: GuideStrengths | None = None  # where guides are known, and some gene has several

    @property
    def told(self) -> BoolArray:
        """Perturbations whose own cells say something: (n_nodes,)."""
        return np.isfinite(self.p_value)

    @property
    def borrowed(self) -> BoolArray:
        """Corrected though their own cells do not contradict a share of 1: (n_nodes,).

        That cells escape is known only by what the other perturbations have, on which the share
        leans.
        """
        return self.corrected & ~(self.ci_high < 1.0)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per node, in their sequence.

        Where a perturbation is corrected, share and interval are those that the whole screen
        leads to; elsewhere the share is 1, and the interval says what its own cells do not
        contradict. ``penetrance_borrowed`` marks those that escape only by what the other
        perturbations have, as the own cells do not contradict 1. Missing where nothing is known.
        """
        known = self.corrected | self.told
        margin = _Z * self.std_error
        low = np.where(self.corrected, np.maximum(self.share - margin, 0.0), self.ci_low)
        high = np.where(self.corrected, np.minimum(self.share + margin, 1.0), self.ci_high)
        return pd.DataFrame(
            {
                "penetrance": np.where(known, self.share, np.nan),
                "penetrance_low": np.where(known, low, np.nan),
                "penetrance_high": np.where(known, high, np.nan),
                "penetrance_p_value": self.p_value,
                "n_telling_genes": np.where(self.told, self.n_genes, 0),
                "escape_corrected": self.corrected,
                "penetrance_borrowed": self.borrowed,
            }
        )


@using_threads(None)
def estimate_penetrance(
    data: PerturbSeqData,
    screen: DescendantScreen,
    *,
    rng: np.random.Generator | int = 0,
) -> Penetrance:
    """Estimate in what share of its cells each guide works.

    In the other cells, which escape, all genes are as in controls. A control cell of which each
    molecule of a gene that is lowered to rho_j is kept with probability rho_j is distributed like a
    cell in which the guide works, so that for any function g of the counts of such genes::

        E_k g = (1 - pi_k) E_0 g + pi_k E_rho g

    (see ``argen.corrections.mixture``), for any dispersion of counts, hidden causes and states of
    cells. Controls are weighed so that library sizes and covariates have the means that they have
    in the cells of k. One g for each gene and one for the share give as many equations as unknowns.

    A test of the whole screen says whether cells escape at all; if not, all shares are 1. Where
    guides are known each has rates of its own in it, so that uneven guides that all work are not
    taken for escape. If cells do, the shares of a screen have a distribution of their own, with a
    part at 1, by which those that few cells or genes tell are shrunken; a share is 1 where that is
    more likely than not.

    It is assumed that a guide works in a cell or does not: a knock-down that differs between cells
    looks like escape in part. Genes that are raised say nothing here.

    Parameters
    ----------
    screen
        Of the same data, which says what each perturbation lowers.
    rng
        Generator or seed of the thinning.
    """
    # Each perturbation has a stream of its own, by its number.
    seed = int(np.random.default_rng(rng).integers(2**62))
    lowered = lowered_genes(screen)
    found = _of_screen(data, lowered)
    if not data.one_per_cell or not found.n_genes.any():
        return found
    cells, guides = CellsOfPerturbations(data, lowered), GuidesOfCells.of(data)
    of_screen = EquationsOfScreen(cells, seed, guides)
    by_guide = first = of_screen.at_one(found.n_genes)
    if not first:
        return found
    p_value = _screen_p_value([at_one for _, at_one in first.values()])
    escape = p_value < LEVEL_OF_ESCAPE
    if escape and guides is not None:
        of_screen = replace(of_screen, guides=None)
        first = of_screen.at_one(found.n_genes)
    shares = SHARES if escape else FEW_SHARES

    def profile(k: int) -> FloatArray:
        prepared, at_one = first[k]
        return filled(of_screen.of(k, prepared).profile(shares, at_one), shares)

    told = np.array(list(first), dtype=np.int64)
    z = np.array(in_threads(profile, first)).reshape(len(told), len(SHARES))
    found.p_value[told] = ndtr(z[:, 0])
    for k, row in zip(told, z, strict=True):
        found.ci_low[k], found.ci_high[k] = interval(row, _Z)
    found = replace(found, screen_p_value=p_value)
    if guides is not None:
        measured = measure_guides(EquationsOfScreen(cells, seed, guides), by_guide, escape=escape)
        found = replace(found, guides=measured)
    if not escape:
        return found
    every = np.zeros((data.n_nodes, len(SHARES)))
    every[told] = z
    prepared = {k: own for k, (own, _) in first.items()}
    return _corrected(found, of_screen, prepared, pooled_shares(every), screen)


def _corrected(
    found: Penetrance,
    of_screen: EquationsOfScreen,
    prepared: dict[int, tuple[Prepared, ...]],
    shares: Shares,
    screen: DescendantScreen,
) -> Penetrance:
    """Fill in the shares of the perturbations whose cells escape, and what depends on them.

    Those of which nothing is told by themselves have what the others have.
    """
    called = shares.works < 0.5
    found.corrected[called], found.share[called] = True, shares.mean[called]
    found.std_error[called] = shares.std_error[called]
    cells = of_screen.cells
    by_chance = found.share * (1.0 - found.share) / [len(cells) for cells in cells.members]
    found.realised_error[called] = np.sqrt(shares.std_error**2 + by_chance)[called]

    def separated(k: int) -> tuple[float, LoweredGenes]:
        equations = of_screen.of(k, prepared[k])
        own = float(found.share[k]), float(shares.own_error[k])
        return _separated(equations, cells.lowered[k], *own)

    for k in np.flatnonzero(called).tolist():
        if k not in prepared:
            found.lowered[k] = _own_gene(screen, k, float(found.share[k]))
    told = [k for k in prepared if called[k]]
    for k, (together, lowered) in zip(told, in_threads(separated, told), strict=True):
        found.lowered[k], own_error = lowered, float(shares.own_error[k])
        most = own_error * by_chance[k] ** 0.5
        variance = found.realised_error[k] ** 2 - 2.0 * min(max(together, 0.0), most)
        found.realised_error[k] = np.sqrt(max(variance, 0.0))
    return replace(found, lowered=with_pooled_knockdowns(found.lowered, found.realised_error))


def _own_gene(screen: DescendantScreen, node: int, share: float) -> LoweredGenes | None:
    """Take the cells that escape out of the mean of a perturbation's own gene, if it is lowered."""
    own = screen.knockdown
    effect, error = float(own.effect[node]), float(own.std_error[node])
    if not (effect < np.log(LARGEST_RATIO) and own.p_value[node] < LEVEL_OF_GENES and error > 0):
        return None
    rate = np.exp(effect)
    working = max(rate - (1.0 - share), LEAST_LEFT * share)
    return LoweredGenes(
        genes=np.array([node]),
        effect=np.log([working / share]),
        variance=np.array([(rate * error / working) ** 2]),
        by_share=np.array([(1.0 - working / share) / working]),
    )


def with_pooled_knockdowns(
    lowered: list[LoweredGenes | None], share_error: FloatArray
) -> list[LoweredGenes | None]:
    """Let the knock-downs of a screen say what knock-downs are like, and then what each one is.

    How much a perturbation leaves of its own gene is hard to tell where cells escape, since these
    have most of the counts. With t_k the estimate of variance v_k, knock-downs are taken as normal
    with mean m and variance s^2, by moments, and become::

        t_k + (1 - b_k) (m - t_k),     b_k = s^2 / (s^2 + v_k)
    """
    own = [
        (k, int(np.flatnonzero(part.genes == k)[0]))
        for k, part in enumerate(lowered)
        if part is not None and (part.genes == k).any()
    ]
    parts = [(lowered[k], place, share_error[k]) for k, place in own]
    if len(parts) < FEWEST_KNOCKDOWNS:
        return lowered
    effect = np.array([part.effect[place] for part, place, _ in parts if part is not None])
    variance = np.array(
        [
            part.variance[place] + (part.by_share[place] * error) ** 2
            for part, place, error in parts
            if part is not None
        ]
    )
    mean, spread = normal_by_moments(effect, variance)
    pooled = list(lowered)
    for (k, place), v in zip(own, variance, strict=True):
        part = pooled[k]
        if part is None:
            continue
        b = spread / (spread + v)
        new = [values.copy() for values in (part.effect, part.variance, part.by_share)]
        new[0][place] += (1.0 - b) * (mean - new[0][place])
        new[1][place] = b**2 * new[1][place] + (1.0 - b) ** 2 * spread
        new[2][place] *= b
        pooled[k] = LoweredGenes(part.genes, *new)
    return pooled


def _screen_p_value(at_one: list[AtShare]) -> float:
    return p_value_of_escape(
        np.array([at.misfit for at in at_one]),
        [at.control_influence for at in at_one],
        np.array([at.own_variance for at in at_one]),
    )


def _of_screen(data: PerturbSeqData, lowered: list[IntArray]) -> Penetrance:
    """Nothing is known of any perturbation, and all work."""
    n_nodes = data.n_nodes
    return Penetrance(
        share=np.ones(n_nodes),
        std_error=np.zeros(n_nodes),
        realised_error=np.zeros(n_nodes),
        ci_low=np.zeros(n_nodes),
        ci_high=np.ones(n_nodes),
        p_value=np.full(n_nodes, np.nan),
        corrected=np.zeros(n_nodes, dtype=bool),
        n_genes=np.array([len(own) for own in lowered]),
        screen_p_value=1.0,
        lowered=[None] * n_nodes,
    )


def _separated(
    equations: PerturbationEquations, genes: IntArray, share: float, own_error: float
) -> tuple[float, LoweredGenes]:
    """Return the covariance of a pooled share and the realised one, and the lowered genes at it.

    A posterior of variance v moves by v dz/dpi per unit of z, the standardized equation, and so do
    the parts a_i that cells have in it. With h_i the probability that the guide works in cell i,
    the covariance is ``sum a_i h_i``.
    """
    low, high = max(share - _NEAR, SHARES.min()), min(share + _NEAR, 1.0 - _NEAR / 10)
    left = equations.left
    at = equations.solve(share, left, n_steps=3)
    below, above = (equations.solve(pi, left) for pi in (low, high))
    slope = (below.misfit / below.std_error - above.misfit / above.std_error) / (high - low)
    parts = own_error**2 * max(slope, 0.0) / at.std_error * at.influence
    return float(parts @ at.works), LoweredGenes(
        genes=genes[equations.kept],
        effect=at.log_left,
        variance=at.gene_variance + at.control_variance,
        by_share=(above.log_left - below.log_left) / (high - low),
    )
