"""What stands between the rates of groups of cells and the effects in the network.

Some cells escape their guide, and perturbations set off programs that reach genes around the
network. In the cells of perturbation k, of which a share pi_k is perturbed, gene j has the rate,
over that of the controls::

    exp(R_kj) = (1 - pi_k) + pi_k exp(T_kj + s_k'v_j)

with T_kj the total effect over the network, s_k how strongly k sets the programs off, and v_j how
they move j. A regression with the offset ``o_kj``, the logarithm of the same without T_kj, gives
``R_kj - o_kj``; from there::

    T_kj = log((exp(R_kj) - (1 - pi_k)) / pi_k) - s_k'v_j

Where a gene has guides g of uneven strengths a_g, of mean 1 over its cells, of which each has the
part c_g, T_kj is the effect of a guide of strength 1, and ``exp(T_kj + s_k'v_j)`` above becomes
``sum_g c_g exp(a_g (T_kj + s_k'v_j))``, with an inverse by Newton's method. In regressions of
direct effects cells are then weighed by::

    w_g = a_g sum_g c_g a_g / sum_g c_g a_g^2

as the best linear combination of instruments weighs them; c_g are parts of the weighed cells there.
The factor makes the cells of a gene, weighed, count for as many as they are worth: the sums of w
and of w^2 over them are alike, and so are the variances of Poisson counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from argen.arrays import FloatArray, IntArray, ShortIntArray

# Least share of the rate of the controls that perturbed cells can be left with: below it nobody
# could tell from counts how much is left.
LEAST_LEFT = 0.01
# Beyond such a total effect, which direct effects that are hardly identified can lead to, numbers
# would overflow.
MOST_TOTAL = 30.0
# Steps of Newton's method that lead from rates to effects of uneven guides.
MOST_STEPS, SURE_OF_EFFECT = 40, 1e-12
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
class UnevenGuides:
    """Guides of one gene that differ in strength: (n_nodes, n_most), those missing of part 0.

    Cells of guides of which nothing is known are a guide of strength 1.
    """

    strength: FloatArray  # of mean 1 over the cells of each node
    part: FloatArray  # of the exposure of the cells of each node
    weight_of_cell: FloatArray  # (n_cells,), 1 for controls

    def weighed(self) -> UnevenGuides:
        """Return the same with the parts that guides have of weighed cells."""
        part = self.part * self.strength
        return replace(self, part=part / part.sum(axis=1, keepdims=True))

    def joined(self, effect: FloatArray, nodes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the log rates of working cells of all guides, and their slopes by effects."""
        shape = (len(nodes),) + (1,) * (effect.ndim - 1)
        effect = np.clip(effect, -MOST_TOTAL, MOST_TOTAL)
        rate, slope = np.zeros((2, *effect.shape))
        for part, strength in zip(self.part[nodes].T, self.strength[nodes].T, strict=True):
            own = part.reshape(shape) * np.exp(strength.reshape(shape) * effect)
            rate += own
            slope += strength.reshape(shape) * own
        return np.log(rate), slope / rate

    def of_mean_guide(self, log_rate: FloatArray, nodes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the effects of a guide of strength 1, and their slopes by log rates.

        ``joined`` is convex and increases, so that Newton's steps come from above after the first.
        Each effect ends by itself, whatever others are there.
        """
        known = np.isfinite(log_rate)
        wanted = np.where(known, np.clip(log_rate, -MOST_TOTAL, MOST_TOTAL), 0.0)
        effect, moves = wanted, np.ones(wanted.shape, dtype=bool)
        for _ in range(MOST_STEPS):
            found, slope = self.joined(effect, nodes)
            after = np.clip(effect - (found - wanted) / slope, -MOST_TOTAL, MOST_TOTAL)
            before, effect = effect, np.where(moves, after, effect)
            moves &= np.abs(effect - before) >= SURE_OF_EFFECT
            if not moves.any():
                break
        return np.where(known, effect, log_rate), 1.0 / self.joined(effect, nodes)[1]


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
    guides: UnevenGuides | None = None  # None: they are taken to be alike

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
        if self.guides is not None:
            parts += (self.guides.strength, self.guides.part, self.guides.weight_of_cell)
        return [np.ascontiguousarray(part).view(np.int64).ravel() for part in parts]

    @property
    def escapes(self) -> bool:
        """Whether the cells of some perturbation escape it."""
        return bool((self.penetrance < 1.0).any())

    @property
    def mixes(self) -> bool:
        """Whether cells of one perturbation differ in what is done to them."""
        return self.escapes or self.guides is not None

    def weighed(self) -> Corrections:
        """Return what holds where the cells of uneven guides are weighed."""
        return self if self.guides is None else replace(self, guides=self.guides.weighed())

    def _joined(self, effect: FloatArray, nodes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return log rates of working cells, and their slopes by total effects with programs."""
        if self.guides is None:
            return effect, np.ones_like(effect)
        return self.guides.joined(effect, nodes)

    def of_programs(self, nodes: IntArray, genes: IntArray) -> FloatArray:
        """Return what programs add to log means of perturbed cells, s'v: (n_nodes, n_genes)."""
        return np.asarray(self.scores[nodes] @ self.loadings[genes].T)

    def offset(self, nodes: IntArray, genes: IntArray) -> FloatArray:
        """Return what R is without an effect over the network, o: (n_nodes, n_genes)."""
        share = self.penetrance[nodes][:, None]
        added, _ = self._joined(self.of_programs(nodes, genes), nodes)
        return np.asarray(np.where(share < 1.0, np.log1p(share * np.expm1(added)), added))

    def offset_variance(self, nodes: IntArray, genes: IntArray) -> FloatArray:
        """Variance of o: (n_nodes, n_genes)."""
        share = self.penetrance[nodes][:, None]
        added, slope = self._joined(self.of_programs(nodes, genes), nodes)
        working = np.exp(added)
        rate = 1.0 - share + share * working
        of_programs = (share * working * slope / rate) ** 2 * self.program_variance(nodes, genes)
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
        effect, slope = self._total(log_rate, nodes, genes)
        return Corrected(effect, slope, *self.derivatives(effect, nodes, genes))

    def _total(
        self, log_rate: FloatArray, nodes: IntArray, genes: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return T and ``dT / dR``: (n_nodes, n_genes) each."""
        share, added = self.penetrance[nodes][:, None], self.of_programs(nodes, genes)
        with np.errstate(over="ignore"):
            working = np.maximum(np.exp(log_rate) - (1.0 - share), LEAST_LEFT * share)
        mixed = share < 1.0
        left = np.where(mixed, np.log(working / share), log_rate)
        slope = np.where(mixed, 1.0 + (1.0 - share) / working, 1.0)
        if self.guides is not None:
            left, by_left = self.guides.of_mean_guide(left, nodes)
            slope = slope * by_left
        is_low = np.zeros(left.shape, dtype=bool)
        if self.lowered is not None:
            place = self.lowered.place[np.ix_(nodes, genes)]
            is_low = place >= 0
            left = np.where(is_low, self.lowered.log_left[place], left)
        return left - added, np.where(is_low, 0.0, slope)

    def correct(
        self, coefficients: FloatArray, nodes: IntArray, genes: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Turn R - o into T, in place; returns R and ``dT / dR``: (n_nodes, n_genes) each."""
        log_rate = coefficients + self.offset(nodes, genes)
        coefficients[:], slope = self._total(log_rate, nodes, genes)
        return log_rate, slope

    def mixed(
        self, effect: FloatArray, added: FloatArray, nodes: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return R, ``dT / dR`` and ``dT / d pi`` at T, where programs add s'v: (n_nodes, ...)."""
        share = self.penetrance[nodes].reshape((len(nodes),) + (1,) * (effect.ndim - 1))
        total, slope = self._joined(effect + added, nodes)
        left = np.exp(np.clip(total, -MOST_TOTAL, MOST_TOTAL))
        rate = 1.0 - share + share * left
        by_share = np.where(share < 1.0, (1.0 / left - 1.0) / (share * slope), 0.0)
        log_rate = np.where(share < 1.0, np.log(rate), total)
        return log_rate, rate / (share * left * slope), by_share

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
