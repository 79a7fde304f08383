"""Compiled regressions with one intercept a group: Newton and the sandwich.

See ``_group_sums`` for the model, the notation, and the sums that both are made of.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from argen.arrays import FloatArray, IntArray
from argen.glm._compile import compiled, inner, loops
from argen.glm._controls import largest_component
from argen.glm._group_sums import (
    MEANS,
    REMAINDER,
    SQUARED_MEANS,
    SQUARES,
    WEIGHTS,
    Gene,
    add_all_cells,
    add_cells,
    add_sums,
    at_rate,
    count_sums,
    covariate_sums,
    indicator_factors,
    products,
    room_for_sums,
    series_reach,
    sums_of_strata,
    used_strata,
    weigh_cells,
)
from argen.glm._kernels import cholesky_dropping, solve_kept
from argen.glm._scratch import (
    booleans,
    copy_to,
    count_of,
    matrix,
    product,
    product_of_columns,
    sum_of,
    unset_cube,
    unset_integers,
    unset_matrix,
    vector,
)
from argen.glm._series import FAST

FITTED, NOT_CONVERGED, CONFOUNDED, OUT_OF_REACH = 0, 1, 2, 3
MAX_STEPS = 40
LONGEST_STEP = 3.0
# What is left after a step is about its length times the way since the information was taken. The
# last step is taken, and not looked at again.
LEFT_OVER = 2e-9
# After a longer way the information is taken again: that costs less than another look at the cells.
LONG_WAY = 1e-3
# Share of a covariate's sum of squares that must be left within groups.
IDENTIFIED_SHARE = 1e-10
# The reference of a gene is where series start, so that its own need not be exact.
REFERENCE_REMAINDER = 1e-2


@inner(fastmath=FAST)
def _information(layout, row, moments, inverse_counts, information):
    """``sum mu x x' - sum_g T_g m_g m_g'``; 0 for what does not vary within groups."""
    products(row, layout.columns, layout.n_indicators, information)
    n_groups, n_columns = moments.shape
    uncentred, scaled = vector(n_columns), unset_matrix(n_groups, n_columns)
    for a in range(n_columns):
        uncentred[a] = information[a, a]
    for g in range(n_groups):
        root = math.sqrt(inverse_counts[g])
        for a in range(n_columns):
            scaled[g, a] = root * moments[g, a]
    between = product_of_columns(scaled, scaled)
    for a in range(n_columns):
        for b in range(n_columns):
            information[a, b] -= between[a, b]
    for a in range(n_columns):
        if not information[a, a] > IDENTIFIED_SHARE * uncentred[a]:
            for b in range(n_columns):
                information[a, b] = 0.0
                information[b, a] = 0.0


@inner(fastmath=FAST)
def _confounded(layout, row, moments, n_dropped):
    """Whether the groups explain a covariate that an intercept for all cells does not."""
    n_columns = moments.shape[1]
    information, lower = matrix(n_columns, n_columns), matrix(n_columns, n_columns)
    kept = booleans(n_columns)
    total, weight = matrix(1, n_columns), vector(1)
    for g in range(moments.shape[0]):
        for a in range(n_columns):
            total[0, a] += moments[g, a]
    weight[0] = 1.0 / sum_of(row[: layout.columns.shape[0]])
    _information(layout, row, total, weight, information)
    cholesky_dropping(information, lower, kept)
    return n_columns - count_of(kept) != n_dropped


@inner()
def _inverse(lower, kept):
    """Return ``(lower lower')^-1``, with 0 for what is not kept; by columns, all at once."""
    n = kept.shape[0]
    rows = matrix(n, n)
    for j in range(n):
        if kept[j]:
            rows[j, j] = 1.0
            for a in range(j):
                for i in range(a + 1):
                    rows[j, i] -= lower[j, a] * rows[a, i]
            for i in range(j + 1):
                rows[j, i] /= lower[j, j]
    return product_of_columns(rows, rows)


@inner()
def _inverse_counts(own_counts, base_count):
    """``1 / T_g``, the baseline first; 0 for a group that is left out."""
    inverse = vector(1 + own_counts.shape[0])
    inverse[0] = 1.0 / base_count
    for k in range(own_counts.shape[0]):
        if own_counts[k] > 0.0:
            inverse[1 + k] = 1.0 / own_counts[k]
    return inverse


@loops(fastmath=FAST)
def _share_counts(layout, gene, cells, own, n_halved, own_counts, is_half, observed):
    """Fill T_g of the groups and ``sum_i y_i x_i``; returns T_0, or -1 where there is no fit.

    Of the groups, the first ``n_halved`` get half a count in proportion to exposure when they
    have none (see ``prepare_responses``); the cells of the others without counts are left out.
    """
    n_indicators, n_numeric, y = layout.n_indicators, layout.numeric.shape[0], cells.counts
    observed[:] = 0.0
    for s in range(layout.columns.shape[0]):
        for f in range(layout.columns.shape[1]):
            if layout.columns[s, f] >= 0:
                observed[layout.columns[s, f]] += gene.by_stratum[s]
    for t in range(n_numeric):
        observed[n_indicators + t] = gene.by_numeric[t]
    base_count = sum_of(gene.by_stratum)
    for k in range(own.shape[0]):
        g = own[k]
        own_counts[k], is_half[k] = sum_of(y[layout.start[g] : layout.start[g + 1]]), False
        base_count -= own_counts[k]
        if own_counts[k] > 0.0 or k >= n_halved:
            continue
        exposure = 0.0
        for i in range(layout.start[g], layout.start[g + 1]):
            exposure += layout.size[i] * gene.used[layout.stratum[i]]
        if exposure == 0.0:
            return -1.0
        own_counts[k], is_half[k] = 0.5, True
        for i in range(layout.start[g], layout.start[g + 1]):
            s = layout.stratum[i]
            share = 0.5 * layout.size[i] * gene.used[s] / exposure
            for f in range(layout.columns.shape[1]):
                if layout.columns[s, f] >= 0:
                    observed[layout.columns[s, f]] += share
            for t in range(n_numeric):
                observed[n_indicators + t] += share * layout.numeric[t, i]
    return base_count


@loops()
def _has_most_cells(layout, groups):
    """Whether some groups have more than half of the cells: a series would not pay."""
    n_cells = 0
    for k in range(groups.shape[0]):
        n_cells += layout.start[groups[k] + 1] - layout.start[groups[k]]
    return 2 * n_cells > layout.start[-1]


class Room(NamedTuple):
    """Where sums are taken, one fit after another look at the cells."""

    rest: FloatArray  # (n_kinds, n_sums): over the baseline
    sums: FloatArray  # (n_kinds, n_sums): over a group
    derived: FloatArray  # (n_rows, n_sums): the same at its rate
    summed: FloatArray  # (1 + n_columns,)
    values: FloatArray  # (4, n_cells of the largest group)
    scratch: IntArray  # (n_cells of the largest group,)
    factor: FloatArray  # (n_strata,)
    change: FloatArray  # (n_numeric,)


@inner()
def _room(layout, n_rows):
    """Make room for sums of mu, or with three rows of r^2 and mu^2 too."""
    n_kinds, n = 1 if n_rows == 1 else 4, layout.largest_group
    return Room(
        room_for_sums(n_kinds, layout),
        room_for_sums(n_kinds, layout),
        room_for_sums(n_rows, layout),
        vector(1 + layout.n_columns),
        unset_matrix(4, n),
        unset_integers(n),
        vector(layout.columns.shape[0]),
        vector(layout.numeric.shape[0]),
    )


@loops(fastmath=FAST)
def _add_group(layout, gene, cells, g, room, sums):
    """Add the sums over the cells of a group, whose weights are found unless they are known."""
    begin, end = layout.start[g], layout.start[g + 1]
    if not cells.weighed[g]:
        weigh_cells(layout, gene.gamma, cells.rates[g], begin, end, room.values[0], room.scratch,
                    cells.weights)  # fmt: skip
        cells.weighed[g] = True
    add_cells(begin, end, cells.counts, cells.weights, layout.stratum, layout.numeric,
              layout.largest_norm, room.factor, room.change, room.values, room.scratch,
              sums)  # fmt: skip


@loops(fastmath=FAST)
def _take_group(layout, sums, rate, is_half, room, k, totals, by_group, moments):
    """Fill what a group, the one in place k, adds at its rate."""
    n_strata, derived = layout.columns.shape[0], room.derived
    at_rate(sums, rate, is_half, derived)
    add_sums(totals, 1.0, derived)
    for v in range(derived.shape[0]):
        by_group[v, k] = sum_of(derived[v, :n_strata])
        covariate_sums(derived[v], layout.slots, layout.n_indicators, room.summed)
        for a in range(moments.shape[2]):
            moments[v, k, a] = room.summed[a]


@loops()
def _is_among(own, g):
    """Whether a group has an intercept of its own."""
    found = False
    for k in range(own.shape[0]):
        found = found or own[k] == g
    return found


@loops(fastmath=FAST)
def _evaluate(layout, gene, cells, own, own_counts, is_half, base_count, gamma, with_series, room,
              rates, totals, by_group, moments):  # fmt: skip
    """Sum mu at gamma, and where ``totals`` has three rows of r^2 and mu^2 too.

    ``totals`` gets those over all cells; ``by_group`` (n_rows, 1 + n_own) sum_g v and ``moments``
    (n_rows, 1 + n_own, n_columns) sum_g v x, the baseline first; ``rates`` (1 + n_own,)
    T_g / M_g, 0 for a group that is left out. Returns whether every group has a mass.
    """
    rest, sums, n_strata = room.rest, room.sums, layout.columns.shape[0]
    indicator_factors(layout.columns, gamma, gene.used, room.factor)
    for t in range(room.change.shape[0]):
        at = layout.n_indicators + t
        room.change[t] = gamma[at] - gene.gamma[at]
    totals[:, :] = 0.0
    rest[:, :] = 0.0
    if with_series:
        add_all_cells(layout, gene, room.change, room.factor, rest)
    else:
        for g in range(layout.start.shape[0] - 1):
            if not _is_among(own, g):
                _add_group(layout, gene, cells, g, room, rest)
    for k in range(own.shape[0]):
        sums[:, :] = 0.0
        _add_group(layout, gene, cells, own[k], room, sums)
        if with_series:
            add_sums(rest, -1.0, sums)
        mass = sum_of(sums[WEIGHTS, :n_strata])
        if own_counts[k] > 0.0 and mass <= 0.0:
            return False
        rates[1 + k] = own_counts[k] / mass if own_counts[k] > 0.0 else 0.0
        _take_group(layout, sums, rates[1 + k], is_half[k], room, 1 + k, totals, by_group, moments)
    mass = sum_of(rest[WEIGHTS, :n_strata])
    if mass <= 0.0:
        return False
    rates[0] = base_count / mass
    _take_group(layout, rest, rates[0], False, room, 0, totals, by_group, moments)
    return True


@inner(fastmath=FAST)
def _newton(layout, gene, cells, own, n_halved, with_series, remainder, gamma, log_rates,
            own_counts, is_half):  # fmt: skip
    """Newton on gamma; returns FITTED, NOT_CONVERGED, CONFOUNDED or OUT_OF_REACH (of the series).

    ``own`` (n_own,) are the groups with an intercept, of which ``n_halved`` must have a count.
    ``gamma`` holds the start and gets the solution, ``log_rates`` (1 + n_own,) the intercepts,
    the baseline's first.
    """
    n_columns, n_own = gamma.shape[0], own.shape[0]
    observed, fitted, rates = vector(n_columns), vector(1 + n_columns), vector(1 + n_own)
    base_count = _share_counts(layout, gene, cells, own, n_halved, own_counts, is_half, observed)
    if base_count <= 0.0:
        return CONFOUNDED
    inverse_counts = _inverse_counts(own_counts, base_count)
    room, totals, by_group = _room(layout, 1), room_for_sums(1, layout), unset_matrix(1, 1 + n_own)
    moments = unset_cube(1, 1 + n_own, n_columns)
    information, lower = unset_matrix(n_columns, n_columns), unset_matrix(n_columns, n_columns)
    kept, score, step = booleans(n_columns), vector(n_columns), vector(n_columns)
    way = np.inf
    for _ in range(MAX_STEPS):
        if with_series and not series_reach(layout, gene, gamma, 1.0, remainder):
            return OUT_OF_REACH
        if not _evaluate(layout, gene, cells, own, own_counts, is_half, base_count, gamma,
                         with_series, room, rates, totals, by_group, moments):  # fmt: skip
            return CONFOUNDED
        if way > LONG_WAY:
            way = 0.0
            _information(layout, totals[0], moments[0], inverse_counts, information)
            cholesky_dropping(information, lower, kept)
            n_dropped = n_columns - count_of(kept)
            if n_dropped > 0 and _confounded(layout, totals[0], moments[0], n_dropped):
                return CONFOUNDED
        covariate_sums(totals[0], layout.slots, layout.n_indicators, fitted)
        for a in range(n_columns):
            score[a] = observed[a] - fitted[a]
        solve_kept(lower, kept, score, step)
        longest = largest_component(step)
        shrink = min(1.0, LONGEST_STEP / max(longest, LONGEST_STEP))
        for a in range(n_columns):
            gamma[a] += shrink * step[a]
        way += longest
        if longest * way < LEFT_OVER:
            # The intercepts move with the last step to first order.
            for k in range(1 + n_own):
                log_rates[k] = math.log(rates[k]) if rates[k] > 0.0 else -np.inf
                for a in range(n_columns):
                    log_rates[k] -= moments[0, k, a] * inverse_counts[k] * step[a]
            return FITTED
    return NOT_CONVERGED


@inner(fastmath=FAST)
def prepare(layout, gene, cells):
    """Sum the counts of a gene, find its reference, and weigh all cells, unless it is ready."""
    if gene.ready[0]:
        return
    y, weights, by_stratum, used = cells.counts, cells.weights, gene.by_stratum, gene.used
    count_sums(layout, y, by_stratum, gene.by_numeric)
    used_strata(layout.columns, layout.n_indicators, by_stratum, used)
    none, no_counts, nobody = matrix(1, used.shape[0]), vector(0), unset_integers(0)
    start = vector(gene.gamma.shape[0])
    unweighed = Gene(by_stratum, gene.by_numeric, used, start, layout.exposure, none, none, none,
                     gene.ready)  # fmt: skip
    gamma, outcome = gene.gamma, OUT_OF_REACH
    for with_series in (True, False):
        if outcome == OUT_OF_REACH:
            gamma[:] = 0.0
            outcome = _newton(layout, unweighed, cells, nobody, 0, with_series, REFERENCE_REMAINDER,
                              gamma, vector(1), no_counts, booleans(0))  # fmt: skip
    if outcome != FITTED:
        gamma[:] = 0.0
    values, scratch = vector(layout.largest_group), unset_integers(layout.largest_group)
    for g in range(cells.weighed.shape[0]):
        weigh_cells(layout, gamma, cells.rates[g], layout.start[g], layout.start[g + 1], values,
                    scratch, weights)  # fmt: skip
        cells.weighed[g] = True
    sums_of_strata(layout, y, weights, gene)
    gene.ready[0] = True


@inner(fastmath=FAST)
def fit_groups(layout, gene, cells, own, n_halved, gamma, log_rates, own_counts, is_half):
    """Fit one regression from the reference; see ``_newton``."""
    copy_to(gamma, gene.gamma)
    outcome = OUT_OF_REACH
    if not _has_most_cells(layout, own):
        outcome = _newton(layout, gene, cells, own, n_halved, True, REMAINDER, gamma, log_rates,
                          own_counts, is_half)  # fmt: skip
    if outcome == OUT_OF_REACH and cells.complete:
        copy_to(gamma, gene.gamma)
        outcome = _newton(layout, gene, cells, own, n_halved, False, REMAINDER, gamma, log_rates,
                          own_counts, is_half)  # fmt: skip
    return outcome


@inner(fastmath=FAST)
def sandwich(layout, gene, cells, own, n_halved, gamma, model_shares, own_squares, base, lever,
             tilt, meat):  # fmt: skip
    """Sandwich covariance of ``alpha_g - alpha_0``, g in own, in parts.

    The influence of cell i is ``[i in g] r_i / T_g - [i in 0] r_i / T_0 - L_g' (x_i - m) r_i``
    with ``L_g = H^-1 (m_g - m_0)``, H the information and m the mean of the cell's own group.
    With ``h_g = sum_g r^2 (x - m_g) / T_g`` the covariance of g and k is::

        [g = k] v_g + v_0 - (h_g - h_0)'L_k - L_g'(h_k - h_0) + L_g' W L_k

    For each of ``model_shares``, the share of r^2 that is replaced by ``mu + phi mu^2``, phi the
    moment estimate over all cells as in ``_kernels`` (0: HC0), ``own_squares`` (n_shares, n_own)
    gets v_g, ``base`` v_0, ``tilt`` (n_shares, n_own, n_columns) ``h_g - h_0`` and ``meat``
    ``W = sum_i r_i^2 (x_i - m)(x_i - m)'``; ``lever`` (n_own, n_columns) gets L_g. Returns
    whether the counts that this needs are there.
    """
    with_series = not _has_most_cells(layout, own)
    with_series = with_series and series_reach(layout, gene, gamma, 2.0, REMAINDER)
    if not with_series and not cells.complete:
        return False
    n_columns, n_own = gamma.shape[0], own.shape[0]
    n_strata = layout.columns.shape[0]
    own_counts, is_half, unused = vector(n_own), booleans(n_own), vector(n_columns)
    base_count = _share_counts(layout, gene, cells, own, n_halved, own_counts, is_half, unused)
    inverse_counts = _inverse_counts(own_counts, base_count)
    rates, totals = vector(1 + n_own), room_for_sums(3, layout)
    by_group = unset_matrix(3, 1 + n_own)
    moments = unset_cube(3, 1 + n_own, n_columns)
    if not _evaluate(layout, gene, cells, own, own_counts, is_half, base_count, gamma, with_series,
                     _room(layout, 3), rates, totals, by_group, moments):  # fmt: skip
        return False
    information, lower = unset_matrix(n_columns, n_columns), unset_matrix(n_columns, n_columns)
    kept, means = booleans(n_columns), moments[MEANS]
    _information(layout, totals[MEANS], means, inverse_counts, information)
    cholesky_dropping(information, lower, kept)
    for k in range(1 + n_own):
        for a in range(n_columns):
            means[k, a] *= inverse_counts[k]
    distance = unset_matrix(n_own, n_columns)
    for k in range(n_own):
        for a in range(n_columns):
            distance[k, a] = means[1 + k, a] - means[0, a]
    levers = product(distance, _inverse(lower, kept))
    for k in range(n_own):
        copy_to(lever[k], levers[k])

    mean_sum = sum_of(totals[MEANS, :n_strata])
    square_sum = sum_of(totals[SQUARED_MEANS, :n_strata])
    excess = sum_of(totals[SQUARES, :n_strata]) - mean_sum
    phi = max(excess / square_sum, 0.0) if square_sum > 0.0 else 0.0
    row, squares = room_for_sums(1, layout)[0], vector(1 + n_own)
    own_moments, half = unset_matrix(1 + n_own, n_columns), unset_matrix(1 + n_own, n_columns)
    for m in range(model_shares.shape[0]):
        robust, share = 1.0 - model_shares[m], model_shares[m]
        for a in range(row.shape[0]):
            row[a] = robust * totals[SQUARES, a]
            row[a] += share * (totals[MEANS, a] + phi * totals[SQUARED_MEANS, a])
        products(row, layout.columns, layout.n_indicators, meat[m])
        for k in range(1 + n_own):
            squares[k] = robust * by_group[SQUARES, k]
            squares[k] += share * (by_group[MEANS, k] + phi * by_group[SQUARED_MEANS, k])
            count = 1.0 / inverse_counts[k] if inverse_counts[k] > 0.0 else 0.0
            for a in range(n_columns):
                expected = count * means[k, a] + phi * moments[SQUARED_MEANS, k, a]
                own_moments[k, a] = robust * moments[SQUARES, k, a] + share * expected
                half[k, a] = own_moments[k, a] - 0.5 * squares[k] * means[k, a]
        between = product_of_columns(half, means)
        for a in range(n_columns):
            for b in range(n_columns):
                meat[m, a, b] -= between[a, b] + between[b, a]
        base[m] = squares[0] * inverse_counts[0] ** 2
        for k in range(1 + n_own):  # h_g from here on
            for a in range(n_columns):
                own_moments[k, a] -= squares[k] * means[k, a]
                own_moments[k, a] *= inverse_counts[k]
        for k in range(n_own):
            own_squares[m, k] = squares[1 + k] * inverse_counts[1 + k] ** 2
            for a in range(n_columns):
                tilt[m, k, a] = own_moments[1 + k, a] - own_moments[0, a]
    return True


@inner(fastmath=FAST)
def single_variances(own_squares, base, lever, tilt, meat, out):
    """Variance of each of the first coefficients, from a sandwich's parts for one model share."""
    spread = product(lever, meat)
    for k in range(out.shape[0]):
        out[k] = own_squares[k] + base
        for a in range(lever.shape[1]):
            out[k] += lever[k, a] * (spread[k, a] - 2.0 * tilt[k, a])


@inner(fastmath=FAST)
def combined_variances(combinations, own_squares, base, lever, tilt, meat, out):
    """Variances of combinations (n, n_first) of the first coefficients, from a sandwich's parts."""
    n, n_first = combinations.shape
    n_columns = lever.shape[1]
    levers = product(combinations, lever[:n_first])
    for m in range(base.shape[0]):
        tilts, spread = product(combinations, tilt[m, :n_first]), product(levers, meat[m])
        for j in range(n):
            total, own, rest = 0.0, 0.0, 0.0
            for k in range(n_first):
                total += combinations[j, k]
                own += combinations[j, k] * combinations[j, k] * own_squares[m, k]
            for a in range(n_columns):
                rest += levers[j, a] * (spread[j, a] - 2.0 * tilts[j, a])
            out[m, j] = own + base[m] * total * total + rest


# The same for Python, for checks: wrappers take long to compile, and a fit needs none of these.
@compiled()
def prepare_gene(layout, gene, cells):
    """See ``prepare``."""
    prepare(layout, gene, cells)


@compiled()
def fit_gene(layout, gene, cells, own, n_halved, gamma, log_rates, own_counts, is_half):
    """See ``fit_groups``."""
    return fit_groups(layout, gene, cells, own, n_halved, gamma, log_rates, own_counts, is_half)


@compiled()
def sandwich_of_gene(layout, gene, cells, own, n_halved, gamma, model_shares, own_squares, base,
                     lever, tilt, meat):  # fmt: skip
    """See ``sandwich``."""
    return sandwich(layout, gene, cells, own, n_halved, gamma, model_shares, own_squares, base,
                    lever, tilt, meat)  # fmt: skip
