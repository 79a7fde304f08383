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
from argen.glm._compile import compiled, inlined, inner
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
from argen.glm._series import FAST, exponentials

# Moment estimates of the dispersion beyond these say more of single cells than of the gene.
LEAST_DISPERSION, LARGEST_DISPERSION = 0.05, 20.0
# Groups this far from the controls have an effect: their residuals do not tell what covariates do.
QUIET_DEVIATE = 3.0
# Below it w and u are so small that their ratio is lost in rounding, and the normal deviate serves.
NORMAL_DEVIATE = 0.5
# K_0 is tabulated at s = SPREAD sinh(k STEP), k = -N_KNOTS, ..., N_KNOTS.
SPREAD, STEP, N_KNOTS = 1.0, 0.1, 80
MAX_STEPS = 100
CONVERGED = 1e-12
# Counts below it have their logarithm in a table.
SMALL_COUNT = 256


class ResidualLayout(NamedTuple):
    """Cells by group, the controls first; everything that does not depend on the response."""

    start: IntArray  # (n_groups + 1,): cells of group g are start[g]:start[g + 1]
    columns: IntArray  # (n_factors, n_cells): column of the level in z, -1 for the reference
    numeric: FloatArray  # (n_numeric, n_cells): covariates and log C, less the mean of the group
    n_indicators: int
    means: FloatArray  # (n_groups, n_indicators + n_numeric): mean of these columns of z
    products: FloatArray  # (n_groups, n_columns, n_columns): their products within the group


@inner(fastmath=FAST)
def _log_residuals(start, y, mu, psi, log_mean, squared, spread):
    """Fill psi, log(mu + a), its square, and the mean of V in each group.

    Returns False where the controls have no mean.
    """
    excess, square = 0.0, 0.0
    for i in range(start[1]):
        excess += (y[i] - mu[i]) ** 2 - mu[i]
        square += mu[i] * mu[i]
    if square <= 0.0:
        return False
    dispersion = min(max(excess / square, LEAST_DISPERSION), LARGEST_DISPERSION)
    a = 1.0 / dispersion
    log_count = vector(SMALL_COUNT)
    for count in range(SMALL_COUNT):
        log_count[count] = math.log(count + a)
    for g in range(start.shape[0] - 1):
        total = 0.0
        for i in range(start[g], start[g + 1]):
            total += dispersion * mu[i] / (mu[i] + a)
        spread[g] = total / max(start[g + 1] - start[g], 1)
    for i in range(y.shape[0]):
        log_mean[i] = math.log(mu[i] + a)
        squared[i] = log_mean[i] * log_mean[i]
        of_count = log_count[int(y[i])] if y[i] < SMALL_COUNT else math.log(y[i] + a)
        psi[i] = of_count - log_mean[i]
    return True


@inner(fastmath=FAST)
def _centre(start, values, means):
    """Take the mean of each group off, and keep it."""
    for g in range(start.shape[0] - 1):
        begin, end = start[g], start[g + 1]
        total = 0.0
        for i in range(begin, end):
            total += values[i]
        mean = total / max(end - begin, 1)
        for i in range(begin, end):
            values[i] -= mean
        means[g] = mean


@inner(fastmath=FAST)
def _add_products(layout, g, psi, own, gram, cross):
    """Add the products of z by z, and of z by psi, within a group; returns that of psi by psi."""
    n_indicators, n_numeric = layout.n_indicators, layout.numeric.shape[0]
    n_shared = n_indicators + n_numeric
    begin, end = layout.start[g], layout.start[g + 1]
    columns, numeric = layout.columns, layout.numeric
    for a in range(n_shared):
        for b in range(n_shared):
            gram[a, b] += layout.products[g, a, b]
    for f in range(columns.shape[0]):
        for i in range(begin, end):
            a = columns[f, i]
            if a >= 0:
                cross[a] += psi[i]
                for k in range(own.shape[0]):
                    gram[a, n_shared + k] += own[k, i]
    for t in range(n_numeric):
        total = 0.0
        for i in range(begin, end):
            total += psi[i] * numeric[t, i]
        cross[n_indicators + t] += total
        for k in range(own.shape[0]):
            total = 0.0
            for i in range(begin, end):
                total += own[k, i] * numeric[t, i]
            gram[n_indicators + t, n_shared + k] += total
    for k in range(own.shape[0]):
        total = 0.0
        for i in range(begin, end):
            total += psi[i] * own[k, i]
        cross[n_shared + k] += total
        for m in range(k, own.shape[0]):
            total = 0.0
            for i in range(begin, end):
                total += own[k, i] * own[m, i]
            gram[n_shared + k, n_shared + m] += total
    total = 0.0
    for i in range(begin, end):
        total += psi[i] * psi[i]
    return total


