"""The parent search when each cell carries at most one perturbation: no proxies are laid out.

With Pi the first-stage coefficients of the candidates (rows) on their perturbations (columns),
and delta the coefficients of the same perturbations in the regression of the target on
``[1, D_A, D_t, X]``, the second stage is just-identified::

    Pi' theta = delta,      Cov(theta) = Pi'^-1 (V_delta + sum_k theta_k^2 V_k) Pi^-1

where V_delta and V_k are the sandwich covariances of delta and of row k of Pi: estimates and
Murphy-Topel variances of the two stages of ``fit_two_stage``. Below, ``inverse`` is Pi'^-1, with
rows w_j, and ``variances`` [j, k] is w_j' V_k w_j, for each of the sandwiches in use: see
``InferenceConfig.model_shares``.

With corrections (see ``argen.engine.corrections``) every group has an offset, Pi and delta are
total effects over the network, and their sandwiches those of the regressions times the squares of
``slopes``; to these comes what the corrections are unsure about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg import lapack

from argen.arrays import BoolArray, FloatArray, IntArray, UnsignedArray
from argen.config import InferenceConfig
from argen.data import PerturbSeqData
from argen.engine.corrections import LEAST_VARIANCE, Corrections
from argen.engine.exact import ExactParentTester
from argen.engine.parent_test import effects_with_tests
from argen.engine.protocol import Effects, Fitted, ParentJob, sum_of_fits
from argen.engine.threads import in_threads
from argen.errors import FitStatus
from argen.glm import (
    FITTED_GROUPS,
    BlockOfFits,
    Gene,
    GroupedGene,
    GroupFit,
    fit_block,
    group_layout,
    vary_block,
)

# Where Pi has a smaller reciprocal condition number, dense fits find out what is collinear.
SMALLEST_CONDITION = 1e-10
# Neighbouring genes that a thread takes together, since their counts are read together.
GENES_OF_A_TURN = 8
# Pairs of candidates of a piece that is sent elsewhere. For each, the counts of one gene in the
# cells of one perturbation are sent, five bytes for each that is not 0, or a few more.
PAIRS_OF_A_PIECE = 500_000


class Genes:
    """The genes of a screen, laid out for regressions on group intercepts.

    A cell of weight w has w times the counts and the exposure: its part in the equations of Poisson
    regression, and in their sandwich, is that of a cell that is weighed.
    """

    def __init__(self, data: PerturbSeqData, corrections: Corrections | None = None) -> None:
        self.data = data
        self.n_nodes = data.n_nodes
        self.corrections = None if corrections is None else corrections.weighed()
        block, offset = data.regressors, data.offset
        group = np.where(data.controls, data.n_nodes, data.node_of_cell)
        self.weights: FloatArray | None = None
        if corrections is not None and corrections.guides is not None:
            self.weights = corrections.guides.weight_of_cell
            offset = offset + np.log(self.weights)
        self.layout, cells = group_layout(
            group, data.n_nodes + 1, offset, block.factors, block.numeric
        )
        self.place = np.empty(len(cells), dtype=np.int64)
        self.place[cells] = np.arange(len(cells))
        if self.weights is not None:
            self.weights = self.weights[cells]
        self.known: dict[int, Gene] = {}

    def prepare(self, genes: IntArray) -> Iterator[GroupedGene]:
        """Prepare some genes, one after another; what is costly in it is kept for the next time."""
        block = self.data.counts.block(genes)
        for row, gene in enumerate(genes.tolist()):
            counts = np.empty(len(self.place))
            block.scatter(row, self.place, counts)
            if self.weights is not None:
                counts *= self.weights
            prepared = GroupedGene(
                self.layout, counts, self.known.get(gene), rates=self.rates(gene)
            )
            self.known[gene] = prepared.gene
            yield prepared

    def rates(self, gene: int) -> FloatArray | None:
        """Return rates of a gene in each group, over the controls', without a network."""
        if self.corrections is None:
            return None
        offset = self.corrections.offset(np.arange(self.n_nodes), np.array([gene]))[:, 0]
        return np.asarray(np.exp(np.append(offset, 0.0)))

    def fit_target(self, gene: GroupedGene, job: ParentJob) -> GroupFit:
        """Regress a target on the perturbations of its candidates and, if any, on its own."""
        own = np.append(job.candidates, job.target) if job.target < self.n_nodes else job.candidates
        return gene.fit(own, halved=len(job.candidates))


