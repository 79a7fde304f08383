"""The two stages of a target and its candidates, by which its edges are judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from argen.arrays import FloatArray, IntArray
from argen.checks.guides import JointFits
from argen.corrections import corrections_of
from argen.data import PerturbSeqData
from argen.engine import Corrections, Genes, ParentJob
from argen.errors import FitStatus
from argen.glm import LEAST_VARIANCE
from argen.network import CausalNetwork

# Covariances of so many first stages fit in memory: the cube of it.
MOST_CANDIDATES = 200
# Where cells carry several perturbations the covariances are those of all pairs of genes and of
# perturbations: the fourth power of it.
MOST_TOGETHER = 50
# Rounds in which the weights of the nuisance effects follow them.
N_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class TwoStages:
    """First stages of the candidates of a target and its regression, with their errors.

    ``Pi' theta = delta`` identifies the effects; see ``argen.engine.grouped``.
    """

    pi: FloatArray  # (n, n): effects of the perturbations (columns) on the candidates (rows)
    delta: FloatArray  # (n,): and on the target
    noise: FloatArray  # (1 + n, n, n): covariances of delta, and of each row of pi
    shared: FloatArray  # (1 + n, n, n_shared): by how much delta, and each row of pi, move with one
    #                     standard deviation of what is unsure about a perturbation for all genes

    def spread(self, theta: FloatArray) -> FloatArray:
        """Covariance of ``delta - Pi' theta``: (n, n)."""
        own = np.tensordot(np.append(1.0, theta**2), self.noise, axes=1)
        together = np.tensordot(np.append(1.0, -theta), self.shared, axes=1)
        return np.asarray(own + np.diag(np.sum(together**2, axis=1)))

    def effects(self) -> FloatArray:
        """Return the estimates: (n,)."""
        return np.asarray(np.linalg.solve(self.pi.T, self.delta))

    def statistic(self, k: int, value: float) -> float:
        """How far the data are from ``theta_k = value``: chi-square of one degree of freedom.

        With u = delta - Pi' theta, the least ``u' Cov(u)^-1 u`` over the effects of the others,
        each of which has its own error in Cov(u).
        """
        rest = self.delta - value * self.pi[k]
        return least_distance(
            rest,
            np.delete(self.pi, k, axis=0).T,
            lambda others: self.spread(np.insert(others, k, value)),
        )


def least_distance(
    observed: FloatArray, regressors: FloatArray, spread: Callable[[FloatArray], FloatArray]
) -> float:
    """Least ``u' Cov(u)^-1 u`` of ``u = observed - regressors theta``, all of them uncertain.

    Parameters
    ----------
    observed, regressors
        (n,) and (n, n_regressors).
    spread
        Returns Cov(u) at theta: (n, n).
    """
    theta = np.linalg.lstsq(regressors, observed, rcond=None)[0]
    for _ in range(1 + N_ROUNDS):
        root = np.linalg.cholesky(spread(np.asarray(theta, dtype=np.float64)))
        left, right = np.linalg.solve(root, regressors), np.linalg.solve(root, observed)
        before, theta = theta, np.linalg.lstsq(left, right, rcond=None)[0]
    return float(np.sum((right - left @ before) ** 2))


def two_stages(genes: Genes, job: ParentJob, model_share: float) -> TwoStages | None:
    """Fit the regressions of a target and of its candidates, and correct them as the engine does.

    None where one of them fails, or there are more than ``MOST_CANDIDATES``.
    """
    n, parts = len(job.candidates), []
    if n > MOST_CANDIDATES:
        return None
    for prepared, gene in zip(
        genes.prepare(np.append(job.target, job.candidates)),
        (job.target, *job.candidates.tolist()),
        strict=True,
    ):
        fit = (
            genes.fit_target(prepared, job)
            if gene == job.target
            else prepared.fit(job.candidates, halved=n)
        )
        if fit.status != FitStatus.OK:
            return None
        covariance = prepared.covariance(fit, model_share=model_share)
        found = fit.coefficients[:n], covariance[:n, :n]
        parts.append(_corrected(genes.corrections, *found, gene, job.candidates))
    effects, noise, shared = (np.array(each) for each in zip(*parts, strict=True))
    if n and np.linalg.matrix_rank(effects[1:]) < n:
        return None
    return TwoStages(effects[1:], effects[0], noise, shared)


