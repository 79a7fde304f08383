"""Compiled fits of one response under many perturbations that share their controls.

Model of a pair, for cells i of stratum s (a combination of categorical levels, within level g of
the main covariate), numeric covariates z, indicators F of the other categorical ones, and
perturbation D::

    mu_i = C_i exp(alpha_g + phi' F_s + beta' z_i + d D_i)

The controls are fitted once; ``w_i`` are their fitted means, and those that the fit predicts for
perturbed cells. A pair moves the slopes only by a small ``e`` from there. Given (e, d) the level
intercepts have a closed form, ``exp(alpha_g)`` being multiplied by ``A_g = T_g / M_g``, the counts
of the level over its means, so Newton runs on u = (e, d) alone. The sums over controls that it
needs are ``sum_i w_i exp(e'z_i) z_i^b``, series in e with the moments ``sum_i w_i z_i^a`` of each
stratum as coefficients; the perturbed cells are summed afresh. Level intercepts need the sums of
b up to degree 1 by stratum; those of degree 2 are needed in total alone, weighted by
``A_g exp(phi'F_s)``, so that strata are summed first.
"""

from __future__ import annotations

import math

import numpy as np

from argen.glm._compile import compiled
from argen.glm._controls import (
    LONGEST_STEP,
    MAX_STEPS,
    fit_controls,
    largest_component,
    newton_system,
    profile_levels,
    segment_sums,
)
from argen.glm._kernels import cholesky_dropping, solve_kept
from argen.glm._series import (
    FAST,
    SHORT_EXPONENT,
    add_moments,
    degree_of_means,
    degree_of_squares,
    exp_coefficients,
    exponentials,
    second_moments,
    short_exponentials,
    weighted_coefficients,
)

ONE = np.ones(1)  # the coefficients of exp(0)

# Outcomes of a pair.
FITTED, FITTED_AFRESH, NO_PERTURBED_COUNTS, NO_FIT = 0, 1, 2, 3

# A last step shorter than this changes the variance by less than it, relatively, and leaves
# the estimate its square away from the maximum.
LAST_STEP = 3e-7


@compiled(fastmath=FAST)
def _predict(layout, response):
    """``base_i = C_i exp(alpha_g + phi'F_s + beta'z_i)``: the controls' fit, of perturbed cells."""
    z, stratum, indicators = layout.perturbed_z, layout.perturbed_stratum, layout.indicators
    (n_numeric, n), n_levels = z.shape, layout.n_levels
    n_indicators, n_combinations = indicators.shape
    slopes, shift = response.slopes, np.empty(n_combinations * n_levels)
    for c in range(n_combinations):
        of_indicators = 0.0
        for h in range(n_indicators):
            of_indicators += slopes[n_numeric + h] * indicators[h, c]
        for g in range(n_levels):
            shift[c * n_levels + g] = response.level_shift[g] + of_indicators
    log_mean, base, scratch = np.empty(n), np.empty(n), np.empty(n, np.int64)
    for i in range(n):
        log_mean[i] = layout.perturbed_log_size[i] + shift[stratum[i]]
    for t in range(n_numeric):
        for i in range(n):
            log_mean[i] += slopes[t] * z[t, i]
    exponentials(log_mean, base, scratch)
    return base


@compiled(fastmath=FAST)
def _means_of_cells(layout, response, base, out):
    """Means of the controls, then of the perturbed; 0 in a level without control counts."""
    n_levels, n_controls, start = layout.n_levels, response.weights.shape[0], layout.control_start
    for s in range(start.shape[0] - 1):
        used = 1.0 if response.level_counts[s % n_levels] > 0.0 else 0.0
        for i in range(start[s], start[s + 1]):
            out[i] = used * response.weights[i]
    for i in range(base.shape[0]):
        used = response.level_counts[layout.perturbed_stratum[i] % n_levels] > 0.0
        out[n_controls + i] = base[i] if used else 0.0


@compiled(fastmath=FAST)
def _observe(begin, end, y, base, z, stratum, indicators, seen, level_counts, observed):
    """Add counts of the perturbed cells to T_g and to the sums of y z, y F and y D.

    Returns the count of the perturbed cells and the count that was to be expected.
    """
    n_numeric, n_levels = z.shape[0], level_counts.shape[0]
    n_indicators, n_combinations = indicators.shape
    own, predicted, strata = y[begin:end], base[begin:end], stratum[begin:end]
    total, expected = 0.0, 0.0
    for i in range(own.shape[0]):
        total += own[i]
        expected += predicted[i]
    seen[:] = 0.0
    for i in range(own.shape[0]):
        seen[strata[i]] += own[i]
    for c in range(n_combinations):
        count = 0.0
        for g in range(n_levels):
            level_counts[g] += seen[c * n_levels + g]
            count += seen[c * n_levels + g]
        for h in range(n_indicators):
            observed[n_numeric + h] += indicators[h, c] * count
    for t in range(n_numeric):
        row, moment = z[t, begin:end], 0.0
        for i in range(own.shape[0]):
            moment += own[i] * row[i]
        observed[t] += moment
    observed[n_numeric + n_indicators] = total
    return total, expected