@inner(fastmath=FAST)
def _regress(gram, cross, n_shared, squares, freedom, lower, kept, b):
    """Least squares; returns the variance of the residuals."""
    for a in range(gram.shape[0]):
        for k in range(max(n_shared, a + 1), gram.shape[0]):
            gram[k, a] = gram[a, k]
    cholesky_dropping(gram, lower, kept)
    solve_kept(lower, kept, cross, b)
    for a in range(b.shape[0]):
        squares -= b[a] * cross[a]
        freedom -= 1.0 if kept[a] else 0.0
    return max(squares, 0.0) / max(freedom, 1.0)


@inner(fastmath=FAST)
def _length(lower, kept, d, work):
    """``d' (lower lower')^-1 d`` on the kept columns."""
    total = 0.0
    for j in range(d.shape[0]):
        work[j] = 0.0
        if kept[j]:
            entry = d[j]
            for a in range(j):
                entry -= lower[j, a] * work[a]
            work[j] = entry / lower[j, j]
            total += work[j] * work[j]
    return total


@inner(fastmath=FAST)
def _shifts(layout, psi_means, own_means, spread, b, residual_variance, lower, kept,
            control_variance, shift, scale, error):  # fmt: skip
    """Fill S, c and v of every group but the controls."""
    n_shared, n_own = layout.means.shape[1], own_means.shape[0]
    d, work = vector(n_shared + n_own), vector(n_shared + n_own)
    n_controls = layout.start[1]
    for j in range(shift.shape[0]):
        n = layout.start[j + 2] - layout.start[j + 1]
        for a in range(n_shared):
            d[a] = layout.means[j + 1, a] - layout.means[0, a]
        for k in range(n_own):
            d[n_shared + k] = own_means[k, j + 1] - own_means[k, 0]
        by_covariates = 0.0
        for a in range(d.shape[0]):
            by_covariates += d[a] * b[a]
        shift[j] = n * (psi_means[j + 1] - psi_means[0] - by_covariates)
        scale[j] = math.sqrt(spread[j + 1] / spread[0])
        of_slopes = residual_variance * _length(lower, kept, d, work)
        error[j] = n * n * (control_variance / n_controls + of_slopes)


@inner(fastmath=FAST)
def _control_residuals(layout, psi, own, b, kept, residuals):
    """Fill r of the controls; returns their variance.

    Residuals are smaller than what they stand for, as their mean and b were fitted to them: they
    are made longer by the root of n over the degrees of freedom.
    """
    n_indicators, n_numeric = layout.n_indicators, layout.numeric.shape[0]
    n_shared, n = n_indicators + n_numeric, residuals.shape[0]
    constant = 0.0
    for a in range(n_indicators):
        constant += layout.means[0, a] * b[a]
    for i in range(n):
        residuals[i] = psi[i] + constant
    for f in range(layout.columns.shape[0]):
        for i in range(n):
            a = layout.columns[f, i]
            if a >= 0:
                residuals[i] -= b[a]
    for t in range(n_numeric):
        for i in range(n):
            residuals[i] -= b[n_indicators + t] * layout.numeric[t, i]
    for k in range(own.shape[0]):
        for i in range(n):
            residuals[i] -= b[n_shared + k] * own[k, i]
    longer = math.sqrt(n / max(n - 1.0 - count_of(kept), 1.0))
    total = 0.0
    for i in range(n):
        residuals[i] *= longer
        total += residuals[i] * residuals[i]
    return total / n


@compiled(fastmath=FAST)
def compare_groups(layout, y, mu, shift, scale, error, residuals):
    """Fill S, c and v of every group, and the residuals of the controls.

    The regression is fitted to the controls first, and then to them and the groups that seem to
    be without an effect. Returns the variance of the residuals; 0 where nothing can be said.
    """
    start, n_cells = layout.start, y.shape[0]
    n_groups, n_shared = layout.means.shape[0], layout.means.shape[1]
    psi, own = unset(n_cells), unset_matrix(2, n_cells)
    spread, psi_means, own_means = vector(n_groups), vector(n_groups), matrix(2, n_groups)
    if not _log_residuals(start, y, mu, psi, own[0], own[1], spread):
        return 0.0
    _centre(start, psi, psi_means)
    for k in range(2):
        _centre(start, own[k], own_means[k])
    size = n_shared + 2
    gram, cross = matrix(size, size), vector(size)
    lower, kept, b = matrix(size, size), booleans(size), vector(size)
    squares, freedom, control_variance = 0.0, 0.0, 0.0
    for again in range(2):
        for g in range(n_groups):
            if again == 0:
                used = g == 0
            else:
                n = start[g + 1] - start[g]
                used = g > 0 and shift[g - 1] ** 2 < QUIET_DEVIATE**2 * (
                    n * scale[g - 1] ** 2 * control_variance + error[g - 1]
                )
            if used:
                squares += _add_products(layout, g, psi, own, gram, cross)
                freedom += start[g + 1] - start[g] - 1
        residual_variance = _regress(gram, cross, n_shared, squares, freedom, lower, kept, b)
        control_variance = _control_residuals(layout, psi, own, b, kept, residuals)
        if not control_variance > 0.0:
            return 0.0
        _shifts(layout, psi_means, own_means, spread, b, residual_variance, lower, kept,
                control_variance, shift, scale, error)  # fmt: skip
    return control_variance


