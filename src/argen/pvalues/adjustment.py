"""The one place for multiple testing: adjusted p-values and the online BatchBH rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from argen.arrays import BoolArray, FloatArray, IntArray

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
    tested = p_values[finite]
    n_tests = len(tested)
    if method in ("bh", "by"):
        adjusted[finite] = _stepped_up(tested, dependent=method == "by")
    elif method == "bonferroni":
        adjusted[finite] = np.minimum(1.0, n_tests * tested)
    elif method == "holm":
        ascending = np.argsort(tested)
        stepped = np.maximum.accumulate(np.arange(n_tests, 0, -1) * tested[ascending])
        adjusted[finite] = np.minimum(1.0, stepped)[np.argsort(ascending)]
    else:
        n_null = (1 + np.sum(tested > STOREY_LAMBDA)) / (1.0 - STOREY_LAMBDA)
        adjusted[finite] = _stepped_up(tested) * min(1.0, n_null / n_tests)
    return adjusted


def _stepped_up(p_values: FloatArray, *, dependent: bool = False) -> FloatArray:
    """Return the smallest ``p_(j) n / j`` over all j from the rank of each: (n_tests,).

    ``dependent``: times ``1 + 1/2 + ... + 1/n``. The numbers are those of SciPy's
    ``false_discovery_control``, whose import takes a second, which every run would pay.
    """
    ascending, rank = np.argsort(p_values), np.arange(1, len(p_values) + 1, dtype=np.float64)
    stepped = p_values[ascending] * (len(p_values) / rank)
    if dependent:
        stepped *= np.sum(1.0 / rank)
    stepped = np.minimum.accumulate(stepped[::-1])[::-1]
    adjusted = np.empty_like(stepped)
    adjusted[ascending] = np.minimum(1.0, stepped)
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


def two_level(
    p_values: FloatArray,
    ancestor_p: FloatArray,
    sure: BoolArray,
    *,
    n_pairs: int,
    ancestor_alpha: float,
    parent_alpha: float,
) -> tuple[Selection, BoolArray]:
    """Reject where both the ancestor and the parent are significant; returns what can be, too.

    A test can be rejected when its source is surely an ancestor, or when the evidence for that
    passes Benjamini-Hochberg's bar for R rejections among all pairs; it is, when its own
    evidence passes the bar for R among those that can be::

        callable(R) = {sure or ancestor_p <= ancestor_alpha R / n_pairs},   N(R) = |callable(R)|
        rejected(R) = {callable(R) and p <= parent_alpha R / N(R)}

    R is the largest number with at least R rejected. Of the R edges at most about
    ``ancestor_alpha R`` then have a source that is no ancestor, and ``parent_alpha R`` one that
    is an ancestor and no parent.

    Parameters
    ----------
    p_values, ancestor_p, sure
        (n_tests,) each; tests without a p-value take no part.
    n_pairs
        Number of pairs that were screened.
    """
    tested = np.isfinite(p_values)
    # Callable from this R on; a bar that is never reached is beyond any number of tests.
    with np.errstate(invalid="ignore"):
        needed = np.ceil(ancestor_p * (n_pairs / ancestor_alpha))
    from_r = np.where(sure, 1.0, np.where(np.isnan(needed), np.inf, np.maximum(needed, 1.0)))
    from_r = np.where(tested, from_r, np.inf)
    candidate = np.flatnonzero(tested & (p_values <= parent_alpha))
    p, first = p_values[candidate], from_r[candidate]
    n_callable = np.searchsorted(np.sort(from_r), np.arange(len(p) + 1), side="right")
    bar = parent_alpha * np.arange(len(p) + 1) / np.maximum(n_callable, 1)
    highest = np.maximum.accumulate(bar)
    r = len(p)
    while r > 0:
        able = first <= r
        if np.count_nonzero(able & (p <= bar[r])) >= r:
            break
        # No smaller R can have more than this.
        r = min(r - 1, int(np.count_nonzero(able & (p <= highest[r]))))
    r = min(max(r, 1), len(p))  # without any rejection, what one would have needed
    can = from_r <= r
    level = np.where(tested, bar[r], np.nan)
    selection = Selection(can & (p_values <= bar[r]), np.full(len(p_values), np.nan), level)
    return selection, can
