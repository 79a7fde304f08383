"""In what share of its cells each guide works, and what follows for total effects."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.special import ndtr

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.data import PerturbSeqData
from argen.steps.descendants import DescendantScreen
from argen.steps.lowered import CellsOfPerturbations, lowered_genes
from argen.steps.mixture import SHARES, AtShare, MixtureEquations
from argen.steps.shares import Shares, interval, p_value_of_escape, pooled_shares

# Of the test that cells escape at all.
LEVEL_OF_ESCAPE = 0.02
# Half the distance of the two shares that give the slope of an equation.
_NEAR = 0.05
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class LoweredGenes:
    """Genes that a perturbation lowers, as they are in the cells where its guide works.

    They are estimated together with the share, which is better than demixing where a gene is
    nearly gone: cells that seem to escape hardly count.
    """

    genes: IntArray  # (n_low,) numbers of genes
    effect: FloatArray  # (n_low,) log rate ratio of working cells and controls
    std_error: FloatArray  # (n_low,) with that of the share
    by_share: FloatArray  # (n_low,) derivative by the share
    cell_influence: FloatArray  # (n_perturbed, n_low) on the effect, at the same share
    control_variance: FloatArray  # (n_low,) what the controls add, at the same share


@dataclass(frozen=True, slots=True)
class Penetrance:
    """Share of the cells of each perturbation in which its guide works: (n_nodes,) each.

    Where cells are not called to escape, ``corrected`` is false, the share is 1 and its error 0.
    The interval and the p-value are of the cells of the perturbation alone, and say something in
    either case.

    ``influence`` (n_cells, n_nodes) has the part of each cell in the error of the share, nonzero
    in cells of that perturbation: the covariance of the share with the log rate ratio R of gene j
    in the same cells is the sum over them of the influence times ``(y_ij - exp(R) mu_ij) / sum_i
    exp(R) mu_ij``. Shares are drawn together, so that squares of influences sum to less than the
    variance.
    """

    share: FloatArray
    std_error: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    p_value: FloatArray  # of a share of 1, one-sided; NaN without genes that tell
    corrected: BoolArray
    n_genes: IntArray  # that are lowered, and tell
    screen_p_value: float  # of all shares being 1
    influence: sparse.csc_array
    lowered: list[LoweredGenes | None]  # None where not corrected, or without such genes


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

    (see ``argen.steps.mixture``), for any dispersion of counts, hidden causes and states of cells.
    Controls are weighed so that library sizes and covariates have the means that they have in the
    cells of k. One g for each gene and one for the share give as many equations as unknowns.

    A test of the whole screen says whether cells escape at all; if not, all shares are 1. If they
    do, the shares of a screen have a distribution of their own, with a part at 1, by which those
    that few cells or genes tell are shrunken; a share is 1 where that is more likely than not.

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
    cells = CellsOfPerturbations(data, lowered)
    profiles = {}
    for k in np.flatnonzero(found.n_genes).tolist():
        equations = MixtureEquations(cells.of(k), seed + k)
        if equations.tell:
            profiles[k] = equations.profile()
    if not profiles:
        return found
    told = np.array(list(profiles))
    z = np.array([_filled(profile) for profile in profiles.values()])
    found.p_value[told] = ndtr(z[:, 0])
    for k, row in zip(told, z, strict=True):
        found.ci_low[k], found.ci_high[k] = interval(row, _Z)
    p_value = _screen_p_value([profile[0] for profile in profiles.values()])
    found = replace(found, screen_p_value=p_value)
    if p_value >= LEVEL_OF_ESCAPE:
        return found
    return _corrected(found, cells, told, pooled_shares(z), seed)


def _corrected(
    found: Penetrance, cells: CellsOfPerturbations, told: IntArray, shares: Shares, seed: int
) -> Penetrance:
    """Fill in the shares of the perturbations whose cells escape, and what depends on them."""
    called = shares.works < 0.5
    found.corrected[told], found.share[told] = called, np.where(called, shares.mean, 1.0)
    found.std_error[told] = np.where(called, shares.std_error, 0.0)
    members, influences = [], []
    for k in told[called].tolist():
        equations = MixtureEquations(cells.of(k), seed + k)
        influence, found.lowered[k] = _separated(
            equations, cells.lowered[k], float(found.share[k]), float(found.std_error[k])
        )
        members.append(cells.members[k])
        influences.append(influence)
    return replace(found, influence=_by_cell(found, members, influences))


def _screen_p_value(at_one: list[AtShare]) -> float:
    return p_value_of_escape(
        np.array([at.misfit for at in at_one]),
        np.array([at.control_influence for at in at_one]),
        np.array([at.own_variance for at in at_one]),
    )


def _filled(profile: list[AtShare]) -> FloatArray:
    """Standardize the equations at all shares; the last stands for what is out of the question."""
    z = [at.misfit / at.std_error for at in profile]
    return np.array(z + z[-1:] * (len(SHARES) - len(z)))


def _of_screen(data: PerturbSeqData, lowered: list[IntArray]) -> Penetrance:
    """Nothing is known of any perturbation, and all work."""
    n_nodes = data.n_nodes
    return Penetrance(
        share=np.ones(n_nodes),
        std_error=np.zeros(n_nodes),
        ci_low=np.zeros(n_nodes),
        ci_high=np.ones(n_nodes),
        p_value=np.full(n_nodes, np.nan),
        corrected=np.zeros(n_nodes, dtype=bool),
        n_genes=np.array([len(own) for own in lowered]),
        screen_p_value=1.0,
        influence=sparse.csc_array((data.n_cells, n_nodes)),
        lowered=[None] * n_nodes,
    )


def _separated(
    equations: MixtureEquations, genes: IntArray, share: float, error: float
) -> tuple[FloatArray, LoweredGenes]:
    """Return each cell's part in a pooled share, and the lowered genes at that share.

    A posterior of variance v moves by v dz/dpi per unit of z, the standardized equation.
    """
    low, high = max(share - _NEAR, SHARES.min()), min(share + _NEAR, 1.0 - _NEAR / 10)
    left = equations.left
    at = equations.solve(share, left, n_steps=3)
    below, above = (equations.solve(pi, left) for pi in (low, high))
    slope = (below.misfit / below.std_error - above.misfit / above.std_error) / (high - low)
    influence = error**2 * max(slope, 0.0) / at.std_error * at.influence
    by_share = (above.log_left - below.log_left) / (high - low)
    with_share = 2.0 * by_share * (at.gene_influence.T @ influence)
    variance = at.gene_variance + at.control_variance + (by_share * error) ** 2 + with_share
    return influence, LoweredGenes(
        genes=genes[equations.kept],
        effect=at.log_left,
        std_error=np.sqrt(np.maximum(variance, 0.0)),
        by_share=by_share,
        cell_influence=at.gene_influence,
        control_variance=at.control_variance,
    )


def _by_cell(
    found: Penetrance, members: list[IntArray], influences: list[FloatArray]
) -> sparse.csc_array:
    """Put the parts of the cells of called perturbations where they belong: (n_cells, n_nodes)."""
    if not members:
        return found.influence
    column = np.repeat(np.flatnonzero(found.corrected), [len(cells) for cells in members])
    entries = np.concatenate(influences), (np.concatenate(members), column)
    return sparse.csc_array(entries, shape=found.influence.shape)
