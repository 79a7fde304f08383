"""The screen engine: all perturbations of a target share one fit of its controls."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Self

import numpy as np

from argen.arrays import FloatArray, IntArray
from argen.config import InferenceConfig
from argen.data import GeneCounts, PerturbSeqData
from argen.engine.corrections import Corrections
from argen.engine.counts import OnCounts
from argen.engine.exact import ExactEngine, ExactScreener, require_controls
from argen.engine.grouped import GroupedTester
from argen.engine.joint import joint_applies
from argen.engine.protocol import Effects, Fitted, ParentTester, Screener
from argen.engine.saddlepoint import SaddlepointTest, saddlepoint_applies, with_deviates
from argen.engine.threads import in_threads
from argen.errors import FitStatus
from argen.glm import (
    FITTED,
    FITTED_AFRESH,
    FITTED_BY_CONTROLS,
    NO_FIT,
    NO_PERTURBED_COUNTS,
    UNSURE,
    Layout,
    cautious_share,
    effects_from_controls,
    fit_pairs,
    in_rounds,
    monomials,
    zero_count_test,
)
from argen.pvalues import two_sided

# Degrees of the series of the means and of the variance, by number of numeric covariates:
# as many as pay, since what they cannot reach is summed afresh.
SERIES_DEGREES = {0: (2, 2), 1: (6, 7), 2: (6, 7), 3: (5, 6), 4: (4, 5)}
# More indicators than this beside the main categorical covariate, and dense fits are as good.
MOST_INDICATORS = 40


class SharedScreener(OnCounts):
    """Fits the pairs of a target together; see ``argen.glm._pairs`` for the algebra.

    What the shared fit cannot do (a covariate that separates the counts, no count among the
    controls) is fitted exactly.
    """

    def __init__(
        self, data: PerturbSeqData, config: InferenceConfig, corrections: Corrections | None = None
    ) -> None:
        self.data = data
        self.layout, controls, perturbed = shared_layout(data)
        applies = saddlepoint_applies(data, config)
        self.test = SaddlepointTest(data, controls, perturbed) if applies else None
        self.exact = ExactScreener(data, self.test, corrections)
        self.n_controls = len(controls)
        self.n_places = len(controls) + len(perturbed)
        self.source_of_perturbed = np.repeat(
            np.arange(data.n_nodes), np.diff(self.layout.source_start)
        )
        exposure = np.exp(data.offset)
        of_sources = np.bincount(self.source_of_perturbed, exposure[perturbed], data.n_nodes)
        self.share_of_exposure = of_sources / (of_sources + exposure[controls].sum())
        order = np.concatenate([controls, perturbed])
        # A cell has as many places as perturbations: its counts go to the first of them, and
        # from there to the others.
        places = np.arange(self.n_places)
        self.place = np.empty(data.n_cells, dtype=np.int64)
        self.place[order[::-1]] = places[::-1]
        self.again = np.flatnonzero(self.place[order] != places)
        self.first = self.place[order[self.again]]

    def on(self, data: PerturbSeqData) -> Self:
        """Return the same preparations, with the counts of ``data``, which else is the same."""
        other = copy(self)
        other.data, other.exact = data, self.exact.on(data)
        return other

    def genes_of(self, block: IntArray) -> IntArray:
        """Return the targets."""
        return block

    def total_effects(self, targets: IntArray) -> Fitted:
        """Effects of every perturbation on a block of targets: (n_nodes, n_targets) each.

        Each target is fitted by one thread, so no bit depends on their number.
        """
        by_target = Effects.missing(len(targets), self.data.n_nodes)
        deviate = np.full(by_target.effect.shape, np.nan)
        outcome = np.full(by_target.effect.shape, UNSURE)
        columns = np.arange(len(targets))
        buffers: list[FloatArray] = []
        counts = self.data.counts.block(targets)
        expected = self.exact.offsets(targets)
        fit = partial(self._fit_target, by_target, deviate, outcome, counts, expected, buffers)
        in_threads(fit, columns)
        fitted = outcome <= FITTED_BY_CONTROLS
        by_target.status[fitted] = FitStatus.OK
        z = np.where(np.isfinite(deviate), deviate, by_target.effect / by_target.std_error)[fitted]
        by_target.p_value[fitted], by_target.log10_p[fitted] = two_sided(z)
        found, unfitted = by_target.transposed(), (outcome == NO_FIT).T
        for source in np.flatnonzero(unfitted.any(axis=1)).tolist():
            some = columns[unfitted[source]]
            self.exact.fill(found, source, targets[some], some)
        tested = np.isfinite(deviate)
        if self.test is not None:
            deviate[fitted] = np.nan
            for column in columns[unfitted.all(axis=0)].tolist():  # no fit of the controls
                offset = [part[:, column] for part in expected]
                deviate[column] = self.exact.deviates(self.test, int(targets[column]), *offset)
            with_deviates(found, deviate.T)
        fits = {
            "controls": int((outcome == FITTED_BY_CONTROLS).sum()),
            "series": int((outcome == FITTED).sum()),
            "afresh": int((outcome == FITTED_AFRESH).sum()),
            "empty": int((outcome == NO_PERTURBED_COUNTS).sum()),
            "exact": int(unfitted.sum()),
        }
        tested |= np.isfinite(deviate)
        return Fitted(self.exact.corrected(found, targets, tested.T), fits)

    def _fit_target(
        self,
        found: Effects,
        deviate: FloatArray,
        outcome: IntArray,
        counts: GeneCounts,
        offsets: tuple[FloatArray, ...],
        buffers: list[FloatArray],
        row: int,
    ) -> None:
        """Fill in a row, that of one of the targets, with effects, errors and outcomes."""
        buffer = buffers.pop() if buffers else np.empty((2, self.n_places))
        in_order, mean = buffer
        counts.scatter(row, self.place, in_order)
        in_order[self.again] = in_order[self.first]
        controls, perturbed = in_order[: self.n_controls], in_order[self.n_controls :]
        variance, expected = np.empty((2, self.data.n_nodes))
        estimates = found.effect[row], variance, expected, outcome[row]
        dispersion = 1.0
        if self.test is not None:
            dispersion = effects_from_controls(self.layout, controls, perturbed, *estimates, mean)
            if mean[: self.n_controls].any():
                offset = [part[:, row] for part in offsets]
                deviate[row] = self.test.deviates(in_order, mean, *offset)
        unsure = outcome[row] == UNSURE
        if unsure.any():
            dispersion = fit_pairs(self.layout, controls, perturbed, unsure, *estimates)
        found.std_error[row] = np.sqrt(variance)
        total, empty = float(controls.sum()), outcome[row] == NO_PERTURBED_COUNTS
        if empty.any():
            found.effect[row, empty] = -np.inf
            found.status[row, empty] = FitStatus.ZERO_COUNTS_PERTURBED
            by_exposure = self.share_of_exposure
            if offsets:
                rates = np.exp(offsets[0][:, row])
                expected *= rates
                by_exposure = rates * by_exposure / (1.0 + (rates - 1.0) * by_exposure)
            share = expected[empty] / (expected[empty] + total)
            share = cautious_share(share, by_exposure[empty], total)
            found.p_value[row, empty], found.log10_p[row, empty] = zero_count_test(
                total, share, dispersion
            )
        # Where neither side has a count nothing can be said, and nothing needs fitting.
        if total == 0.0:
            sources = self.source_of_perturbed
            seen = np.bincount(sources, weights=perturbed, minlength=self.data.n_nodes)
            outcome[row, seen == 0.0] = NO_PERTURBED_COUNTS
        buffers.append(buffer)


class SharedEngine(ExactEngine):
    """Shares what fits have in common, where the covariates and the perturbations allow it."""

    def screen(
        self, data: PerturbSeqData, config: InferenceConfig, corrections: Corrections | None = None
    ) -> Screener:
        """Prepare to screen the targets of a screen, block by block."""
        if joint_applies(data, config):
            return super().screen(data, config, corrections)
        require_controls(data)
        block = data.regressors
        n_levels = [int(codes.max()) + 1 for codes in block.factors]
        n_indicators = sum(n_levels) - max(n_levels, default=0) - len(n_levels[1:])
        if len(block.numeric_columns) in SERIES_DEGREES and n_indicators <= MOST_INDICATORS:
            return SharedScreener(data, config, corrections)
        return super().screen(data, config, corrections)

    def parents(
        self, data: PerturbSeqData, config: InferenceConfig, corrections: Corrections | None = None
    ) -> ParentTester:
        """Prepare to test the candidate parents of targets, block by block."""
        # Group intercepts have no closed form for other families, nor where groups overlap.
        if config.family != "poisson" or not data.one_per_cell:
            return super().parents(data, config, corrections)
        return GroupedTester.of(data, config, corrections)


def shared_layout(data: PerturbSeqData) -> tuple[Layout, IntArray, IntArray]:
    """Sort the cells and lay out everything that does not depend on the response.

    Returns the layout and the cells, in its order, of the controls and of the perturbed: those
    of a source after those of another, so that a cell is there once for each perturbation.
    """
    block = data.regressors
    numeric = block.numeric - block.numeric[data.controls].mean(axis=0)
    stratum, levels = block.strata()
    n_levels = int(levels[0].max(initial=0)) + 1
    of_combinations = levels[1:, ::n_levels]
    indicators = [
        (of_factor == level).astype(np.float64)
        for of_factor in of_combinations
        for level in range(1, int(of_factor.max(initial=0)) + 1)
    ]
    controls = np.flatnonzero(data.controls)
    controls = controls[np.argsort(stratum[controls], kind="stable")]
    source_start = data.perturbations.indptr.astype(np.int64)
    perturbed = data.perturbations.indices.astype(np.int64)
    source = np.repeat(np.arange(data.n_nodes), np.diff(source_start))
    perturbed = perturbed[in_rounds(source, stratum[perturbed])]
    n_numeric = numeric.shape[1]
    mean_degree, degree = SERIES_DEGREES[n_numeric]
    series = monomials(n_numeric, degree)
    norm = np.sqrt(np.sum(numeric[controls] ** 2, axis=1))
    powers = series.powers(numeric[controls].T)
    sizes = np.exp(data.offset[controls])
    layout = Layout(
        control_start=np.searchsorted(stratum[controls], np.arange(levels.shape[1] + 1)),
        control_size=sizes,
        control_powers=powers,
        size_moments=np.array(
            [np.bincount(stratum[controls], sizes * row, levels.shape[1]) for row in powers]
        ),
        perturbed_size=np.exp(data.offset[perturbed]),
        perturbed_z=np.ascontiguousarray(numeric[perturbed].T),
        perturbed_stratum=stratum[perturbed].astype(np.uint32),
        perturbed_norm=_largest_norms(numeric[perturbed], source_start),
        source_start=source_start,
        n_levels=n_levels,
        n_numeric=n_numeric,
        indicators=np.array(indicators).reshape(len(indicators), of_combinations.shape[1]),
        largest_norm=float(norm.max()),
        parent=series.parent,
        variable=series.variable,
        power=series.power,
        minus=series.minus,
        n_up_to=series.n_up_to,
        norm_shares=series.norm_shares(),
        two_to_degree=2.0 ** series.exponents.sum(axis=1),
        mean_degree=mean_degree,
    )
    return layout, controls, perturbed


def _largest_norms(z: FloatArray, start: IntArray) -> FloatArray:
    """Largest |z| of the rows from each start to the next."""
    norm = np.sqrt(np.sum(z**2, axis=1))
    bounds = zip(start[:-1].tolist(), start[1:].tolist(), strict=True)
    return np.array([norm[a:b].max(initial=0.0) for a, b in bounds])
