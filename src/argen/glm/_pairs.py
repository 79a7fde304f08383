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
stratum as coefficients; the perturbed cells are summed afresh.
"""

from __future__ import annotations

import math

import numpy as np

from argen.glm._compile import compiled
from argen.glm._controls import (
    LONGEST_STEP,
    MAX_STEPS,
    largest_component,
    newton_system,
    segment_sums,
)
from argen.glm._kernels import cholesky_dropping, solve_kept
from argen.glm._series import (
    FAST,
    add_influence,
    add_moments,
    degree_of_means,
    degree_of_squares,
    exp_coefficients,
    exponentials,
)

# Outcomes of a pair.
FITTED, FITTED_AFRESH, NO_PERTURBED_COUNTS, NO_FIT = 0, 1, 2, 3

# A last step shorter than this changes the variance by less than it, relatively, and leaves
# the estimate its square away from the maximum.
LAST_STEP = 3e-7


@compiled(fastmath=FAST)
def _observe(begin, end, log_size, powers, stratum, level, indicators, y, slopes, shift,
             log_mean, base, scratch, level_counts, observed, by_stratum):  # fmt: skip
    """Predict the perturbed cells by the fit of the controls, and add their counts to the sums.

    Returns the count of the perturbed cells and the count that was to be expected.
    """
    n, n_indicators = end - begin, indicators.shape[0]
    n_numeric = slopes.shape[0] - n_indicators
    for i in range(n):
        log_mean[i] = log_size[begin + i] + shift[stratum[begin + i]]
    for t in range(n_numeric):
        for i in range(n):
            log_mean[i] += slopes[t] * powers[1 + t, begin + i]
    exponentials(log_mean[:n], base, scratch)
    total, expected = 0.0, 0.0
    for i in range(n):
        total += y[begin + i]
        expected += base[i]
    by_stratum[0, :] = 0.0
    for i in range(n):
        by_stratum[0, stratum[begin + i]] += y[begin + i]
    for s in range(level.shape[0]):
        level_counts[level[s]] += by_stratum[0, s]
    for h in range(n_indicators):
        count = 0.0
        for s in range(level.shape[0]):
            count += indicators[h, s] * by_stratum[0, s]
        observed[n_numeric + h] += count
    for t in range(n_numeric):
        moment = 0.0
        for i in range(n):
            moment += y[begin + i] * powers[1 + t, begin + i]
        observed[t] += moment
    observed[n_numeric + n_indicators] = total
    return total, expected


@compiled(fastmath=FAST)
def _perturbed_means(begin, n, e, n_numeric, powers, base, log_mean, means, scratch):
    """Means of the perturbed cells at e, without what indicators and levels add."""
    scale = math.exp(e[e.shape[0] - 1])
    length = 0.0
    for t in range(n_numeric):
        length += abs(e[t])
    if length == 0.0:
        for i in range(n):
            means[i] = scale * base[i]
        return
    for i in range(n):
        log_mean[i] = e[0] * powers[1, begin + i]
    for t in range(1, n_numeric):
        for i in range(n):
            log_mean[i] += e[t] * powers[1 + t, begin + i]
    exponentials(log_mean[:n], means, scratch)
    for i in range(n):
        means[i] *= scale * base[i]


@compiled(fastmath=FAST)
def _add_perturbed(begin, n, means, powers, stratum, indicators, e, n_numeric, sums, own, scale):
    """Add the perturbed cells to the moments, and multiply the strata by their indicators."""
    own[:, :] = 0.0
    for b in range(sums.shape[0]):
        if b <= n_numeric:
            for i in range(n):
                own[b, stratum[begin + i]] += means[i] * powers[b, begin + i]
            for s in range(sums.shape[1]):
                sums[b, s] += own[b, s]
        else:
            for i in range(n):
                sums[b, stratum[begin + i]] += means[i] * powers[b, begin + i]
    if indicators.shape[0] == 0:
        return
    for s in range(sums.shape[1]):
        shift = 0.0
        for h in range(indicators.shape[0]):
            shift += e[n_numeric + h] * indicators[h, s]
        scale[s] = math.exp(shift)
    for b in range(sums.shape[0]):
        for s in range(sums.shape[1]):
            sums[b, s] *= scale[s]
    for b in range(1 + n_numeric):
        for s in range(sums.shape[1]):
            own[b, s] *= scale[s]


@compiled(fastmath=FAST)
def _control_variance(squares, series, influence, scale, weight, n_numeric):
    """``sum_i (y_i - mu_i)^2 (k_s + c'z_i)^2`` over the controls, from the series."""
    meat = 0.0
    for s in range(series.shape[1]):
        k, b = influence[s], scale[s]
        constant = squares[0, s] - 2.0 * b * series[0, s] + b * b * series[3, s]
        linear = b * b * series[4, s] - 2.0 * b * series[1, s]
        quadratic = b * b * series[5, s] - 2.0 * b * series[2, s]
        second = 1 + n_numeric
        for t in range(n_numeric):
            linear += weight[t] * squares[1 + t, s]
            for v in range(t, n_numeric):
                double = 1.0 if t == v else 2.0
                quadratic += double * weight[t] * weight[v] * squares[second, s]
                second += 1
        meat += k * k * constant + 2.0 * k * linear + quadratic
    return meat


@compiled(fastmath=FAST)
def _perturbed_variance(begin, n, y, means, powers, stratum, influence, scale, weight, n_numeric,
                        at):  # fmt: skip
    """``sum_i (y_i - mu_i)^2 (k_s + c'z_i + c_d)^2`` over the perturbed cells."""
    for i in range(n):
        at[i] = weight[weight.shape[0] - 1] + influence[stratum[begin + i]]
    for t in range(n_numeric):
        for i in range(n):
            at[i] += weight[t] * powers[1 + t, begin + i]
    meat = 0.0
    for i in range(n):
        residual = y[begin + i] - scale[stratum[begin + i]] * means[i]
        meat += (residual * at[i]) ** 2
    return meat


@compiled(fastmath=FAST)
def _control_means(weights, e, n_numeric, powers, log_mean, means, scratch):
    """Means of the controls at e, cell by cell: where no series will do."""
    log_mean[:] = 0.0
    for t in range(n_numeric):
        for i in range(weights.shape[0]):
            log_mean[i] += e[t] * powers[1 + t, i]
    exponentials(log_mean, means, scratch)
    means *= weights


@compiled(fastmath=FAST)
def _control_variance_afresh(y, means, powers, start, influence, scale, weight, n_numeric):
    """``sum_i (y_i - mu_i)^2 (k_s + c'z_i)^2`` over the controls, cell by cell."""
    meat = 0.0
    for s in range(start.shape[0] - 1):
        for i in range(start[s], start[s + 1]):
            at = influence[s]
            for t in range(n_numeric):
                at += weight[t] * powers[1 + t, i]
            meat += ((y[i] - scale[s] * means[i]) * at) ** 2
    return meat


@compiled(fastmath=FAST)
def fit_pairs(layout, response, y_control, y, effect, variance, expected, outcome):
    """Fit one response under every source; fills (n_sources,) arrays.

    ``effect`` and ``variance`` (HC0) of d; where the perturbed cells have no count, the count
    ``expected`` of them without an effect; ``outcome`` says which of these hold, and whether
    the sums over controls had to be taken afresh because no series of the given degrees is
    close enough.

    Newton's steps are steered by second moments cut after the first order in e; the last,
    which the variance rests on, are taken in full.
    """
    n_numeric, indicators = layout.n_numeric, layout.indicators
    n_strata, n_levels, n_low = layout.level.shape[0], layout.n_levels, layout.minus.shape[1]
    own_at = n_numeric + indicators.shape[0]
    size = own_at + 1
    level, stratum, powers = layout.level, layout.perturbed_stratum, layout.perturbed_powers
    minus, n_up_to, mean_degree = layout.minus, layout.n_up_to, layout.mean_degree
    start = layout.source_start
    n_steering = n_up_to[min(3, mean_degree)]
    longest_group = 0
    for j in range(start.shape[0] - 1):
        longest_group = max(longest_group, start[j + 1] - start[j])
    log_mean, base = np.empty(longest_group), np.empty(longest_group)
    means, scratch = np.empty(longest_group), np.empty(longest_group, np.int64)
    shift, scale, influence = np.zeros(n_strata), np.ones(n_strata), np.zeros(n_strata)
    for s in range(n_strata):
        shift[s] = response.level_shift[level[s]]
        for h in range(indicators.shape[0]):
            shift[s] += response.slopes[n_numeric + h] * indicators[h, s]
    level_counts, observed = np.zeros(n_levels), np.zeros(size)
    e, step, score, weight = np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size)
    unit, kept = np.zeros(size), np.zeros(size, np.bool_)
    unit[own_at] = 1.0
    information, lower = np.zeros((size, size)), np.zeros((size, size))
    sums, own = np.zeros((n_low, n_strata)), np.zeros((1 + n_numeric, n_strata))
    by_level, by_stratum = np.zeros((2 + size, n_levels)), np.zeros((2, n_strata))
    coefficients, series = np.zeros(minus.shape[0]), np.zeros((6, n_strata))
    weights, control_powers = response.weights, layout.control_powers
    control_log_mean, control_means = np.empty(weights.shape[0]), np.empty(weights.shape[0])
    control_scratch = np.empty(weights.shape[0], np.int64)

    for j in range(start.shape[0] - 1):
        begin, n = start[j], start[j + 1] - start[j]
        effect[j], variance[j], expected[j] = np.nan, np.nan, np.nan
        outcome[j] = NO_FIT
        if not response.usable:
            continue
        level_counts[:] = response.level_counts
        observed[:own_at] = response.observed
        total, expectation = _observe(
            begin, begin + n, layout.perturbed_log_size, powers, stratum, level, indicators, y,
            response.slopes, shift, log_mean, base, scratch, level_counts, observed,
            by_stratum,
        )  # fmt: skip
        expected[j] = expectation
        if total == 0.0:
            # Levels that the controls have no count of are expected to have none.
            for i in range(n):
                if response.level_counts[level[stratum[begin + i]]] == 0.0:
                    expected[j] -= base[i]
            outcome[j] = NO_PERTURBED_COUNTS
            continue

        e[:] = 0.0
        e[own_at] = math.log(total / expectation)
        scale[:] = 1.0
        length, converged, full, afresh = 0.0, False, False, False
        for _ in range(MAX_STEPS):
            length = 0.0
            for t in range(n_numeric):
                length += e[t] * e[t]
            length = math.sqrt(length)
            degree = degree_of_means(length, layout.largest_norm, response.norms, mean_degree)
            afresh = afresh or degree < 0
            n_terms = n_up_to[max(degree, min(2, mean_degree))]
            if afresh:
                full = True
                _control_means(weights, e, n_numeric, control_powers, control_log_mean,
                               control_means, control_scratch)  # fmt: skip
                segment_sums(control_means, control_powers, layout.control_start, sums)
            else:
                exp_coefficients(e, layout.parent, layout.variable, layout.power, n_terms,
                                 coefficients)  # fmt: skip
                add_moments(response.means, coefficients, minus, n_terms,
                            n_terms if full else n_steering, n_numeric, sums)  # fmt: skip
            _perturbed_means(begin, n, e, n_numeric, powers, base, log_mean, means, scratch)
            _add_perturbed(begin, n, means, powers, stratum, indicators, e, n_numeric, sums, own,
                           scale)  # fmt: skip
            newton_system(level, indicators, level_counts, observed, sums, own, n_numeric, True,
                          by_level, by_stratum, score, information)  # fmt: skip
            cholesky_dropping(information, lower, kept)
            solve_kept(lower, kept, score, step)
            longest = largest_component(step)
            if longest < LAST_STEP:
                if full or n_terms <= n_steering:
                    converged = True
                    break
                full = True
                continue
            shrink = min(1.0, LONGEST_STEP / longest)
            for a in range(size):
                e[a] += shrink * step[a]
        if not converged or not kept[own_at]:
            continue

        # Influence of cell i on d: r_i c'(x_i - f_g / M_g), c the row of d of the inverse
        # information; within a stratum r_i (k_s + c_z'z_i).
        solve_kept(lower, kept, unit, weight)
        for s in range(n_strata):
            influence[s] = 0.0
            scale[s] *= by_level[1, level[s]]
        for a in range(size):
            for s in range(n_strata):
                influence[s] -= weight[a] * by_level[2 + a, level[s]]
        for h in range(indicators.shape[0]):
            for s in range(n_strata):
                influence[s] += weight[n_numeric + h] * indicators[h, s]
        degree = degree_of_squares(length, layout.largest_norm, response.square_norms,
                                   response.spread_ratio, n_up_to.shape[0] - 3)  # fmt: skip
        if degree < 0 and not afresh:
            afresh = True
            _control_means(weights, e, n_numeric, control_powers, control_log_mean, control_means,
                           control_scratch)  # fmt: skip
        if afresh:
            meat = _control_variance_afresh(y_control, control_means, control_powers,
                                            layout.control_start, influence, scale, weight,
                                            n_numeric)  # fmt: skip
        else:
            n_coefficients, n_terms = n_up_to[degree], n_up_to[degree + 2]
            exp_coefficients(e, layout.parent, layout.variable, layout.power, n_coefficients,
                             coefficients)  # fmt: skip
            series[:, :] = 0.0
            add_influence(response.cross, coefficients, minus, n_coefficients, n_terms, weight,
                          n_numeric, series, 0)  # fmt: skip
            for a in range(n_coefficients):
                coefficients[a] *= layout.two_to_degree[a]  # of exp(2 e'z)
            add_influence(response.mean_squares, coefficients, minus, n_coefficients, n_terms,
                          weight, n_numeric, series, 3)  # fmt: skip
            meat = _control_variance(response.squares, series, influence, scale, weight, n_numeric)
        meat += _perturbed_variance(begin, n, y, means, powers, stratum, influence, scale, weight,
                                    n_numeric, log_mean)  # fmt: skip
        if meat > 0.0:
            effect[j], variance[j] = e[own_at] + step[own_at], meat
            outcome[j] = FITTED_AFRESH if afresh else FITTED
