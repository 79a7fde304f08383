"""What stands between the rates of groups of cells and the effects in the network.

Some cells escape their guide, and perturbations set off programs that reach genes around the
network. In the cells of perturbation k, of which a share pi_k is perturbed, gene j has the rate,
over that of the controls::

    exp(R_kj) = (1 - pi_k) + pi_k exp(T_kj + s_k'v_j)

with T_kj the total effect over the network, s_k how strongly k sets the programs off, and v_j how
they move j. A regression with the offset ``o_kj``, the logarithm of the same without T_kj, gives
``R_kj - o_kj``; from there::

    T_kj = log((exp(R_kj) - (1 - pi_k)) / pi_k) - s_k'v_j
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from argen.arrays import FloatArray, IntArray, ShortIntArray

# Least share of the rate of the controls that perturbed cells can be left with: below it nobody
# could tell from counts how much is left.
LEAST_LEFT = 0.01
# Beyond such a total effect, which direct effects that are hardly identified can lead to, numbers
# would overflow.
MOST_TOTAL = 30.0
# Errors of corrections can go with those of regressions, and leave at least such a part of these.
LEAST_VARIANCE = 0.1


class Corrected(NamedTuple):
    """Total effects over the network, and what they are unsure about, without programs."""

    effect: FloatArray  # T
    slope: FloatArray  # dT / dR; 0 where T does not come from R
    by_penetrance: FloatArray  # dT / d pi
    own: FloatArray  # what to add to slope^2 Var(R) for the variance of T at the share at hand


@dataclass(frozen=True, slots=True, eq=False)
class LoweredRates:
    """Rates that were estimated together with pi, and are better than those that follow from R.

    Where a perturbation leaves next to nothing of a gene, as of its own, nearly all counts are of
    cells that escape, and hardly any of R is left for the others.
    """

    place: ShortIntArray  # (n_nodes, n_genes): number of a pair in the arrays below; -1: none
    log_left: FloatArray  # (n_pairs,): T + s'v
    variance: FloatArray  # (n_pairs,): at the same pi
    by_penetrance: FloatArray  # (n_pairs,)


@dataclass(frozen=True, slots=True, eq=False)
class Corrections:
    """Estimates of pi, s and v, with their variances; errors of different ones are independent.

    The share of perturbed cells among those at hand varies by chance about that of all such cells,
    by ``pi (1 - pi) / n``, and rates follow it: where it is larger, effects seem larger, by as much
    as from too small a pi. That is a part of the variance of R, which all genes of a perturbation
    share, and has to be taken with the error of pi, as ``penetrance_variance``, that of pi as an
    estimate of the share at hand.
    """

    penetrance: FloatArray  # (n_nodes,): pi, 1 where all cells are perturbed
    penetrance_variance: FloatArray  # (n_nodes,)
    realised_variance: FloatArray  # (n_nodes,): of the share at hand
    scores: FloatArray  # (n_nodes, n_programs): s
    score_variance: FloatArray  # (n_nodes, n_programs)
    loadings: FloatArray  # (n_genes, n_programs): v
    loading_variance: FloatArray  # (n_genes, n_programs)
    lowered: LoweredRates | None = None

    @classmethod
    def none(cls, n_nodes: int, n_genes: int) -> Corrections:
        """All cells are perturbed, and there are no programs."""
        return cls(
            penetrance=np.ones(n_nodes),
            penetrance_variance=np.zeros(n_nodes),
            realised_variance=np.zeros(n_nodes),
            scores=np.zeros((n_nodes, 0)),
            score_variance=np.zeros((n_nodes, 0)),
            loadings=np.zeros((n_genes, 0)),
            loading_variance=np.zeros((n_genes, 0)),
        )

    def bits(self) -> list[IntArray]:
        """Return all numbers as whole ones, which tell these corrections from others."""
        parts: tuple[FloatArray, ...] = (
            self.penetrance, self.penetrance_variance, self.realised_variance,
            self.scores, self.score_variance, self.loadings, self.loading_variance,
        )  # fmt: skip
        if self.lowered is not None:
            parts += (self.lowered.log_left, self.lowered.variance, self.lowered.by_penetrance)
        return [np.ascontiguousarray(part).view(np.int64).ravel() for part in parts]

    @property
    def escapes(self) -> bool:
        """Whether the cells of some perturbation escape it."""
        return bool((self.penetrance < 1.0).any())

    def of_programs(self, nodes: IntArray, genes: IntArray) -> FloatArray:
        """Return what programs add to log means of perturbed cells, s'v: (n_nodes, n_genes)."""
        return np.asarray(self.scores[nodes] @ self.loadings[genes].T)

    def offset(self, nodes: IntArray, genes: IntArray) -> FloatArray:
        """Return what R is without an effect over the network, o: (n_nodes, n_genes)."""
        share, added = self.penetrance[nodes][:, None], self.of_programs(nodes, genes)
        return np.asarray(np.where(share < 1.0, np.log1p(share * np.expm1(added)), added))

    def offset_variance(self, nodes: IntArray, genes: IntArray) -> FloatArray:
        """Variance of o: (n_nodes, n_genes)."""
        share, working = self.penetrance[nodes][:, None], np.exp(self.of_programs(nodes, genes))
        rate = 1.0 - share + share * working
        of_programs = (share * working / rate) ** 2 * self.program_variance(nodes, genes)
        of_share = ((working - 1.0) / rate) ** 2 * self.penetrance_variance[nodes][:, None]
        return np.asarray(of_programs + of_share)

    def program_variance(self, nodes: IntArray, genes: IntArray) -> FloatArray:
        """Variance of s'v: (n_nodes, n_genes)."""
        return np.asarray(
            self.score_variance[nodes] @ (self.loadings[genes] ** 2).T
            + self.scores[nodes] ** 2 @ self.loading_variance[genes].T
        )

    def corrected(self, log_rate: FloatArray, nodes: IntArray, genes: IntArray) -> Corrected:
        """Take T from R: (n_nodes, n_genes) each."""
        share, added = self.penetrance[nodes][:, None], self.of_programs(nodes, genes)
        with np.errstate(over="ignore"):
            working = np.maximum(np.exp(log_rate) - (1.0 - share), LEAST_LEFT * share)
        mixed = share < 1.0
        left = np.where(mixed, np.log(working / share), log_rate)
        is_low = np.zeros(left.shape, dtype=bool)
        if self.lowered is not None:
            place = self.lowered.place[np.ix_(nodes, genes)]
            is_low = place >= 0
            left = np.where(is_low, self.lowered.log_left[place], left)
        effect = left - added
        slope = np.where(is_low, 0.0, np.where(mixed, 1.0 + (1.0 - share) / working, 1.0))
        return Corrected(effect, slope, *self.derivatives(effect, nodes, genes))

    def correct(self, coefficients: FloatArray, nodes: IntArray, genes: IntArray) -> FloatArray:
        """Turn R - o into T, in place; returns dT / dR: (n_nodes, n_genes) each."""
        found = self.corrected(coefficients + self.offset(nodes, genes), nodes, genes)
        coefficients[:] = found.effect
        return found.slope

    def mixed(
        self, effect: FloatArray, added: FloatArray, nodes: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return R, ``dT / dR`` and ``dT / d pi`` at T, where programs add s'v: (n_nodes, ...)."""
        share = self.penetrance[nodes].reshape((len(nodes),) + (1,) * (effect.ndim - 1))
        total = effect + added
        left = np.exp(np.clip(total, -MOST_TOTAL, MOST_TOTAL))
        rate = 1.0 - share + share * left
        by_share = np.where(share < 1.0, (1.0 / left - 1.0) / share, 0.0)
        return np.where(share < 1.0, np.log(rate), total), rate / (share * left), by_share

    def derivatives(
        self, effect: FloatArray, nodes: IntArray, genes: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return ``by_penetrance`` and ``own`` of T: (n_nodes, n_genes) each."""
        _, _, by_share = self.mixed(effect, self.of_programs(nodes, genes), nodes)
        own = np.zeros(effect.shape)
        if self.lowered is not None:
            place = self.lowered.place[np.ix_(nodes, genes)]
            by_share = np.where(place >= 0, self.lowered.by_penetrance[place], by_share)
            own = np.where(place >= 0, self.lowered.variance[place], own)
        own -= by_share**2 * self.realised_variance[nodes][:, None]
        return by_share, own

    def variance(
        self, corrected: Corrected, variance: FloatArray, nodes: IntArray, genes: IntArray
    ) -> FloatArray:
        """Variance of T, from that of R: (n_nodes, n_genes)."""
        of_share = corrected.by_penetrance**2 * self.penetrance_variance[nodes][:, None]
        of_rate = corrected.slope**2 * variance
        rest = np.maximum(of_rate + corrected.own, LEAST_VARIANCE * of_rate)
        return np.asarray(rest + of_share + self.program_variance(nodes, genes))