@dataclass(frozen=True, slots=True)
class PackedGenes:
    """What jobs need of their genes: sums over all cells, and the counts in groups of theirs."""

    known: dict[int, Gene]
    place: dict[int, UnsignedArray]  # of the counts that are not 0, in the sequence of the layout
    count: dict[int, UnsignedArray | FloatArray]  # whole where cells are not weighed
    complete: bool  # the counts of all cells are there


class GenesElsewhere(Genes):
    """Genes that were packed, where the screen is not."""

    def __init__(self, genes: Genes, packed: PackedGenes) -> None:
        self.layout, self.n_nodes, self.packed = genes.layout, genes.n_nodes, packed
        self.corrections, self.weights = genes.corrections, genes.weights

    def prepare(self, genes: IntArray) -> Iterator[GroupedGene]:
        """Prepare some genes, one after another."""
        packed = self.packed
        for gene in genes.tolist():
            counts = np.zeros(len(self.layout.size))
            counts[packed.place[gene]] = packed.count[gene]
            known, rates = packed.known[gene], self.rates(gene)
            yield GroupedGene(self.layout, counts, known, rates=rates, complete=packed.complete)


class GroupedTester:
    """Tests direct effects by group intercepts; see the module for the algebra.

    Works through a block gene by gene, so that one preparation serves every target. What this
    algebra cannot do (collinear proxies, a covariate confounded with perturbations, a fit that
    does not converge) is fitted exactly. Without the screen at hand that is left, and so is what
    needs counts that are not there.
    """

    def __init__(
        self, genes: Genes, config: InferenceConfig, exact: ExactParentTester | None
    ) -> None:
        self.genes, self.config, self.exact = genes, config, exact

    @classmethod
    def of(
        cls, data: PerturbSeqData, config: InferenceConfig, corrections: Corrections | None = None
    ) -> GroupedTester:
        """Prepare to test the candidate parents of targets."""
        return cls(Genes(data, corrections), config, ExactParentTester(data, config))

    def direct_effects(self, jobs: Sequence[ParentJob]) -> Fitted:
        """Direct effects of all candidates on their targets, job after job, in one vector."""
        block = _Block(self.genes, jobs, self.config)
        block.fit()
        block.invert()
        block.take_variances()
        return self._collected(jobs, in_threads(block.effects, range(len(jobs))))

    def _collected(self, jobs: Sequence[ParentJob], parts: Sequence[Effects | None]) -> Fitted:
        """Join the effects of the jobs; what is missing is fitted exactly, or left."""
        whole, left, n_exact, n_left = [], [], 0, 0
        for number, (job, part) in enumerate(zip(jobs, parts, strict=True)):
            if part is not None:
                whole.append(part)
            elif self.exact is None:
                n_left += len(job.candidates)
                left.append(number)
                whole.append(Effects.missing(len(job.candidates)))
            elif self.genes.corrections is not None:  # dense fits know nothing of them
                whole.append(Effects.missing(len(job.candidates), status=FitStatus.NOT_IDENTIFIED))
            else:
                n_exact += len(job.candidates)
                whole.append(self.exact.fit(job))
        n_all = sum(len(job.candidates) for job in jobs)
        fits = {"grouped": n_all - n_exact - n_left, "exact": n_exact}
        return Fitted(Effects.joined(whole), fits, tuple(left))

    def bare(self) -> GroupedTester:
        """Return what all blocks share, without counts."""
        return self.unpacked(PackedGenes({}, {}, {}, complete=False))

    def pieces(self, block: Sequence[ParentJob]) -> list[Sequence[ParentJob]]:
        """Cut a block so that a piece needs the counts of so many genes in so many groups."""
        n_pairs = np.cumsum([len(job.candidates) ** 2 for job in block])
        piece = n_pairs // PAIRS_OF_A_PIECE
        cuts = [0, *(1 + np.flatnonzero(np.diff(piece))).tolist(), len(block)]
        return [block[a:b] for a, b in pairwise(cuts)]

    def packed(self, piece: Sequence[ParentJob]) -> PackedGenes:
        """Return sums over all cells of the genes of a piece, and their counts in its groups."""
        layout, n_nodes = self.genes.layout, self.genes.n_nodes
        sizes = np.diff(layout.start)
        needed: dict[int, BoolArray] = defaultdict(lambda: np.zeros(len(sizes), dtype=bool))
        complete = False
        for job in piece:
            genes = np.append(job.candidates, job.target)
            own = genes[genes < n_nodes]
            complete |= bool(2 * sizes[own].sum() > sizes.sum())
            for gene in genes.tolist():
                needed[gene][own] = True
        packed = PackedGenes({}, {}, {}, complete)

        def pack(part: IntArray) -> None:
            for gene, prepared in zip(part.tolist(), self.genes.prepare(part), strict=True):
                counts = prepared.cells.counts
                there = (counts > 0.0) & (complete | np.repeat(needed[gene], sizes))
                own = counts[there]
                packed.known[gene] = prepared.gene
                packed.place[gene] = np.flatnonzero(there).astype(np.uint32)
                smallest = np.min_scalar_type(int(own.max(initial=0)))
                packed.count[gene] = own.astype(smallest if self.genes.weights is None else float)

        every = np.array(sorted(needed))
        in_threads(pack, np.split(every, range(GENES_OF_A_TURN, len(every), GENES_OF_A_TURN)))
        return packed

    def unpacked(self, packed: PackedGenes) -> GroupedTester:
        """Be ready for the piece that these genes are of."""
        genes = GenesElsewhere(self.genes, packed)
        return GroupedTester(genes, self.config, None)

    def completed(self, piece: Sequence[ParentJob], found: Fitted) -> Fitted:
        """Compute here what was left elsewhere."""
        if not found.left:
            return found
        rest = self.direct_effects([piece[number] for number in found.left])
        sizes = [len(job.candidates) for job in piece]
        is_left = np.repeat(np.isin(np.arange(len(piece)), found.left), sizes)
        effects = found.effects.filled(is_left, rest.effects)
        return Fitted(effects, sum_of_fits([found, rest]))


