"""Compiled test of a shift in the mean log residual, between groups of cells and the controls.

With mu_i the mean that the fit of the controls gives cell i, phi their dispersion and a = 1 / phi,
the log residual of a count, which hardly depends on the mean, is::

    psi_i = log((y_i + a) / (mu_i + a)),     Var(psi_i) ~ V_i = phi mu_i / (mu_i + a)

What it still has of covariates and exposure is regressed out, on
``z = [x, log C, log(mu + a), log(mu + a)^2]`` within groups. Group j of n cells against the
controls, group 0, has the sum (bars are means of a group)::

    S = n (psi_j - psi_0 - d'b),      d = z_j - z_0

Its distribution without an effect is that of n residuals r of the controls, drawn at random and
multiplied by ``c = sqrt(V_j / V_0)``, plus the normal error of what it is compared with, of
variance ``v = n^2 (s_0^2 / n_0 + d' Cov(b) d)``. So its cumulants are known::

    K(t) = n K_0(c t) + t^2 v / 2,     K_0(s) = log mean exp(s r)

and the tail is Lugannani and Rice's, in the form of Barndorff-Nielsen: with ``K'(t) = S``,
``w = sign(t) sqrt(2 (t S - K(t)))`` and ``u = t sqrt(K''(t))``, the deviate ``w + log(u / w) / w``
is standard normal to the third order.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from argen.arrays import FloatArray, IntArray
from argen.glm._compile import compiled, inlined, inner, loops
from argen.glm._controls import StratumArray
from argen.glm._kernels import cholesky_dropping, solve_kept
from argen.glm._scratch import (
    booleans,
    count_of,
    matrix,
    unset,
    unset_integers,
    unset_matrix,
    vector,
)
from argen.glm._series import FAST, exponentials, logarithms

# Moment estimates of the dispersion beyond these say more of single cells than of the gene.
LEAST_DISPERSION, LARGEST_DISPERSION = 0.05, 20.0
# Groups this far from the controls have an effect: their residuals do not tell what covariates do.
QUIET_DEVIATE = 3.0
# Below it w and u are so small that their ratio is lost in rounding, and the normal deviate serves.
NORMAL_DEVIATE = 0.5
# K_0 is tabulated at s = SPREAD sinh(k STEP), k = -N_KNOTS, ..., N_KNOTS.
SPREAD, STEP, N_KNOTS = 1.0, 0.05, 160
# Sums over residuals are taken by bins of them, with so many moments in each; where the moments
# that are left out count, which is from this product of s and half a bin, one by one.
N_BINS, N_MOMENTS, LONGEST_TILT = 256, 8, 0.5
MAX_STEPS = 100
CONVERGED = 1e-9
# Counts below it have their logarithm in a table.
SMALL_COUNT = 256
# Groups that are worked on together, so that their residuals stay close at hand.
N_TOGETHER = 32
# What is left of the products of a column without the groups that have an effect, as a share of
# those of all groups, below which it is rounding.
SMALLEST_SHARE = 1e-10
# A column whose variance within groups is below this share of 1 + its mean square is constant, as
# that of the exposure is where all cells have the same: what is left of it is rounding.
CONSTANT_SHARE = 1e-12


class ResidualLayout(NamedTuple):
    """Cells by group, the controls first; everything that does not depend on the response."""

    start: IntArray  # (n_groups + 1,): cells of group g are start[g]:start[g + 1]
    control_start: IntArray  # (n_strata + 1,): the controls are sorted by stratum
    stratum: StratumArray  # (n_cells,): combination of categorical levels
    columns: IntArray  # (n_factors, n_strata): column of the level in z, -1 for the reference
    numeric: FloatArray  # (n_numeric, n_cells): covariates and log C, less the mean of the group
    n_indicators: int
    means: FloatArray  # (n_columns, n_groups): mean of these columns of z, indicators first
    of_controls: FloatArray  # (n_columns, n_columns): their products within the controls
    of_all: FloatArray  # (n_columns, n_columns): their products within groups, of all groups


@loops(fastmath=FAST)
def _dispersion(y, mu):
    """Phi by moments; 0 where there is no mean."""
    excess, square = 0.0, 0.0
    for i in range(y.shape[0]):
        excess += (y[i] - mu[i]) ** 2 - mu[i]
        square += mu[i] * mu[i]
    if square <= 0.0:
        return 0.0
    return min(max(excess / square, LEAST_DISPERSION), LARGEST_DISPERSION)


@loops(fastmath=FAST)
def _log_residuals(y, mu, log_count, dispersion, psi, log_mean, squared, means, scratch):
    """Fill psi, log(mu + a) and its square, of a group, less their means; returns that of V."""
    n, a, spread = y.shape[0], 1.0 / dispersion, 0.0
    for i in range(n):
        squared[i] = mu[i] + a
        spread += mu[i] / squared[i]
    logarithms(squared, log_mean, scratch)
    for i in range(n):
        small = y[i] < SMALL_COUNT
        psi[i] = log_count[np.uint64(y[i])] if small else math.log(y[i] + a)
    total, first, second = 0.0, 0.0, 0.0
    for i in range(n):
        psi[i] -= log_mean[i]
        squared[i] = log_mean[i] * log_mean[i]
        total += psi[i]
        first += log_mean[i]
        second += squared[i]
    divisor = max(n, 1)
    means[0], means[1], means[2] = total / divisor, first / divisor, second / divisor
    for i in range(n):
        psi[i] -= means[0]
        log_mean[i] -= means[1]
        squared[i] -= means[2]
    return dispersion * spread / divisor


@loops(fastmath=FAST)
def _add_products(psi, log_mean, squared, numeric, first, n_indicators, gram, cross):
    """Add the products of z by psi, and by the two last columns of z, but for the indicators.

    The columns of ``numeric`` begin with the cell ``first``. Returns the product of psi by psi.
    """
    n_shared = n_indicators + numeric.shape[0]
    for t in range(numeric.shape[0]):
        row = numeric[t, first : first + psi.shape[0]]
        total, by_mean, by_square = 0.0, 0.0, 0.0
        for i in range(row.shape[0]):
            total += psi[i] * row[i]
            by_mean += log_mean[i] * row[i]
            by_square += squared[i] * row[i]
        cross[n_indicators + t] += total
        gram[n_shared, n_indicators + t] += by_mean
        gram[n_shared + 1, n_indicators + t] += by_square
    total, by_mean, by_square, first_first, both, second_second = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(psi.shape[0]):
        total += psi[i] * psi[i]
        by_mean += psi[i] * log_mean[i]
        by_square += psi[i] * squared[i]
        first_first += log_mean[i] * log_mean[i]
        both += log_mean[i] * squared[i]
        second_second += squared[i] * squared[i]
    cross[n_shared] += by_mean
    cross[n_shared + 1] += by_square
    gram[n_shared, n_shared] += first_first
    gram[n_shared + 1, n_shared] += both
    gram[n_shared + 1, n_shared + 1] += second_second
    return total


@loops(fastmath=FAST)
def _add_indicators(by_stratum, columns, n_shared, gram, cross):
    """Add the products of indicators by psi and by the two last columns of z: sums of strata."""
    for s in range(by_stratum.shape[0]):
        for f in range(columns.shape[0]):
            a = columns[f, s]
            if a >= 0:
                cross[a] += by_stratum[s, 0]
                gram[n_shared, a] += by_stratum[s, 1]
                gram[n_shared + 1, a] += by_stratum[s, 2]


@loops(fastmath=FAST)
def _take_group(layout, g, gram):
    """Take the products within a group, of the columns that no response changes, off."""
    columns, n_indicators = layout.columns, layout.n_indicators
    begin, end = layout.start[g], layout.start[g + 1]
    n_factors, n_numeric = columns.shape[0], layout.numeric.shape[0]
    for i in range(begin, end):
        s = layout.stratum[i]
        for f in range(n_factors):
            a = columns[f, s]
            if a >= 0:
                for other in range(f + 1):
                    b = columns[other, s]
                    if b >= 0:
                        gram[max(a, b), min(a, b)] -= 1.0
                for t in range(n_numeric):
                    gram[n_indicators + t, a] -= layout.numeric[t, i]
    for a in range(n_indicators):
        share = (end - begin) * layout.means[a, g]
        for b in range(a + 1):
            gram[a, b] += share * layout.means[b, g]
    for t in range(n_numeric):
        for v in range(t + 1):
            total = 0.0
            for i in range(begin, end):
                total += layout.numeric[t, i] * layout.numeric[v, i]
            gram[n_indicators + t, n_indicators + v] -= total


@loops()
def _drop_column(gram, a):
    """Take a column out of a regression."""
    for c in range(gram.shape[0]):
        gram[max(a, c), min(a, c)] = 0.0


@loops()
def _drop_constant(gram, n_cells, means):
    """Take log(mu + a) and its square out where they are constant within groups."""
    for k in (1, 2):
        a = gram.shape[0] - 3 + k
        if gram[a, a] <= CONSTANT_SHARE * n_cells * (1.0 + means[k] * means[k]):
            _drop_column(gram, a)


@inner(fastmath=FAST)
def _regress(gram, cross, squares, freedom, lower, kept, b):
    """Least squares; returns the variance of the residuals."""
    cholesky_dropping(gram, lower, kept)
    solve_kept(lower, kept, cross, b)
    for a in range(b.shape[0]):
        squares -= b[a] * cross[a]
        freedom -= 1.0 if kept[a] else 0.0
    return max(squares, 0.0) / max(freedom, 1.0)


@loops(fastmath=FAST)
def _shifts(layout, first, last, means, spread, b, residual_variance, lower, kept,
            control_variance, d, length, shift, scale, error):  # fmt: skip
    """Fill S, c and v of the groups from ``first`` to before ``last``, none of them the controls.

    Rows of ``d``, of which each group has a column, become those of ``lower^-1 d``, so that the
    sums of their squares are ``d' (lower lower')^-1 d`` on the kept columns.
    """
    n_shared, n_groups = layout.means.shape[0], last - first
    for a in range(n_shared):
        for k in range(n_groups):
            d[a, k] = layout.means[a, first + k] - layout.means[a, 0]
    for k in range(n_groups):
        d[n_shared, k] = means[first + k, 1] - means[0, 1]
        d[n_shared + 1, k] = means[first + k, 2] - means[0, 2]
        shift[first + k - 1] = means[first + k, 0] - means[0, 0]
        length[k] = 0.0
    for a in range(d.shape[0]):
        row = d[a]
        for k in range(n_groups):
            shift[first + k - 1] -= b[a] * row[k]
        inverse = 1.0 / lower[a, a] if kept[a] else 0.0
        for c in range(a):
            entry, solved = lower[a, c], d[c]
            for k in range(n_groups):
                row[k] -= entry * solved[k]
        for k in range(n_groups):
            row[k] *= inverse
            length[k] += row[k] * row[k]
    for k in range(n_groups):
        g = first + k
        n = layout.start[g + 1] - layout.start[g]
        shift[g - 1] *= n
        scale[g - 1] = math.sqrt(spread[g] / spread[0])
        error[g - 1] = n * n * (control_variance / layout.start[1] + residual_variance * length[k])


@inner(fastmath=FAST)
def _control_residuals(layout, values, b, longer, residuals):
    """Fill r of the controls; returns their variance.

    Residuals are smaller than what they stand for, as their mean and b were fitted to them: they
    are made ``longer``.
    """
    n_indicators, n_numeric = layout.n_indicators, layout.numeric.shape[0]
    n_shared, start, total = n_indicators + n_numeric, layout.control_start, 0.0
    constant = 0.0
    for a in range(n_indicators):
        constant += layout.means[a, 0] * b[a]
    for s in range(start.shape[0] - 1):
        of_levels = constant
        for f in range(layout.columns.shape[0]):
            a = layout.columns[f, s]
            of_levels -= b[a] if a >= 0 else 0.0
        for i in range(start[s], start[s + 1]):
            left = values[0, i] - b[n_shared] * values[1, i] - b[n_shared + 1] * values[2, i]
            residuals[i] = left + of_levels
    for t in range(n_numeric):
        for i in range(residuals.shape[0]):
            residuals[i] -= b[n_indicators + t] * layout.numeric[t, i]
    for i in range(residuals.shape[0]):
        residuals[i] *= longer
        total += residuals[i] * residuals[i]
    return total / residuals.shape[0]


@loops(fastmath=FAST)
def _residuals_of_groups(layout, first, last, y, mu, log_count, dispersion, psi, log_mean, squared,
                         means, spread, scratch):  # fmt: skip
    """Fill in the residuals of the groups from ``first`` to before ``last``."""
    base = layout.start[first]
    for g in range(first, last):
        begin, end = layout.start[g], layout.start[g + 1]
        here, there = begin - base, end - base
        spread[g] = _log_residuals(y[begin:end], mu[begin:end], log_count, dispersion,
                                   psi[here:there], log_mean[here:there], squared[here:there],
                                   means[g], scratch)  # fmt: skip


@loops(fastmath=FAST)
def _add_quiet_groups(layout, first, last, psi, log_mean, squared, shift, scale, error,
                      control_variance, gram, cross, by_stratum):  # fmt: skip
    """Add the products of groups without an effect, and take those of the others off.

    Returns the product of psi by psi and the degrees of freedom.
    """
    base, squares, freedom = layout.start[first], 0.0, 0
    for g in range(first, last):
        begin, end = layout.start[g], layout.start[g + 1]
        variance = (end - begin) * scale[g - 1] ** 2 * control_variance + error[g - 1]
        if not shift[g - 1] ** 2 < QUIET_DEVIATE**2 * variance:
            _take_group(layout, g, gram)
            continue
        here, there, strata = begin - base, end - base, layout.stratum[begin:end]
        residual, one, two = psi[here:there], log_mean[here:there], squared[here:there]
        squares += _add_products(residual, one, two, layout.numeric, begin, layout.n_indicators,
                                 gram, cross)  # fmt: skip
        freedom += end - begin - 1
        for i in range(strata.shape[0]):
            s = strata[i]
            by_stratum[s, 0] += residual[i]
            by_stratum[s, 1] += one[i]
            by_stratum[s, 2] += two[i]
    return squares, freedom


@inlined()
def _lengthening(n, kept):
    """Root of n over the degrees of freedom of its residuals."""
    return math.sqrt(n / max(n - 1.0 - count_of(kept), 1.0))


@compiled(fastmath=FAST)
def compare_groups(layout, y, mu, shift, scale, error, residuals):
    """Fill S, c and v of every group, and the residuals of the controls.

    The regression is fitted to the controls first, and then to them and the groups that seem to
    be without an effect. Returns the variance of the residuals; 0 where nothing can be said.
    """
    start, control_start = layout.start, layout.control_start
    n_shared, n_groups = layout.means.shape
    n_controls, n_indicators, size = start[1], layout.n_indicators, n_shared + 2
    dispersion = _dispersion(y[:n_controls], mu[:n_controls])
    if dispersion == 0.0:
        return 0.0
    log_count = vector(SMALL_COUNT)
    for count in range(SMALL_COUNT):
        log_count[count] = math.log(count + 1.0 / dispersion)
    spread, means = vector(n_groups), matrix(n_groups, 3)
    values, scratch = unset_matrix(3, n_controls), unset_integers(n_controls)
    spread[0] = _log_residuals(y[:n_controls], mu[:n_controls], log_count, dispersion, values[0],
                               values[1], values[2], means[0], scratch)  # fmt: skip
    by_stratum = matrix(control_start.shape[0] - 1, 3)
    for s in range(control_start.shape[0] - 1):
        for k in range(3):
            total = 0.0
            for i in range(control_start[s], control_start[s + 1]):
                total += values[k, i]
            by_stratum[s, k] = total
    gram, cross, b = matrix(size, size), vector(size), vector(size)
    lower, kept = matrix(size, size), booleans(size)
    for a in range(n_shared):
        for c in range(n_shared):
            gram[a, c] = layout.of_controls[a, c]
    squares = _add_products(values[0], values[1], values[2], layout.numeric, 0, n_indicators,
                            gram, cross)  # fmt: skip
    _add_indicators(by_stratum, layout.columns, n_shared, gram, cross)
    _drop_constant(gram, n_controls, means[0])
    freedom = n_controls - 1.0
    residual_variance = _regress(gram, cross, squares, freedom, lower, kept, b)
    control_variance = residual_variance * max(freedom - count_of(kept), 1.0) / n_controls
    control_variance *= _lengthening(n_controls, kept) ** 2
    if not control_variance > 0.0:
        return 0.0

    for a in range(n_shared):
        for c in range(n_shared):
            gram[a, c] = layout.of_all[a, c]
    longest = 0
    for first in range(1, n_groups, N_TOGETHER):
        longest = max(longest, start[min(first + N_TOGETHER, n_groups)] - start[first])
    d, length, integers = matrix(size, N_TOGETHER), vector(N_TOGETHER), unset_integers(longest)
    psi, log_mean, squared = unset(longest), unset(longest), unset(longest)
    by_stratum[:, :] = 0.0
    for first in range(1, n_groups, N_TOGETHER):
        last = min(first + N_TOGETHER, n_groups)
        _residuals_of_groups(layout, first, last, y, mu, log_count, dispersion, psi, log_mean,
                             squared, means, spread, integers)  # fmt: skip
        _shifts(layout, first, last, means, spread, b, residual_variance, lower, kept,
                control_variance, d, length, shift, scale, error)  # fmt: skip
        more, cells = _add_quiet_groups(layout, first, last, psi, log_mean, squared, shift, scale,
                                        error, control_variance, gram, cross,
                                        by_stratum)  # fmt: skip
        squares += more
        freedom += cells
    _add_indicators(by_stratum, layout.columns, n_shared, gram, cross)
    for a in range(n_shared):
        if gram[a, a] <= SMALLEST_SHARE * layout.of_all[a, a]:
            _drop_column(gram, a)
    _drop_constant(gram, start[n_groups], means[0])
    residual_variance = _regress(gram, cross, squares, freedom, lower, kept, b)
    longer = _lengthening(n_controls, kept)
    control_variance = _control_residuals(layout, values, b, longer, residuals)
    if not control_variance > 0.0:
        return 0.0
    for first in range(1, n_groups, N_TOGETHER):
        _shifts(layout, first, min(first + N_TOGETHER, n_groups), means, spread, b,
                residual_variance, lower, kept, control_variance, d, length, shift, scale,
                error)  # fmt: skip
    return control_variance


@inner(fastmath=FAST)
def bin_moments(residuals, edges, moments):
    """``moments[m, k] = sum x^m`` over the residuals of a bin, x from -1 to 1 across it.

    Half the width of a bin, and the middle of the first, are put in ``edges``.
    """
    lowest, highest = residuals[0], residuals[0]
    for i in range(residuals.shape[0]):
        lowest, highest = min(lowest, residuals[i]), max(highest, residuals[i])
    width = max((highest - lowest) / N_BINS, 1e-290)
    edges[0], edges[1] = 0.5 * width, lowest + 0.5 * width
    by_bin = matrix(N_BINS, N_MOMENTS)
    for i in range(residuals.shape[0]):
        at = (residuals[i] - lowest) / width
        k = min(int(at), N_BINS - 1)
        x, power, row = 2.0 * (at - k) - 1.0, 1.0, by_bin[k]
        for m in range(N_MOMENTS):
            row[m] += power
            power *= x
    for k in range(N_BINS):
        for m in range(N_MOMENTS):
            moments[m, k] = by_bin[k, m]


@inner(fastmath=FAST)
def _by_bins(s, edges, moments, tilted, weights, scratch):
    """Sum ``exp(s r - largest)`` by 1, r and r^2; returns the sums after ``largest``.

    Over a bin with middle c and half width h they are series in sh::

        sum exp(s r) = exp(s c) sum_m (sh)^m / m! moments_m,     r = c + h x
    """
    half, middle = edges[0], edges[1]
    largest = max(s * middle, s * (middle + (2 * N_BINS - 2) * half))
    for k in range(N_BINS):
        tilted[k] = s * (middle + 2 * k * half) - largest
    exponentials(tilted[:N_BINS], weights, scratch)
    total, first, second = 0.0, 0.0, 0.0
    zeroth, by_x, by_square = tilted[:N_BINS], tilted[N_BINS:], weights[N_BINS:]
    for k in range(N_BINS):
        zeroth[k], by_x[k], by_square[k] = 0.0, 0.0, 0.0
    coefficient = 1.0
    for m in range(N_MOMENTS):
        row = moments[m]
        before, last = moments[min(m + 1, N_MOMENTS - 1)], moments[min(m + 2, N_MOMENTS - 1)]
        of_x = coefficient if m + 1 < N_MOMENTS else 0.0
        of_square = coefficient if m + 2 < N_MOMENTS else 0.0
        for k in range(N_BINS):
            zeroth[k] += coefficient * row[k]
            by_x[k] += of_x * before[k]
            by_square[k] += of_square * last[k]
        coefficient *= s * half / (m + 1)
    for k in range(N_BINS):
        c = middle + 2 * k * half
        total += weights[k] * zeroth[k]
        first += weights[k] * (c * zeroth[k] + half * by_x[k])
        second += weights[k] * (
            c * c * zeroth[k] + half * (2.0 * c * by_x[k] + half * by_square[k])
        )
    return largest, total, first, second


@inner(fastmath=FAST)
def _one_by_one(s, residuals):
    """Sum over the residuals themselves, as ``_by_bins`` does over bins."""
    n, largest = residuals.shape[0], -np.inf
    for i in range(n):
        largest = max(largest, s * residuals[i])
    tilted, weights, scratch = unset(n), unset(n), unset_integers(n)
    for i in range(n):
        tilted[i] = s * residuals[i] - largest
    exponentials(tilted, weights, scratch)
    total, first, second = 0.0, 0.0, 0.0
    for i in range(n):
        total += weights[i]
        first += weights[i] * residuals[i]
        second += weights[i] * residuals[i] * residuals[i]
    return largest, total, first, second


@inner(fastmath=FAST)
def tabulate(s, residuals, edges, moments, row, tilted, weights, scratch):
    """Fill a row of the table with s and K_0, K_0' and K_0'' there."""
    if abs(s) * edges[0] <= LONGEST_TILT:
        largest, total, first, second = _by_bins(s, edges, moments, tilted, weights, scratch)
    else:
        largest, total, first, second = _one_by_one(s, residuals)
    mean = first / total
    row[0], row[1] = s, largest + math.log(total / residuals.shape[0])
    row[2], row[3] = mean, max(second / total - mean * mean, 0.0)


