"""One regression after another, on dense designs of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Self

import numpy as np

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.config import InferenceConfig
from argen.data import PerturbSeqData
from argen.engine.corrections import Corrections
from argen.engine.counts import OnCounts
from argen.engine.joint import JointScreener, joint_applies
from argen.engine.protocol import Effects, Fitted, ParentJob, ParentTester, Screener
from argen.engine.saddlepoint import SaddlepointTest, saddlepoint_applies, with_deviates
from argen.errors import FitStatus, InputError
from argen.glm import (
    TwoStageDesign,
    cautious_share,
    errors_and_deviates,
    fit_regressions,
    fit_two_stage,
    pearson_dispersion,
    prepare_responses,
    zero_count_test,
)
from argen.pvalues import two_sided

CORRECTIONS_NEED = (
    "Direct effects can be corrected for response programs, and for cells that escape their guide, "
    "where each cell carries one perturbation at most and the family is 'poisson'."
)


class ExactScreener(OnCounts):
    """Fits every pair by maximum likelihood to machine precision.

    P-values are those of ``test``; without one, Wald's.
    """

    def __init__(
        self,
        data: PerturbSeqData,
        test: SaddlepointTest | None,
        corrections: Corrections | None = None,
    ) -> None:
        self.data = data
        self.test = test
        self.corrections = corrections

    def on(self, data: PerturbSeqData) -> Self:
        """Return the same preparations, with the counts of ``data``, which else is the same."""
        return type(self)(data, self.test, self.corrections)

    def genes_of(self, block: IntArray) -> IntArray:
        """Return the targets."""
        return block

    def total_effects(self, targets: IntArray) -> Fitted:
        """Effects of every perturbation on a block of targets: (n_nodes, n_targets) each."""
        found = Effects.missing(self.data.n_nodes, len(targets))
        for source in range(self.data.n_nodes):
            self.fill(found, source, targets, np.arange(len(targets)))
        deviate, offsets = np.full(found.effect.shape, np.nan), self.offsets(targets)
        if self.test is not None:
            for column, target in enumerate(targets.tolist()):
                offset = [part[:, column] for part in offsets]
                deviate[:, column] = self.deviates(self.test, target, *offset)
            with_deviates(found, deviate)
        found = self.corrected(found, targets, np.isfinite(deviate))
        return Fitted(found, {"exact": found.effect.size})

    def offsets(self, targets: IntArray) -> tuple[FloatArray, ...]:
        """Return the offset of every pair and its variance; nothing without corrections."""
        if self.corrections is None:
            return ()
        nodes = np.arange(self.data.n_nodes)
        return (
            self.corrections.offset(nodes, targets),
            self.corrections.offset_variance(nodes, targets),
        )

    def corrected(self, found: Effects, targets: IntArray, tested: BoolArray) -> Effects:
        """Correct effects as regressions have them: (n_nodes, n_targets) each.

        P-values that are ``tested`` know the offset already; the others get Wald's.
        """
        if self.corrections is None:
            return found
        nodes, finite = np.arange(self.data.n_nodes), np.isfinite(found.effect)
        log_rate, variance = np.where(finite, found.effect, 0.0), found.std_error**2
        mended = self.corrections.corrected(log_rate, nodes, targets)
        of_effect = self.corrections.variance(mended, variance, nodes, targets)
        offset, of_offset = self.offsets(targets)
        by_wald = finite & np.isfinite(variance) & ~tested
        z = (log_rate - offset)[by_wald] / np.sqrt(variance + of_offset)[by_wald]
        p_value, log10_p = found.p_value.copy(), found.log10_p.copy()
        p_value[by_wald], log10_p[by_wald] = two_sided(z)
        return Effects(
            np.where(finite, mended.effect, found.effect),
            np.where(finite, np.sqrt(of_effect), found.std_error),
            p_value,
            log10_p,
            found.status,
        )

    def deviates(self, test: SaddlepointTest, target: int, *offset: FloatArray) -> FloatArray:
        """Test the effect of every perturbation on a target: (n_nodes,)."""
        data = self.data
        counts = data.counts.dense(np.array([target]))[0]
        mean, _, status = _null_means(
            counts,
            data.intercept_and_covariates(),
            data.offset,
            data.regressors.factors,
            data.controls,
        )
        if status != FitStatus.OK:
            return np.full(data.n_nodes, np.nan)
        return test.deviates(counts[test.cells], mean[test.cells], *offset)

    def fill(self, found: Effects, source: int, targets: IntArray, columns: IntArray) -> None:
        """Fit ``log E[Y_k] = a + d D_source + gamma' X + log C`` on its cells and the controls.

        A gene without a count among the perturbed (or the control) cells has an infinite
        effect; its p-value is that of the conditional binomial test.
        """
        data = self.data
        cells = data.controls | data.perturbed(source)
        counts, offset = data.counts.dense(targets)[:, cells], data.offset[cells]
        perturbed = data.perturbed(source)[cells]
        factors = data.regressors.factors[:, cells]
        covariates = data.intercept_and_covariates(cells)
        log_rates = np.zeros(len(targets))
        if self.corrections is not None:
            log_rates = self.corrections.offset(np.array([source]), targets)[0]
        seen_perturbed = np.any(counts[:, perturbed], axis=1)
        seen_control = np.any(counts[:, ~perturbed], axis=1)

        both = seen_perturbed & seen_control
        responses = prepare_responses(counts[both], offset=offset, factors=factors)
        fit = fit_regressions(responses, np.column_stack([covariates, perturbed]), offset)
        some = columns[both]
        effect, std_error = fit.coefficients[:, -1], fit.std_error[:, -1]
        found.effect[source, some], found.std_error[source, some] = effect, std_error
        found.p_value[source, some], found.log10_p[source, some] = two_sided(effect / std_error)
        found.status[source, some] = np.where(
            (fit.status == FitStatus.OK) & np.isnan(effect), FitStatus.NOT_IDENTIFIED, fit.status
        )
        for k in np.flatnonzero(seen_perturbed ^ seen_control).tolist():
            empty = perturbed if seen_control[k] else ~perturbed
            # Fitted where the counts are; without any among the controls, on all cells.
            fitted = ~perturbed if seen_control[k] else np.ones_like(perturbed)
            expected = offset + log_rates[k] * perturbed
            mean, n_parameters, status = _null_means(
                counts[k], covariates, expected, factors, fitted
            )
            found.status[source, columns[k]] = status
            if status != FitStatus.OK:
                continue
            total, exposure = float(counts[k].sum()), np.exp(expected)
            share = mean[empty].sum() / mean.sum()
            share = cautious_share(share, exposure[empty].sum() / exposure.sum(), total)
            dispersion = pearson_dispersion(counts[k, fitted], mean[fitted], n_parameters)
            at = source, columns[k]
            found.p_value[at], found.log10_p[at] = zero_count_test(total, share, dispersion)
            found.effect[at] = -np.inf if seen_control[k] else np.inf
            found.status[at] = (
                FitStatus.ZERO_COUNTS_PERTURBED
                if seen_control[k]
                else FitStatus.ZERO_COUNTS_CONTROL
            )


def _null_means(
    counts: FloatArray,
    covariates: FloatArray,
    offset: FloatArray,
    factors: IntArray,
    fitted: BoolArray,
) -> tuple[FloatArray, int, FitStatus]:
    """Fit one response on covariates alone to some cells, and predict it for all.

    Returns the means, the number of coefficients behind them, and the status of the fit.
    """
    responses = prepare_responses(
        counts[None, fitted], offset=offset[fitted], factors=factors[:, fitted]
    )
    fit = fit_regressions(responses, covariates[fitted], offset[fitted])
    mean = np.exp(fit.linear_predictor(covariates, 0) + offset)
    for codes in factors:
        mean[(np.bincount(codes, weights=counts * fitted) == 0)[codes]] = 0.0
    return mean, int(np.isfinite(fit.coefficients[0]).sum()), FitStatus(fit.status[0])


class ExactParentTester(OnCounts):
    """Runs the two stages of every target on dense designs."""

    def __init__(self, data: PerturbSeqData, config: InferenceConfig) -> None:
        self.data = data
        self.config = config

    def on(self, data: PerturbSeqData) -> Self:
        """Return the same preparations, with the counts of ``data``, which else is the same."""
        return type(self)(data, self.config)

    def genes_of(self, block: Sequence[ParentJob]) -> IntArray:
        """Return the targets and their candidates."""
        return np.unique(np.concatenate([[job.target, *job.candidates] for job in block]))

    def direct_effects(self, jobs: Sequence[ParentJob]) -> Fitted:
        """Direct effects of all candidates on their targets, job after job, in one vector."""
        parts = [self.fit(job) for job in jobs]
        return Fitted(Effects.joined(parts), {"exact": sum(len(p.effect) for p in parts)})

    def fit(self, job: ParentJob) -> Effects:
        """Run the two-stage regression of a target on the proxies of its candidates."""
        data, candidates = self.data, job.candidates
        instruments = np.column_stack([data.perturbed(k) for k in candidates.tolist()])
        stages = partial(
            fit_two_stage,
            data.counts.dense(np.array([job.target]))[0],
            data.counts.dense(candidates),
            TwoStageDesign(
                instruments=instruments.astype(np.float64),
                exogenous=data.intercept_and_covariates(),
                outcome_only=data.own_perturbation(job.target),
                offset=data.offset,
                first_stage_offset=data.offset,
                factors=data.regressors.factors,
            ),
            family=self.config.family,
        )
        fits = [stages(model_share=share) for share in self.config.model_shares]
        effect, own = fits[0].effect, np.array([fit.own_variances for fit in fits])
        of_proxies, errors = (
            np.array([fit.proxy_variances for fit in fits]),
            np.empty((2, len(own.T))),
        )
        errors_and_deviates(effect, own, of_proxies, effect, own[-1], *errors)
        return Effects.tested(effect, errors, self.config.test_of_parents, fits[0].status)


def require_controls(data: PerturbSeqData) -> None:
    """Refuse a comparison with controls where there are none."""
    if data.n_controls == 0:
        raise InputError(
            "Every cell carries a perturbation, and Wald's test of total effects compares with "
            "cells that carry none: use screen_test='saddlepoint', which compares with the cells "
            "that are without the one in question."
        )


class ExactEngine:
    """Regressions on dense designs: slow for large screens, for covariates of any kind."""

    def screen(
        self, data: PerturbSeqData, config: InferenceConfig, corrections: Corrections | None = None
    ) -> Screener:
        """Prepare to screen the targets of a screen, block by block."""
        if joint_applies(data, config):
            return JointScreener(data)
        require_controls(data)
        if not saddlepoint_applies(data, config):
            return ExactScreener(data, None, corrections)
        controls, perturbed = np.flatnonzero(data.controls), data.perturbations.indices
        return ExactScreener(data, SaddlepointTest(data, controls, perturbed), corrections)

    def parents(
        self, data: PerturbSeqData, config: InferenceConfig, corrections: Corrections | None = None
    ) -> ParentTester:
        """Prepare to test the candidate parents of targets, block by block."""
        if corrections is not None:
            raise InputError(
                f"{CORRECTIONS_NEED} ExactEngine does not correct direct effects: choose "
                "programs=0, or SharedEngine."
            )
        return ExactParentTester(data, config)
