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

from argen.glm._compile import compiled, loops
from argen.glm._control_effects import FITTED, FITTED_AFRESH, NO_FIT, NO_PERTURBED_COUNTS
from argen.glm._controls import (
    LONGEST_STEP,
    MAX_STEPS,
    fit_controls,
    largest_component,
    longest_group,
    newton_system,
    predict,
    profile_levels,
    segment_sums,
)
from argen.glm._kernels import cholesky_dropping, solve_kept
from argen.glm._pair_sums import (
    add_perturbed,
    add_perturbed_squares,
    control_moments,
    control_variance,
    control_variance_afresh,
    curvature,
    influences,
    means_of_controls,
    observe,
    perturbed_means,
    perturbed_variance,
)
from argen.glm._scratch import booleans, matrix, unset, unset_integers, vector
from argen.glm._series import (
    FAST,
    SERIES_REMAINDER,
    add_moments,
    degree_of_means,
    degree_of_squares,
    exp_coefficients,
    length_of,
    second_moments,
)

# A last step shorter than this changes the variance by less than it, relatively, and leaves
# the estimate its square away from the maximum.
LAST_STEP = 3e-7
# Up to this step the next term of the series of the score is worth having.
CURVED_STEP = 0.1


@loops(fastmath=FAST)
def _fit_wanted(layout, response, weights, moments, work, y_control, y, wanted, effect, variance,
                expected, outcome):  # fmt: skip
    """Fit the pairs one after the other, in arrays that are there: ``work``."""
    n_numeric, indicators, n_levels = layout.n_numeric, layout.indicators, layout.n_levels
    n_slopes, size = n_numeric + indicators.shape[0], n_numeric + indicators.shape[0] + 1
    z, stratum, start = layout.perturbed_z, layout.perturbed_stratum, layout.source_start
    minus, n_up_to, mean_degree = layout.minus, layout.n_up_to, layout.mean_degree
    parent, variable, power = layout.parent, layout.variable, layout.power
    two_to_degree, perturbed_norm = layout.two_to_degree, layout.perturbed_norm
    largest_norm, control_start = layout.largest_norm, layout.control_start
    control_powers = layout.control_powers
    control_counts, control_observed = response.level_counts, response.observed
    spread_ratio = response.spread_ratio
    tables, squares, norms, square_norms = moments
    means_table, cross, mean_squares = tables[0], tables[1], tables[2]
    (base, means, fitted, scratch, level_counts, observed, e, step, score, weight, unit, kept,
     information, lower, sums, own, own_moments, own_second, second, contracted, by_level, rate,
     scale, seen, influence, coefficients, doubled, control_means, fresh, exponent,
     many) = work  # fmt: skip
    unit[n_slopes], counted = 1.0, 0.0
    for g in range(n_levels):
        counted += control_counts[g]

    for j in range(effect.shape[0]):
        if not wanted[j]:
            continue
        begin, end = start[j], start[j + 1]
        predict(layout, j, response, means, base, scratch)
        for g in range(n_levels):
            level_counts[g] = control_counts[g]
        for a in range(n_slopes):
            observed[a] = control_observed[a]
        total, expectation = observe(
            begin, end, y, base, z, stratum, indicators, seen, level_counts, observed
        )
        expected[j] = expectation
        if total == 0.0:
            # Levels that the controls have no count of are expected to have none.
            for i in range(begin, end):
                if control_counts[stratum[i] % n_levels] == 0.0:
                    expected[j] -= base[i - begin]
            outcome[j] = NO_PERTURBED_COUNTS
            continue

        e[:] = 0.0
        e[n_slopes] = math.log(total / expectation)
        length, converged, afresh = 0.0, False, False
        for _ in range(MAX_STEPS):
            length = length_of(e, n_numeric)
            degree = degree_of_means(length, largest_norm, norms, mean_degree,
                                     SERIES_REMAINDER)  # fmt: skip
            afresh = afresh or degree < 0
            if afresh:
                # At e itself the series has the one coefficient 1.
                means_of_controls(weights, e, n_numeric, control_powers, exponent,
                                  control_means, many)  # fmt: skip
                segment_sums(control_means, control_powers, control_start, fresh)
                table, n_coefficients, n_terms = fresh, 1, minus.shape[1]
            elif length == 0.0:
                table, n_coefficients, n_terms = means_table, 1, minus.shape[1]
            else:
                table, n_terms = means_table, n_up_to[max(degree, min(2, mean_degree))]
                n_coefficients = n_terms
            exp_coefficients(e, parent, variable, power, n_coefficients, coefficients)
            add_moments(table, coefficients, minus, n_coefficients, n_terms, sums)
            perturbed_means(begin, end, e, z, perturbed_norm[j], base, fitted, means,
                             scratch)  # fmt: skip
            add_perturbed(begin, end, means, z, stratum, own, sums)
            profile_levels(level_counts, indicators, sums, own, e, by_level, scale, rate)
            second_moments(table, coefficients, minus, n_coefficients, n_terms, rate, contracted,
                           second)  # fmt: skip
            add_perturbed_squares(begin, end, means, z, stratum, rate, fitted, own_moments,
                                   own_second, second)  # fmt: skip
            newton_system(level_counts, indicators, observed, sums, own, own_moments, second,
                          by_level, rate, score, information)  # fmt: skip
            cholesky_dropping(information, lower, kept)
            solve_kept(lower, kept, score, step)
            longest = largest_component(step)
            if longest < LAST_STEP:
                converged = True
                break
            if longest < CURVED_STEP:
                step[n_slopes] -= curvature(step, score, own_moments, own_second, second, counted)
            shrink = min(1.0, LONGEST_STEP / longest)
            for a in range(size):
                e[a] += shrink * step[a]
        if not converged or not kept[n_slopes]:
            continue

        # Influence of cell i on d: r_i c'(x_i - f_g / M_g), c the row of d of the inverse
        # information.
        solve_kept(lower, kept, unit, weight)
        influences(by_level, indicators, weight, n_numeric, influence)
        meat = perturbed_variance(begin, end, y, fitted, z, stratum, influence, weight, means)
        degree = degree_of_squares(length, largest_norm, square_norms, spread_ratio,
                                   n_up_to.shape[0] - 3)  # fmt: skip
        if degree < 0 and not afresh:
            afresh = True
            means_of_controls(weights, e, n_numeric, control_powers, exponent, control_means,
                              many)  # fmt: skip
        if afresh:
            meat += control_variance_afresh(y_control, control_means, control_powers,
                                             control_start, influence, rate, weight,
                                             n_numeric)  # fmt: skip
        else:
            n_coefficients, n_terms = n_up_to[degree], n_up_to[degree + 2]
            exp_coefficients(e, parent, variable, power, n_coefficients, coefficients)
            for a in range(n_coefficients):
                doubled[a] = coefficients[a] * two_to_degree[a]
            meat += control_variance(squares, cross, mean_squares, coefficients, doubled, minus,
                                      n_coefficients, n_terms, weight, n_numeric, influence,
                                      rate)  # fmt: skip
        if meat > 0.0:
            effect[j], variance[j] = e[n_slopes] + step[n_slopes], meat
            outcome[j] = FITTED_AFRESH if afresh else FITTED


