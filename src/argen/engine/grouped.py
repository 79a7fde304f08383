"""The parent search when each cell carries at most one perturbation: no proxies are laid out.

With Pi the first-stage coefficients of the candidates (rows) on their perturbations (columns),
and delta the coefficients of the same perturbations in the regression of the target on
``[1, D_A, D_t, X]``, the second stage is just-identified::

    Pi' theta = delta,      Cov(theta) = Pi'^-1 (V_delta + sum_k theta_k^2 V_k) Pi^-1

where V_delta and V_k are the sandwich covariances of delta and of row k of Pi: estimates and
Murphy-Topel variances of the two stages of ``fit_two_stage``. Below, ``inverse`` is Pi'^-1, with
rows w_j, and ``variances`` [j, k] is w_j' V_k w_j, for each of the sandwiches in use: see
``InferenceConfig.model_shares``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from argen.arrays import BoolArray, FloatArray
from argen.config import InferenceConfig, ParentTest
from argen.data import PerturbSeqData
from argen.engine.exact import ExactParentTester
from argen.engine.parent_test import effects_with_tests
from argen.engine.protocol import Effects, Fitted, ParentJob
from argen.engine.threads import in_threads
from argen.errors import FitStatus
from argen.glm import GeneReference, GroupedGene, GroupFit, group_layout

# Where Pi has a smaller reciprocal condition number, dense fits find out what is collinear.
SMALLEST_CONDITION = 1e-10


class Genes:
    """The genes of a screen, laid out for regressions on group intercepts."""

    def __init__(self, data: PerturbSeqData) -> None:
        self.data = data
        block = data.regressors
        group = np.where(data.controls, data.n_nodes, data.node_of_cell)
        self.layout, cells = group_layout(
            group, data.n_nodes + 1, data.offset, block.factors, block.numeric
        )
        self.place = np.argsort(cells)
        self.references: dict[int, GeneReference] = {}

    def prepare(self, gene: int) -> GroupedGene:
        """Prepare one gene; what is costly in it is kept for the next time."""
        counts = np.empty(len(self.place))
        self.data.counts.scatter(gene, self.place, counts)
        prepared = GroupedGene(self.layout, counts, self.references.get(gene))
        if gene < self.data.n_nodes:
            self.references[gene] = prepared.reference
        return prepared

    def fit_target(self, gene: GroupedGene, job: ParentJob) -> GroupFit:
        """Regress a target on the perturbations of its candidates and, if any, on its own."""
        is_node = job.target < self.data.n_nodes
        own = np.append(job.candidates, job.target) if is_node else job.candidates
        return gene.fit(own, halved=len(job.candidates))


def _variances(
    gene: GroupedGene, fit: GroupFit, combinations: FloatArray, shares: Sequence[float]
) -> FloatArray:
    """Variances of combinations (n, n_first) of the first coefficients of a fit: (n_shares, n)."""
    n_first = combinations.shape[1]
    covariances = [gene.covariance(fit, model_share=share).first(n_first) for share in shares]
    return np.array([covariance.variances(combinations) for covariance in covariances])


@dataclass(frozen=True, slots=True)
class FirstStages:
    """What the first stages of a set of candidates say."""

    inverse: FloatArray  # (n, n)
    variances: FloatArray  # (n_shares, n, n)
    halves: BoolArray  # (n,): half a count was added

    def effects(self, target: GroupFit, own_variances: FloatArray, test: ParentTest) -> Effects:
        """Direct effects on a target, from its regression and the variances w_j' V_delta w_j."""
        effect = self.inverse @ target.coefficients[: len(self.inverse)]
        halves = self.halves | target.is_half.any()
        status = np.where(halves, FitStatus.HALF_COUNT, FitStatus.OK).astype(np.int8)
        return effects_with_tests(effect, own_variances, self.variances, test=test, status=status)


class GroupedTester:
    """Tests direct effects by group intercepts; see the module for the algebra.

    Works through a block gene by gene, so that one preparation serves every target. What this
    algebra cannot do (collinear proxies, a covariate confounded with perturbations, a fit that
    does not converge) is fitted exactly.
    """

    def __init__(self, data: PerturbSeqData, config: InferenceConfig) -> None:
        self.genes = Genes(data)
        self.exact = ExactParentTester(data, config)

    def direct_effects(self, jobs: Sequence[ParentJob]) -> Fitted:
        """Direct effects of all candidates on their targets, job after job, in one vector."""
        block = _Block(self.genes, jobs, self.exact.config)
        block.fit_genes()
        block.invert()
        block.take_variances()
        return collect(jobs, [block.effects(place) for place in range(len(jobs))], self.exact)


