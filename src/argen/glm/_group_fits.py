"""Compiled regressions with one intercept a group: Newton and the sandwich.

See ``_group_sums`` for the model, the notation, and the sums that both are made of.
"""

from __future__ import annotations

import math

import numpy as np

from argen.glm._compile import compiled, inner, loops
from argen.glm._controls import largest_component
from argen.glm._group_sums import (
    add_all_cells,
    add_by_stratum,
    add_group,
    cells_of,
    change_of_slopes,
    covariate_sums,
    fitted_sums,
    no_sums,
    others_than,
    products,
    residuals_of_group,
    rest_for_baseline,
    scale_sums,
    series_reach,
)
from argen.glm._kernels import cholesky_dropping, solve_kept
from argen.glm._scratch import booleans, count_of, matrix, sum_of, unset, unset_integers, vector
from argen.glm._series import FAST

FITTED, NOT_CONVERGED, CONFOUNDED = 0, 1, 2
SQUARES, MEANS, MEAN_SQUARES = 0, 1, 2
MAX_STEPS = 40
LONGEST_STEP = 3.0
# A step this small is taken, and not looked at again: Newton leaves its square times a few.
LAST_STEP = 1e-5
# Above it the information has changed, and is computed again.
LONG_STEP = 0.02
# Share of a covariate's sum of squares that must be left within groups.
IDENTIFIED_SHARE = 1e-10


@loops(fastmath=FAST)
def _take_away(vectors, weights, matrix):
    """``matrix -= sum_g weights_g vectors_g vectors_g'``."""
    n = matrix.shape[0]
    for g in range(vectors.shape[0]):
        if weights[g] != 0.0:
            for a in range(n):
                scaled = weights[g] * vectors[g, a]
                for b in range(n):
                    matrix[a, b] -= scaled * vectors[g, b]


@inner(fastmath=FAST)
def _information(layout, sums, moments, inverse_counts, information):
    """``sum mu x x' - sum_g T_g m_g m_g'``; 0 for what does not vary within groups."""
    products(layout, sums, information)
    n_columns = information.shape[0]
    uncentred = vector(n_columns)
    for a in range(n_columns):
        uncentred[a] = information[a, a]
    _take_away(moments, inverse_counts, information)
    for a in range(n_columns):
        if not information[a, a] > IDENTIFIED_SHARE * uncentred[a]:
            for b in range(n_columns):
                information[a, b] = 0.0
                information[b, a] = 0.0


@inner(fastmath=FAST)
def _confounded(layout, sums, moments, n_dropped):
    """Whether the groups explain a covariate that an intercept for all cells does not."""
    n_columns = moments.shape[1]
    information, lower = matrix(n_columns, n_columns), matrix(n_columns, n_columns)
    kept = booleans(n_columns)
    total, weight = matrix(1, n_columns), vector(1)
    for g in range(moments.shape[0]):
        for a in range(n_columns):
            total[0, a] += moments[g, a]
    weight[0] = 1.0 / sum_of(sums[0])
    _information(layout, sums, total, weight, information)
    cholesky_dropping(information, lower, kept)
    return n_columns - count_of(kept) != n_dropped


@inner()
def _inverse_counts(own_counts, base_count):
    """``1 / T_g``, the baseline first; 0 for a group that is left out."""
    inverse = vector(1 + own_counts.shape[0])
    inverse[0] = 1.0 / base_count
    for k in range(own_counts.shape[0]):
        if own_counts[k] > 0.0:
            inverse[1 + k] = 1.0 / own_counts[k]
    return inverse


@compiled(fastmath=FAST)
def fit_groups(layout, series, own, is_own, own_counts, base_count, observed, used, gamma,
               log_rates):  # fmt: skip
    """Newton on gamma; returns FITTED, NOT_CONVERGED or CONFOUNDED.

    ``own`` (n_own,) are the groups with an intercept, ``own_counts`` their T_g (0: the group is
    left out), ``observed`` is sum_i y_i x_i. ``gamma`` holds the start and gets the solution,
    ``log_rates`` (1 + n_own,) the intercepts, the baseline's first.
    """
    if base_count <= 0.0:
        return CONFOUNDED
    n_columns, n_own = gamma.shape[0], own.shape[0]
    masses, moments = vector(1 + n_own), matrix(1 + n_own, n_columns)
    sums, factor = no_sums(layout), vector(layout.columns.shape[0])
    information, lower = matrix(n_columns, n_columns), matrix(n_columns, n_columns)
    kept = booleans(n_columns)
    score, step, fitted = vector(n_columns), vector(n_columns), vector(n_columns)
    inverse_counts = _inverse_counts(own_counts, base_count)
    others = others_than(is_own)
    n_cells, n_own_cells = layout.start[-1], cells_of(layout, own)[0]
    direct = 2 * n_own_cells > n_cells
    w = unset(n_cells if direct else n_own_cells)
    scratch = unset_integers(w.shape[0])
    longest = LONGEST_STEP
    for _ in range(MAX_STEPS):
        change = change_of_slopes(gamma, series.slopes)
        with_series = not direct and series_reach(layout, change, 1.0)
        if not with_series and w.shape[0] < n_cells:
            w, scratch = unset(n_cells), unset_integers(n_cells)
        if not fitted_sums(layout, series, own, others, own_counts, base_count, gamma, used,
                            factor, w, scratch, masses, moments, sums, with_series):  # fmt: skip
            return CONFOUNDED
        if longest > LONG_STEP:
            _information(layout, sums, moments, inverse_counts, information)
            cholesky_dropping(information, lower, kept)
            n_dropped = n_columns - count_of(kept)
            if n_dropped > 0 and _confounded(layout, sums, moments, n_dropped):
                return CONFOUNDED
        covariate_sums(sums[0], sums[1], layout.columns, layout.n_indicators, fitted)
        for a in range(n_columns):
            score[a] = observed[a] - fitted[a]
        solve_kept(lower, kept, score, step)
        longest = largest_component(step)
        shrink = min(1.0, LONGEST_STEP / max(longest, LONGEST_STEP))
        for a in range(n_columns):
            gamma[a] += shrink * step[a]
        if longest < LAST_STEP:
            # The intercepts move with the last step to first order.
            for k in range(1 + n_own):
                count = base_count if k == 0 else own_counts[k - 1]
                log_rates[k] = -np.inf
                if count > 0.0:
                    log_rates[k] = math.log(count / masses[k])
                    for a in range(n_columns):
                        log_rates[k] -= moments[k, a] * step[a] / count
            return FITTED
    return NOT_CONVERGED