@compiled(fastmath=FAST)
def _perturbed_means(begin, end, e, z, length, base, exponent, means, scratch):
    """``m_i = base_i exp(e'z_i + d)``, without what indicators and levels add.

    ``length`` is the largest that e'z_i can be.
    """
    predicted, n = base[begin:end], end - begin
    size = math.exp(e[e.shape[0] - 1])
    if length == 0.0:
        for i in range(n):
            means[i] = size * predicted[i]
        return
    exponent[:n] = 0.0
    for t in range(z.shape[0]):
        row = z[t, begin:end]
        for i in range(n):
            exponent[i] += e[t] * row[i]
    if length <= SHORT_EXPONENT:
        short_exponentials(exponent[:n], means)
    else:
        exponentials(exponent[:n], means, scratch)
    for i in range(n):
        means[i] *= size * predicted[i]


@compiled(fastmath=FAST)
def _add_perturbed(begin, end, means, z, stratum, own, sums):
    """Add ``sum m_i z_i^b`` over the perturbed cells of a stratum to ``sums``, b up to degree 1.

    ``own`` gets those of b = 0 alone.
    """
    strata, n = stratum[begin:end], end - begin
    own[:] = 0.0
    for i in range(n):
        own[strata[i]] += means[i]
    for t in range(z.shape[0]):
        row = z[t, begin:end]
        for i in range(n):
            sums[1 + t, strata[i]] += means[i] * row[i]
    for s in range(own.shape[0]):
        sums[0, s] += own[s]


@compiled(fastmath=FAST)
def _add_perturbed_squares(begin, end, means, z, stratum, rate, fitted, own_moments, second):
    """Add ``sum mu_i z_it z_iv`` over the perturbed cells, ``mu_i = rate_s m_i``, to ``second``.

    ``own_moments`` gets ``sum mu_i`` and ``sum mu_i z_i``, ``fitted`` the means.
    """
    strata, n, total = stratum[begin:end], end - begin, 0.0
    for i in range(n):
        fitted[i] = rate[strata[i]] * means[i]
        total += fitted[i]
    own_moments[0] = total
    for t in range(z.shape[0]):
        row, total = z[t, begin:end], 0.0
        for i in range(n):
            total += fitted[i] * row[i]
        own_moments[1 + t] = total
        for v in range(t, z.shape[0]):
            other, total = z[v, begin:end], 0.0
            for i in range(n):
                total += fitted[i] * row[i] * other[i]
            second[t, v] += total


@compiled(fastmath=FAST)
def _influences(by_level, indicators, weight, n_numeric, influence):
    """``k_s = c_F'F_s - c'f_g / M_g``, so that cell i weighs ``r_i (k_s + c_z'z_i + c_d D_i)``."""
    n_indicators, n_combinations = indicators.shape
    n_levels = by_level.shape[1]
    common = by_level[0]  # the means are not needed any more
    common[:] = 0.0
    for a in range(weight.shape[0]):
        for g in range(n_levels):
            common[g] -= weight[a] * by_level[2 + a, g]
    for c in range(n_combinations):
        shift = 0.0
        for h in range(n_indicators):
            shift += weight[n_numeric + h] * indicators[h, c]
        for g in range(n_levels):
            influence[c * n_levels + g] = shift + common[g]


@compiled(fastmath=FAST)
def _perturbed_variance(begin, end, y, fitted, z, stratum, influence, weight, at):
    """``sum_i (y_i - mu_i)^2 (k_s + c_z'z_i + c_d)^2`` over the perturbed cells."""
    own, strata, n = y[begin:end], stratum[begin:end], end - begin
    for i in range(n):
        at[i] = weight[weight.shape[0] - 1] + influence[strata[i]]
    for t in range(z.shape[0]):
        row = z[t, begin:end]
        for i in range(n):
            at[i] += weight[t] * row[i]
    variance = 0.0
    for i in range(n):
        variance += ((own[i] - fitted[i]) * at[i]) ** 2
    return variance