class _Block:
    """A block of targets on its way; targets with the same candidates share their first stages.

    Sets of candidates are known by their bytes. The coefficients of the first stages of a set of n
    candidates are a square of n^2 places in one long vector, a row for each candidate, and those
    of the targets lie behind all squares; variances have the same places.
    """

    def __init__(self, genes: Genes, jobs: Sequence[ParentJob], config: InferenceConfig) -> None:
        self.genes, self.config = genes, config
        self.targets = [job.target for job in jobs]
        number: dict[bytes, int] = {}
        set_of_job = [number.setdefault(j.candidates.tobytes(), len(number)) for j in jobs]
        self.set_of_job = np.array(set_of_job, dtype=np.int64)
        sets = [np.frombuffer(key, dtype=np.int64) for key in number]
        self.n_candidates = np.array([len(candidates) for candidates in sets], dtype=np.int64)
        groups = np.concatenate(sets)
        targets = np.array(self.targets, dtype=np.int64)
        gene = np.concatenate([groups, targets])
        # Regressions are sorted by gene: ``row`` says where those of the sets, one candidate after
        # another, and then those of the targets have come to lie.
        by_gene = np.argsort(gene, kind="stable")
        self.row, self.gene = np.argsort(by_gene), gene[by_gene]
        of_set = np.repeat(np.arange(len(sets)), self.n_candidates)
        n = self.n_candidates[np.append(of_set, self.set_of_job)]
        place = np.cumsum(n) - n
        self.of_job = place[len(groups) :]
        self.fits = BlockOfFits(
            groups=groups,
            start=np.append(0, np.cumsum(self.n_candidates)),
            square=np.cumsum(self.n_candidates**2) - self.n_candidates**2,
            of_set=np.append(of_set, self.set_of_job)[by_gene],
            extra=np.append(
                np.full(len(groups), -1), np.where(targets < genes.n_nodes, targets, -1)
            )[by_gene],
            place=place[by_gene],
            outcome=np.full(len(gene), -1),
            halved=np.zeros(len(gene), dtype=bool),
            gamma=np.zeros((len(gene), genes.layout.n_columns)),
        )
        self.coefficients = np.empty(n.sum())
        # Where cells escape: total effects, their slopes by the coefficients of the regressions,
        # and, of targets, the log rates that these are, with their variances.
        self.totals, self.slopes, self.rates, self.single = np.empty((4, 0))
        self.variances = np.empty((len(config.model_shares), n.sum()))
        self.inverted = np.zeros(len(sets), dtype=bool)

    def fit(self) -> None:
        """Fit every gene wherever it is a candidate or a target."""

        def fit(gene: GroupedGene, first: int, last: int) -> None:
            fit_block(*gene.parts, first, last, self.fits, self.coefficients)

        self._for_each_gene(fit)
        if self.genes.corrections is not None:
            self._correct(self.genes.corrections)

    def _correct(self, corrections: Corrections) -> None:
        """Take total effects over the network from the coefficients, in place."""
        if corrections.mixes:
            self.slopes = np.ones(len(self.coefficients))
            self.rates, self.single = np.empty((2, len(self.coefficients)))

        def correct_set(number: int) -> None:
            square, nodes = self._square(self.coefficients, number), self._candidates(number)
            _, slope = corrections.correct(square.T, nodes, nodes)
            if corrections.mixes:
                self._square(self.slopes, number)[:] = slope.T

        def correct_target(job: int) -> None:
            nodes, places = self._candidates(self.set_of_job[job]), self._places(job)
            vector, target = self.coefficients[places, None], np.array([self.targets[job]])
            log_rate, slope = corrections.correct(vector, nodes, target)
            if corrections.mixes:
                self.rates[places], self.slopes[places] = log_rate[:, 0], slope[:, 0]

        in_threads(correct_set, range(len(self.n_candidates)))
        in_threads(correct_target, range(len(self.targets)))
        if corrections.mixes:
            self.totals = self.coefficients.copy()

    def _candidates(self, number: int) -> IntArray:
        """Return the candidates of a set."""
        return self.fits.groups[self.fits.start[number] : self.fits.start[number + 1]]

    def _places(self, job: int) -> slice:
        """Return where the coefficients of a target are."""
        first = self.of_job[job]
        return slice(first, first + self.n_candidates[self.set_of_job[job]])

    def _for_each_gene(self, function: Callable[[GroupedGene, int, int], None]) -> None:
        """Call a function with each gene and the range of its regressions, in threads."""
        genes, first = np.unique(self.gene, return_index=True)
        last = np.append(first[1:], len(self.gene))

        def take(part: slice) -> None:
            prepared = self.genes.prepare(genes[part])
            for gene, a, b in zip(prepared, first[part], last[part], strict=True):
                function(gene, a, b)

        turns = range(0, len(genes), GENES_OF_A_TURN)
        in_threads(take, [slice(turn, turn + GENES_OF_A_TURN) for turn in turns])

    def invert(self) -> None:
        """Invert Pi' of every set whose first stages all worked, in place."""
        worked = self.fits.outcome[self.row] == FITTED_GROUPS
        start = self.fits.start

        def invert(number: int) -> None:
            if worked[start[number] : start[number + 1]].all():
                square = self._square(self.coefficients, number)
                inverse = _inverse(square.T)
                if inverse is not None:
                    square[:] = inverse
                    self.inverted[number] = True

        in_threads(invert, range(len(self.inverted)))

    def _square(self, values: FloatArray, number: int) -> FloatArray:
        """View the places of a set's first stages: (..., n, n)."""
        n, first = int(self.n_candidates[number]), int(self.fits.square[number])
        return values[..., first : first + n**2].reshape(*values.shape[:-1], n, n)

    def take_variances(self) -> None:
        """Fill in the variances of both stages, gene by gene."""
        shares = np.array(self.config.model_shares)

        def take(gene: GroupedGene, first: int, last: int) -> None:
            vary_block(
                *gene.parts, first, last, self.fits, self.inverted, self.coefficients, self.slopes,
                shares, self.variances, self.single,
            )  # fmt: skip

        self._for_each_gene(take)

    def effects(self, job: int) -> Effects | None:
        """Return the effects of a job; None when it must be fitted exactly."""
        number, n_first = self.set_of_job[job], self.fits.start
        row = self.row[len(self.fits.groups) + job]
        rows = np.append(self.row[n_first[number] : n_first[number + 1]], row)
        if not self.inverted[number] or (self.fits.outcome[rows] != FITTED_GROUPS).any():
            return None
        halved = self.fits.halved[rows]
        status = np.where(halved[:-1] | halved[-1], FitStatus.HALF_COUNT, FitStatus.OK)
        effect = self._square(self.coefficients, number) @ self.coefficients[self._places(job)]
        own = self.variances[:, self._places(job)]
        of_proxies = self._square(self.variances, number).transpose(0, 2, 1)
        null = None
        corrections = self.genes.corrections
        if corrections is not None and corrections.mixes:
            nodes = self._candidates(number)
            of_nodes = corrections.derivatives(self._square(self.totals, number).T, nodes, nodes)
            more = self._of_escape(corrections, job, effect, of_nodes)
            own = np.maximum(own + more[0], LEAST_VARIANCE * own)
            of_proxies = np.maximum(of_proxies + more[1], LEAST_VARIANCE * of_proxies)
            null = self._without_effect(corrections, job, effect, of_nodes[0])
        if corrections is not None:
            more = self._of_programs(corrections, job, effect)
            own, of_proxies = own + more[0], of_proxies + more[1]
            null = null if null is None else (null[0], null[1] + more[0])
        return effects_with_tests(
            effect,
            own,
            of_proxies,
            test=self.config.test_of_parents,
            status=status.astype(np.int8),
            null=null,
        )

    def _without_effect(
        self, corrections: Corrections, job: int, effect: FloatArray, of_candidates: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return effects and variances of their second stage, as if each were none: (n,) each.

        The logarithm that leads from R to T is steep where T is far below 0, and so is not what a
        test of no effect should be made with. Without the effect of candidate j perturbation k
        would have ``T0_k = T_kt - theta_j T_kj`` and the log rate R0_k; with dT / dR there::

            theta_j0 = sum_k w_jk dT/dR (R_kt - R0_k)
        """
        number = self.set_of_job[job]
        nodes, target = self._candidates(number), np.array([self.targets[job]])
        weights, places = self._square(self.coefficients, number), self._places(job)
        totals, single = self._square(self.totals, number), self.single[places, None]
        added = corrections.of_programs(nodes, target)
        without = self.totals[places, None] - totals.T * effect  # [k, j]
        log_rate, slope, by_share = corrections.mixed(without, added, nodes)
        found = np.sum(weights.T * slope * (self.rates[places, None] - log_rate), axis=0)
        unsure = by_share - (of_candidates @ effect)[:, None] + of_candidates * effect
        variance = slope**2 * single - by_share**2 * corrections.realised_variance[nodes, None]
        variance = np.maximum(variance, LEAST_VARIANCE * slope**2 * single)
        variance += unsure**2 * corrections.penetrance_variance[nodes, None]
        return found, np.sum(weights.T**2 * variance, axis=0)

    def _of_programs(
        self, corrections: Corrections, job: int, effect: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return what errors of programs add to the variances: (n,), and (n, n) by proxies.

        With w_j the rows of the inverse, scores add to the variance of theta_j that of ``sum_k w_jk
        sum_p (v_tp - sum_m theta_m v_mp) s_kp``, and the loadings of t and, times theta_m, of m add
        ``sum_p (w_j's_p)^2 Var(v_p)``.
        """
        number, target = self.set_of_job[job], self.targets[job]
        nodes, weights = self._candidates(number), self._square(self.coefficients, number)
        left = corrections.loadings[target] - effect @ corrections.loadings[nodes]
        of_scores = weights**2 @ (corrections.score_variance[nodes] @ left**2)
        along = (weights @ corrections.scores[nodes]) ** 2
        of_loadings = along @ corrections.loading_variance[target]
        return of_scores + of_loadings, along @ corrections.loading_variance[nodes].T

    def _of_escape(
        self,
        corrections: Corrections,
        job: int,
        effect: FloatArray,
        of_nodes: tuple[FloatArray, FloatArray],
    ) -> tuple[FloatArray, FloatArray]:
        """Return what errors of penetrance add to the variances: (n,), and (n, n) by proxies.

        With T' the derivatives of T, perturbation k adds to the variance of theta_j ``w_jk^2``
        times that of ``(T'_kt - sum_m theta_m T'_km) pi_k``, and what does not come from R, or is
        counted with pi, ``w_jk^2`` times that.
        """
        number, target = self.set_of_job[job], np.array([self.targets[job]])
        nodes, weights = self._candidates(number), self._square(self.coefficients, number)
        of_target = corrections.derivatives(self.totals[self._places(job), None], nodes, target)
        by_share = of_target[0][:, 0] - of_nodes[0] @ effect
        variance = by_share**2 * corrections.penetrance_variance[nodes] + of_target[1][:, 0]
        return weights**2 @ variance, weights**2 @ of_nodes[1]


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
