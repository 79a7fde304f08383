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
their slopes; to these comes what the corrections are unsure about. Everything that is done for each
gene and for each target is compiled: see ``argen.glm._group_blocks`` and ``_direct_effects``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg import lapack

from argen.arrays import BoolArray, FloatArray, IntArray, UnsignedArray
from argen.config import InferenceConfig
from argen.data import PerturbSeqData
from argen.engine.corrections import Corrections
from argen.engine.exact import ExactParentTester
from argen.engine.protocol import Effects, Fitted, ParentJob, sum_of_fits
from argen.engine.threads import in_threads
from argen.errors import FitStatus
from argen.glm import (
    FITTED_GROUPS,
    BlockOfFits,
    Gene,
    GroupCorrections,
    GroupedGene,
    GroupFit,
    Turn,
    combine,
    fill_offsets,
    fit_genes,
    group_layout,
    prepare_genes,
    vary_genes,
)

# Where Pi has a smaller reciprocal condition number, dense fits find out what is collinear.
SMALLEST_CONDITION = 1e-10
# Neighbouring genes, or targets, that a thread takes together: their counts are read together, and
# compiled loops, which hold no lock, are called once for all of them.
OF_A_TURN = 8
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
        self.corrected = corrections is not None
        corrections = (corrections or Corrections.none(data.n_nodes, data.n_genes)).weighed()
        self.corrections = corrections
        self.given, self.mixes = corrections.numbers(), corrections.mixes
        block, offset = data.regressors, data.offset
        group = np.where(data.controls, data.n_nodes, data.node_of_cell)
        self.weights = np.empty(0)
        if corrections.guides is not None:
            self.weights = corrections.guides.weight_of_cell
            offset = offset + np.log(self.weights)
        self.layout, cells = group_layout(
            group, data.n_nodes + 1, offset, block.factors, block.numeric
        )
        self.place = np.empty(len(cells), dtype=np.int64)
        self.place[cells] = np.arange(len(cells))
        if len(self.weights):
            self.weights = self.weights[cells]
        self.known = Gene.unknown(self.layout, data.n_genes)  # kept for the next time

    def turn(self, genes: IntArray) -> Turn:
        """Lay out the counts of some genes."""
        start, place, count = self.data.counts.entries(genes, self.place)
        rates = self.rates(genes)
        return Turn(genes, start[:-1], start[1:], place, count, rates, self.weights, complete=True)

    def rates(self, genes: IntArray) -> FloatArray:
        """Return rates of groups over controls, without a network: (n_genes, n_groups)."""
        rates = np.ones((len(genes), self.n_nodes + 1))
        if self.corrected:
            offsets = np.empty((3, self.n_nodes, len(genes)))
            fill_offsets(self.given, np.arange(self.n_nodes), genes, offsets)
            rates[:, :-1] = np.exp(offsets[0]).T
        return rates

    def prepare(self, genes: IntArray) -> Iterator[GroupedGene]:
        """Prepare some genes, one after another."""
        for gene in genes.tolist():
            counts = np.empty(len(self.place))
            self.data.counts.scatter(gene, self.place, counts)
            if len(self.weights):
                counts *= self.weights
            known = Gene(*(part[gene] for part in self.known))
            yield GroupedGene(self.layout, counts, known, rates=self.rates(np.array([gene]))[0])

    def fit_target(self, gene: GroupedGene, job: ParentJob) -> GroupFit:
        """Regress a target on the perturbations of its candidates and, if any, on its own."""
        own = np.append(job.candidates, job.target) if job.target < self.n_nodes else job.candidates
        return gene.fit(own, halved=len(job.candidates))


@dataclass(frozen=True, slots=True)
class PackedGenes:
    """What jobs need of their genes: sums over all cells, and the counts in groups of theirs."""

    genes: IntArray  # (n_genes,), increasing
    known: Gene
    start: IntArray  # (n_genes + 1,): counts of gene i are start[i]:start[i + 1]
    place: UnsignedArray  # of the counts that are not 0, in the sequence of the layout
    count: UnsignedArray
    complete: bool  # the counts of all cells are there


