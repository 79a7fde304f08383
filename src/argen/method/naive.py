"""Naive regression: the same screen and order, but observed expression instead of proxies."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from argen.config import InferenceConfig
from argen.data import PerturbSeqData
from argen.engine import (
    Corrections,
    Effects,
    ExactParentTester,
    ParentJob,
    ParentTester,
    SharedEngine,
)
from argen.errors import FitStatus
from argen.glm import fit_regressions, prepare_responses, weighted_cross
from argen.method.pipeline import infer_network
from argen.method.running import HowToRun, named
from argen.network import CausalNetwork
from argen.pvalues import two_sided


class NaiveEngine(SharedEngine):
    """Answers the second question by regressing on what was measured."""

    def parents(
        self, data: PerturbSeqData, config: InferenceConfig, corrections: Corrections | None = None
    ) -> ParentTester:
        """Prepare to test the candidate parents of targets, block by block."""
        return NaiveParentTester(data, config)


class NaiveParentTester(ExactParentTester):
    """Regresses each target on the observed expression of its candidates."""

    def fit(self, job: ParentJob) -> Effects:
        """Fit ``log E[Y_t] = log C + [1, X, D_t] b + sum_k theta_k log(Y_k / C + 1)``.

        Standard errors are the model's. Whatever moves both Y_k and Y_t without being
        measured goes into theta_k.
        """
        data, target, candidates = self.data, job.target, job.candidates
        own = data.own_perturbation(target)
        expression = np.log1p(data.counts.dense(candidates) * np.exp(-data.offset)).T
        regressors = np.column_stack([data.intercept_and_covariates(), own, expression])
        responses = prepare_responses(
            data.counts.dense(np.array([target])),
            offset=data.offset,
            factors=np.vstack([data.regressors.factors, own.T.astype(np.int64)]),
        )
        fit = fit_regressions(responses, regressors, data.offset, family=self.config.family)
        kept = np.isfinite(fit.coefficients[0])
        mean = np.exp(fit.linear_predictor(regressors, 0) + data.offset)
        weights = mean / (1.0 + fit.dispersion[0] * mean) * (responses.row_kinds[0] > 0)
        information = weighted_cross(regressors, weights, regressors)
        variance = np.full(len(kept), np.nan)
        if kept.any():
            factor = cho_factor(information[np.ix_(kept, kept)])
            variance[kept] = np.diagonal(cho_solve(factor, np.eye(kept.sum())))
        effect = fit.coefficients[0, -len(candidates) :]
        std_error = np.sqrt(variance[-len(candidates) :])
        status = np.full(len(candidates), fit.status[0], dtype=np.int8)
        status[~np.isfinite(effect)] = np.maximum(
            status[~np.isfinite(effect)], FitStatus.NOT_IDENTIFIED
        )
        return Effects(effect, std_error, *two_sided(effect / std_error), status)


def infer_naive(
    data: PerturbSeqData,
    config: InferenceConfig | None = None,
    **how: Unpack[HowToRun],
) -> CausalNetwork:
    """Infer a network by naive regression, the comparison of the paper.

    Screen, order, candidates and error control are those of ``infer_network``; only the
    parent tests differ, and they are biased by hidden confounders.

    Parameters
    ----------
    how
        ``executor``, ``checkpoint``, ``progress`` and ``command``, as for ``infer_network``.
    """
    return named(infer_network(data, config, engine=NaiveEngine(), **how), "naive")
