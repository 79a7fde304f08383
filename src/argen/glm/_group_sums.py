"""Compiled sums for regressions with one intercept a group, one perturbation in a cell at most.

The cells of group g (those of one perturbation) have, with x the covariates of a cell::

    log E[Y_i] = log C_i + alpha_g + x_i' gamma,        i in g

Groups without an intercept of their own share that of the baseline, group 0 below, to which the
controls belong. Given gamma the intercepts have a closed form, so Newton runs on gamma alone::

    exp(alpha_g) = T_g / M_g,   T_g = sum_g y,   M_g = sum_g w,   w_i = C_i exp(x_i' gamma)
    score        = sum_i y_i x_i - sum_g T_g m_g,     m_g = sum_g w x / M_g
    information  = sum_i mu_i x_i x_i' - sum_g T_g m_g m_g',     mu_i = w_i T_g / M_g

The coefficient of a perturbation is ``alpha_g - alpha_0``. Cells that share all categorical
covariates are a stratum; x is made of indicators, the same within a stratum, and of numeric
covariates z. Fits of a gene differ little from its reference, the fit without any group: their
weights are those of the reference, times a factor for each stratum and ``exp(e'z)`` with small e.
So sums over all cells are series in e (see ``_series``), and those of the baseline are what the
groups, summed cell by cell, leave of them: a fit costs what its own groups cost.

Sums of four kinds of values v by cell are taken: w, y w, w^2 and y^2, the last three for variances
alone. Those of one kind are a row: the sums of v by stratum, of v z by stratum for each z, and of
v z z' in total.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.glm._compile import inlined, inner, loops
from argen.glm._controls import StratumArray
from argen.glm._scratch import matrix, unset_matrix, vector
from argen.glm._series import (
    FAST,
    add_moments,
    exp_coefficients,
    exponentials,
    exponentials_of_sums,
)

# Kinds of sums over cells, and what follows from them at the rate of a group: mu, r^2 and mu^2.
WEIGHTS, CROSS, SQUARED_WEIGHTS, SQUARED_COUNTS = 0, 1, 2, 3
MEANS, SQUARES, SQUARED_MEANS = 0, 1, 2
# Largest remainder of the series, relative to the sum over all cells that it stands for.
REMAINDER = 1e-9
# Where sums are over all cells, so many of them are in fast memory, sorted by stratum, of which so
# many are taken together.
CELLS_OF_A_PART, CELLS_AT_ONCE = 8192, 512


class GroupLayout(NamedTuple):
    """Cells sorted by group; everything that does not depend on the response."""

    start: IntArray  # (n_groups + 1,): cells of group g are start[g]:start[g + 1]
    size: FloatArray  # (n_cells,): C
    stratum: StratumArray  # (n_cells,); in a group, one cell of each stratum after the other
    numeric: FloatArray  # (n_numeric, n_cells): z
    by_stratum: StratumArray  # (n_cells,): cells sorted by stratum, some thousands at a time
    run_start: IntArray  # (n_runs + 1,): runs of one stratum there
    run_stratum: IntArray  # (n_runs,)
    columns: IntArray  # (n_strata, n_factors): column of the level in x, -1 for the reference
    slots: StratumArray  # (n_factors, n_strata): the same, with n_columns for the reference
    n_indicators: int
    n_columns: int  # of x: indicators, and then z
    largest_norm: float  # of z
    largest_group: int  # cells of it
    exposure: FloatArray  # (n_monomials, n_strata): sum of C z^a
    parent: IntArray  # the monomials, see argen.glm.monomials
    variable: IntArray
    power: FloatArray
    minus: IntArray
    degree: int  # of the monomials


class Gene(NamedTuple):
    """What is known of a gene before any fit: sums over all cells, and its reference.

    Of several genes, each array has an axis more, the first.
    """

    by_stratum: FloatArray  # (n_strata,): sum of y
    by_numeric: FloatArray  # (n_numeric,): sum of y z
    used: FloatArray  # (n_strata,): 0 where a level has no counts, and drops out with its cells
    gamma: FloatArray  # (n_columns,) of the fit without any group, the slopes of z last
    weights: FloatArray  # (n_monomials, n_strata): sum of w z^a, w = C exp(slopes'z)
    cross: FloatArray  # (n_monomials, n_strata): sum of y w z^a
    squared_weights: FloatArray  # (n_monomials, n_strata): sum of w^2 z^a
    squared_counts: FloatArray  # (n_low, n_strata): sum of y^2 z^a
    ready: BoolArray  # (1,): whether the others are filled

    @classmethod
    def unknown(cls, layout: GroupLayout, *n_genes: int) -> Gene:
        """Make room for a gene, or for several."""
        n_strata, table = len(layout.columns), (len(layout.parent), len(layout.columns))
        shapes: list[tuple[int, ...]] = [(n_strata,), (len(layout.numeric),), (n_strata,)]
        shapes += [(layout.n_columns,), table, table, table, (layout.minus.shape[1], n_strata)]
        numbers = [np.empty((*n_genes, *shape)) for shape in shapes]
        return cls._make([*numbers, np.zeros((*n_genes, 1), dtype=bool)])


class Cells(NamedTuple):
    """Counts of a gene by cell, and the weights of cells at its reference."""

    counts: FloatArray  # (n_cells,): y
    weights: FloatArray  # (n_cells,): w, where they are known
    weighed: BoolArray  # (n_groups,): whose weights are known; others are found when needed
    rates: FloatArray  # (n_groups,): factor of the exposure of each group's cells, for this gene
    complete: bool  # False where counts are those of some groups alone, and the rest is unknown


@loops(fastmath=FAST)
def count_sums(layout, y, by_stratum, by_numeric):
    """Sum y by stratum, and times each numeric covariate."""
    n_numeric = layout.numeric.shape[0]
    by_stratum[:] = 0.0
    for i in range(y.shape[0]):
        by_stratum[layout.stratum[i]] += y[i]
    for t in range(n_numeric):
        z, total = layout.numeric[t], 0.0
        for i in range(y.shape[0]):
            total += y[i] * z[i]
        by_numeric[t] = total


@inner()
def used_strata(columns, n_indicators, by_stratum, used):
    """Fill 0 for strata of a level without counts, 1 for the others."""
    by_level = vector(1 + n_indicators)
    used[:] = 1.0
    for f in range(columns.shape[1]):
        by_level[:] = 0.0
        for s in range(columns.shape[0]):
            by_level[1 + columns[s, f]] += by_stratum[s]
        for s in range(columns.shape[0]):
            if by_level[1 + columns[s, f]] == 0.0:
                used[s] = 0.0


@inlined(fastmath=FAST)
def _dot(left, right, n):
    total = 0.0
    for i in range(n):
        total += left[i] * right[i]
    return total


@inner()
def sums_of_strata(layout, y, weights, gene):
    """Sum w z^a, y w z^a, w^2 z^a and y^2 z^a over all cells of each stratum."""
    n_numeric, n_monomials = layout.numeric.shape[0], layout.parent.shape[0]
    _sum_strata(layout, y, weights, gene, unset_matrix(5, CELLS_AT_ONCE),
                unset_matrix(n_numeric, CELLS_AT_ONCE),
                unset_matrix(n_monomials, CELLS_AT_ONCE))  # fmt: skip


@loops(fastmath=FAST)
def _sum_strata(layout, y, weights, gene, products_of_cells, z, monomials):
    """Do so; the last three are room for some cells at once."""
    n_numeric = layout.numeric.shape[0]
    n_monomials, n_low = layout.parent.shape[0], layout.minus.shape[1]
    by_weight, cross = gene.weights, gene.cross
    squared_weights, squared_counts = gene.squared_weights, gene.squared_counts
    by_weight[:, :] = 0.0
    cross[:, :] = 0.0
    squared_weights[:, :] = 0.0
    squared_counts[:, :] = 0.0
    w, count, w_count = products_of_cells[0], products_of_cells[1], products_of_cells[2]
    w_square, count_square = products_of_cells[3], products_of_cells[4]
    monomials[0] = 1.0
    for run in range(layout.run_stratum.shape[0]):
        s, first = layout.run_stratum[run], layout.run_start[run]
        n = layout.run_start[run + 1] - first
        cells = layout.by_stratum[first : first + n]
        for i in range(n):
            w[i] = weights[cells[i]]
        for i in range(n):
            count[i] = y[cells[i]]
        for t in range(n_numeric):
            z_of_cells = layout.numeric[t]
            for i in range(n):
                z[t, i] = z_of_cells[cells[i]]
        for i in range(n):
            w_count[i], w_square[i], count_square[i] = w[i] * count[i], w[i] ** 2, count[i] ** 2
        for a in range(n_monomials):
            row = monomials[a]
            if a > 0:
                lower, factor = monomials[layout.parent[a]], z[layout.variable[a]]
                for i in range(n):
                    row[i] = lower[i] * factor[i]
            by_weight[a, s] += _dot(w, row, n)
            cross[a, s] += _dot(w_count, row, n)
            squared_weights[a, s] += _dot(w_square, row, n)
            if a < n_low:
                squared_counts[a, s] += _dot(count_square, row, n)


@loops(fastmath=FAST)
def weigh_cells(layout, gamma, rate, begin, end, exponent, scratch, weights):
    """``w = rate C exp(slopes'z)`` of the cells from ``begin`` to before ``end``."""
    n, w, size = end - begin, weights[begin:end], layout.size[begin:end]
    exponent[:n] = 0.0
    for t in range(layout.numeric.shape[0]):
        slope, z = gamma[layout.n_indicators + t], layout.numeric[t, begin:end]
        for i in range(n):
            exponent[i] += slope * z[i]
    exponentials(exponent[:n], w, scratch)
    for i in range(n):
        w[i] *= rate * size[i]


@inner()
def room_for_sums(n_kinds, layout):
    """Make room for sums of so many kinds: (n_kinds, n_sums)."""
    n_strata, n_numeric = layout.columns.shape[0], layout.numeric.shape[0]
    return unset_matrix(n_kinds, (1 + n_numeric) * n_strata + n_numeric * (n_numeric + 1) // 2)


@loops(fastmath=FAST)
def add_sums(sums, scale, other):
    """Add ``scale`` times other sums."""
    for kind in range(sums.shape[0]):
        for a in range(sums.shape[1]):
            sums[kind, a] += scale * other[kind, a]


@loops(fastmath=FAST)
def add_cells(begin, end, y, weights, stratum, numeric, largest_norm, factor, change, values,
              scratch, sums):  # fmt: skip
    """Add the sums over some cells, of as many kinds as ``sums`` has.

    ``factor`` is what the indicators contribute in each stratum, 0 where it is not used, and
    ``change`` by how much slopes differ from those of the weights; ``values`` (4, n) is room.
    """
    n, n_numeric, n_strata = end - begin, change.shape[0], factor.shape[0]
    strata, w = stratum[begin:end], values[0]
    exponentials_of_sums(begin, end, change, numeric, largest_norm, values[1], w, scratch)
    reference = weights[begin:end]
    for i in range(n):
        w[i] *= reference[i] * factor[strata[i]]
    if sums.shape[0] > 1:
        count = y[begin:end]
        for i in range(n):
            values[CROSS, i] = w[i] * count[i]
            values[SQUARED_WEIGHTS, i] = w[i] * w[i]
            values[SQUARED_COUNTS, i] = count[i] * count[i]
    for kind in range(sums.shape[0]):
        v, row = values[kind], sums[kind]
        if n_numeric == 0:
            for i in range(n):
                row[strata[i]] += v[i]
        at = (1 + n_numeric) * n_strata
        for t in range(n_numeric):
            z, totals = numeric[t, begin:end], row[(1 + t) * n_strata :]
            if t == 0:  # both at once
                for i in range(n):
                    row[strata[i]] += v[i]
                    totals[strata[i]] += v[i] * z[i]
            else:
                for i in range(n):
                    totals[strata[i]] += v[i] * z[i]
            for u in range(t, n_numeric):
                other, total = numeric[u, begin:end], 0.0
                for i in range(n):
                    total += v[i] * z[i] * other[i]
                row[at] += total
                at += 1


@inner(fastmath=FAST)
def add_all_cells(layout, gene, change, factor, sums):
    """Add the sums over all cells, of as many kinds as ``sums`` has, by the series."""
    n_strata = factor.shape[0]
    scale = vector(n_strata)
    _add_series(layout, gene.weights, change, 1.0, factor, sums[WEIGHTS])
    if sums.shape[0] > 1:
        _add_series(layout, gene.cross, change, 1.0, factor, sums[CROSS])
        for s in range(n_strata):
            scale[s] = factor[s] * factor[s]
        _add_series(layout, gene.squared_weights, change, 2.0, scale, sums[SQUARED_WEIGHTS])
        scale[:] = 1.0  # strata that are not used have no counts
        _add_series(layout, gene.squared_counts, change, 0.0, scale, sums[SQUARED_COUNTS])


@inner(fastmath=FAST)
def _add_series(layout, table, change, power, scale, row):
    """Add ``scale_s sum_s v exp(power change'z) z^b`` to the sums of one kind of values v."""
    n_terms, n_numeric, n_strata = table.shape[0], change.shape[0], scale.shape[0]
    coefficients, exponent = vector(n_terms), vector(n_numeric)
    moments = matrix(layout.minus.shape[1], n_strata)
    for t in range(n_numeric):
        exponent[t] = power * change[t]
    exp_coefficients(exponent, layout.parent, layout.variable, layout.power, n_terms, coefficients)
    add_moments(table, coefficients, layout.minus, n_terms, n_terms, moments)
    for b in range(1 + n_numeric):
        for s in range(n_strata):
            row[b * n_strata + s] += scale[s] * moments[b, s]
    for b in range(1 + n_numeric, moments.shape[0]):
        at = (1 + n_numeric) * n_strata + b - 1 - n_numeric
        for s in range(n_strata):
            row[at] += scale[s] * moments[b, s]


@loops()
def series_reach(layout, gene, gamma, length_factor, remainder):
    """Whether the series of ``exp(length_factor change'z)``, cut at the degree, are exact enough.

    ``change`` is how far the slopes at gamma are from those of the reference.
    """
    length = 0.0
    for t in range(layout.numeric.shape[0]):
        at = layout.n_indicators + t
        length += (gamma[at] - gene.gamma[at]) ** 2
    length = length_factor * math.sqrt(length) * layout.largest_norm
    bound = math.exp(min(length, 50.0))
    for k in range(1, layout.degree):  # second moments have two terms fewer
        bound *= length / k
    return bound <= remainder


@loops(fastmath=FAST)
def at_rate(sums, rate, is_half, derived):
    """Take sums of mu, and where ``derived`` has three rows of r^2 and mu^2, from those over cells.

    A group with half a count has the variance of a Poisson count, mu, in place of r^2, and
    nothing in place of mu^2.
    """
    n = sums.shape[1]
    for a in range(n):
        derived[MEANS, a] = rate * sums[WEIGHTS, a]
    if derived.shape[0] > 1:
        for a in range(n):
            square = rate * rate * sums[SQUARED_WEIGHTS, a]
            residual = sums[SQUARED_COUNTS, a] - 2.0 * rate * sums[CROSS, a] + square
            derived[SQUARES, a] = derived[MEANS, a] if is_half else residual
            derived[SQUARED_MEANS, a] = 0.0 if is_half else square


@loops(fastmath=FAST)
def covariate_sums(row, slots, n_indicators, out):
    """``sum_i v_i x_i`` from the sums of one kind; the last place of ``out`` is of no use."""
    n_strata = slots.shape[1]
    out[:] = 0.0
    for f in range(slots.shape[0]):
        slot = slots[f]
        for s in range(n_strata):
            out[slot[s]] += row[s]
    out[out.shape[0] - 1] = 0.0
    for t in range(out.shape[0] - 1 - n_indicators):
        totals, total = row[(1 + t) * n_strata : (2 + t) * n_strata], 0.0
        for s in range(n_strata):
            total += totals[s]
        out[n_indicators + t] = total


@loops(fastmath=FAST)
def products(row, columns, n_indicators, out):
    """``sum_i v_i x_i x_i'`` from the sums of one kind."""
    n_strata, n_numeric = columns.shape[0], out.shape[0] - n_indicators
    out[:, :] = 0.0
    for s in range(n_strata):
        for f in range(columns.shape[1]):
            a = columns[s, f]
            if a < 0:
                continue
            for h in range(columns.shape[1]):
                if columns[s, h] >= 0:
                    out[a, columns[s, h]] += row[s]
            for t in range(n_numeric):
                out[a, n_indicators + t] += row[(1 + t) * n_strata + s]
                out[n_indicators + t, a] += row[(1 + t) * n_strata + s]
    at = (1 + n_numeric) * n_strata
    for t in range(n_numeric):
        for u in range(t, n_numeric):
            out[n_indicators + t, n_indicators + u] = row[at]
            out[n_indicators + u, n_indicators + t] = row[at]
            at += 1


@loops()
def indicator_factors(columns, gamma, used, factor):
    """``exp(F_s' gamma)``, what the indicators contribute in each stratum; 0 where not used."""
    for s in range(columns.shape[0]):
        shift = 0.0
        for f in range(columns.shape[1]):
            if columns[s, f] >= 0:
                shift += gamma[columns[s, f]]
        factor[s] = used[s] * math.exp(shift)