@loops(fastmath=FAST)
def _fill(kind, layout, g, y, w, used, rate, values):
    """Write r^2, mu or mu^2 of the cells of a group; returns their sum."""
    if kind == SQUARES:
        return residuals_of_group(layout, g, y, w, used, rate, values)
    total = 0.0
    for i in range(layout.start[g + 1] - layout.start[g]):
        mean = rate * w[i]
        values[i] = mean if kind == MEANS else mean * mean
        total += values[i]
    return total


@inner(fastmath=FAST)
def _sum_cells(kind, layout, series, y, own, others, own_counts, is_half, used, factor, change,
               log_rates, w, with_series, sums, rho, xi):  # fmt: skip
    """Sum v = r^2, mu or mu^2: to ``sums`` over all cells, ``rho`` sum_g v, ``xi`` sum_g v x.

    With the series, sums over all cells at the rate of the baseline come first; then the cells
    of the other groups are exchanged. A group with half a count has the variance of a Poisson
    count, mu, in place of r^2, and nothing in place of mu^2. The baseline has no rho and xi yet.
    """
    base_rate = math.exp(log_rates[0])
    largest = max(cells_of(layout, own)[1], cells_of(layout, others)[1])
    values, nowhere = unset(largest), vector(xi.shape[1])
    if with_series and kind == SQUARES:
        add_by_stratum(series.counts, used, 1, 1.0, sums)
        add_all_cells(layout, series.cross, change, factor, 1, -2.0 * base_rate, sums)
    if with_series and kind != MEANS:
        add_all_cells(layout, series.squares, change, factor, 2, base_rate**2, sums)
    if with_series and kind == MEANS:
        add_all_cells(layout, series.sizes, change, factor, 1, base_rate, sums)
    at = 0
    for k in range(own.shape[0]):
        g = own[k]
        if with_series:
            _fill(kind, layout, g, y, w[at:], used, base_rate, values)
            add_group(layout, g, -1.0, values, sums, 0.0, nowhere)
        if own_counts[k] > 0.0 and not (is_half[k] and kind == MEAN_SQUARES):
            rate = math.exp(log_rates[1 + k])
            own_kind = MEANS if is_half[k] else kind
            rho[1 + k] = _fill(own_kind, layout, g, y, w[at:], used, rate, values)
            add_group(layout, g, 1.0, values, sums, 1.0, xi[1 + k])
        at += layout.start[g + 1] - layout.start[g]
    if not with_series:
        for g in others:
            _fill(kind, layout, g, y, w[at:], used, base_rate, values)
            add_group(layout, g, 1.0, values, sums, 0.0, nowhere)
            at += layout.start[g + 1] - layout.start[g]


@loops(fastmath=FAST)
def _add_scaled(sums, factor, other):
    """Add ``factor`` times other sums to all sums."""
    for s in range(sums[0].shape[0]):
        sums[0][s] += factor * other[0][s]
        for t in range(sums[1].shape[0]):
            sums[1][t, s] += factor * other[1][t, s]
    for a in range(sums[2].shape[0]):
        sums[2][a] += factor * other[2][a]


