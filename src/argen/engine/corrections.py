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

from argen.arrays import FloatArray, IntArray

# Least share of the rate of the controls that perturbed cells can be left with: below it nobody
# could tell from counts how much is left.
LEAST_LEFT = 0.01
# Errors of corrections can go with those of regressions, and leave at least such a part of these.
LEAST_VARIANCE = 0.1


class Corrected(NamedTuple):
    """Total effects over the network, and how they move with what they are made of."""

    effect: FloatArray  # T
    slope: FloatArray  # dT / dR
    by_penetrance: FloatArray  # dT / d pi


@dataclass(frozen=True, slots=True, eq=False)
class Corrections:
    """Estimates of pi, s and v, with their variances; errors of different ones are independent."""

    penetrance: FloatArray  # (n_nodes,): pi, 1 where all cells are perturbed
    penetrance_variance: FloatArray  # (n_nodes,)
    rate_covariance: FloatArray | None  # (n_nodes, n_genes): of pi_k and R_kj; None: 0
    scores: FloatArray  # (n_nodes, n_programs): s
    score_variance: FloatArray  # (n_nodes, n_programs)
    loadings: FloatArray  # (n_genes, n_programs): v
    loading_variance: FloatArray  # (n_genes, n_programs)

    @classmethod
    def none(cls, n_nodes: int, n_genes: int) -> Corrections:
        """All cells are perturbed, and there are no programs."""
        return cls(
            penetrance=np.ones(n_nodes),
            penetrance_variance=np.zeros(n_nodes),
            rate_covariance=None,
            scores=np.zeros((n_nodes, 0)),
            score_variance=np.zeros((n_nodes, 0)),
            loadings=np.zeros((n_genes, 0)),
            loading_variance=np.zeros((n_genes, 0)),
        )

    def bits(self) -> list[IntArray]:
        """Return all numbers as whole ones, which tell these corrections from others."""
        parts = [
            self.penetrance, self.penetrance_variance, self.scores, self.score_variance,
            self.loadings, self.loading_variance,
        ]  # fmt: skip
        if self.rate_covariance is not None:
            parts.append(self.rate_covariance)
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
            working = np.exp(log_rate) - (1.0 - share)
        least = LEAST_LEFT * share
        limited = working < least
        working = np.where(limited, least, working)
        left = working / share  # exp(T + s'v)
        mixed = np.broadcast_to(share < 1.0, log_rate.shape)
        with np.errstate(divide="ignore"):
            effect = np.where(mixed, np.log(left), log_rate) - added
            slope = np.where(mixed, 1.0 + (1.0 - share) / working, 1.0)
            by_share = np.where(mixed, (1.0 / left - 1.0) / share, 0.0)
        return Corrected(effect, slope, by_share)

    def correct(self, coefficients: FloatArray, nodes: IntArray, genes: IntArray) -> FloatArray:
        """Turn R - o into T, in place; returns dT / dR: (n_nodes, n_genes) each."""
        found = self.corrected(coefficients + self.offset(nodes, genes), nodes, genes)
        coefficients[:] = found.effect
        return found.slope

    def derivatives(
        self, slope: FloatArray, nodes: IntArray, genes: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """``dT / d pi`` from ``dT / dR``, and the latter times the covariance of pi and R."""
        share = self.penetrance[nodes][:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            inverse = (slope - 1.0) * share / (1.0 - share)  # exp(-T - s'v)
        by_share = np.where(share < 1.0, (inverse - 1.0) / share, 0.0)
        return by_share, slope * self.covariance(nodes, genes)

    def covariance(self, nodes: IntArray, genes: IntArray) -> FloatArray:
        """Covariance of pi_k and R_kj: (n_nodes, n_genes)."""
        if self.rate_covariance is None:
            return np.zeros((len(nodes), len(genes)))
        return np.asarray(self.rate_covariance[np.ix_(nodes, genes)])

    def variance(
        self, corrected: Corrected, variance: FloatArray, nodes: IntArray, genes: IntArray
    ) -> FloatArray:
        """Variance of T, from that of R: (n_nodes, n_genes)."""
        of_rate = corrected.slope**2 * variance
        of_share = corrected.by_penetrance**2 * self.penetrance_variance[nodes][:, None]
        together = corrected.slope * corrected.by_penetrance * self.covariance(nodes, genes)
        mixed = np.maximum(of_rate + of_share + 2.0 * together, LEAST_VARIANCE * of_rate)
        return np.asarray(mixed + self.program_variance(nodes, genes))