class GenesElsewhere(Genes):
    """Genes that were packed, where the screen is not."""

    def __init__(self, genes: Genes, packed: PackedGenes | None = None) -> None:
        self.layout, self.n_nodes, self.weights = genes.layout, genes.n_nodes, genes.weights
        self.corrected, self.given, self.mixes = genes.corrected, genes.given, genes.mixes
        if packed is not None:
            self.packed, self.known = packed, packed.known
            self.count = packed.count.astype(np.uint32)

    def turn(self, genes: IntArray) -> Turn:
        """Lay out the counts of some genes."""
        row, packed = np.searchsorted(self.packed.genes, genes), self.packed
        parts = row, packed.start[row], packed.start[row + 1], packed.place, self.count
        return Turn(*parts, self.rates(genes), self.weights, packed.complete)


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
        block.for_each_gene(fit_genes, self.genes.given)
        block.invert()
        block.for_each_gene(vary_genes, np.array(self.config.model_shares))
        effects, worked = block.effects()
        failed, of_job = np.flatnonzero(~worked).tolist(), [len(job.candidates) for job in jobs]
        n_failed, n_exact, left = sum(of_job[number] for number in failed), 0, []
        if self.exact is None:
            left, other = failed, Effects.missing(n_failed)
        elif self.genes.corrected:  # dense fits know nothing of corrections
            other = Effects.missing(n_failed, status=FitStatus.NOT_IDENTIFIED)
        else:
            n_exact = n_failed
            other = Effects.joined([self.exact.fit(jobs[number]) for number in failed])
        n_grouped = len(effects.effect) - (n_failed if left else n_exact)
        effects = effects.filled(np.repeat(~worked, of_job), other)
        return Fitted(effects, {"grouped": n_grouped, "exact": n_exact}, tuple(left))

    def bare(self) -> GroupedTester:
        """Return what all blocks share, without counts."""
        return GroupedTester(GenesElsewhere(self.genes), self.config, None)

    def pieces(self, block: Sequence[ParentJob]) -> list[Sequence[ParentJob]]:
        """Cut a block so that a piece needs the counts of so many genes in so many groups."""
        n_pairs = np.cumsum([len(job.candidates) ** 2 for job in block])
        piece = n_pairs // PAIRS_OF_A_PIECE
        cuts = [0, *(1 + np.flatnonzero(np.diff(piece))).tolist(), len(block)]
        return [block[a:b] for a, b in pairwise(cuts)]

    def packed(self, piece: Sequence[ParentJob]) -> PackedGenes:
        """Return sums over all cells of the genes of a piece, and their counts in its groups."""
        layout, known = self.genes.layout, self.genes.known
        sizes = np.diff(layout.start)
        of_jobs = [np.append(job.candidates, job.target) for job in piece]
        genes, complete = np.unique(np.concatenate(of_jobs)), False
        needed = np.zeros((len(genes), len(sizes)), dtype=bool)
        for of_job in of_jobs:
            own = of_job[of_job < self.genes.n_nodes]
            complete |= bool(2 * sizes[own].sum() > sizes.sum())
            needed[np.ix_(np.searchsorted(genes, of_job), own)] = True
        group = np.repeat(np.arange(len(sizes)), sizes)

        def pack(part: slice) -> tuple[IntArray, UnsignedArray, UnsignedArray]:
            turn = self.genes.turn(genes[part])
            prepare_genes(layout, known, turn)
            row = np.repeat(np.arange(len(turn.row)), turn.end - turn.begin)
            kept = complete | needed[part][row, group[turn.places]]
            lengths = np.bincount(row[kept], minlength=len(turn.row))
            return lengths, turn.places[kept], turn.counts[kept]

        packed = zip(*in_threads(pack, turns_of(len(genes))), strict=True)
        lengths, place, count = map(np.concatenate, packed)
        smallest = np.min_scalar_type(int(count.max(initial=0)))
        return PackedGenes(
            genes=genes,
            known=Gene(*(part[genes] for part in known)),
            start=np.append(0, np.cumsum(lengths)),
            place=place,
            count=count.astype(smallest),
            complete=complete,
        )

    def unpacked(self, packed: PackedGenes) -> GroupedTester:
        """Be ready for the piece that these genes are of."""
        return GroupedTester(GenesElsewhere(self.genes, packed), self.config, None)

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
        number: dict[bytes, int] = {}
        set_of_job = [number.setdefault(j.candidates.tobytes(), len(number)) for j in jobs]
        sets = [np.frombuffer(key, dtype=np.int64) for key in number]
        targets = np.array([job.target for job in jobs], dtype=np.int64)
        groups, of_sets = np.concatenate(sets), np.array([len(candidates) for candidates in sets])
        gene = np.concatenate([groups, targets])
        of_set = np.append(np.repeat(np.arange(len(sets)), of_sets), set_of_job)
        n = of_sets[of_set]
        n_places = int(n.sum())
        self.n_effects = int(n[len(groups) :].sum())
        totals, slopes, rates, single = np.empty((4, n_places if genes.mixes else 0))
        self.fits = BlockOfFits(
            groups=groups,
            start=np.append(0, np.cumsum(of_sets)),
            square=np.cumsum(of_sets**2) - of_sets**2,
            gene=gene,
            by_gene=np.argsort(gene, kind="stable"),
            of_set=of_set,
            place=np.cumsum(n) - n,
            outcome=np.full_like(gene, -1),
            halved=np.zeros(len(gene), dtype=bool),
            gamma=np.zeros((len(gene), genes.layout.n_columns)),
            inverted=np.zeros(len(sets), dtype=bool),
            coefficients=np.empty(n_places),
            variances=np.empty((len(config.model_shares), n_places)),
            totals=totals,
            slopes=slopes,
            rates=rates,
            single=single,
        )

    def for_each_gene(
        self, kernel: Callable[..., None], known: FloatArray | GroupCorrections
    ) -> None:
        """Call compiled regressions with some genes and where those of each begin, in threads."""
        genes, fits = self.genes, self.fits
        numbers, first = np.unique(fits.gene[fits.by_gene], return_index=True)
        first = np.append(first, len(fits.gene))

        def take(part: slice) -> None:
            turn, begin = genes.turn(numbers[part]), first[part.start : part.stop + 1]
            kernel(genes.layout, genes.known, turn, begin, fits, known)

        in_threads(take, turns_of(len(numbers)))

    def invert(self) -> None:
        """Invert Pi' of every set whose first stages all worked, in place."""
        fits = self.fits

        def invert(number: int) -> None:
            begin, end = fits.start[number : number + 2].tolist()
            if (fits.outcome[begin:end] == FITTED_GROUPS).all():
                n, first = end - begin, int(fits.square[number])
                square = fits.coefficients[first : first + n**2].reshape(n, n)
                inverse = _inverse(square.T)
                if inverse is not None:
                    square[:] = inverse
                    fits.inverted[number] = True

        in_threads(invert, range(len(fits.inverted)))

    def effects(self) -> tuple[Effects, BoolArray]:
        """Return the effects of all jobs, and of which jobs there are any."""
        n_jobs = len(self.fits.gene) - len(self.fits.groups)
        worked, halved = np.zeros(n_jobs, dtype=bool), np.zeros(self.n_effects, dtype=bool)
        effect, errors = np.full(self.n_effects, np.nan), np.full((2, self.n_effects), np.nan)

        def take(part: slice) -> None:
            combine(
                self.genes.given, self.fits, part.start, part.stop, worked, halved, effect, *errors
            )

        in_threads(take, turns_of(n_jobs))
        status = np.where(halved, FitStatus.HALF_COUNT, FitStatus.OK).astype(np.int8)
        return Effects.tested(effect, errors, self.config.test_of_parents, status), worked


def turns_of(n: int) -> list[slice]:
    """Cut so many genes or targets into turns."""
    return [slice(first, min(first + OF_A_TURN, n)) for first in range(0, n, OF_A_TURN)]


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