class _Block:
    """A block of targets on its way; targets with the same candidates share their first stages.

    Sets of candidates are known by their bytes.
    """

    def __init__(self, genes: Genes, jobs: Sequence[ParentJob], config: InferenceConfig) -> None:
        self.genes = genes
        self.config = config
        self.jobs = jobs
        self.set_of_job = [job.candidates.tobytes() for job in jobs]
        self.sets = {key: job.candidates for key, job in zip(self.set_of_job, jobs, strict=True)}
        # Where each gene has a part: (set, place in it) as a candidate, jobs as the target.
        self.as_candidate: dict[int, list[tuple[bytes, int]]] = defaultdict(list)
        self.as_target: dict[int, list[int]] = defaultdict(list)
        for key, candidates in self.sets.items():
            for k, candidate in enumerate(candidates.tolist()):
                self.as_candidate[candidate].append((key, k))
        for place, job in enumerate(jobs):
            self.as_target[job.target].append(place)
        self.firsts: dict[bytes, list[GroupFit | None]] = {
            key: [None] * len(candidates) for key, candidates in self.sets.items()
        }
        self.targets: list[GroupFit | None] = [None] * len(jobs)
        self.stages: dict[bytes, FirstStages] = {}
        self.own_variances: list[FloatArray | None] = [None] * len(jobs)

    def fit_genes(self) -> None:
        """Fit every gene wherever it is a candidate or a target."""

        def fit(number: int) -> None:
            gene = self.genes.prepare(number)
            for key, k in self.as_candidate.get(number, ()):
                candidates = self.sets[key]
                self.firsts[key][k] = gene.fit(candidates, halved=len(candidates))
            for place in self.as_target.get(number, ()):
                self.targets[place] = self.genes.fit_target(gene, self.jobs[place])

        in_threads(fit, sorted(self.as_candidate.keys() | self.as_target.keys()))

    def invert(self) -> None:
        """Invert Pi' of every set whose first stages all worked."""

        def invert(key: bytes) -> None:
            fits = [fit for fit in self.firsts[key] if fit is not None]
            if any(fit.status != FitStatus.OK for fit in fits):
                return
            inverse = _inverse(np.array([fit.coefficients for fit in fits]).T)
            if inverse is not None:
                halves = np.array([fit.is_half.any() for fit in fits])
                variances = np.empty((len(self.config.model_shares), *inverse.shape))
                self.stages[key] = FirstStages(inverse, variances, halves)

        in_threads(invert, self.sets)

    def take_variances(self) -> None:
        """Fill in the variances of both stages, gene by gene."""

        def take(number: int) -> None:
            gene, shares = self.genes.prepare(number), self.config.model_shares
            for key, k in self.as_candidate.get(number, ()):
                stage, fit = self.stages.get(key), self.firsts[key][k]
                if stage is not None and fit is not None:
                    stage.variances[:, :, k] = _variances(gene, fit, stage.inverse, shares)
            for place in self.as_target.get(number, ()):
                stage, fit = self.stages.get(self.set_of_job[place]), self.targets[place]
                if stage is not None and fit is not None and fit.status == FitStatus.OK:
                    self.own_variances[place] = _variances(gene, fit, stage.inverse, shares)

        in_threads(take, sorted(self.as_candidate.keys() | self.as_target.keys()))

    def effects(self, place: int) -> Effects | None:
        """Return the effects of a job; None when it must be fitted exactly."""
        target, own_variances = self.targets[place], self.own_variances[place]
        if target is None or own_variances is None:
            return None
        stage = self.stages[self.set_of_job[place]]
        return stage.effects(target, own_variances, self.config.test_of_parents)


def collect(
    jobs: Sequence[ParentJob], parts: Sequence[Effects | None], exact: ExactParentTester
) -> Fitted:
    """Join the effects of the jobs, and fit exactly what is missing."""
    missing = [job for job, part in zip(jobs, parts, strict=True) if part is None]
    n_exact = sum(len(job.candidates) for job in missing)
    n_all = sum(len(job.candidates) for job in jobs)
    whole = [
        exact.fit(job) if part is None else part for job, part in zip(jobs, parts, strict=True)
    ]
    return Fitted(Effects.joined(whole), {"grouped": n_all - n_exact, "exact": n_exact})


def _inverse(matrix: FloatArray) -> FloatArray | None:
    """Invert a matrix; None when it is singular to working precision."""
    factor, pivots, info = lapack.dgetrf(matrix)
    if info != 0:
        return None
    condition, _ = lapack.dgecon(factor, np.abs(matrix).sum(axis=0).max())
    if not condition > SMALLEST_CONDITION:
        return None
    inverse, info = lapack.dgetri(factor, pivots)
    return np.ascontiguousarray(inverse) if info == 0 else None