@inlined()
def _cumulants(s, knots):
    """K_0, K_0' and K_0'' at s, by the polynomial of degree 5 between two knots.

    Beyond the last knot the largest residual outweighs all others, and K_0 is straight.
    """
    left, h = knots[0, 0], knots[1, 0] - knots[0, 0]
    x = (s - left) / h
    if x > 1.0 or x < 0.0:
        end = 1 if x > 1.0 else 0
        beyond = (x - 1.0 if x > 1.0 else x) * h
        return knots[end, 1] + beyond * knots[end, 2], knots[end, 2], 0.0
    f0, g0, c0 = knots[0, 1], h * knots[0, 2], h * h * knots[0, 3]
    f1, g1, c1 = knots[1, 1], h * knots[1, 2], h * h * knots[1, 3]
    # What is left of the value, slope and curvature of the right knot gives x^3, x^4 and x^5.
    value = f1 - f0 - g0 - 0.5 * c0
    slope = g1 - g0 - c0
    curvature = c1 - c0
    p3 = 10.0 * value - 4.0 * slope + 0.5 * curvature
    p4 = -15.0 * value + 7.0 * slope - curvature
    p5 = 6.0 * value - 3.0 * slope + 0.5 * curvature
    whole = f0 + x * (g0 + x * (0.5 * c0 + x * (p3 + x * (p4 + x * p5))))
    first = g0 + x * (c0 + x * (3.0 * p3 + x * (4.0 * p4 + x * 5.0 * p5)))
    second = c0 + x * (6.0 * p3 + x * (12.0 * p4 + x * 20.0 * p5))
    return whole, first / h, max(second, 0.0) / (h * h)