@inner(fastmath=FAST)
def _variances(layout, series, y, own, others, own_counts, is_half, used, factor, change,
               log_rates, w, with_series, model_share, sums, rho, xi):  # fmt: skip
    """Sum v = r^2, of which ``model_share`` is replaced by ``mu + phi mu^2``; see ``_sum_cells``.

    phi is the moment estimate over all cells, as in ``_kernels``.
    """
    _sum_cells(SQUARES, layout, series, y, own, others, own_counts, is_half, used, factor, change,
               log_rates, w, with_series, sums, rho, xi)  # fmt: skip
    if model_share > 0.0:
        means, mean_squares = no_sums(layout), no_sums(layout)
        own_means, own_mean_squares = vector(rho.shape[0]), vector(rho.shape[0])
        n_rows, n_columns = xi.shape
        x_means, x_mean_squares = matrix(n_rows, n_columns), matrix(n_rows, n_columns)
        _sum_cells(MEANS, layout, series, y, own, others, own_counts, is_half, used, factor,
                   change, log_rates, w, with_series, means, own_means, x_means)  # fmt: skip
        _sum_cells(MEAN_SQUARES, layout, series, y, own, others, own_counts, is_half, used,
                   factor, change, log_rates, w, with_series, mean_squares, own_mean_squares,
                   x_mean_squares)  # fmt: skip
        excess = sum_of(sums[0]) - sum_of(means[0])
        phi = max(excess / sum_of(mean_squares[0]), 0.0)
        scale_sums(sums, 1.0 - model_share)
        _add_scaled(sums, model_share, means)
        _add_scaled(sums, model_share * phi, mean_squares)
        for k in range(rho.shape[0]):
            expected = own_means[k] + phi * own_mean_squares[k]
            rho[k] += model_share * (expected - rho[k])
            for a in range(xi.shape[1]):
                expected = x_means[k, a] + phi * x_mean_squares[k, a]
                xi[k, a] += model_share * (expected - xi[k, a])
    rho[0] = sum_of(sums[0]) - sum_of(rho[1:])
    rest_for_baseline(layout, sums, xi)


@compiled(fastmath=FAST)
def group_variance(layout, series, y, own, is_own, own_counts, is_half, base_count, used, gamma,
                   log_rates, model_share, own_squares, lever, tilt, meat):  # fmt: skip
    """Sandwich covariance of ``alpha_g - alpha_0``, g in own, in parts; HC0 at ``model_share`` 0.

    The influence of cell i is ``[i in g] r_i / T_g - [i in 0] r_i / T_0 - L_g' (x_i - m) r_i``
    with ``L_g = H^-1 (m_g - m_0)``, H the information and m the mean of the cell's own group.
    With ``h_g = sum_g r^2 (x - m_g) / T_g`` the covariance of g and k is::

        [g = k] v_g + v_0 - (h_g - h_0)'L_k - L_g'(h_k - h_0) + L_g' W L_k

    ``own_squares`` gets v_g, ``lever`` L_g, ``tilt`` h_g - h_0 and ``meat``
    ``W = sum_i r_i^2 (x_i - m)(x_i - m)'``; v_0 is returned.
    """
    n_columns, n_own = gamma.shape[0], own.shape[0]
    masses, moments = vector(1 + n_own), matrix(1 + n_own, n_columns)
    sums, factor = no_sums(layout), vector(layout.columns.shape[0])
    change = change_of_slopes(gamma, series.slopes)
    others = others_than(is_own)
    n_cells, n_own_cells = layout.start[-1], cells_of(layout, own)[0]
    with_series = 2 * n_own_cells <= n_cells and series_reach(layout, change, 2.0)
    w = unset(n_own_cells if with_series else n_cells)
    scratch = unset_integers(w.shape[0])
    fitted_sums(layout, series, own, others, own_counts, base_count, gamma, used, factor, w,
                 scratch, masses, moments, sums, with_series)  # fmt: skip
    information, lower = matrix(n_columns, n_columns), matrix(n_columns, n_columns)
    kept, inverse_counts = booleans(n_columns), _inverse_counts(own_counts, base_count)
    _information(layout, sums, moments, inverse_counts, information)
    cholesky_dropping(information, lower, kept)

    scale_sums(sums, 0.0)
    rho, xi = vector(1 + n_own), matrix(1 + n_own, n_columns)
    _variances(layout, series, y, own, others, own_counts, is_half, used, factor, change,
               log_rates, w, with_series, model_share, sums, rho, xi)  # fmt: skip
    products(layout, sums, meat)
    mean, unit = vector(n_columns), vector(n_columns)
    for k in range(1 + n_own):
        for a in range(n_columns):
            mean[a] = moments[k, a] * inverse_counts[k]
        for a in range(n_columns):
            for b in range(n_columns):
                meat[a, b] += mean[a] * (rho[k] * mean[b] - xi[k, b]) - xi[k, a] * mean[b]
        for a in range(n_columns):  # h_g from here on
            xi[k, a] = (xi[k, a] - rho[k] * mean[a]) * inverse_counts[k]
    for k in range(n_own):
        own_squares[k] = rho[1 + k] * inverse_counts[1 + k] ** 2
        for a in range(n_columns):
            tilt[k, a] = xi[1 + k, a] - xi[0, a]
            mean[a] = moments[1 + k, a] * inverse_counts[1 + k] - moments[0, a] * inverse_counts[0]
        solve_kept(lower, kept, mean, unit)
        for a in range(n_columns):
            lever[k, a] = unit[a]
    return rho[0] * inverse_counts[0] ** 2
