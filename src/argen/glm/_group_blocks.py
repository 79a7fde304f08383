"""Compiled regressions of genes on many sets of groups, for the parent search.

Regression r of a block has the groups of a set and, of a target that is a node, that one too; what
it gives for the groups of the set lies at ``place[r]`` of vectors of the block.
"""

from __future__ import annotations

from typing import NamedTuple

from argen.arrays import BoolArray, FloatArray, IntArray, UnsignedArray
from argen.glm._compile import compiled, inner, loops
from argen.glm._corrections import mixed, of_programs, total
from argen.glm._group_fits import (
    FITTED,
    OUT_OF_REACH,
    combined_variances,
    fit_groups,
    prepare,
    sandwich,
    single_variances,
)
from argen.glm._group_sums import Cells, Gene
from argen.glm._scratch import booleans, unset, unset_cube, unset_integers, unset_matrix, vector


class Turn(NamedTuple):
    """The counts of some genes, which one thread takes one after another."""

    row: IntArray  # (n_genes,): of each among those of which something is known
    begin: IntArray  # (n_genes,): counts of gene i that are not 0 are begin[i]:end[i]
    end: IntArray  # (n_genes,)
    places: UnsignedArray  # (n_counts,): of the cell, in the sequence of the layout
    counts: UnsignedArray  # (n_counts,)
    rates: FloatArray  # (n_genes, n_groups), as in ``Cells``
    weights: FloatArray  # (n_cells,): of the cells of all genes; (0,) where they are alike
    complete: bool  # as in ``Cells``


class BlockOfFits(NamedTuple):
    """The regressions of a block of targets: those of sets of candidates, then those of targets."""

    groups: IntArray  # groups of the sets, one set after another
    start: IntArray  # (n_sets + 1,): set s is groups[start[s]:start[s + 1]]
    square: IntArray  # (n_sets,): place of the coefficients of a set's own genes: (n, n), by row
    gene: IntArray  # (n_regressions,): those of the sets' candidates are ``groups``
    by_gene: IntArray  # (n_regressions,): the regressions, those of a gene one after another
    of_set: IntArray  # (n_regressions,)
    place: IntArray  # (n_regressions,)
    outcome: IntArray  # (n_regressions,): filled, as in _group_fits
    halved: BoolArray  # (n_regressions,): filled, whether half a count was added
    gamma: FloatArray  # (n_regressions, n_columns): filled
    inverted: BoolArray  # (n_sets,): whether a set's square has been replaced by its inverse
    coefficients: FloatArray  # (n_places,): total effects over the network; squares are inverted
    variances: FloatArray  # (n_shares, n_places)
    # Where cells of one perturbation differ: total effects, their slopes by the coefficients of the
    # regressions, the log rates that these are, and their variances for the last share.
    totals: FloatArray  # (n_places,)
    slopes: FloatArray  # (n_places,)
    rates: FloatArray  # (n_places,)
    single: FloatArray  # (n_places,)


@inner()
def _own_groups(layout, block, r):
    """Return the groups of a regression, and how many of them are of its set."""
    begin, end = block.start[block.of_set[r]], block.start[block.of_set[r] + 1]
    n, n_nodes = end - begin, layout.start.shape[0] - 2
    is_more = r >= block.groups.shape[0] and block.gene[r] < n_nodes
    own = unset_integers(n + 1 if is_more else n)
    for k in range(n):
        own[k] = block.groups[begin + k]
    if is_more:
        own[n] = block.gene[r]
    return own, n


@inner()
def _gene_and_cells(layout, known, turn, i, counts, weights):
    """Lay out a gene of a turn."""
    counts[:] = 0.0
    for at in range(turn.begin[i], turn.end[i]):
        counts[turn.places[at]] = turn.counts[at]
    if turn.weights.shape[0] > 0:
        for at in range(turn.begin[i], turn.end[i]):
            counts[turn.places[at]] *= turn.weights[turn.places[at]]
    row = turn.row[i]
    gene = Gene(known.by_stratum[row], known.by_numeric[row], known.used[row], known.gamma[row],
                known.weights[row], known.cross[row], known.squared_weights[row],
                known.squared_counts[row], known.ready[row])  # fmt: skip
    weighed = booleans(layout.start.shape[0] - 1)
    cells = Cells(counts, weights, weighed, turn.rates[i], turn.complete)
    prepare(layout, gene, cells)
    return gene, cells


