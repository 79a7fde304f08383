"""Direct effects from the inverse of the matrix of total effects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Unpack

import numpy as np

from argen.arrays import BoolArray, FloatArray, StatusArray
from argen.config import InferenceConfig
from argen.data import PerturbSeqData
from argen.engine import Effects
from argen.errors import FitStatus
from argen.method.pipeline import infer_network
from argen.method.running import HowToRun, named
from argen.network import CausalNetwork
from argen.pvalues import two_sided
from argen.steps import CausalOrder, DescendantScreen, ParentTests, closure_of


def infer_inverse(
    data: PerturbSeqData,
    config: InferenceConfig | None = None,
    *,
    sparse: bool = False,
    **how: Unpack[HowToRun],
) -> CausalNetwork:
    """Infer a network from the inverse of the matrix of total effects.

    Let T have the total effects of the screen, [source, target], and on its diagonal the effect
    of each perturbation on its own gene. If B has the direct effects, ``T = K (I - B)^-1`` with K
    the diagonal of what each guide does by itself, so that with ``W = T^-1``::

        B_jk = -W_jk / W_kk

    K cancels: no row need be divided by its knock-down. For a sink k, ``B_jk = (W T)_jk``.
    Standard errors are those of the delta method, with the errors of T taken as independent; all
    pairs are tested, and edges selected as ``config`` says. Nothing is assumed about cycles.

    Parameters
    ----------
    sparse
        Set the total effects that the screen does not find to zero before inverting; only pairs
        in the transitive closure of what it finds can then be edges.
    how
        ``executor``, ``checkpoint``, ``progress`` and ``command``, as for ``infer_network``.
    """
    search = partial(invert_total_effects, sparse=sparse)
    network = infer_network(data, config, search=search, **how)
    return named(network, "inverse-sparse" if sparse else "inverse")


@dataclass(frozen=True, slots=True)
class TotalEffects:
    """Total effects, all of them finite: (n_nodes, n_genes) each, own effects included."""

    effect: FloatArray
    variance: FloatArray
    status: StatusArray


def invert_total_effects(
    data: PerturbSeqData, screen: DescendantScreen, order: CausalOrder, *, sparse: bool
) -> ParentTests:
    """Estimate and test the direct effect of each pair; see ``infer_inverse``."""
    total = finite_total_effects(data, screen)
    pairs = screen.pairs
    if sparse:
        pairs = closure_of(screen.is_descendant)
        kept = screen.is_descendant | ~screen.pairs
        total = TotalEffects(
            np.where(kept, total.effect, 0.0), np.where(kept, total.variance, 0.0), total.status
        )
    # A node without an effect on itself that could be estimated is in no equation.
    usable = np.diagonal(total.status) < FitStatus.NOT_CONVERGED
    effect, variance = np.full(pairs.shape, np.nan), np.full(pairs.shape, np.nan)
    in_use = np.append(usable, np.ones(pairs.shape[1] - len(usable), dtype=bool))
    block = np.ix_(usable, in_use)
    effect[block], variance[block] = direct_effects(total.effect[block], total.variance[block])
    found = pairs & np.isfinite(effect) & (variance > 0) & (total.status < FitStatus.NOT_CONVERGED)
    return _tests(screen.genes, pairs, found, effect, variance, total.status)


def direct_effects(total: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Solve for direct effects, and propagate variances.

    The direct effects on k are those that explain the effects of all perturbations but its own
    on k by their effects on the other nodes, ``T_ak = sum_b T_ab B_bk`` for every a other than k.
    With ``W^(k)`` the inverse of T without row and column k::

        Var(B_jk) = sum_a (W^(k)_ja)^2 (Var(T_ak) + sum_b B_bk^2 Var(T_ab))

    Parameters
    ----------
    total, variance
        (n_nodes, n_genes) each, own effects on the diagonal, the nodes before the sinks.

    Returns
    -------
    tuple
        Direct effects and their variances, (n_nodes, n_genes) each; NaN when T is singular.
    """
    n_nodes = len(total)
    nodes = slice(0, n_nodes)
    try:
        inverse = np.linalg.solve(total[:, nodes], np.eye(n_nodes))
    except np.linalg.LinAlgError:
        return np.full(total.shape, np.nan), np.full(total.shape, np.nan)
    effect = inverse @ total
    with np.errstate(divide="ignore", invalid="ignore"):
        effect[:, nodes] = -inverse / np.diagonal(inverse)
    np.fill_diagonal(effect, 0.0)
    of_equation = variance + variance[:, nodes] @ effect**2
    found = inverse**2 @ of_equation
    # W^(k)_ja = W_ja + B_jk W_ka, squared and summed over a.
    of_own = of_equation[:, nodes] * inverse.T
    found[:, nodes] += 2 * effect[:, nodes] * (inverse @ of_own)
    found[:, nodes] += effect[:, nodes] ** 2 * (of_own * inverse.T).sum(axis=0)
    return effect, found


def finite_total_effects(data: PerturbSeqData, screen: DescendantScreen) -> TotalEffects:
    """Return total effects with half a count where a group has none, and 0 where one is missing."""
    effect, std_error, status = (
        np.array(values) for values in (screen.effect, screen.std_error, screen.status)
    )
    own = screen.knockdown
    np.fill_diagonal(effect, own.effect)
    np.fill_diagonal(std_error, own.std_error)
    np.fill_diagonal(status, own.status)
    variance = std_error**2
    infinite = np.isinf(effect)
    size, controls = np.exp(data.offset), data.controls
    for target in np.flatnonzero(infinite.any(axis=0)):
        counts = data.counts.dense(np.array([target]))[0]
        for source in np.flatnonzero(infinite[:, target]):
            if not data.one_per_cell:
                controls = ~data.perturbed(int(source))
            of_controls = max(counts[controls].sum(), 0.5)
            cells = data.cells_of(int(source))
            of_cells = max(counts[cells].sum(), 0.5)
            ratio = (of_cells / size[cells].sum()) / (of_controls / size[controls].sum())
            effect[source, target] = np.log(ratio)
            variance[source, target] = 1 / of_cells + 1 / of_controls
            status[source, target] = FitStatus.HALF_COUNT
    missing = ~np.isfinite(effect) | ~np.isfinite(variance)
    return TotalEffects(
        np.where(missing, 0.0, effect),
        np.where(missing, 0.0, variance),
        np.where(missing, np.maximum(status, FitStatus.NOT_CONVERGED), status),
    )


def _tests(
    genes: tuple[str, ...],
    pairs: BoolArray,
    found: BoolArray,
    effect: FloatArray,
    variance: FloatArray,
    status: StatusArray,
) -> ParentTests:
    target, source = np.nonzero(pairs.T)
    at = source, target
    with np.errstate(invalid="ignore"):
        std_error = np.where(found[at], np.sqrt(variance[at]), np.nan)
    estimate = np.where(found[at], effect[at], np.nan)
    unknown = np.maximum(status[at], FitStatus.NOT_IDENTIFIED)
    effects = Effects(
        estimate,
        std_error,
        *two_sided(estimate / std_error),
        np.where(found[at], status[at], unknown).astype(np.int8),
    )
    return ParentTests(genes, source, target, effects, {"by inversion": len(source)})
