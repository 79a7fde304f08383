"""Compiled fit of the controls of one response, shared by all its pairs (see ``_pairs``)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from argen._arrays import FloatArray, IntArray
from argen.glm._compile import compiled
from argen.glm._kernels import cholesky_dropping, solve_kept
from argen.glm._series import FAST, exponentials

# The fit is where the series start, and it predicts the count of perturbed cells without one.
CONTROL_STEP = 1e-6
MAX_STEPS = 30
LONGEST_STEP = 3.0
SMALLEST_MEAN = 1e-290
# Share of a regressor's sum of squares that must be left within levels for it to have a slope.
IDENTIFIED_SHARE = 1e-10


class Layout(NamedTuple):
    """Cells sorted by stratum; everything that does not depend on the response."""

    control_start: IntArray  # (n_strata + 1,): controls of stratum s are start[s]:start[s + 1]
    control_log_size: FloatArray  # (n_controls,)
    control_powers: FloatArray  # (n_monomials, n_controls): the monomials of z
    control_norms: FloatArray  # (n_norms, n_controls): |z|^k for k = 0, 1, ...
    perturbed_log_size: FloatArray  # (n_perturbed,)
    perturbed_powers: FloatArray  # (n_low, n_perturbed): the monomials up to degree 2
    perturbed_stratum: IntArray  # (n_perturbed,)
    source_start: IntArray  # (n_sources + 1,): cells of source j are start[j]:start[j + 1]
    level: IntArray  # (n_strata,): level of the main categorical covariate
    n_levels: int
    n_numeric: int
    indicators: FloatArray  # (n_indicators, n_strata): levels of the other covariates
    largest_norm: float  # of a control cell
    parent: IntArray  # the monomials, see argen.glm.monomials
    variable: IntArray
    power: FloatArray
    minus: IntArray
    n_up_to: IntArray
    two_to_degree: FloatArray  # (n_monomials,): 2 to the power of the degree
    mean_degree: int  # degree of the series of the means; that of the variance has all


class Response(NamedTuple):
    """What the controls say about one response."""

    level_shift: FloatArray  # (n_levels,): alpha
    slopes: FloatArray  # (n_numeric + n_indicators,): beta, phi
    level_counts: FloatArray  # (n_levels,): sum of y
    observed: FloatArray  # (n_numeric + n_indicators,): sum of y z, sum of y F
    means: FloatArray  # (n_monomials of the means, n_strata): sum of w z^a
    squares: FloatArray  # (n_low, n_strata): sum of y^2 z^a
    cross: FloatArray  # (n_monomials, n_strata): sum of y w z^a
    mean_squares: FloatArray  # (n_monomials, n_strata): sum of w^2 z^a
    norms: FloatArray  # sum of w |z|^k over sum of w
    square_norms: FloatArray  # the same of w^2
    spread_ratio: float  # (2 sum y w + sum w^2) / sum (y - w)^2
    dispersion: float  # Pearson's, at least 1
    weights: FloatArray  # (n_controls,): w
    usable: bool


@compiled(fastmath=FAST)
def segment_sums(weights, powers, start, out):
    """``out[a, s] = sum_{i in s} weights_i powers[a, i]``."""
    for a in range(out.shape[0]):
        for s in range(out.shape[1]):
            total = 0.0
            for i in range(start[s], start[s + 1]):
                total += weights[i] * powers[a, i]
            out[a, s] = total


@compiled(fastmath=FAST)
def newton_system(level, indicators, level_counts, observed, sums, own, n_numeric, with_own,
                  by_level, by_stratum, score, information):  # fmt: skip
    """Profile the level intercepts out and fill score and information of u = (e, d).

    With f_g the first moments of level g and ``A_g = T_g / M_g``::

        score = observed - sum_g A_g f_g
        information = sum_s A_g m2_s - sum_g T_g (f_g / M_g) (f_g / M_g)'

    ``by_level`` gets 1 / M_g, A_g and the rows of ``f_g / M_g``; ``by_stratum`` gets A_g of the
    level of each stratum, and is scratch from there on.
    """
    n_strata, n_levels = sums.shape[1], level_counts.shape[0]
    n_slopes = n_numeric + indicators.shape[0]
    size = n_slopes + (1 if with_own else 0)
    by_level[:, :] = 0.0
    for a in range(1 + size):
        # Row 0 the means, then the first moments.
        if a <= n_numeric:
            by_stratum[1] = sums[a]
        elif a <= n_slopes:
            by_stratum[1] = indicators[a - n_numeric - 1] * sums[0]
        else:
            by_stratum[1] = own[0]
        row = a + 1 if a else 0
        if n_levels == n_strata:
            by_level[row] = by_stratum[1]
        else:
            for s in range(n_strata):
                by_level[row, level[s]] += by_stratum[1, s]
    for g in range(n_levels):
        # A level without cells has no counts either, and drops out.
        by_level[0, g] = 1.0 / max(by_level[0, g], SMALLEST_MEAN)
        by_level[1, g] = level_counts[g] * by_level[0, g]
    for a in range(size):
        total = 0.0
        for g in range(n_levels):
            by_level[2 + a, g] *= by_level[0, g]
            total += level_counts[g] * by_level[2 + a, g]
        score[a] = observed[a] - total
    for s in range(n_strata):
        by_stratum[0, s] = by_level[1, level[s]]

    second = 1 + n_numeric  # the row of z_0^2, and then of z_0 z_1, ..., z_1^2, ...
    for b in range(size):
        for a in range(b, size):
            total = 0.0
            if a < n_numeric:
                for s in range(n_strata):
                    total += by_stratum[0, s] * sums[second, s]
                second += 1
            elif a < n_slopes:
                other = by_stratum[1]
                for s in range(n_strata):
                    factor = indicators[b - n_numeric, s] * sums[0, s] if b >= n_numeric else (
                        sums[1 + b, s]
                    )  # fmt: skip
                    other[s] = factor
                for s in range(n_strata):
                    total += by_stratum[0, s] * indicators[a - n_numeric, s] * other[s]
            elif b < n_numeric:
                for s in range(n_strata):
                    total += by_stratum[0, s] * own[1 + b, s]
            elif b < n_slopes:
                for s in range(n_strata):
                    total += by_stratum[0, s] * indicators[b - n_numeric, s] * own[0, s]
            else:
                for s in range(n_strata):
                    total += by_stratum[0, s] * own[0, s]
            uncentred = total
            for g in range(n_levels):
                total -= level_counts[g] * by_level[2 + a, g] * by_level[2 + b, g]
            if a == b and not total > IDENTIFIED_SHARE * uncentred:
                total = 0.0
            information[a, b] = total
            information[b, a] = total
    for a in range(size):
        if information[a, a] == 0.0:
            for b in range(size):
                information[a, b] = 0.0
                information[b, a] = 0.0


@compiled()
def largest_component(step):
    longest = 0.0
    for a in range(step.shape[0]):
        longest = max(longest, abs(step[a]))
    return longest


@compiled(fastmath=FAST)
def _fit_slopes(layout, y, level_counts, observed, weights, rate):
    """Newton on the slopes of the controls; ``weights`` get the means without level intercepts.

    Returns the slopes and whether they were found; ``rate`` gets exp of the level intercepts.
    """
    n_controls, n_numeric = y.shape[0], layout.n_numeric
    n_indicators, n_strata = layout.indicators.shape[0], layout.level.shape[0]
    n_slopes, n_low = n_numeric + n_indicators, layout.minus.shape[1]
    start, powers = layout.control_start, layout.control_powers
    log_mean, scratch = np.empty(n_controls), np.empty(n_controls, np.int64)
    slopes, step, score = np.zeros(n_slopes), np.zeros(n_slopes), np.zeros(n_slopes)
    information, lower = np.zeros((n_slopes, n_slopes)), np.zeros((n_slopes, n_slopes))
    kept = np.zeros(n_slopes, np.bool_)
    sums, own = np.zeros((n_low, n_strata)), np.zeros((1 + n_numeric, n_strata))
    by_level = np.zeros((3 + n_slopes, layout.n_levels))
    by_stratum = np.zeros((2, n_strata))
    for _ in range(MAX_STEPS):
        log_mean[:] = layout.control_log_size
        for t in range(n_numeric):
            for i in range(n_controls):
                log_mean[i] += slopes[t] * powers[1 + t, i]
        if n_indicators > 0:
            for s in range(n_strata):
                shift = 0.0
                for h in range(n_indicators):
                    shift += slopes[n_numeric + h] * layout.indicators[h, s]
                for i in range(start[s], start[s + 1]):
                    log_mean[i] += shift
        exponentials(log_mean, weights, scratch)
        segment_sums(weights, powers, start, sums)
        newton_system(layout.level, layout.indicators, level_counts, observed, sums, own,
                      n_numeric, False, by_level, by_stratum, score, information)  # fmt: skip
        rate[:] = by_level[1]
        cholesky_dropping(information, lower, kept)
        solve_kept(lower, kept, score, step)
        longest = largest_component(step)
        if longest < CONTROL_STEP:
            return slopes, True
        slopes += min(1.0, LONGEST_STEP / longest) * step
    return slopes, False


@compiled(fastmath=FAST)
def fit_controls(layout, y):
    """Fit the controls of one response and take the moments that its pairs share."""
    n_controls, n_numeric = y.shape[0], layout.n_numeric
    n_indicators, n_strata = layout.indicators.shape[0], layout.level.shape[0]
    start, powers, level = layout.control_start, layout.control_powers, layout.level
    level_counts = np.zeros(layout.n_levels)
    observed = np.zeros(n_numeric + n_indicators)
    for s in range(n_strata):
        total = 0.0
        for i in range(start[s], start[s + 1]):
            total += y[i]
        level_counts[level[s]] += total
        for h in range(n_indicators):
            observed[n_numeric + h] += layout.indicators[h, s] * total
    for t in range(n_numeric):
        total = 0.0
        for i in range(n_controls):
            total += y[i] * powers[1 + t, i]
        observed[t] = total

    weights, rate = np.empty(n_controls), np.zeros(layout.n_levels)
    slopes, found = _fit_slopes(layout, y, level_counts, observed, weights, rate)
    # A level without control counts gets the common rate: any finite value serves as a start.
    common = max(np.sum(level_counts), 1.0) / np.sum(weights)
    level_shift = np.empty(layout.n_levels)
    for g in range(layout.n_levels):
        level_shift[g] = math.log(rate[g] if rate[g] > 0.0 else common)
    freedom = -n_numeric - n_indicators
    pearson, spread, excess = 0.0, 0.0, 0.0
    for s in range(n_strata):
        scale = math.exp(level_shift[level[s]])
        used = 1.0 if level_counts[level[s]] > 0.0 else 0.0
        freedom += int(used) * (start[s + 1] - start[s])
        for i in range(start[s], start[s + 1]):
            weights[i] *= scale
            squared = (y[i] - weights[i]) ** 2
            pearson += used * squared / max(weights[i], SMALLEST_MEAN)
            spread += squared
            excess += (2.0 * y[i] + weights[i]) * weights[i]
    for g in range(layout.n_levels):
        freedom -= 1 if level_counts[g] > 0.0 else 0

    n_low = layout.minus.shape[1]
    means = np.empty((layout.n_up_to[layout.mean_degree], n_strata))
    squares, cross = np.empty((n_low, n_strata)), np.empty((powers.shape[0], n_strata))
    mean_squares = np.empty((powers.shape[0], n_strata))
    segment_sums(weights, powers, start, means)
    norms = _weighted_norms(weights, layout.control_norms)
    products = y * y
    segment_sums(products, powers, start, squares)
    products[:] = y * weights
    segment_sums(products, powers, start, cross)
    products[:] = weights * weights
    segment_sums(products, powers, start, mean_squares)
    square_norms = _weighted_norms(products, layout.control_norms)
    return Response(
        level_shift, slopes, level_counts, observed, means, squares, cross, mean_squares, norms,
        square_norms, excess / max(spread, SMALLEST_MEAN), max(1.0, pearson / max(freedom, 1)),
        weights, found and np.sum(level_counts) > 0.0,
    )  # fmt: skip


@compiled(fastmath=FAST)
def _weighted_norms(weights, powers):
    """``sum_i weights_i |z_i|^k / sum_i weights_i`` for every k."""
    norms = np.empty(powers.shape[0])
    for k in range(powers.shape[0]):
        total = 0.0
        for i in range(weights.shape[0]):
            total += weights[i] * powers[k, i]
        norms[k] = max(total, SMALLEST_MEAN)
    return norms / norms[0]
