"""Compiled effects of all perturbations on one response, from the fit of its controls alone.

The controls expect the count ``E_j = sum mu_i`` of the cells of perturbation j, which have T_j; so
``d = log(T_j / E_j)``. What is unsure about E_j, ``a_j'r`` in terms of the residuals r of the
controls, is a sum over cells: with T_g the counts of the controls of level g, P_g the sum of mu_i
over the perturbed cells in it, xbar_g the mean of the slopes' covariates x in the controls of the
level, weighted by mu, and H the information of the slopes::

    a_j(x_i) = P_g / (E_j T_g) + k'(x_i - xbar_g),      H k = sum_j mu_i (x_i - xbar_g) / E_j
    Var(d) = sum_j (y_i - e^d mu_i)^2 / T_j^2 + sum_controls r_i^2 a_j(x_i)^2

The fit of the pair, of the controls and these cells, would also learn covariates from the latter. A
chord step leads there, since the information of so many more controls is nearly that of both::

    d = log(T_j / E_j) - sum_j (y_i - T_j / E_j mu_i) a_j(x_i)

What it misses is the share q that the variance of log E_j has of the first term of Var(d), of the
step. Where q, T_j or the step is large the pair is left to ``fit_pairs``.
"""

from __future__ import annotations

import math

import numpy as np

from argen.glm._compile import compiled, loops
from argen.glm._controls import fit_controls, longest_group, predict
from argen.glm._kernels import solve_kept
from argen.glm._scratch import matrix, unset_integers, unset_matrix, vector
from argen.glm._series import FAST

# Outcomes of a pair.
FITTED, FITTED_AFRESH, FITTED_BY_CONTROLS, NO_PERTURBED_COUNTS, UNSURE, NO_FIT = range(6)

# Largest q, and count of the perturbed cells as a share of that of the controls; and longest chord
# step as a share of the root of the first term, or of 1: what it misses is less than a hundredth
# of a standard error.
LARGEST_SHARE, LONGEST_CHORD = 0.06, 0.1


@loops(fastmath=FAST)
def _residual_moments(layout, y, mean, by_stratum, total):
    """Sum r^2 and r^2 z over the controls of each stratum, and r^2 z z' over all."""
    start, powers, n_numeric = layout.control_start, layout.control_powers, layout.n_numeric
    for s in range(start.shape[0] - 1):
        begin, end = start[s], start[s + 1]
        count, expected = y[begin:end], mean[begin:end]
        moment = 0.0
        for i in range(count.shape[0]):
            moment += (count[i] - expected[i]) ** 2
        by_stratum[0, s] = moment
        for t in range(n_numeric):
            row, moment = powers[1 + t, begin:end], 0.0
            for i in range(count.shape[0]):
                moment += (count[i] - expected[i]) ** 2 * row[i]
            by_stratum[1 + t, s] = moment
            for v in range(t + 1):
                other, moment = powers[1 + v, begin:end], 0.0
                for i in range(count.shape[0]):
                    moment += (count[i] - expected[i]) ** 2 * row[i] * other[i]
                total[t, v] += moment
                total[v, t] = total[t, v]


