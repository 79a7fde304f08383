"""Compiled regressions of one gene on many sets of groups, for the parent search.

Regression r of a block has the groups of a set, and where ``extra[r]`` is not -1 that one too; what
it gives for the groups of the set lies at ``place[r]`` of vectors that are the block's.
"""

from __future__ import annotations

from typing import NamedTuple

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.glm._compile import compiled, inner
from argen.glm._group_fits import (
    FITTED,
    OUT_OF_REACH,
    combined_variances,
    fit_groups,
    sandwich,
    single_variances,
)
from argen.glm._scratch import booleans, cube, matrix, unset_integers, vector


class BlockOfFits(NamedTuple):
    """The regressions of a block of targets, those of a gene side by side."""

    groups: IntArray  # groups of the sets, one set after another
    start: IntArray  # (n_sets + 1,): set s is groups[start[s]:start[s + 1]]
    square: IntArray  # (n_sets,): place of the coefficients of a set's own genes: (n, n), by row
    of_set: IntArray  # (n_regressions,)
    extra: IntArray  # (n_regressions,)
    place: IntArray  # (n_regressions,)
    outcome: IntArray  # (n_regressions,): filled, as in _group_fits
    halved: BoolArray  # (n_regressions,): filled, whether half a count was added
    gamma: FloatArray  # (n_regressions, n_columns): filled


@inner()
def _own_groups(block, r):
    """Return the groups of a regression, and how many of them are of its set."""
    begin, end = block.start[block.of_set[r]], block.start[block.of_set[r] + 1]
    n = end - begin
    own = unset_integers(n if block.extra[r] < 0 else n + 1)
    for k in range(n):
        own[k] = block.groups[begin + k]
    if block.extra[r] >= 0:
        own[n] = block.extra[r]
    return own, n


@compiled()
def fit_block(layout, gene, cells, first, last, block, coefficients):
    """Fit regressions ``first`` to before ``last``, those of one gene."""
    for r in range(first, last):
        own, n = _own_groups(block, r)
        log_rates, own_counts = vector(1 + own.shape[0]), vector(own.shape[0])
        is_half = booleans(own.shape[0])
        block.outcome[r] = fit_groups(layout, gene, cells, own, n, block.gamma[r], log_rates,
                                      own_counts, is_half)  # fmt: skip
        for k in range(n):
            coefficients[block.place[r] + k] = log_rates[1 + k] - log_rates[0]
            if is_half[k]:
                block.halved[r] = True


@compiled()
def vary_block(layout, gene, cells, first, last, block, inverted, coefficients, slopes,
               model_shares, variances, single):  # fmt: skip
    """Fill variances of ``w_j' coefficients`` of these regressions, w_j the rows of the inverse.

    Where a set is ``inverted``, that is what its square in ``coefficients`` holds; ``variances`` is
    (n_shares, n_places). Coefficients that have been transformed move with those of the regression
    by ``slopes`` (n_places,); there are none where they have not. With them, ``single`` (n_places,)
    gets the variances of the coefficients of the regression themselves, for the last share.
    """
    n_columns, n_shares = block.gamma.shape[1], model_shares.shape[0]
    for r in range(first, last):
        s = block.of_set[r]
        if not inverted[s] or block.outcome[r] != FITTED:
            continue
        own, n = _own_groups(block, r)
        n_own = own.shape[0]
        own_squares, base = matrix(n_shares, n_own), vector(n_shares)
        lever, tilt = matrix(n_own, n_columns), cube(n_shares, n_own, n_columns)
        meat = cube(n_shares, n_columns, n_columns)
        if not sandwich(layout, gene, cells, own, n, block.gamma[r], model_shares, own_squares,
                        base, lever, tilt, meat):  # fmt: skip
            block.outcome[r] = OUT_OF_REACH
            continue
        inverse = coefficients[block.square[s] : block.square[s] + n * n].reshape((n, n))
        place = block.place[r]
        if slopes.shape[0] > 0:
            last = n_shares - 1
            single_variances(own_squares[last], base[last], lever, tilt[last], meat[last],
                             single[place : place + n])  # fmt: skip
            weights = matrix(n, n)
            for j in range(n):
                for k in range(n):
                    weights[j, k] = inverse[j, k] * slopes[place + k]
            inverse = weights
        combined_variances(inverse, own_squares, base, lever, tilt, meat,
                           variances[:, place : place + n])  # fmt: skip