@compiled(fastmath=FAST)
def _control_variance(squares, cross, mean_squares, coefficients, doubled, minus, n_coefficients,
                      n_terms, weight, n_numeric, influence, rate):  # fmt: skip
    """``sum_i (y_i - mu_i)^2 (k_s + c'z_i)^2`` over the controls, by the series.

    ``mu_i = rate_s w_i exp(e'z_i)``; ``doubled`` are the coefficients of ``exp(2 e'z)``.
    """
    variance = 0.0
    for a in range(squares.shape[0]):  # as a series of the one coefficient 1
        constant, linear, quadratic = weighted_coefficients(a, ONE, minus, 1, weight, n_numeric)
        for s in range(influence.shape[0]):
            k = influence[s]
            variance += squares[a, s] * (quadratic + k * (2.0 * linear + k * constant))
    for a in range(n_terms):
        constant, linear, quadratic = weighted_coefficients(
            a, coefficients, minus, n_coefficients, weight, n_numeric
        )
        constant_2, linear_2, quadratic_2 = weighted_coefficients(
            a, doubled, minus, n_coefficients, weight, n_numeric
        )
        for s in range(influence.shape[0]):
            k, b = influence[s], rate[s]
            once = quadratic + k * (2.0 * linear + k * constant)
            twice = quadratic_2 + k * (2.0 * linear_2 + k * constant_2)
            variance += b * (b * mean_squares[a, s] * twice - 2.0 * cross[a, s] * once)
    return variance


@compiled(fastmath=FAST)
def _control_means(weights, e, n_numeric, powers, means):
    """Means of the controls at e, cell by cell: where no series will do."""
    n = weights.shape[0]
    exponent, scratch = np.zeros(n), np.empty(n, np.int64)
    for t in range(n_numeric):
        for i in range(n):
            exponent[i] += e[t] * powers[1 + t, i]
    exponentials(exponent, means, scratch)
    for i in range(n):
        means[i] *= weights[i]


@compiled(fastmath=FAST)
def _control_variance_afresh(y, means, powers, start, influence, rate, weight, n_numeric):
    """``sum_i (y_i - mu_i)^2 (k_s + c'z_i)^2`` over the controls, cell by cell."""
    variance = 0.0
    for s in range(start.shape[0] - 1):
        for i in range(start[s], start[s + 1]):
            at = influence[s]
            for t in range(n_numeric):
                at += weight[t] * powers[1 + t, i]
            variance += ((y[i] - rate[s] * means[i]) * at) ** 2
    return variance