@compiled()
def prepare_genes(layout, known, turn):
    """Fill what is known of genes."""
    counts, weights = unset(layout.size.shape[0]), unset(layout.size.shape[0])
    for i in range(turn.row.shape[0]):
        _gene_and_cells(layout, known, turn, i, counts, weights)


@compiled()
def fit_genes(layout, known, turn, first, block, given):
    """Fit the regressions of genes, ``by_gene[first[i]:first[i + 1]]`` those of gene i of the turn.

    With the coefficients R - o, of rates of this gene, o known, come T; see ``_corrections``.
    """
    counts, weights = unset(layout.size.shape[0]), unset(layout.size.shape[0])
    for i in range(turn.row.shape[0]):
        gene, cells = _gene_and_cells(layout, known, turn, i, counts, weights)
        for r in block.by_gene[first[i] : first[i + 1]]:
            own, n = _own_groups(layout, block, r)
            log_rates, own_counts = vector(1 + own.shape[0]), vector(own.shape[0])
            is_half = booleans(own.shape[0])
            block.outcome[r] = fit_groups(layout, gene, cells, own, n, block.gamma[r], log_rates,
                                          own_counts, is_half)  # fmt: skip
            _fill_totals(given, block, r, own[:n], log_rates, is_half)


@loops()
def _fill_totals(given, block, r, own, log_rates, is_half):
    """Fill what a regression gives for the groups of its set."""
    gene, place = block.gene[r], block.place[r]
    for k in range(own.shape[0]):
        offset, _, _ = mixed(given, own[k], 0.0, of_programs(given, own[k], gene))
        rate = log_rates[1 + k] - log_rates[0] + offset
        effect, slope = total(given, own[k], gene, rate)
        block.coefficients[place + k] = effect
        if block.slopes.shape[0] > 0:
            block.totals[place + k], block.slopes[place + k] = effect, slope
            block.rates[place + k] = rate
        if is_half[k]:
            block.halved[r] = True


@compiled()
def vary_genes(layout, known, turn, first, block, model_shares):
    """Fill variances of ``w_j' coefficients`` of regressions, w_j the rows of the inverse.

    Coefficients that have been transformed move with those of the regression by their slopes.
    """
    counts, weights = unset(layout.size.shape[0]), unset(layout.size.shape[0])
    n_columns, n_shares = block.gamma.shape[1], model_shares.shape[0]
    last = n_shares - 1
    for i in range(turn.row.shape[0]):
        gene, cells = _gene_and_cells(layout, known, turn, i, counts, weights)
        for r in block.by_gene[first[i] : first[i + 1]]:
            s, place = block.of_set[r], block.place[r]
            if not block.inverted[s] or block.outcome[r] != FITTED:
                continue
            own, n = _own_groups(layout, block, r)
            n_own = own.shape[0]
            own_squares, base = unset_matrix(n_shares, n_own), vector(n_shares)
            lever, tilt = unset_matrix(n_own, n_columns), unset_cube(n_shares, n_own, n_columns)
            meat = unset_cube(n_shares, n_columns, n_columns)
            if not sandwich(layout, gene, cells, own, n, block.gamma[r], model_shares, own_squares,
                            base, lever, tilt, meat):  # fmt: skip
                block.outcome[r] = OUT_OF_REACH
                continue
            inverse = block.coefficients[block.square[s] : block.square[s] + n * n].reshape((n, n))
            if block.slopes.shape[0] > 0:
                single_variances(own_squares[last], base[last], lever, tilt[last], meat[last],
                                 block.single[place : place + n])  # fmt: skip
                weights_of_rates = unset_matrix(n, n)
                for j in range(n):
                    for k in range(n):
                        weights_of_rates[j, k] = inverse[j, k] * block.slopes[place + k]
                inverse = weights_of_rates
            combined_variances(inverse, own_squares, base, lever, tilt, meat,
                               block.variances[:, place : place + n])  # fmt: skip
