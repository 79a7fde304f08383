"""Compiled fit of the controls of one response, shared by all its pairs (see ``_pairs``)."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.glm._compile import inlined, inner, loops
from argen.glm._kernels import cholesky_dropping, solve_kept
from argen.glm._scratch import booleans, matrix, unset, unset_integers, vector
from argen.glm._series import (
    FAST,
    add_moments,
    degree_of_means,
    exp_coefficients,
    exponentials_of_sums,
    length_of,
    second_moments,
)

# The fit is where the series start, and it predicts the count of perturbed cells without one.
CONTROL_STEP = 1e-6
# What a series of the controls' sums may lack, so that it is nothing to a step.
CONTROL_REMAINDER = 0.1 * CONTROL_STEP
MAX_STEPS = 30
LONGEST_STEP = 3.0
SMALLEST_MEAN = 1e-290
# Share of a regressor's sum of squares that must be left within levels for it to have a slope.
IDENTIFIED_SHARE = 1e-10


# Unsigned, since loops then need not ask whether an index counts from the end.
StratumArray: TypeAlias = NDArray[np.uint32]


class Layout(NamedTuple):
    """Cells sorted by stratum; everything that does not depend on the response.

    Level g of the main categorical covariate and combination c of levels of the others make
    stratum ``c n_levels + g``, whether it has cells or not.
    """

    control_start: IntArray  # (n_strata + 1,): controls of stratum s are start[s]:start[s + 1]
    control_size: FloatArray  # (n_controls,): C
    control_powers: FloatArray  # (n_monomials, n_controls): the monomials of z
    size_moments: FloatArray  # (n_monomials, n_strata): their sums, weighted by C
    perturbed_size: FloatArray  # (n_perturbed,): C
    perturbed_z: FloatArray  # (n_numeric, n_perturbed)
    perturbed_stratum: StratumArray  # (n_perturbed,)
    perturbed_norm: FloatArray  # (n_sources,): the largest |z| of its cells
    source_start: IntArray  # (n_sources + 1,): cells of source j are start[j]:start[j + 1]
    n_levels: int  # of the main categorical covariate
    n_numeric: int
    indicators: FloatArray  # (n_indicators, n_combinations): levels of the other covariates
    largest_norm: float  # of a control cell
    parent: IntArray  # the monomials, see argen.glm.monomials
    variable: IntArray
    power: FloatArray
    minus: IntArray
    n_up_to: IntArray
    norm_shares: FloatArray  # (n_even, n_monomials): |z|^k in terms of them, k = 0, 2, ...
    two_to_degree: FloatArray  # (n_monomials,): 2 to the power of the degree
    mean_degree: int  # degree of the series of the means; that of the variance has all


class ControlFit(NamedTuple):
    """What the controls say about one response."""

    rates: FloatArray  # (n_strata,): exp(alpha_g + phi'F_s)
    slopes: FloatArray  # (n_slopes,): beta of numeric covariates, phi of indicators
    level_counts: FloatArray  # (n_levels,): sum of y
    observed: FloatArray  # (n_slopes,): sum of y z, sum of y F
    inverse: FloatArray  # (n_levels,): 1 / M, M the means; at the common rate where no count is
    centre: FloatArray  # (n_slopes, n_levels): mean of z and F, weighted by the means
    lower: FloatArray  # (n_slopes, n_slopes): Cholesky factor of the information of the slopes
    kept: BoolArray  # (n_slopes,): what has a slope
    spread_ratio: float  # (2 sum y w + sum w^2) / sum (y - w)^2, w the means
    dispersion: float  # Pearson's, at least 1
    usable: bool


@loops(fastmath=FAST)
def segment_sums(weights, powers, start, out):
    """``out[a, s] = sum_{i in s} weights[i] powers[a, i]``, for the first rows of powers."""
    for s in range(out.shape[1]):
        begin, end = start[s], start[s + 1]
        weight = weights[begin:end]
        for a in range(out.shape[0]):
            row, total = powers[a, begin:end], 0.0
            for i in range(row.shape[0]):
                total += weight[i] * row[i]
            out[a, s] = total


@inner(fastmath=FAST)
def mean_norms(layout, table):
    """Bounds of ``sum_i w_i |z_i|^k / sum_i w_i`` for every k, from the sums of the monomials.

    Even powers are sums of monomials. An odd one is at most the geometric mean of its neighbours,
    and what is beyond the monomials at most the one before times the largest |z|.
    """
    shares, n_norms = layout.norm_shares, layout.n_up_to.shape[0] + 1
    norms, last = vector(n_norms), 2 * shares.shape[0] - 2
    for a in range(shares.shape[1]):
        total = 0.0
        for s in range(table.shape[1]):
            total += table[a, s]
        for k in range(shares.shape[0]):
            norms[2 * k] += shares[k, a] * total
    for k in range(0, last + 1, 2):
        norms[last - k] = max(norms[last - k], SMALLEST_MEAN) / max(norms[0], SMALLEST_MEAN)
    for k in range(1, n_norms):
        if k > last:
            norms[k] = norms[k - 1] * layout.largest_norm
        elif k % 2 == 1:
            norms[k] = math.sqrt(norms[k - 1] * norms[k + 1])
    return norms


@inlined(fastmath=FAST)
def profile_levels(level_counts, indicators, sums, own, e, by_level, scale, rate):
    """Profile the level intercepts out, given the moments of each stratum.

    With M_g the means and f_g the first moments of level g (of numeric covariates, indicators
    and perturbation), T_g its counts and ``A_g = T_g / M_g``, ``by_level`` gets 1 / M_g, A_g
    and the rows of ``f_g / M_g``; with phi the indicators' part of e, ``scale`` gets ``exp(phi'F)``
    of each combination F of indicators, and ``rate`` its product with A_g for each stratum.
    ``own`` has the means of perturbed cells; without any it is empty, and d is no parameter.
    """
    n_numeric, n_levels = sums.shape[0] - 1, level_counts.shape[0]
    n_indicators, n_combinations = indicators.shape
    by_level[:, :] = 0.0
    for c in range(n_combinations):
        shift = 0.0
        for h in range(n_indicators):
            shift += e[n_numeric + h] * indicators[h, c]
        scale[c] = math.exp(shift) if n_indicators > 0 else 1.0
        first = c * n_levels
        for g in range(n_levels):
            by_level[0, g] += scale[c] * sums[0, first + g]
        for t in range(n_numeric):
            for g in range(n_levels):
                by_level[2 + t, g] += scale[c] * sums[1 + t, first + g]
        for h in range(n_indicators):
            if indicators[h, c] != 0.0:
                for g in range(n_levels):
                    by_level[2 + n_numeric + h, g] += scale[c] * sums[0, first + g]
        if own.shape[0] > 0:
            for g in range(n_levels):
                by_level[2 + n_numeric + n_indicators, g] += scale[c] * own[first + g]
    for g in range(n_levels):
        # A level without cells has no counts either, and drops out.
        by_level[0, g] = 1.0 / max(by_level[0, g], SMALLEST_MEAN)
        by_level[1, g] = level_counts[g] * by_level[0, g]
    for a in range(2, by_level.shape[0]):
        for g in range(n_levels):
            by_level[a, g] *= by_level[0, g]
    for c in range(n_combinations):
        for g in range(n_levels):
            rate[c * n_levels + g] = scale[c] * by_level[1, g]


@inlined(fastmath=FAST)
def newton_system(level_counts, indicators, observed, sums, own, own_moments, second, by_level,
                  rate, score, information):  # fmt: skip
    """Fill score and information of u = (e, d), the level intercepts being profiled out.

    In terms of ``profile_levels``, with m2 the second moments, of which ``second`` has those of
    the numeric covariates and ``own_moments`` those of D by D and by the numeric covariates::

        score = observed - sum_g T_g (f_g / M_g)
        information = sum_g A_g m2_g - sum_g T_g (f_g / M_g) (f_g / M_g)'
    """
    n_numeric, n_levels = sums.shape[0] - 1, level_counts.shape[0]
    n_indicators, n_combinations = indicators.shape
    n_slopes = n_numeric + n_indicators
    size = score.shape[0]
    information[:, :] = 0.0
    for t in range(n_numeric):
        for v in range(t, n_numeric):
            information[t, v] = second[t, v]
        if size > n_slopes:
            information[t, n_slopes] = own_moments[1 + t]
    if size > n_slopes:
        information[n_slopes, n_slopes] = own_moments[0]
    for c in range(n_combinations):
        first = c * n_levels
        for b in range(1 + n_numeric if n_indicators > 0 else 0):
            total = 0.0
            for g in range(n_levels):
                total += rate[first + g] * sums[b, first + g]
            for h in range(n_indicators):
                share = total * indicators[h, c]
                if b > 0:
                    information[b - 1, n_numeric + h] += share
                else:
                    for k in range(h, n_indicators):
                        information[n_numeric + h, n_numeric + k] += share * indicators[k, c]
        if size > n_slopes and n_indicators > 0:
            total = 0.0
            for g in range(n_levels):
                total += rate[first + g] * own[first + g]
            for h in range(n_indicators):
                information[n_numeric + h, n_slopes] += total * indicators[h, c]
    for a in range(size):
        total = 0.0
        for g in range(n_levels):
            total += level_counts[g] * by_level[2 + a, g]
        score[a] = observed[a] - total
        for b in range(a, size):
            total = 0.0
            for g in range(n_levels):
                total += level_counts[g] * by_level[2 + a, g] * by_level[2 + b, g]
            left = information[a, b] - total
            if a == b and not left > IDENTIFIED_SHARE * information[a, b]:
                left = 0.0
            information[a, b] = left
            information[b, a] = left
    for a in range(size):
        if information[a, a] == 0.0:
            for b in range(size):
                information[a, b] = 0.0
                information[b, a] = 0.0


@inlined()
def largest_component(step):
    longest = 0.0
    for a in range(step.shape[0]):
        longest = max(longest, abs(step[a]))
    return longest


@inner(fastmath=FAST)
def _fit_slopes(layout, level_counts, observed, weights, slopes, by_level, lower, kept):
    """Newton on the slopes of the controls; ``weights`` get ``C_i exp(beta'z_i)``.

    The sums over cells are series in beta, with the moments of C as coefficients, the same for all
    responses. The cells are summed where a series does not reach, and at the end.

    Returns whether the slopes were found.
    """
    n_numeric, highest = layout.n_numeric, layout.n_up_to.shape[0] - 1
    indicators, start, powers = layout.indicators, layout.control_start, layout.control_powers
    minus, n_up_to, sizes = layout.minus, layout.n_up_to, layout.size_moments
    n_slopes, n_low, n_strata = slopes.shape[0], minus.shape[1], sizes.shape[1]
    n_controls, z = weights.shape[0], powers[1 : 1 + n_numeric]
    exponent, scratch = unset(n_controls), unset_integers(n_controls)
    step, score, information = vector(n_slopes), vector(n_slopes), matrix(n_slopes, n_slopes)
    of_cells, second = matrix(n_low, n_strata), matrix(n_numeric, n_numeric)
    sums, contracted = matrix(1 + n_numeric, n_strata), vector(sizes.shape[0])
    scale, rate = vector(indicators.shape[1]), vector(n_strata)
    coefficients, nothing = vector(sizes.shape[0]), vector(0)
    norms, by_cells = mean_norms(layout, sizes), False
    for _ in range(MAX_STEPS):
        length = length_of(slopes, n_numeric)
        degree = degree_of_means(length, layout.largest_norm, norms, highest, CONTROL_REMAINDER)
        by_cells = by_cells or degree < 0
        if by_cells:
            exponentials_of_sums(0, n_controls, slopes, z, layout.largest_norm, exponent, weights,
                                 scratch)  # fmt: skip
            for i in range(n_controls):
                weights[i] *= layout.control_size[i]
            segment_sums(weights, powers, start, of_cells)
            table, n_coefficients, n_terms = of_cells, 1, n_low
        else:
            table, n_terms = sizes, n_up_to[max(degree, 2)]
            n_coefficients = n_terms
        exp_coefficients(slopes, layout.parent, layout.variable, layout.power, n_coefficients,
                         coefficients)  # fmt: skip
        add_moments(table, coefficients, minus, n_coefficients, n_terms, sums)
        profile_levels(level_counts, indicators, sums, nothing, slopes, by_level, scale, rate)
        second_moments(table, coefficients, minus, n_coefficients, n_terms, rate, contracted,
                       second)  # fmt: skip
        newton_system(level_counts, indicators, observed, sums, nothing, nothing, second,
                      by_level, rate, score, information)  # fmt: skip
        cholesky_dropping(information, lower, kept)
        solve_kept(lower, kept, score, step)
        longest = largest_component(step)
        if longest < CONTROL_STEP and by_cells:
            return True
        by_cells = by_cells or longest < CONTROL_STEP
        shrink = min(1.0, LONGEST_STEP / longest)
        for a in range(n_slopes):
            slopes[a] += shrink * step[a]
    return False


@inner(fastmath=FAST)
def fit_controls(layout, y, mean):
    """Fit the controls of one response, and fill in their means."""
    n_controls, n_numeric, n_levels = y.shape[0], layout.n_numeric, layout.n_levels
    n_indicators, n_combinations = layout.indicators.shape
    n_strata, n_slopes = n_combinations * n_levels, n_numeric + n_indicators
    start, powers = layout.control_start, layout.control_powers
    level_counts, observed = vector(n_levels), vector(n_slopes)
    counted = 0.0
    for s in range(n_strata):
        total = 0.0
        for i in range(start[s], start[s + 1]):
            total += y[i]
        counted += total
        level_counts[s % n_levels] += total
        for h in range(n_indicators):
            observed[n_numeric + h] += layout.indicators[h, s // n_levels] * total
    for t in range(n_numeric):
        total = 0.0
        for i in range(n_controls):
            total += y[i] * powers[1 + t, i]
        observed[t] = total

    slopes, by_level = vector(n_slopes), matrix(2 + n_slopes, n_levels)
    lower, kept = matrix(n_slopes, n_slopes), booleans(n_slopes)
    found = _fit_slopes(layout, level_counts, observed, mean, slopes, by_level, lower, kept)
    # A level without control counts gets the common rate: any finite value serves as a start.
    expected = 0.0
    for g in range(n_levels):
        expected += 1.0 / by_level[0, g]
    common = max(counted, 1.0) / expected
    rates = vector(n_strata)
    for g in range(n_levels):
        rate = by_level[1, g] if by_level[1, g] > 0.0 else common
        by_level[0, g] /= rate
        for c in range(n_combinations):
            rates[c * n_levels + g] = rate
    for c in range(n_combinations):
        shift = 0.0
        for h in range(n_indicators):
            shift += slopes[n_numeric + h] * layout.indicators[h, c]
        for g in range(n_levels):
            rates[c * n_levels + g] *= math.exp(shift)
    freedom = -n_slopes
    pearson, spread, excess = 0.0, 0.0, 0.0
    for s in range(n_strata):
        begin, end = start[s], start[s + 1]
        of_stratum, count = mean[begin:end], y[begin:end]
        rate = rates[s]
        used = level_counts[s % n_levels] > 0.0
        freedom += end - begin if used else 0
        total = 0.0
        for i in range(count.shape[0]):
            of_stratum[i] *= rate
            squared = (count[i] - of_stratum[i]) ** 2
            total += squared / max(of_stratum[i], SMALLEST_MEAN)
            spread += squared
            excess += (2.0 * count[i] + of_stratum[i]) * of_stratum[i]
        pearson += total if used else 0.0
    for g in range(n_levels):
        freedom -= 1 if level_counts[g] > 0.0 else 0
    return ControlFit(
        rates, slopes, level_counts, observed, by_level[0], by_level[2:], lower, kept,
        excess / max(spread, SMALLEST_MEAN), max(1.0, pearson / max(freedom, 1)),
        found and counted > 0.0,
    )  # fmt: skip


@inlined(fastmath=FAST)
def predict(layout, j, fit, exponent, mean, scratch):
    """``C_i exp(alpha_g + phi'F_s + beta'z_i)``: the controls' fit, of the cells of source j."""
    begin, end, rates = layout.source_start[j], layout.source_start[j + 1], fit.rates
    size, strata = layout.perturbed_size[begin:end], layout.perturbed_stratum[begin:end]
    exponentials_of_sums(begin, end, fit.slopes, layout.perturbed_z, layout.perturbed_norm[j],
                         exponent, mean, scratch)  # fmt: skip
    for i in range(size.shape[0]):
        mean[i] *= size[i] * rates[strata[i]]


@inlined()
def longest_group(start):
    """Cells of the largest source."""
    longest = 0
    for j in range(start.shape[0] - 1):
        longest = max(longest, start[j + 1] - start[j])
    return longest