@inner(fastmath=FAST)
def _tabulate(residuals, k, table, weights, scratch):
    """Fill row k of the table with K_0, K_0' and K_0'' at its knot."""
    s = SPREAD * math.sinh((k - N_KNOTS) * STEP)
    largest = -np.inf
    for i in range(residuals.shape[0]):
        largest = max(largest, s * residuals[i])
    tilted = unset(residuals.shape[0])
    for i in range(residuals.shape[0]):
        tilted[i] = s * residuals[i] - largest
    exponentials(tilted, weights, scratch)
    total, first, second = 0.0, 0.0, 0.0
    for i in range(residuals.shape[0]):
        total += weights[i]
        first += weights[i] * residuals[i]
        second += weights[i] * residuals[i] * residuals[i]
    mean = first / total
    table[k, 0] = largest + math.log(total / residuals.shape[0])
    table[k, 1] = mean
    table[k, 2] = max(second / total - mean * mean, 0.0)


@inlined()
def _cumulants(residuals, s, table, weights, scratch):
    """K_0, K_0' and K_0'' at s, by the polynomial of degree 5 between two knots.

    Beyond the last knot the largest residual outweighs all others, and K_0 is straight.
    """
    u = math.asinh(s / SPREAD) / STEP + N_KNOTS
    k = min(max(math.floor(u), 0), 2 * N_KNOTS - 1)
    for knot in (k, k + 1):
        if math.isnan(table[knot, 0]):
            _tabulate(residuals, knot, table, weights, scratch)
    left = SPREAD * math.sinh((k - N_KNOTS) * STEP)
    h = SPREAD * math.sinh((k + 1 - N_KNOTS) * STEP) - left
    x = (s - left) / h
    if x > 1.0 or x < 0.0:
        end = k + 1 if x > 1.0 else k
        beyond = (x - 1.0 if x > 1.0 else x) * h
        return table[end, 0] + beyond * table[end, 1], table[end, 1], 0.0
    f0, g0, c0 = table[k, 0], h * table[k, 1], h * h * table[k, 2]
    f1, g1, c1 = table[k + 1, 0], h * table[k + 1, 1], h * h * table[k + 1, 2]
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
def deviates(start, shift, scale, error, residuals, control_variance, out):
    """Fill the standard normal deviate of every group's S."""
    table = matrix(2 * N_KNOTS + 1, 3)
    table[:, :] = np.nan
    weights, scratch = unset(residuals.shape[0]), unset_integers(residuals.shape[0])
    for j in range(shift.shape[0]):
        n, c, v, observed = start[j + 2] - start[j + 1], scale[j], error[j], shift[j]
        variance = n * c * c * control_variance + v
        out[j] = observed / math.sqrt(variance) if variance > 0.0 else np.nan
        if not abs(out[j]) >= NORMAL_DEVIATE:
            continue
        # K' increases, so that Newton is kept between bounds on t.
        sign = 1.0 if observed > 0.0 else -1.0
        low, high = 0.0, abs(observed) / v
        t, k0, k2 = min(abs(observed) / variance, high), 0.0, 0.0
        for _ in range(MAX_STEPS):
            k0, k1, k2 = _cumulants(residuals, sign * c * t, table, weights, scratch)
            missing = abs(observed) - n * c * k1 * sign - t * v
            slope = n * c * c * k2 + v
            if missing > 0.0:
                low = t
            else:
                high = t
            step = t + missing / slope
            after = step if low <= step <= high else 0.5 * (low + high)
            if abs(after - t) <= CONVERGED * after:
                break
            t = after
        exponent = t * abs(observed) - n * k0 - 0.5 * t * t * v
        w = math.sqrt(2.0 * max(exponent, 0.0))
        u = t * math.sqrt(n * c * c * k2 + v)
        if w > 0.0:
            out[j] = sign * (w + math.log(u / w) / w)
