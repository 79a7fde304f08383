"""The seam between the steps of the method and whoever computes its regressions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numba
import numpy as np

from argen._arrays import FloatArray, IntArray, StatusArray
from argen.config import Family
from argen.design import Design
from argen.errors import FitStatus
from argen.glm.conditional import zero_count_test
from argen.glm.regression import fit_regressions, prepare_responses
from argen.glm.two_stage import fit_two_stage
from argen.glm.wald import two_sided


@dataclass(frozen=True, slots=True)
class Effects:
    """Effects with their errors and tests; natural-log scale."""

    effect: FloatArray
    std_error: FloatArray
    p_value: FloatArray
    log10_p: FloatArray
    status: StatusArray


class Engine(Protocol):
    """Answers the two questions of the method; the steps never loop over cells themselves."""

    def total_effects(self, design: Design, source: int) -> Effects:
        """Effects of perturbing ``source`` on every node, itself included: (n_nodes,) each."""

    def direct_effects(
        self, design: Design, target: int, candidates: IntArray, *, family: Family
    ) -> Effects:
        """Direct effects of the candidates on ``target``: (n_candidates,) each."""


class ExactEngine:
    """One regression after another, each by maximum likelihood to machine precision."""

    def total_effects(self, design: Design, source: int) -> Effects:
        """Fit ``log E[Y_k] = a + d D_source + gamma' X + log C`` on its cells and the controls.

        A gene without a count among the perturbed (or the control) cells has an infinite
        effect; its p-value is that of the conditional binomial test.
        """
        cells = design.controls | design.perturbed(source)
        counts, offset = design.counts[:, cells], design.offset[cells]
        perturbed = design.perturbed(source)[cells]
        factors = design.covariates.factors[:, cells]
        covariates = design.intercept_and_covariates()[cells]
        seen_perturbed = np.any(counts[:, perturbed], axis=1)
        seen_control = np.any(counts[:, ~perturbed], axis=1)

        n_nodes = design.n_nodes
        effect, std_error = np.full(n_nodes, np.nan), np.full(n_nodes, np.nan)
        status = np.full(n_nodes, FitStatus.ZERO_COUNTS, dtype=np.int8)
        both = np.flatnonzero(seen_perturbed & seen_control)
        responses = prepare_responses(counts[both], offset=offset, factors=factors)
        fit = fit_regressions(responses, np.column_stack([covariates, perturbed]), offset)
        effect[both], std_error[both] = fit.coefficients[:, -1], fit.std_error[:, -1]
        status[both] = fit.status
        status[(status == FitStatus.OK) & np.isnan(effect)] = FitStatus.NOT_IDENTIFIED
        p_value, log10_p = two_sided(effect / std_error)

        one = np.flatnonzero(seen_perturbed ^ seen_control)
        responses = prepare_responses(counts[one], offset=offset, factors=factors)
        fit = fit_regressions(responses, covariates, offset)
        status[one] = fit.status
        for r, k in enumerate(one.tolist()):
            if fit.status[r] != FitStatus.OK:
                continue
            mean = np.exp(fit.linear_predictor(covariates, r) + offset)
            used = responses.row_kinds[r] > 0
            test = zero_count_test(
                counts[k, used], mean[used], perturbed[used], n_parameters=covariates.shape[1]
            )
            p_value[k], log10_p[k] = test.p_value, test.log10_p
            effect[k] = np.inf if seen_perturbed[k] else -np.inf
            status[k] = (
                FitStatus.ZERO_COUNTS_CONTROL
                if seen_perturbed[k]
                else FitStatus.ZERO_COUNTS_PERTURBED
            )
        return Effects(effect, std_error, p_value, log10_p, status)

    def direct_effects(
        self, design: Design, target: int, candidates: IntArray, *, family: Family
    ) -> Effects:
        """Run the two-stage regression of ``target`` on the proxies of its candidates."""
        fit = fit_two_stage(
            design.counts[target],
            design.counts[candidates],
            instruments=np.column_stack([design.perturbed(int(k)) for k in candidates]).astype(
                np.float64
            ),
            exogenous=design.intercept_and_covariates(),
            outcome_only=design.perturbed(target)[:, None].astype(np.float64),
            offset=design.offset,
            first_stage_offset=design.offset,
            factors=design.covariates.factors,
            family=family,
        )
        effect, std_error = fit.effect, fit.std_error
        p_value, log10_p = two_sided(effect / std_error)
        return Effects(effect, std_error, p_value, log10_p, fit.status)


@contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """Limit the compiled loops to so many threads; all cores when None."""
    before = numba.get_num_threads()
    if threads is not None:
        numba.set_num_threads(min(threads, before))
    try:
        yield
    finally:
        numba.set_num_threads(before)
