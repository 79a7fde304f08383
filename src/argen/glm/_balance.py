"""Compiled weights of cells with which their covariates have given means."""

from __future__ import annotations

import math

from argen.glm._compile import compiled
from argen.glm._kernels import cholesky_dropping, solve_kept
from argen.glm._scratch import booleans, matrix, unset, vector

N_ROUNDS = 50
# Means are so near, in standard deviations.
BALANCED = 1e-8
TINY = 1e-9


@compiled()
def balance(columns, level, target, part):
    """Weigh cells so that they have given means of covariates and parts of levels: (n_cells,).

    The weights, of sum 1, are ``exp(l'x)`` times one number for each level, which are the odds of
    two groups where log odds are linear. In turn levels are scaled to their parts, and l makes a
    Newton step. Where a mean is the least or the largest value that there is l has no end, and
    cells of other values have no weight; nor have those of levels of which nothing is wanted. If no
    cell is left, all weights are 0.

    Parameters
    ----------
    columns
        (n_columns, n_cells).
    level
        (n_cells,) codes.
    target
        (n_columns,).
    part
        (n_levels,), of sum 1.
    """
    n_columns, n_cells = columns.shape
    n_levels = part.shape[0]
    weights, scale = unset(n_cells), vector(n_columns)
    for i in range(n_cells):
        weights[i] = 1.0 if part[level[i]] > 0.0 else 0.0
    for a in range(n_columns):
        row, mean, square = columns[a], 0.0, 0.0
        low, high = row[0], row[0]
        for i in range(n_cells):
            mean += row[i]
            low, high = min(low, row[i]), max(high, row[i])
        mean /= n_cells
        for i in range(n_cells):
            square += (row[i] - mean) ** 2
            if (target[a] <= low and row[i] > low) or (target[a] >= high and row[i] < high):
                weights[i] = 0.0
        scale[a] = max(math.sqrt(square / n_cells), TINY)
    of_level, mean, off = vector(n_levels), matrix(n_columns, n_levels), vector(n_columns)
    spread, lower = matrix(n_columns, n_columns), matrix(n_columns, n_columns)
    kept, step, factor = booleans(n_columns), vector(n_columns), vector(n_levels)
    for _ in range(N_ROUNDS):
        of_level[:] = 0.0
        for i in range(n_cells):
            of_level[level[i]] += weights[i]
        total = 0.0
        for g in range(n_levels):
            total += part[g] if of_level[g] > 0.0 else 0.0
        if total == 0.0:
            weights[:] = 0.0
            break
        for g in range(n_levels):
            factor[g] = part[g] / total / of_level[g] if of_level[g] > 0.0 else 0.0
        for i in range(n_cells):
            weights[i] *= factor[level[i]]
        largest = 0.0
        for a in range(n_columns):
            row, own, inverse, off[a] = columns[a], mean[a], 1.0 / scale[a], 0.0
            own[:] = 0.0
            for i in range(n_cells):
                z = weights[i] * (row[i] - target[a]) * inverse
                off[a] += z
                own[level[i]] += z
            largest = max(largest, abs(off[a]))
        if largest < BALANCED:
            break
        # What levels do not explain.
        for a in range(n_columns):
            for c in range(a + 1):
                row, other, summed = columns[a], columns[c], 0.0
                inverse = 1.0 / (scale[a] * scale[c])
                for i in range(n_cells):
                    summed += weights[i] * (row[i] - target[a]) * (other[i] - target[c]) * inverse
                for g in range(n_levels):
                    if of_level[g] > 0.0 and part[g] > 0.0:
                        summed -= mean[a, g] * mean[c, g] * total / part[g]
                spread[a, c] = summed
                spread[c, a] = summed
            spread[a, a] += 1e-6
        cholesky_dropping(spread, lower, kept)
        solve_kept(lower, kept, off, step)
        longest = 1.0
        for a in range(n_columns):
            longest = max(longest, abs(step[a]))
        for i in range(n_cells):
            log_weight = 0.0
            for a in range(n_columns):
                log_weight -= step[a] / longest * (columns[a, i] - target[a]) / scale[a]
            weights[i] *= math.exp(min(max(log_weight, -30.0), 30.0))
    return weights
