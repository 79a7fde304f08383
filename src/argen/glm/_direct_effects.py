"""Compiled direct effects of a block of targets, with their errors and tests.

With W the inverse of Pi', its rows w_j, and delta the total effects on a target::

    theta_j = sum_k w_jk delta_k
    Var(theta_j) = own_j + sum_m proxy_jm theta_m^2

``own`` is the variance of ``w_j'delta`` and ``proxy`` [j, m] that of ``w_j'Pi_m``, Pi_m the total
effects on candidate m, by the regressions and by what corrections are unsure about.
"""

from __future__ import annotations

import math

from argen.glm._compile import compiled, inner, loops
from argen.glm._corrections import LEAST_VARIANCE, derivatives, mixed, of_programs
from argen.glm._group_fits import FITTED
from argen.glm._scratch import copy_to, product, unset_cube, unset_matrix, vector
from argen.glm._series import FAST
from argen.pvalues import critical_value

# Standard errors that a candidate must have been moved by: at .05, it has been moved at all.
STRENGTH = critical_value(0.95)


@inner(fastmath=FAST)
def null_variances(effect, own, of_proxies, out):
    """Variance of each effect of one target as if it were none: (n,).

    An effect that is none takes nothing over from the error of its own proxy, so that only the
    other candidates count, each with the square of its effect. That of the estimate is too large
    by its variance s^2; ``effect^4 / (effect^2 + s^2)`` is about ``effect^2 - s^2`` where that is
    well above 0, and never below it.
    """
    n = effect.shape[0]
    squares = vector(n)
    for j in range(n):
        variance, square = own[j], effect[j] * effect[j]
        for m in range(n):
            variance += of_proxies[j, m] * effect[m] * effect[m]
        squares[j] = square * (square / (square + (1.0 if math.isnan(variance) else variance)))
    for j in range(n):
        out[j] = own[j]
        for m in range(n):
            out[j] += of_proxies[j, m] * squares[m] if m != j else 0.0


@compiled(fastmath=FAST)
def errors_and_deviates(effect, own, of_proxies, tested, of_tested, std_error, deviate):
    """Fill standard errors of the effects of one target, and normal deviates under their null.

    ``own`` (n_shares, n) and ``of_proxies`` (n_shares, n, n) are for each share of the model; the
    first is for errors, the last for tests. ``tested`` are effects as if each were none, and
    ``of_tested`` their variances by the second stage alone. Where a perturbation does not move its
    own gene, given the others, not even the sign of an effect can be known, and Wald's test says
    so.
    """
    n, last = effect.shape[0], own.shape[0] - 1
    known, variance = vector(n), vector(n)
    for j in range(n):
        known[j] = 0.0 if math.isnan(effect[j]) else effect[j]
    null_variances(known, of_tested, of_proxies[last], variance)
    for j in range(n):
        square, wald = own[0, j], own[last, j]
        for m in range(n):
            square += of_proxies[0, j, m] * known[m] * known[m]
            wald += of_proxies[last, j, m] * known[m] * known[m]
        std_error[j] = math.sqrt(square)
        if of_proxies[last, j, j] * STRENGTH**2 > 1.0:
            deviate[j] = effect[j] / math.sqrt(wald)
        else:
            deviate[j] = tested[j] / math.sqrt(variance[j])


@loops(fastmath=FAST)
def _errors_of_penetrance(given, block, r, effect, by_share, more, of_all, spread, added):
    """Fill derivatives by pi and further variances, (n, n): perturbations by candidates.

    And by perturbation, (n,) each: the sum of ``theta_m T'_km``, the variance that perturbation k
    adds to each ``w_jk^2``, and what programs add to its log mean of the target.
    """
    n, target, place = effect.shape[0], block.gene[r], block.place[r]
    begin, square = block.start[block.of_set[r]], block.square[block.of_set[r]]
    for k in range(n):
        node = block.groups[begin + k]
        for m in range(n):
            by_share[k, m], more[k, m] = derivatives(given, node, block.groups[begin + m],
                                                     block.totals[square + m * n + k])  # fmt: skip
            of_all[k] += by_share[k, m] * effect[m]
        of_target, spread[k] = derivatives(given, node, target, block.totals[place + k])
        spread[k] += (of_target - of_all[k]) ** 2 * given.penetrance_variance[node]
        added[k] = of_programs(given, node, target)


@loops(fastmath=FAST)
def _test_with_escape(given, block, r, inverse, squares, effect, by_share, of_all, added, tested,
                      of_tested):  # fmt: skip
    """Fill effects as if each were none, and their variances by the second stage."""
    n, place = effect.shape[0], block.place[r]
    begin, square = block.start[block.of_set[r]], block.square[block.of_set[r]]
    for j in range(n):
        found, variance = 0.0, 0.0
        for k in range(n):
            node = block.groups[begin + k]
            without = block.totals[place + k] - block.totals[square + j * n + k] * effect[j]
            log_rate, slope, share = mixed(given, node, without, added[k])
            found += inverse[j, k] * slope * (block.rates[place + k] - log_rate)
            of_rate = slope * slope * block.single[place + k]
            known = of_rate - share * share * given.realised_variance[node]
            unsure = share - of_all[k] + by_share[k, j] * effect[j]
            variance += squares[j, k] * (
                max(known, LEAST_VARIANCE * of_rate)
                + unsure * unsure * given.penetrance_variance[node]
            )
        tested[j], of_tested[j] = found, variance


