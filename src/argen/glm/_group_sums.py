"""Compiled regressions with one intercept a group, when a cell carries at most one perturbation.

The cells of group g (those of one perturbation) have, with x the covariates of a cell::

    log E[Y_i] = log C_i + alpha_g + x_i' gamma,        i in g

Groups without an intercept of their own share that of the baseline, group 0 below, to which the
controls belong. Given gamma the intercepts have a closed form, so Newton runs on gamma alone::

    exp(alpha_g) = T_g / M_g,   T_g = sum_g y,   M_g = sum_g w,   w_i = C_i exp(x_i' gamma)
    score        = sum_i y_i x_i - sum_g T_g m_g,     m_g = sum_g w x / M_g
    information  = sum_i mu_i x_i x_i' - sum_g T_g m_g m_g',     mu_i = w_i T_g / M_g

The coefficient of a perturbation is ``alpha_g - alpha_0``. Cells that share all categorical
covariates are a stratum; x is made of indicators, the same within a stratum, and of numeric
covariates z. Sums of the baseline come from sums over all cells, kept for each stratum as series
in the change of the slopes of z (see ``_series``), less those of the other groups.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from argen.arrays import FloatArray, IntArray
from argen.glm._compile import compiled, inner, loops
from argen.glm._scratch import matrix, sum_of, unset, unset_integers, vector
from argen.glm._series import FAST, add_moments, exp_coefficients, exponentials

# Largest remainder of the series, relative to the sum over all cells that it stands for.
REMAINDER = 1e-11


class GroupLayout(NamedTuple):
    """Cells sorted by group and stratum; everything that does not depend on the response."""

    start: IntArray  # (n_groups + 1,): cells of group g are start[g]:start[g + 1]
    log_size: FloatArray  # (n_cells,)
    stratum: IntArray  # (n_cells,)
    run_start: IntArray  # (n_runs + 1,): runs of cells of one group and one stratum
    run_stratum: IntArray  # (n_runs,)
    run_of_group: IntArray  # (n_groups + 1,): first run of each group
    numeric: FloatArray  # (n_numeric, n_cells): z
    columns: IntArray  # (n_strata, n_factors): column of the level in x, -1 for the reference
    n_indicators: int
    largest_norm: float  # of z
    parent: IntArray  # the monomials, see argen.glm.monomials
    variable: IntArray
    power: FloatArray
    minus: IntArray
    degree: int  # of the monomials


class Series(NamedTuple):
    """Sums over all cells of a stratum, at slopes from which those of a fit differ little."""

    slopes: FloatArray  # (n_numeric,)
    sizes: FloatArray  # (n_monomials, n_strata): sum of w z^a, w = C exp(slopes'z)
    cross: FloatArray  # (n_monomials, n_strata): sum of y w z^a
    squares: FloatArray  # (n_monomials, n_strata): sum of w^2 z^a
    counts: FloatArray  # (n_low, n_strata): sum of y^2 z^a


@inner()
def _transposed(rows):
    columns = matrix(rows.shape[1], rows.shape[0])
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            columns[j, i] = rows[i, j]
    return columns


@compiled(fastmath=FAST)
def series_of(layout, y, slopes):
    """Take the sums over all cells of each stratum."""
    n_cells, n_numeric, n_strata = y.shape[0], slopes.shape[0], layout.columns.shape[0]
    n_monomials, n_low = layout.parent.shape[0], layout.minus.shape[1]
    parent, variable, numeric = layout.parent, layout.variable, layout.numeric
    sizes, cross = matrix(n_strata, n_monomials), matrix(n_strata, n_monomials)
    squares, counts = matrix(n_strata, n_monomials), matrix(n_strata, n_low)
    log_weights, weights = unset(n_cells), unset(n_cells)
    for i in range(n_cells):
        log_weights[i] = layout.log_size[i]
    for t in range(n_numeric):
        for i in range(n_cells):
            log_weights[i] += slopes[t] * numeric[t, i]
    exponentials(log_weights, weights, unset_integers(n_cells))
    monomial = vector(n_monomials)
    monomial[0] = 1.0
    for run in range(layout.run_stratum.shape[0]):
        s = layout.run_stratum[run]
        for i in range(layout.run_start[run], layout.run_start[run + 1]):
            w = weights[i]
            for a in range(1, n_monomials):
                monomial[a] = monomial[parent[a]] * numeric[variable[a], i]
            for a in range(n_monomials):
                sizes[s, a] += w * monomial[a]
                squares[s, a] += w * w * monomial[a]
            if y[i] != 0.0:
                for a in range(n_monomials):
                    cross[s, a] += y[i] * w * monomial[a]
                for a in range(n_low):
                    counts[s, a] += y[i] * y[i] * monomial[a]
    return Series(
        slopes, _transposed(sizes), _transposed(cross), _transposed(squares), _transposed(counts)
    )


@compiled(fastmath=FAST)
def count_sums(layout, y):
    """Sum y by group, by stratum, and times each numeric covariate."""
    n_groups, n_numeric = layout.start.shape[0] - 1, layout.numeric.shape[0]
    by_group = vector(n_groups)
    by_stratum, by_numeric = vector(layout.columns.shape[0]), vector(n_numeric)
    for g in range(n_groups):
        for run in range(layout.run_of_group[g], layout.run_of_group[g + 1]):
            total = 0.0
            for i in range(layout.run_start[run], layout.run_start[run + 1]):
                total += y[i]
            by_group[g] += total
            by_stratum[layout.run_stratum[run]] += total
    for t in range(n_numeric):
        total = 0.0
        for i in range(y.shape[0]):
            total += y[i] * layout.numeric[t, i]
        by_numeric[t] = total
    return by_group, by_stratum, by_numeric


@inner(fastmath=FAST)
def _weights(start, log_size, stratum, numeric, groups, factor, slopes, w, scratch, masses):
    """``w_i = C_i exp(x_i' gamma)`` of the cells of some groups, one after another, and their sums.

    ``factor`` is what the indicators contribute in each stratum, 0 where it is not used. Returns
    the number of cells.
    """
    at, log_w = 0, unset(w.shape[0])  # in place, exponentials would not be vectorised
    for k in range(groups.shape[0]):
        begin, n = start[groups[k]], start[groups[k] + 1] - start[groups[k]]
        for i in range(n):
            log_w[at + i] = log_size[begin + i]
        for t in range(slopes.shape[0]):
            for i in range(n):
                log_w[at + i] += slopes[t] * numeric[t, begin + i]
        at += n
    exponentials(log_w[:at], w[:at], scratch)
    at = 0
    for k in range(groups.shape[0]):
        begin, n = start[groups[k]], start[groups[k] + 1] - start[groups[k]]
        mass = 0.0
        for i in range(n):
            w[at + i] *= factor[stratum[begin + i]]
            mass += w[at + i]
        masses[k] = mass
        at += n
    return at


@loops(fastmath=FAST)
def residuals_of_group(layout, g, y, w, used, rate, squares):
    """Squares of ``y - rate w`` in the strata that are used; returns their sum."""
    begin, total = layout.start[g], 0.0
    for i in range(layout.start[g + 1] - begin):
        residual = y[begin + i] - rate * w[i]
        squares[i] = used[layout.stratum[begin + i]] * residual * residual
        total += squares[i]
    return total


@loops(fastmath=FAST)
def add_group(layout, g, scale, v, sums, own_scale, own):
    """Add what the cells of a group contribute.

    To ``sums``, ``scale`` times the sums of v and v z by stratum and of v z z'; to ``own``,
    ``own_scale sum_i v_i x_i``.
    """
    zeroth, first, second = sums
    begin, n, n_numeric = layout.start[g], layout.start[g + 1] - layout.start[g], first.shape[0]
    numeric, columns = layout.numeric, layout.columns
    for run in range(layout.run_of_group[g], layout.run_of_group[g + 1]):
        s = layout.run_stratum[run]
        total = 0.0
        for i in range(layout.run_start[run], layout.run_start[run + 1]):
            total += v[i - begin]
        zeroth[s] += scale * total
        for f in range(columns.shape[1]):
            if columns[s, f] >= 0:
                own[columns[s, f]] += own_scale * total
        for t in range(n_numeric):
            total = 0.0
            for i in range(layout.run_start[run], layout.run_start[run + 1]):
                total += v[i - begin] * numeric[t, i]
            first[t, s] += scale * total
            own[layout.n_indicators + t] += own_scale * total
    at = 0
    for t in range(n_numeric):
        for u in range(t, n_numeric):
            total = 0.0
            for i in range(n):
                total += v[i] * numeric[t, begin + i] * numeric[u, begin + i]
            second[at] += scale * total
            at += 1


@inner()
def no_sums(layout):
    """Return zeros for the sums of v and v z by stratum and of v z z'."""
    n_strata, n_numeric = layout.columns.shape[0], layout.numeric.shape[0]
    return (vector(n_strata), matrix(n_numeric, n_strata),
            vector(n_numeric * (n_numeric + 1) // 2))  # fmt: skip


@loops(fastmath=FAST)
def scale_sums(sums, factor):
    """Multiply all sums."""
    zeroth, first, second = sums
    for s in range(zeroth.shape[0]):
        zeroth[s] *= factor
        for t in range(first.shape[0]):
            first[t, s] *= factor
    for a in range(second.shape[0]):
        second[a] *= factor


@compiled(fastmath=FAST)
def covariate_sums(zeroth, first, columns, n_indicators, out):
    """``sum_i v_i x_i`` from the sums of v and v z by stratum."""
    out[:] = 0.0
    for s in range(zeroth.shape[0]):
        for f in range(columns.shape[1]):
            if columns[s, f] >= 0:
                out[columns[s, f]] += zeroth[s]
        for t in range(first.shape[0]):
            out[n_indicators + t] += first[t, s]


@loops(fastmath=FAST)
def products(layout, sums, out):
    """``sum_i v_i x_i x_i'``."""
    zeroth, first, second = sums
    columns, n_indicators, n_numeric = layout.columns, layout.n_indicators, first.shape[0]
    out[:, :] = 0.0
    for s in range(zeroth.shape[0]):
        for f in range(columns.shape[1]):
            a = columns[s, f]
            if a < 0:
                continue
            for h in range(columns.shape[1]):
                if columns[s, h] >= 0:
                    out[a, columns[s, h]] += zeroth[s]
            for t in range(n_numeric):
                out[a, n_indicators + t] += first[t, s]
                out[n_indicators + t, a] += first[t, s]
    at = 0
    for t in range(n_numeric):
        for u in range(t, n_numeric):
            out[n_indicators + t, n_indicators + u] = second[at]
            out[n_indicators + u, n_indicators + t] = second[at]
            at += 1


@inner()
def change_of_slopes(gamma, slopes):
    """How far the last of gamma are from the slopes of a series."""
    n = slopes.shape[0]
    change = vector(n)
    for t in range(n):
        change[t] = gamma[gamma.shape[0] - n + t] - slopes[t]
    return change


@loops()
def series_reach(layout, change, length_factor):
    """Whether ``exp(length_factor change'z)`` cut at the degree is exact enough for every cell."""
    length = 0.0
    for t in range(change.shape[0]):
        length += change[t] * change[t]
    length = length_factor * math.sqrt(length) * layout.largest_norm
    bound = math.exp(min(length, 50.0))
    for k in range(1, layout.degree):  # second moments have two terms fewer
        bound *= length / k
    return bound <= REMAINDER


@inner(fastmath=FAST)
def add_all_cells(layout, table, change, factor, power, scale, sums):
    """Add ``scale`` times the moments of ``w^power`` (or y w) over all cells, by the series."""
    n_monomials, n_numeric = layout.parent.shape[0], change.shape[0]
    coefficients, exponent = vector(n_monomials), vector(n_numeric)
    for t in range(n_numeric):
        exponent[t] = power * change[t]
    exp_coefficients(exponent, layout.parent, layout.variable, layout.power, n_monomials,
                     coefficients)  # fmt: skip
    moments = matrix(layout.minus.shape[1], table.shape[1])
    add_moments(table, coefficients, layout.minus, n_monomials, n_monomials, moments)
    add_by_stratum(moments, factor, power, scale, sums)


@loops(fastmath=FAST)
def add_by_stratum(moments, factor, power, scale, sums):
    """Add the low moments of each stratum, times ``scale factor_s^power``."""
    zeroth, first, second = sums
    n_numeric = first.shape[0]
    for s in range(moments.shape[1]):
        whole = scale * (factor[s] if power == 1 else factor[s] * factor[s])
        zeroth[s] += whole * moments[0, s]
        for t in range(n_numeric):
            first[t, s] += whole * moments[1 + t, s]
        for a in range(second.shape[0]):
            second[a] += whole * moments[1 + n_numeric + a, s]


@loops()
def _indicator_factors(columns, gamma, used, factor):
    """``exp(F_s' gamma)``, what the indicators contribute in each stratum; 0 where not used."""
    for s in range(columns.shape[0]):
        shift = 0.0
        for f in range(columns.shape[1]):
            if columns[s, f] >= 0:
                shift += gamma[columns[s, f]]
        factor[s] = used[s] * math.exp(shift)


@inner()
def others_than(is_own):
    """List the groups of the baseline."""
    others = unset_integers(is_own.shape[0])
    n_others = 0
    for g in range(is_own.shape[0]):
        if not is_own[g]:
            others[n_others] = g
            n_others += 1
    return others[:n_others]


@loops()
def cells_of(layout, groups):
    """How many cells some groups have, and the largest of them."""
    n_cells, largest = 0, 0
    for k in range(groups.shape[0]):
        n = layout.start[groups[k] + 1] - layout.start[groups[k]]
        n_cells += n
        largest = max(largest, n)
    return n_cells, largest


@inner(fastmath=FAST)
def fitted_sums(layout, series, own, others, own_counts, base_count, gamma, used, factor, w,
                 scratch, masses, moments, sums, with_series):  # fmt: skip
    """Means of all cells at gamma, as sums; returns whether every group has a mass.

    ``masses`` (1 + n_own,) gets M_g, ``moments`` (1 + n_own, n_columns) gets T_g m_g, the
    baseline first; ``sums`` get those of mu. ``w`` keeps the weights of the cells of own groups,
    one group after another, and without the series those of the other groups behind them.
    """
    slopes = gamma[layout.n_indicators :]
    scale_sums(sums, 0.0)
    moments[:, :] = 0.0
    _indicator_factors(layout.columns, gamma, used, factor)
    n_own_cells = _weights(layout.start, layout.log_size, layout.stratum, layout.numeric, own,
                           factor, slopes, w, scratch, masses[1:])  # fmt: skip
    if with_series:
        change = change_of_slopes(gamma, series.slopes)
        add_all_cells(layout, series.sizes, change, factor, 1, 1.0, sums)
        masses[0] = sum_of(sums[0]) - sum_of(masses[1:])
    else:
        parts = vector(others.shape[0])
        _weights(layout.start, layout.log_size, layout.stratum, layout.numeric, others, factor,
                 slopes, w[n_own_cells:], scratch, parts)  # fmt: skip
        masses[0] = sum_of(parts)
    if masses[0] <= 0.0:
        return False
    base_rate = base_count / masses[0]
    scale_sums(sums, base_rate)
    at = 0
    for k in range(own.shape[0]):
        rate = 0.0
        if own_counts[k] > 0.0:
            if masses[1 + k] <= 0.0:
                return False
            rate = own_counts[k] / masses[1 + k]
        # The sums over all cells have these at the rate of the baseline.
        scale = rate - base_rate if with_series else rate
        add_group(layout, own[k], scale, w[at:], sums, rate, moments[1 + k])
        at += layout.start[own[k] + 1] - layout.start[own[k]]
    if not with_series:
        for g in others:
            add_group(layout, g, base_rate, w[at:], sums, 0.0, moments[0])
            at += layout.start[g + 1] - layout.start[g]
    rest_for_baseline(layout, sums, moments)
    return True


@loops(fastmath=FAST)
def rest_for_baseline(layout, sums, own):
    """``own[0] = sum_i v_i x_i`` over all cells, less the rows of the other groups."""
    covariate_sums(sums[0], sums[1], layout.columns, layout.n_indicators, own[0])
    for k in range(1, own.shape[0]):
        for a in range(own.shape[1]):
            own[0, a] -= own[k, a]