@compiled(fastmath=FAST)
def fit_pairs(layout, y_control, y, effect, variance, expected, outcome, fitted_mean):
    """Fit one response under every source; fills (n_sources,) arrays.

    Returns Pearson's dispersion of the controls, at least 1.

    ``effect`` and ``variance`` (HC0) of d; where the perturbed cells have no count, the count
    ``expected`` of them without an effect; ``outcome`` says which of these hold, and whether
    the sums over controls had to be taken afresh because no series of the given degrees is
    close enough. ``fitted_mean``, unless it is empty, gets what the fit of the controls expects
    of every cell, the controls first, where there is one.

    One long function, since handing its arrays on for every pair takes a third of the time.
    """
    response, n_sources = fit_controls(layout, y_control), effect.shape[0]
    for j in range(n_sources):
        effect[j], variance[j], expected[j], outcome[j] = np.nan, np.nan, np.nan, NO_FIT
    if not response.usable:
        return response.dispersion
    n_numeric, indicators, n_levels = layout.n_numeric, layout.indicators, layout.n_levels
    n_indicators, n_combinations = indicators.shape
    n_strata, n_slopes = n_combinations * n_levels, n_numeric + n_indicators
    z, stratum, start = layout.perturbed_z, layout.perturbed_stratum, layout.source_start
    minus, n_up_to, mean_degree = layout.minus, layout.n_up_to, layout.mean_degree
    parent, variable, power = layout.parent, layout.variable, layout.power
    two_to_degree, perturbed_norm = layout.two_to_degree, layout.perturbed_norm
    largest_norm, control_start = layout.largest_norm, layout.control_start
    control_powers = layout.control_powers
    weights, means_table, norms = response.weights, response.means, response.norms
    square_norms, spread_ratio = response.square_norms, response.spread_ratio
    squares, cross, mean_squares = response.squares, response.cross, response.mean_squares
    control_counts, control_observed = response.level_counts, response.observed

    base = _predict(layout, response)
    if fitted_mean.shape[0] > 0:
        _means_of_cells(layout, response, base, fitted_mean)
    longest_group = 0
    for j in range(n_sources):
        longest_group = max(longest_group, start[j + 1] - start[j])
    means, fitted = np.empty(longest_group), np.empty(longest_group)
    scratch = np.empty(longest_group, np.int64)
    level_counts, observed = np.zeros(n_levels), np.zeros(n_slopes + 1)
    size = n_slopes + 1
    e, step, score, weight = np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size)
    unit, kept = np.zeros(size), np.zeros(size, np.bool_)
    unit[n_slopes] = 1.0
    information, lower = np.zeros((size, size)), np.zeros((size, size))
    sums, own = np.zeros((1 + n_numeric, n_strata)), np.zeros(n_strata)
    own_moments = np.zeros(1 + n_numeric)
    second, contracted = np.zeros((n_numeric, n_numeric)), np.zeros(minus.shape[0])
    by_level, rate = np.zeros((2 + size, n_levels)), np.zeros(n_strata)
    scale, seen, influence = np.zeros(n_combinations), np.zeros(n_strata), np.zeros(n_strata)
    coefficients, doubled = np.zeros(minus.shape[0]), np.zeros(minus.shape[0])
    control_means, fresh = np.empty((1, weights.shape[0])), np.zeros((1, minus.shape[1], n_strata))

    for j in range(n_sources):
        begin, end = start[j], start[j + 1]
        level_counts[:] = control_counts
        observed[:n_slopes] = control_observed
        total, expectation = _observe(
            begin, end, y, base, z, stratum, indicators, seen, level_counts, observed
        )
        expected[j] = expectation
        if total == 0.0:
            # Levels that the controls have no count of are expected to have none.
            for i in range(begin, end):
                if control_counts[stratum[i] % n_levels] == 0.0:
                    expected[j] -= base[i]
            outcome[j] = NO_PERTURBED_COUNTS
            continue

        e[:] = 0.0
        e[n_slopes] = math.log(total / expectation)
        length, converged, afresh = 0.0, False, False
        for _ in range(MAX_STEPS):
            length = 0.0
            for t in range(n_numeric):
                length += e[t] * e[t]
            length = math.sqrt(length)
            degree = degree_of_means(length, largest_norm, norms, mean_degree)
            afresh = afresh or degree < 0
            if afresh:
                # At e itself the series has the one coefficient 1.
                _control_means(weights, e, n_numeric, control_powers, control_means[0])
                segment_sums(control_means, control_powers, control_start, fresh)
                table, n_coefficients, n_terms = fresh[0], 1, minus.shape[1]
            else:
                table, n_terms = means_table, n_up_to[max(degree, min(2, mean_degree))]
                n_coefficients = n_terms
            exp_coefficients(e, parent, variable, power, n_coefficients, coefficients)
            add_moments(table, coefficients, minus, n_coefficients, n_terms, sums)
            _perturbed_means(begin, end, e, z, length * perturbed_norm[j], base, fitted, means,
                             scratch)  # fmt: skip
            _add_perturbed(begin, end, means, z, stratum, own, sums)
            profile_levels(level_counts, indicators, sums, own, e, by_level, scale, rate)
            second_moments(table, coefficients, minus, n_coefficients, n_terms, rate, contracted,
                           second)  # fmt: skip
            _add_perturbed_squares(begin, end, means, z, stratum, rate, fitted, own_moments,
                                   second)  # fmt: skip
            newton_system(level_counts, indicators, observed, sums, own, own_moments, second,
                          by_level, rate, score, information)  # fmt: skip
            cholesky_dropping(information, lower, kept)
            solve_kept(lower, kept, score, step)
            longest = largest_component(step)
            if longest < LAST_STEP:
                converged = True
                break
            shrink = min(1.0, LONGEST_STEP / longest)
            for a in range(size):
                e[a] += shrink * step[a]
        if not converged or not kept[n_slopes]:
            continue

        # Influence of cell i on d: r_i c'(x_i - f_g / M_g), c the row of d of the inverse
        # information.
        solve_kept(lower, kept, unit, weight)
        _influences(by_level, indicators, weight, n_numeric, influence)
        meat = _perturbed_variance(begin, end, y, fitted, z, stratum, influence, weight, means)
        degree = degree_of_squares(length, largest_norm, square_norms, spread_ratio,
                                   n_up_to.shape[0] - 3)  # fmt: skip
        if degree < 0 and not afresh:
            afresh = True
            _control_means(weights, e, n_numeric, control_powers, control_means[0])
        if afresh:
            meat += _control_variance_afresh(y_control, control_means[0], control_powers,
                                             control_start, influence, rate, weight,
                                             n_numeric)  # fmt: skip
        else:
            n_coefficients, n_terms = n_up_to[degree], n_up_to[degree + 2]
            exp_coefficients(e, parent, variable, power, n_coefficients, coefficients)
            for a in range(n_coefficients):
                doubled[a] = coefficients[a] * two_to_degree[a]
            meat += _control_variance(squares, cross, mean_squares, coefficients, doubled, minus,
                                      n_coefficients, n_terms, weight, n_numeric, influence,
                                      rate)  # fmt: skip
        if meat > 0.0:
            effect[j], variance[j] = e[n_slopes] + step[n_slopes], meat
            outcome[j] = FITTED_AFRESH if afresh else FITTED
    return response.dispersion