@compiled()
def deviates(first, count, weight, shift, error, residuals, variance, out):
    """Fill the standard normal deviate of every group's S.

    The cells of group j are of the kinds ``first[j]:first[j + 1]``: ``count`` of each, whose
    residuals have the same ``weight`` in S, c where there is one kind. With n_b and a_b these::

        K(t) = sum_b n_b K_0(a_b t) + t^2 v / 2

    Parameters
    ----------
    variance
        Of the residuals.
    """
    table = matrix(2 * N_KNOTS + 1, 4)
    table[:, :] = np.nan
    edges, moments = vector(2), matrix(N_MOMENTS, N_BINS)
    tilted, weights, scratch = unset(2 * N_BINS), unset(2 * N_BINS), unset_integers(N_BINS)
    bin_moments(residuals, edges, moments)
    for j in range(shift.shape[0]):
        v, observed, total = error[j], shift[j], error[j]
        for b in range(first[j], first[j + 1]):
            total += count[b] * weight[b] ** 2 * variance
        out[j] = observed / math.sqrt(total) if total > 0.0 else np.nan
        if not abs(out[j]) >= NORMAL_DEVIATE:
            continue
        # K' increases, so that Newton is kept between bounds on t.
        sign = 1.0 if observed > 0.0 else -1.0
        low, high = 0.0, abs(observed) / v
        t, k0, k2 = min(abs(observed) / total, high), 0.0, 0.0
        for _ in range(MAX_STEPS):
            k0, k1, k2 = 0.0, 0.0, 0.0
            for b in range(first[j], first[j + 1]):
                n, c = count[b], weight[b]
                s = sign * c * t
                k = math.floor(math.asinh(s / SPREAD) / STEP + N_KNOTS)
                k = min(max(k, 0), 2 * N_KNOTS - 1)
                for knot in (k, k + 1):
                    if math.isnan(table[knot, 0]):
                        at = SPREAD * math.sinh((knot - N_KNOTS) * STEP)
                        row = table[knot]
                        tabulate(at, residuals, edges, moments, row, tilted, weights, scratch)
                value, slope, curvature = _cumulants(s, table[k : k + 2])
                k0 += n * value
                k1 += n * c * slope
                k2 += n * c * c * curvature
            missing = abs(observed) - k1 * sign - t * v
            if missing > 0.0:
                low = t
            else:
                high = t
            step = t + missing / (k2 + v)
            after = step if low <= step <= high else 0.5 * (low + high)
            if abs(after - t) <= CONVERGED * after:
                break
            t = after
        exponent = t * abs(observed) - k0 - 0.5 * t * t * v
        w = math.sqrt(2.0 * max(exponent, 0.0))
        u = t * math.sqrt(k2 + v)
        if w > 0.0:
            out[j] = sign * (w + math.log(u / w) / w)
