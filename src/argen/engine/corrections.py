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
from argen.glm import LEAST_VARIANCE, GroupCorrections, fill_offsets, fill_totals


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

    def numbers(self) -> GroupCorrections:
        """Return what compiled loops take."""
        low = self.lowered or LoweredRates(np.empty((0, 0), np.int32), *np.empty((3, 0)))
        none = np.empty((len(self.penetrance), 0))
        guides = self.guides or UnevenGuides(none, none, np.empty(0))
        numbers = (
            self.penetrance, self.penetrance_variance, self.realised_variance,
            self.scores, self.score_variance, self.loadings, self.loading_variance,
            low.log_left, low.variance, low.by_penetrance, guides.strength, guides.part,
        )  # fmt: skip
        place = np.ascontiguousarray(low.place, dtype=np.int32)
        return GroupCorrections(place, *map(np.ascontiguousarray, numbers))

    def of_programs(self, nodes: IntArray, genes: IntArray) -> FloatArray:
        """Return what programs add to log means of perturbed cells, s'v: (n_nodes, n_genes)."""
        return np.asarray(self.scores[nodes] @ self.loadings[genes].T)

    def _offsets(self, nodes: IntArray, genes: IntArray) -> FloatArray:
        """Return o, and its derivatives by s'v and by pi: (3, n_nodes, n_genes)."""
        found = np.empty((3, len(nodes), len(genes)))
        fill_offsets(self.numbers(), nodes, genes, found)
        return found

    def offset(self, nodes: IntArray, genes: IntArray) -> FloatArray:
        """Return what R is without an effect over the network, o: (n_nodes, n_genes)."""
        return np.asarray(self._offsets(nodes, genes)[0])

    def offset_variance(self, nodes: IntArray, genes: IntArray) -> FloatArray:
        """Variance of o: (n_nodes, n_genes)."""
        _, by_programs, by_share = self._offsets(nodes, genes)
        of_share = by_share**2 * self.penetrance_variance[nodes][:, None]
        return np.asarray(by_programs**2 * self.program_variance(nodes, genes) + of_share)

    def program_variance(self, nodes: IntArray, genes: IntArray) -> FloatArray:
        """Variance of s'v: (n_nodes, n_genes)."""
        return np.asarray(
            self.score_variance[nodes] @ (self.loadings[genes] ** 2).T
            + self.scores[nodes] ** 2 @ self.loading_variance[genes].T
        )

    def corrected(self, log_rate: FloatArray, nodes: IntArray, genes: IntArray) -> Corrected:
        """Take T from R: (n_nodes, n_genes) each."""
        found = np.empty((4, len(nodes), len(genes)))
        fill_totals(self.numbers(), nodes, genes, np.ascontiguousarray(log_rate), found)
        return Corrected(*found)

    def variance(
        self, corrected: Corrected, variance: FloatArray, nodes: IntArray, genes: IntArray
    ) -> FloatArray:
        """Variance of T, from that of R: (n_nodes, n_genes)."""
        of_share = corrected.by_penetrance**2 * self.penetrance_variance[nodes][:, None]
        of_rate = corrected.slope**2 * variance
        rest = np.maximum(of_rate + corrected.own, LEAST_VARIANCE * of_rate)
        return np.asarray(rest + of_share + self.program_variance(nodes, genes))
