"""The one place for multiple testing: adjusted p-values and the online BatchBH rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from argen._arrays import BoolArray, FloatArray, IntArray

ADJUSTMENTS = ("bh", "by", "holm", "bonferroni", "storey")

# Share of p-values above it estimates the share of true nulls (Storey 2002).
STOREY_LAMBDA = 0.5


@dataclass(frozen=True, slots=True)
class Selection:
    """Which hypotheses are rejected, and by what."""

    selected: BoolArray  # (n_tests,)
    p_adjusted: FloatArray  # (n_tests,); NaN under BatchBH, which has no adjusted p-value
    level: FloatArray  # (n_tests,): the level that the test's batch was given


def adjust(p_values: FloatArray, method: str) -> FloatArray:
    """Adjust the finite p-values jointly; missing ones stay missing and do not count.

    Parameters
    ----------
    p_values
        Any shape.
    method
        ``"bh"`` (Benjamini-Hochberg), ``"by"`` (Benjamini-Yekutieli), ``"holm"``,
        ``"bonferroni"`` or ``"storey"`` (q-values: Benjamini-Hochberg times the estimated
        share of true nulls, ``(1 + #{p > 1/2}) / (m / 2)``, at most 1).
    """
    adjusted = np.full(p_values.shape, np.nan)
    finite = np.isfinite(p_values)
    if not finite.any():
        return adjusted
    from scipy.stats import false_discovery_control

    tested = p_values[finite]
    n_tests = len(tested)
    if method in ("bh", "by"):
        adjusted[finite] = false_discovery_control(tested, method=method)
    elif method == "bonferroni":
        adjusted[finite] = np.minimum(1.0, n_tests * tested)
    elif method == "holm":
        ascending = np.argsort(tested)
        stepped = np.maximum.accumulate(np.arange(n_tests, 0, -1) * tested[ascending])
        adjusted[finite] = np.minimum(1.0, stepped)[np.argsort(ascending)]
    else:
        n_null = (1 + np.sum(tested > STOREY_LAMBDA)) / (1.0 - STOREY_LAMBDA)
        adjusted[finite] = false_discovery_control(tested) * min(1.0, n_null / n_tests)
    return adjusted


def batch_bh(p_values: FloatArray, batch: IntArray, alpha: float) -> Selection:
    """Run the online BatchBH rule over batches in increasing order of their number.

    Batch ``s`` is tested by Benjamini-Hochberg at a level that depends on the rejections of
    the batches before it (Zrnic, Jiang, Ramdas and Jordan 2020), with
    ``gamma_s = 0.4374901658 s^-1.6``. Missing p-values take no part; a batch of nothing but
    missing ones is no batch.
    """
    from online_fdr.p_values.batching.bh import BatchBH

    rule = BatchBH(alpha)
    selected = np.zeros(len(p_values), dtype=bool)
    level = np.full(len(p_values), np.nan)
    for number in np.unique(batch):
        members = np.flatnonzero((batch == number) & np.isfinite(p_values))
        if len(members):
            rejected = np.array(rule.test_batch(p_values[members].tolist()))
            level[members] = rule.alpha_s[-1]
            # At level 0 nothing is rejected, not even a p-value that underflowed to 0.
            selected[members] = rejected & (rule.alpha_s[-1] > 0)
    return Selection(selected, np.full(len(p_values), np.nan), level)


def select(
    p_values: FloatArray,
    batch: IntArray,
    *,
    family: BoolArray,
    method: str,
    scope: str,
    alpha: float,
) -> Selection:
    """Select hypotheses at level ``alpha``.

    Parameters
    ----------
    p_values, batch
        (n_tests,) each.
    family
        (n_tests,); tests of the two families are never adjusted together. BatchBH takes the
        batches in their sequence whatever their family.
    method
        ``"batch_bh"``, or an adjustment (see ``adjust``): selected when adjusted p < alpha.
    scope
        ``"all"``: adjust the tests of a family at once; ``"target"``: within each batch.
    """
    if method == "batch_bh":
        return batch_bh(p_values, batch, alpha)
    adjusted = np.full(len(p_values), np.nan)
    together = family if scope == "all" else batch
    for value in np.unique(together):
        members = together == value
        adjusted[members] = adjust(p_values[members], method)
    level = np.where(np.isfinite(p_values), alpha, np.nan)
    return Selection(adjusted < alpha, adjusted, level)