@compiled(fastmath=FAST)
def fit_pairs(layout, y_control, y, wanted, effect, variance, expected, outcome):
    """Fit one response under every source that is wanted; fills (n_sources,) arrays.

    Returns Pearson's dispersion of the controls, at least 1.

    ``effect`` and ``variance`` (HC0) of d; where the perturbed cells have no count, the count
    ``expected`` of them without an effect; ``outcome`` says which of these hold, and whether
    the sums over controls had to be taken afresh because no series of the given degrees is
    close enough.
    """
    n_controls = y_control.shape[0]
    weights = unset(n_controls)
    response = fit_controls(layout, y_control, weights)
    for j in range(effect.shape[0]):
        if wanted[j]:
            effect[j], variance[j], expected[j], outcome[j] = np.nan, np.nan, np.nan, NO_FIT
    if not response.usable:
        return response.dispersion
    n_numeric, n_levels = layout.n_numeric, layout.n_levels
    n_indicators, n_combinations = layout.indicators.shape
    n_strata, size = n_combinations * n_levels, n_numeric + n_indicators + 1
    n_monomials, n_low = layout.minus.shape
    longest = longest_group(layout.source_start)
    work = (
        unset(longest), unset(longest), unset(longest), unset_integers(longest),
        vector(n_levels), vector(size), vector(size), vector(size), vector(size), vector(size),
        vector(size), booleans(size), matrix(size, size), matrix(size, size),
        matrix(1 + n_numeric, n_strata), vector(n_strata), vector(1 + n_numeric),
        matrix(n_numeric, n_numeric), matrix(n_numeric, n_numeric), vector(n_monomials),
        matrix(2 + size, n_levels), vector(n_strata), vector(n_combinations), vector(n_strata),
        vector(n_strata), vector(n_monomials), vector(n_monomials), unset(n_controls),
        matrix(n_low, n_strata), unset(n_controls), unset_integers(n_controls),
    )  # fmt: skip
    moments = control_moments(layout, y_control, weights)
    _fit_wanted(layout, response, weights, moments, work, y_control, y, wanted, effect, variance,
                expected, outcome)  # fmt: skip
    return response.dispersion