@inner(fastmath=FAST)
def _add_escape(given, block, r, inverse, squares, effect, own, of_proxies, tested, of_tested):
    """Add what errors of penetrance are to the variances, and find effects as if each were none.

    With T' = dT / d pi, perturbation k adds to the variance of theta_j ``w_jk^2`` times that of
    ``(T'_kt - sum_m theta_m T'_km) pi_k``, and what does not come from R, or is counted with pi,
    ``w_jk^2`` times that.

    The logarithm that leads from R to T is steep where T is far below 0, and so is not what a test
    of no effect should be made with. Without the effect of candidate j perturbation k would have
    ``T0_k = T_kt - theta_j T_kj`` and the log rate R0_k; with dT / dR there::

        theta_j0 = sum_k w_jk dT/dR (R_kt - R0_k)
    """
    n = effect.shape[0]
    by_share, more = unset_matrix(n, n), unset_matrix(n, n)
    of_all, spread, added = vector(n), vector(n), vector(n)
    _errors_of_penetrance(given, block, r, effect, by_share, more, of_all, spread, added)
    _test_with_escape(given, block, r, inverse, squares, effect, by_share, of_all, added, tested,
                      of_tested)  # fmt: skip
    more = product(squares, more)
    for j in range(n):
        total = 0.0
        for k in range(n):
            total += squares[j, k] * spread[k]
        for v in range(own.shape[0]):
            own[v, j] = max(own[v, j] + total, LEAST_VARIANCE * own[v, j])
            for m in range(n):
                least = LEAST_VARIANCE * of_proxies[v, j, m]
                of_proxies[v, j, m] = max(of_proxies[v, j, m] + more[j, m], least)


@loops(fastmath=FAST)
def _add_programs(given, target, nodes, inverse, squares, effect, own, of_proxies, of_tested):
    """Add what errors of programs are to the variances.

    Scores add to the variance of theta_j that of ``sum_k w_jk sum_p (v_tp - sum_m theta_m v_mp)
    s_kp``, and the loadings of t and, times theta_m, of m ``sum_p (w_j's_p)^2 Var(v_p)``.
    """
    n = effect.shape[0]
    for p in range(given.scores.shape[1]):
        left = given.loadings[target, p]
        for m in range(n):
            left -= effect[m] * given.loadings[nodes[m], p]
        for j in range(n):
            along, more = 0.0, 0.0
            for k in range(n):
                along += inverse[j, k] * given.scores[nodes[k], p]
                more += squares[j, k] * given.score_variance[nodes[k], p]
            more = more * left * left + along * along * given.loading_variance[target, p]
            of_tested[j] += more
            for v in range(own.shape[0]):
                own[v, j] += more
                for m in range(n):
                    of_loading = along * along * given.loading_variance[nodes[m], p]
                    of_proxies[v, j, m] += of_loading


@loops()
def _worked(block, r):
    """Whether the regression of a target worked, and those of its candidates; any half counts."""
    s = block.of_set[r]
    worked, halved = block.inverted[s] and block.outcome[r] == FITTED, block.halved[r]
    for candidate in range(block.start[s], block.start[s + 1]):
        worked = worked and block.outcome[candidate] == FITTED
    return worked, halved


@compiled(fastmath=FAST)
def combine(given, block, first, last, worked, halved, effect, std_error, deviate):
    """Fill the effects of targets ``first`` to before ``last``, in the sequence of their places.

    ``worked`` (n_targets,) says of which; ``halved`` (n_effects,) where half a count was added.
    """
    n_first, n_shares = block.groups.shape[0], block.variances.shape[0]
    for job in range(first, last):
        r = n_first + job
        worked[job], of_target = _worked(block, r)
        if not worked[job]:
            continue
        s, place = block.of_set[r], block.place[r]
        begin, n, square = block.start[s], block.start[s + 1] - block.start[s], block.square[s]
        at, nodes = place - block.place[n_first], block.groups[begin : begin + n]
        inverse = block.coefficients[square : square + n * n].reshape((n, n))
        squares, own = unset_matrix(n, n), unset_matrix(n_shares, n)
        of_proxies = unset_cube(n_shares, n, n)
        tested, of_tested, theta = vector(n), vector(n), effect[at : at + n]
        for j in range(n):
            halved[at + j], theta[j] = of_target or block.halved[begin + j], 0.0
            for k in range(n):
                theta[j] += inverse[j, k] * block.coefficients[place + k]
                squares[j, k] = inverse[j, k] * inverse[j, k]
        for v in range(n_shares):
            copy_to(own[v], block.variances[v, place : place + n])
            for m in range(n):
                for j in range(n):
                    of_proxies[v, j, m] = block.variances[v, square + m * n + j]
        copy_to(tested, theta)
        copy_to(of_tested, own[n_shares - 1])
        if block.slopes.shape[0] > 0:
            _add_escape(
                given, block, r, inverse, squares, theta, own, of_proxies, tested, of_tested
            )
        _add_programs(given, block.gene[r], nodes, inverse, squares, theta, own, of_proxies,
                      of_tested)  # fmt: skip
        errors_and_deviates(theta, own, of_proxies, tested, of_tested, std_error[at : at + n],
                            deviate[at : at + n])  # fmt: skip