def _corrected(
    corrections: Corrections,
    coefficients: FloatArray,
    covariance: FloatArray,
    gene: int,
    nodes: IntArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return total effects on a gene over the network, their covariance, and what they share.

    With T' the derivatives of T by pi, errors of pi_k move the effects of perturbation k on all
    genes at once, by ``T'_kj sd(pi_k)``, and so do errors of its scores, by ``v_jp sd(s_kp)``;
    errors of the loadings of gene j move all effects on it, by ``s_kp sd(v_jp)``. The rest is as in
    ``argen.engine.grouped``.
    """
    of_gene = np.array([gene])
    log_rate = coefficients[:, None] + corrections.offset(nodes, of_gene)
    effect, slope, by_share, own = corrections.corrected(log_rate, nodes, of_gene)
    scores, of_rate = corrections.scores[nodes], covariance * (slope * slope.T)
    least = LEAST_VARIANCE * np.diagonal(of_rate)
    more = np.maximum(np.diagonal(of_rate) + own[:, 0], least) - np.diagonal(of_rate)
    noise = of_rate + np.diag(more)
    if (np.linalg.eigvalsh(noise) < 0.0).any():  # more was taken off than the estimates have
        noise = of_rate + np.diag(np.maximum(more, 0.0))
    noise = noise + (scores * corrections.loading_variance[gene]) @ scores.T
    of_share = by_share * np.sqrt(corrections.penetrance_variance[nodes])[:, None]
    of_scores = corrections.loadings[gene] * np.sqrt(corrections.score_variance[nodes])
    return effect[:, 0], noise, np.hstack([of_share, of_scores])


def joint_stages(fits: JointFits, job: ParentJob) -> TwoStages | None:
    """Take both stages from regressions on everything that cells carry.

    None where one of them fails, or there are more than ``MOST_TOGETHER`` candidates.
    """
    candidates, n = job.candidates, len(job.candidates)
    if n > MOST_TOGETHER:
        return None
    effects = fits.among(candidates, np.append(candidates, job.target))
    if not np.isfinite(effects.effect).all() or np.linalg.matrix_rank(effects.effect[:, :n]) < n:
        return None
    of_genes = np.arange(n + 1)
    noise = effects.covariances[of_genes, of_genes]
    noise, shared = np.roll(noise, 1, axis=0), np.zeros((n + 1, n, 0))
    return TwoStages(effects.effect[:, :n].T, effects.effect[:, n], noise, shared)


@dataclass(frozen=True, slots=True)
class EdgesOfTarget:
    """The edges into one gene, and what they rest on."""

    edges: pd.DataFrame
    place: dict[str, int]  # of each candidate in the stages; other methods call edges without one
    stages: TwoStages | None  # None where they could not be fitted


def edges_by_target(network: CausalNetwork, data: PerturbSeqData) -> Iterator[EdgesOfTarget]:
    """Fit the two stages of each target that has edges, one after another.

    They are corrected as the network was: for cells that escape, and for response programs.

    Parameters
    ----------
    data
        Of the cells that the network was inferred from.
    """
    number = {gene: i for i, gene in enumerate(network.genes)}
    nodes, stages_of = network.nodes, _stages(network, data)
    for name, edges in network.edges.groupby("target", sort=False):
        target = number[str(name)]
        candidates = network.causal_order.candidates(target)
        place = {nodes[source]: k for k, source in enumerate(candidates.tolist())}
        yield EdgesOfTarget(edges, place, stages_of(ParentJob(target, candidates)))


def _stages(
    network: CausalNetwork, data: PerturbSeqData
) -> Callable[[ParentJob], TwoStages | None]:
    """Return what fits the two stages of a target."""
    if not data.one_per_cell:
        return partial(joint_stages, JointFits(data, data.perturbations))
    corrections = corrections_of(data, network.penetrance, network.programs)
    genes, share = Genes(data, corrections), network.config.model_share
    return lambda job: two_stages(genes, job, share)
