"""Compiled sums over the cells of one perturbation, and over its controls (see ``_pairs``)."""

from __future__ import annotations

import math

from argen.glm._compile import inlined, inner, loops
from argen.glm._controls import mean_norms
from argen.glm._scratch import cube, matrix, unset_matrix
from argen.glm._series import (
    FAST,
    exponentials,
    exponentials_of_sums,
    length_of,
    weighted_coefficients,
)


@inner(fastmath=FAST)
def control_moments(layout, y, weights):
    """Sum w z^a, y w z^a, w^2 z^a and y^2 z^a over the controls of each stratum.

    Returns them and the bounds of ``mean_norms`` with the weights w and w^2.
    """
    n, powers = y.shape[0], layout.control_powers
    products = unset_matrix(3, n)
    for i in range(n):
        products[0, i] = y[i] * weights[i]
        products[1, i] = weights[i] * weights[i]
        products[2, i] = y[i] * y[i]
    n_monomials, n_strata = powers.shape[0], layout.control_start.shape[0] - 1
    tables, squares = cube(3, n_monomials, n_strata), matrix(layout.minus.shape[1], n_strata)
    sum_moments(weights, products, powers, layout.control_start, tables, squares)
    return tables, squares, mean_norms(layout, tables[0]), mean_norms(layout, tables[2])


@loops(fastmath=FAST)
def sum_moments(weights, products, powers, start, tables, squares):
    """Sum weights and products, times powers; all at once, since to read them takes the time.

    ``tables`` get those of the weights and of the first two products, and ``squares`` those of
    the third, as far as it goes.
    """
    for s in range(start.shape[0] - 1):
        begin, end = start[s], start[s + 1]
        first, second = weights[begin:end], products[0, begin:end]
        third, fourth = products[1, begin:end], products[2, begin:end]
        for a in range(powers.shape[0]):
            row = powers[a, begin:end]
            total, total_2, total_3, total_4 = 0.0, 0.0, 0.0, 0.0
            for i in range(row.shape[0]):
                total += first[i] * row[i]
                total_2 += second[i] * row[i]
                total_3 += third[i] * row[i]
                total_4 += fourth[i] * row[i]
            tables[0, a, s], tables[1, a, s] = total, total_2
            tables[2, a, s] = total_3
            if a < squares.shape[0]:
                squares[a, s] = total_4


@inlined(fastmath=FAST)
def observe(begin, end, y, base, z, stratum, indicators, seen, level_counts, observed):
    """Add counts of the perturbed cells to T_g and to the sums of y z, y F and y D.

    Returns the count of the perturbed cells and the count that was to be expected.
    """
    n_numeric, n_levels = z.shape[0], level_counts.shape[0]
    n_indicators, n_combinations = indicators.shape
    own, predicted, strata = y[begin:end], base, stratum[begin:end]
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


@inlined(fastmath=FAST)
def perturbed_means(begin, end, e, z, largest_norm, base, exponent, means, scratch):
    """``m_i = base_i exp(e'z_i + d)``, without what indicators and levels add."""
    size = math.exp(e[e.shape[0] - 1])
    if length_of(e, z.shape[0]) == 0.0:
        for i in range(end - begin):
            means[i] = size * base[i]
        return
    exponentials_of_sums(begin, end, e, z, largest_norm, exponent, means, scratch)
    for i in range(end - begin):
        means[i] *= size * base[i]


@inlined(fastmath=FAST)
def add_perturbed(begin, end, means, z, stratum, own, sums):
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


@inlined(fastmath=FAST)
def add_perturbed_squares(begin, end, means, z, stratum, rate, fitted, own_moments, own_second,
                          second):  # fmt: skip
    """Add ``sum mu_i z_it z_iv`` over the perturbed cells, ``mu_i = rate_s m_i``, to ``second``.

    ``own_second`` gets these sums alone, ``own_moments`` those of ``mu_i`` and ``mu_i z_i``, and
    ``fitted`` the means.
    """
    strata, n, total = stratum[begin:end], end - begin, 0.0
    for i in range(n):
        fitted[i] = rate[strata[i]] * means[i]
    for i in range(n):
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
            own_second[t, v] = total
            second[t, v] += total


@inlined(fastmath=FAST)
def curvature(step, score, own_moments, own_second, second, counted):
    """Second-order term of a Newton step s, which is to be taken from that of d.

    With v_i the change ``s'x_i`` of the log mean of cell i, less its mean over the cells of the
    level, the perturbed cells are expected to have

        ``t (1 + E_D[v] + (E_D[v^2] - E[v^2]) / 2)``

    counts in place of t. E_D is the mean over perturbed cells; E, over their levels, is due to the
    level intercepts. Newton's step takes the linear term, ``E_D[v] = score_d / t``, for the whole.
    Of the covariates in v^2 the sums over all cells will do, uncentred: this is a start, no more.
    """
    n_numeric, d = own_second.shape[0], step.shape[0] - 1
    total = own_moments[0]
    curved = step[d] * (2.0 * score[d] / total - step[d])
    for t in range(n_numeric):
        for v in range(t, n_numeric):
            double = 1.0 if t == v else 2.0
            excess = own_second[t, v] / total - second[t, v] / counted
            curved += double * step[t] * step[v] * excess
    return 0.5 * curved


@inlined(fastmath=FAST)
def influences(by_level, indicators, weight, n_numeric, influence):
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


@inlined(fastmath=FAST)
def perturbed_variance(begin, end, y, fitted, z, stratum, influence, weight, at):
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


@inlined(fastmath=FAST)
def control_variance(squares, cross, mean_squares, coefficients, doubled, minus, n_coefficients,
                      n_terms, weight, n_numeric, influence, rate):  # fmt: skip
    """``sum_i (y_i - mu_i)^2 (k_s + c'z_i)^2`` over the controls, by the series.

    ``mu_i = rate_s w_i exp(e'z_i)``; ``doubled`` are the coefficients of ``exp(2 e'z)``.
    """
    variance = 0.0
    for a in range(squares.shape[0]):  # as a series of the first coefficient, 1
        constant, linear, quadratic = weighted_coefficients(
            a, coefficients, minus, 1, weight, n_numeric
        )
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


@loops(fastmath=FAST)
def means_of_controls(weights, e, n_numeric, powers, exponent, means, scratch):
    """Means of the controls at e, cell by cell: where no series will do."""
    n = weights.shape[0]
    exponent[:] = 0.0
    for t in range(n_numeric):
        for i in range(n):
            exponent[i] += e[t] * powers[1 + t, i]
    exponentials(exponent, means, scratch)
    for i in range(n):
        means[i] *= weights[i]


@loops(fastmath=FAST)
def control_variance_afresh(y, means, powers, start, influence, rate, weight, n_numeric):
    """``sum_i (y_i - mu_i)^2 (k_s + c'z_i)^2`` over the controls, cell by cell."""
    variance = 0.0
    for s in range(start.shape[0] - 1):
        for i in range(start[s], start[s + 1]):
            at = influence[s]
            for t in range(n_numeric):
                at += weight[t] * powers[1 + t, i]
            variance += ((y[i] - rate[s] * means[i]) * at) ** 2
    return variance
