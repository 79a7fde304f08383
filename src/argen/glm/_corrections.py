"""Compiled algebra between the rates of groups and effects in the network.

``argen.engine.corrections`` has the model and its letters. For perturbation k, gene j and
``f(x) = log sum_g c_g exp(a_g x)`` over the guides of k, or x where they are alike, at T + s'v::

    R = log(1 - pi + pi exp(f))
    dT / dR = exp(R) / (pi exp(f) f'),     dT / d pi = (exp(-f) - 1) / (pi f')

o is R without an effect, at T = 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from argen.arrays import FloatArray, ShortIntArray
from argen.glm._compile import compiled, inlined

# Least share of the rate of the controls that perturbed cells can be left with: below it nobody
# could tell from counts how much is left.
LEAST_LEFT = 0.01
# Beyond such a total effect, which direct effects that are hardly identified can lead to, numbers
# would overflow.
MOST_TOTAL = 30.0
# Steps of Newton's method that lead from rates to effects of uneven guides.
MOST_STEPS, SURE_OF_EFFECT = 40, 1e-12
# Errors of corrections can go with those of regressions, and leave at least such a part of these.
LEAST_VARIANCE = 0.1


class GroupCorrections(NamedTuple):
    """The numbers of ``argen.engine.Corrections``; arrays of what is not corrected are empty."""

    place: ShortIntArray  # (n_nodes, n_genes): number of a pair in what is by pairs; -1: none
    penetrance: FloatArray  # (n_nodes,): pi
    penetrance_variance: FloatArray  # (n_nodes,)
    realised_variance: FloatArray  # (n_nodes,)
    scores: FloatArray  # (n_nodes, n_programs): s
    score_variance: FloatArray  # (n_nodes, n_programs)
    loadings: FloatArray  # (n_genes, n_programs): v
    loading_variance: FloatArray  # (n_genes, n_programs)
    log_left: FloatArray  # (n_pairs,): T + s'v
    variance: FloatArray  # (n_pairs,)
    by_penetrance: FloatArray  # (n_pairs,)
    strength: FloatArray  # (n_nodes, n_most): a
    part: FloatArray  # (n_nodes, n_most): c


@inlined()
def of_programs(given, k, j):
    """``s_k'v_j``."""
    added = 0.0
    for p in range(given.scores.shape[1]):
        added += given.scores[k, p] * given.loadings[j, p]
    return added


@inlined()
def _limited(value):
    """Keep from overflowing; NaN stays."""
    if value > MOST_TOTAL:
        return MOST_TOTAL
    return -MOST_TOTAL if value < -MOST_TOTAL else value


@inlined()
def of_guides(given, k, effect):
    """``f(x)`` and ``f'(x)``."""
    if given.strength.shape[1] == 0:
        return effect, 1.0
    rate, slope, limited = 0.0, 0.0, _limited(effect)
    for g in range(given.strength.shape[1]):
        own = given.part[k, g] * math.exp(given.strength[k, g] * limited)
        rate += own
        slope += given.strength[k, g] * own
    return math.log(rate), slope / rate


@inlined()
def of_mean_guide(given, k, log_rate):
    """Solve ``f(x) = log_rate``: x and its slope by the log rate; what is not finite stays.

    f is convex and increases, so that Newton's steps come from above after the first.
    """
    known = math.isfinite(log_rate)
    wanted = _limited(log_rate) if known else 0.0
    effect = wanted
    for _ in range(MOST_STEPS):
        found, slope = of_guides(given, k, effect)
        before, effect = effect, _limited(effect - (found - wanted) / slope)
        if abs(effect - before) < SURE_OF_EFFECT:
            break
    _, slope = of_guides(given, k, effect)
    return (effect if known else log_rate), 1.0 / slope


@inlined()
def total(given, k, j, log_rate):
    """T at R, and ``dT / dR``; 0 where T does not come from R."""
    share, left, slope = given.penetrance[k], log_rate, 1.0
    if share < 1.0:
        working = math.exp(log_rate) - (1.0 - share)
        if working < LEAST_LEFT * share:
            working = LEAST_LEFT * share
        left, slope = math.log(working / share), 1.0 + (1.0 - share) / working
    if given.strength.shape[1] > 0:
        left, by_left = of_mean_guide(given, k, left)
        slope *= by_left
    if given.place.shape[0] > 0 and given.place[k, j] >= 0:
        left, slope = given.log_left[given.place[k, j]], 0.0
    return left - of_programs(given, k, j), slope


@inlined()
def mixed(given, k, effect, added):
    """``R, dT / dR, dT / d pi`` at T, where programs add s'v."""
    share = given.penetrance[k]
    log_rate, by_total = of_guides(given, k, effect + added)
    left = math.exp(_limited(log_rate))
    rate = 1.0 - share + share * left
    slope, by_share = rate / (share * left * by_total), 0.0
    if share < 1.0:
        log_rate, by_share = math.log(rate), (1.0 / left - 1.0) / (share * by_total)
    return log_rate, slope, by_share


@inlined()
def derivatives(given, k, j, effect):
    """``dT / d pi``, and what to add to ``(dT / dR)^2 Var(R)`` for the variance of T at this pi."""
    _, _, by_share = mixed(given, k, effect, of_programs(given, k, j))
    own = 0.0
    if given.place.shape[0] > 0 and given.place[k, j] >= 0:
        by_share, own = given.by_penetrance[given.place[k, j]], given.variance[given.place[k, j]]
    return by_share, own - by_share**2 * given.realised_variance[k]


@compiled(_nrt=False)
def fill_offsets(given, nodes, genes, out):
    """Fill o, ``do / d(s'v)`` and ``do / d pi``: (3, n_nodes, n_genes)."""
    for a in range(nodes.shape[0]):
        for b in range(genes.shape[0]):
            added = of_programs(given, nodes[a], genes[b])
            out[0, a, b], slope, by_share = mixed(given, nodes[a], 0.0, added)
            out[1, a, b], out[2, a, b] = 1.0 / slope, -by_share / slope


@compiled(_nrt=False)
def fill_totals(given, nodes, genes, log_rate, out):
    """Fill T, ``dT / dR`` and both ``derivatives``, from R: (4, n_nodes, n_genes)."""
    for a in range(nodes.shape[0]):
        for b in range(genes.shape[0]):
            k, j = nodes[a], genes[b]
            out[0, a, b], out[1, a, b] = total(given, k, j, log_rate[a, b])
            out[2, a, b], out[3, a, b] = derivatives(given, k, j, out[0, a, b])