@loops(fastmath=FAST)
def _fill_effects(layout, fit, y, used_stratum, used, inverse, squares, square, work, left,
                  of_level, at, seen, of_stratum, change, score, k, scratch, effect, variance,
                  expected, outcome, mean):  # fmt: skip
    """Fill in the effects of all sources, and the means of their cells."""
    n_sources, n_numeric, indicators = effect.shape[0], layout.n_numeric, layout.indicators
    n_indicators, n_combinations = indicators.shape
    n_levels, n_slopes, start = layout.n_levels, k.shape[0], layout.source_start
    exponent, base, centre = work[0], work[1], fit.centre
    sure, of_controls = True, 0.0
    for g in range(n_levels):
        of_controls += fit.level_counts[g]
    for a in range(n_slopes):
        sure = sure and fit.kept[a]
    for j in range(n_sources):
        begin, end = start[j], start[j + 1]
        counts, strata, mu = y[begin:end], layout.perturbed_stratum[begin:end], mean[begin:end]
        predict(layout, j, fit, exponent, base, scratch)
        for i in range(counts.shape[0]):
            mu[i] = base[i] * used_stratum[strata[i]]
        count, total, yy, ym, mm = 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(counts.shape[0]):
            count += counts[i]
            total += mu[i]
            yy += counts[i] * counts[i]
            ym += counts[i] * mu[i]
            mm += mu[i] * mu[i]
        expected[j] = total
        if count == 0.0:
            outcome[j] = NO_PERTURBED_COUNTS
            continue
        outcome[j] = UNSURE
        if not sure or total == 0.0 or count > LARGEST_SHARE * of_controls:
            continue
        ratio = count / total
        seen[:] = 0.0
        of_stratum[:] = 0.0
        for i in range(counts.shape[0]):
            seen[strata[i]] += counts[i]
            of_stratum[strata[i]] += base[i]
        left[:] = 0.0
        of_level[:] = 0.0
        for c in range(n_combinations):
            s = c * n_levels
            for g in range(n_levels):
                left[g] += seen[s + g]
                of_level[g] += of_stratum[s + g]
        without, chord = 0.0, 0.0
        for g in range(n_levels):
            without += left[g] if inverse[g] == 0.0 else 0.0
            at[g] = of_level[g] * inverse[g] / total
            of_level[g] *= used[g]
            left[g] -= ratio * of_level[g]
            chord += left[g] * at[g]
        if without > 0.0:
            continue
        for t in range(n_numeric):
            row, by_mean, by_count = layout.perturbed_z[t, begin:end], 0.0, 0.0
            for i in range(counts.shape[0]):
                by_mean += mu[i] * row[i]
                by_count += counts[i] * row[i]
            change[t], score[t] = by_mean, by_count - ratio * by_mean
        for h in range(n_indicators):
            by_mean, by_count = 0.0, 0.0
            for c in range(n_combinations):
                if indicators[h, c] != 0.0:
                    for g in range(n_levels):
                        by_mean += used[g] * of_stratum[c * n_levels + g]
                        by_count += seen[c * n_levels + g]
            change[n_numeric + h], score[n_numeric + h] = by_mean, by_count - ratio * by_mean
        for a in range(n_slopes):
            by_mean, by_count = 0.0, 0.0
            for g in range(n_levels):
                by_mean += of_level[g] * centre[a, g]
                by_count += left[g] * centre[a, g]
            change[a] = (change[a] - by_mean) / total
            score[a] -= by_count
        solve_kept(fit.lower, fit.kept, change, k)
        for a in range(n_slopes):
            chord += k[a] * score[a]
            for g in range(n_levels):
                at[g] -= k[a] * centre[a, g]
        found = math.log(ratio) - chord
        fitted = math.exp(found)
        own_spread = max(yy - fitted * (2.0 * ym - fitted * mm), 0.0) / (count * count)
        spread = 0.0
        for t in range(n_numeric):
            for v in range(n_numeric):
                spread += k[t] * k[v] * square[t, v]
        for c in range(n_combinations):
            shift = 0.0
            for h in range(n_indicators):
                shift += k[n_numeric + h] * indicators[h, c]
            s = c * n_levels
            for g in range(n_levels):
                spread += (at[g] + shift) ** 2 * squares[0, s + g]
            for t in range(n_numeric):
                of_row = 0.0
                for g in range(n_levels):
                    of_row += (at[g] + shift) * squares[1 + t, s + g]
                spread += 2.0 * k[t] * of_row
        limit = min(own_spread, 1.0)
        if spread <= LARGEST_SHARE * limit and chord * chord <= LONGEST_CHORD**2 * limit:
            effect[j], outcome[j] = found, FITTED_BY_CONTROLS
            variance[j] = own_spread + spread


@compiled(fastmath=FAST)
def effects_from_controls(layout, y_control, y, effect, variance, expected, outcome, mean):
    """Estimate the effects of every source; fills (n_sources,) arrays, and the mean of each cell.

    Returns Pearson's dispersion of the controls, at least 1. ``outcome`` is FITTED_BY_CONTROLS,
    UNSURE where the fit of the pair is wanted, NO_PERTURBED_COUNTS or, where the controls have no
    fit, NO_FIT. ``mean`` has the controls first; it is 0 in a level without control counts.
    """
    n_controls, n_numeric, n_levels = y_control.shape[0], layout.n_numeric, layout.n_levels
    n_strata, n_slopes = layout.control_start.shape[0] - 1, n_numeric + layout.indicators.shape[0]
    fit = fit_controls(layout, y_control, mean[:n_controls])
    for j in range(effect.shape[0]):
        effect[j], variance[j], expected[j], outcome[j] = np.nan, np.nan, np.nan, NO_FIT
    if not fit.usable:
        mean[:] = 0.0
        return fit.dispersion
    inverse, used, used_stratum = vector(n_levels), vector(n_levels), vector(n_strata)
    for s in range(n_strata):
        g, begin, end = s % n_levels, layout.control_start[s], layout.control_start[s + 1]
        used[g] = 1.0 if fit.level_counts[g] > 0.0 else 0.0
        used_stratum[s] = used[g]
        if end > begin:
            inverse[g] = fit.inverse[g]
        for i in range(begin, end):
            mean[i] *= used[g]
    squares, square = unset_matrix(1 + n_numeric, n_strata), matrix(n_numeric, n_numeric)
    _residual_moments(layout, y_control, mean[:n_controls], squares, square)
    longest = longest_group(layout.source_start)
    _fill_effects(
        layout, fit, y, used_stratum, used, inverse, squares, square,
        unset_matrix(2, longest), vector(n_levels), vector(n_levels), vector(n_levels),
        vector(n_strata), vector(n_strata), vector(n_slopes), vector(n_slopes), vector(n_slopes),
        unset_integers(longest), effect, variance, expected, outcome, mean[n_controls:],
    )  # fmt: skip
    return fit.dispersion
