"""Compiled equations of cells that are mixtures: some like controls, in others genes are lowered.

What is solved is in ``argen.corrections.mixture``; here are the sums over cells. Arrays have a row
for each gene and a column for each cell: ``counts`` y, ``expected`` mu, by the fit of the controls;
``left`` is rho, what the guide leaves of genes where it works, and ``dispersion`` phi.
"""

from __future__ import annotations

import math

from argen.glm._compile import compiled, loops
from argen.glm._kernels import solve_kept
from argen.glm._scratch import (
    booleans,
    copy_to,
    matrix,
    product,
    product_of_rows,
    unset,
    unset_integers,
    vector,
)
from argen.glm._series import FAST, exponentials, logarithms
from argen.glm._thinning import thin

# What is left of a gene stays away from 0 and from 1.
LEAST_LEFT, MOST_LEFT = 0.01, 0.97
# The score of a share is that of this one where it is larger.
LARGEST_SHARE = 0.9
# Rounds from afar, and from near what is looked for; and of a slope.
N_ROUNDS, N_WARM_ROUNDS, N_SLOPE_ROUNDS = 20, 8, 15
# Shares left and slopes are found when steps are not larger.
SURE_OF_LEFT, SURE_OF_SLOPE = 1e-5, 1e-6
TINY = 1e-9


@loops()
def _weigh_evidence(expected, dispersion, left, b, per_count, constant, ratio, bits):
    """Prepare the log likelihood ratio L of a guide that works.

    With negative-binomial counts::

        L = b sum_j y_j log rho_j - (y_j + 1 / phi_j) log r_j = sum_j y_j per_count_j + constant
        r_j = (1 + phi_j rho_j mu_j) / (1 + phi_j mu_j)

    b allows for genes that vary together, whose evidence does not add up.
    """
    constant[:] = 0.0
    for j in range(left.shape[0]):
        phi, rho, log_left = dispersion[j], left[j], math.log(left[j])
        mu, row = expected[j], per_count[j]
        for i in range(mu.shape[0]):
            ratio[i] = (1.0 + phi * rho * mu[i]) / (1.0 + phi * mu[i])
        logarithms(ratio, row, bits)
        for i in range(mu.shape[0]):
            constant[i] -= b / phi * row[i]
            row[i] = b * (log_left - row[i])


@loops()
def _add_up(counts, per_count, constant, evidence):
    """L of each cell."""
    for i in range(constant.shape[0]):
        evidence[i] = constant[i]
    for j in range(counts.shape[0]):
        y, row = counts[j], per_count[j]
        for i in range(y.shape[0]):
            evidence[i] += y[i] * row[i]


@loops()
def _fill_odds(evidence, share, odds, bits):
    """Odds that the guide does not work in a cell, at a share: ``(1 - pi) / pi e^-L``."""
    for i in range(evidence.shape[0]):
        evidence[i] = -evidence[i]
    exponentials(evidence, odds, bits)
    for i in range(evidence.shape[0]):
        odds[i] *= (1.0 - share) / share


@loops(fastmath=FAST)
def _improve(counts, expected, dispersion, b, share, free, left, per_count, constant, works, odds,
             bits):  # fmt: skip
    """Improve rho, and the share if it is free, under the working model; returns the share."""
    n_genes, n_cells = counts.shape
    for _ in range(N_ROUNDS if free else N_WARM_ROUNDS):
        works[:] = 1.0
        if share < 1.0:
            _weigh_evidence(expected, dispersion, left, b, per_count, constant, odds, bits)
            _add_up(counts, per_count, constant, works)
            _fill_odds(works, share, odds, bits)
            total = 0.0
            for i in range(n_cells):
                works[i] = 1.0 / (1.0 + odds[i])
                total += works[i]
            if free:
                share = min(max(total / n_cells, 0.05), 0.97)
        largest = 0.0
        for j in range(n_genes):
            y, mu, slope = counts[j], expected[j], dispersion[j] * left[j]
            found, possible = 0.5, 0.5
            for i in range(n_cells):
                weight = works[i] / (1.0 + slope * mu[i])
                found += weight * y[i]
                possible += weight * mu[i]
            new = min(max(found / possible, LEAST_LEFT), MOST_LEFT)
            largest = max(largest, abs(new - left[j]))
            left[j] = new
        if not free and largest < SURE_OF_LEFT:
            break
    return share


@loops()
def _fill_functions(counts, unit, evidence, share, values, bits):
    """Fill in the score of the share, and h y_j in units of their means in controls.

    h is the probability that the guide works in the cell, and 1 where the share is.
    """
    base, score = min(share, LARGEST_SHARE), values[0]
    by_base = (1.0 - base) / base
    # The odds that it does not, at the share of the score, and how they change to those of h.
    _fill_odds(evidence, base, score, bits)
    change = (1.0 - share) / share / by_base
    for i in range(evidence.shape[0]):
        odds = score[i]
        score[i] = (by_base - odds) / (1.0 + odds)
        evidence[i] = 1.0 / (1.0 + change * odds)
    for j in range(counts.shape[0]):
        y, row = counts[j], values[1 + j]
        for i in range(y.shape[0]):
            row[i] = evidence[i] * y[i] * unit[j]


@compiled(fastmath=FAST)
def honest_evidence(
    counts, expected, dispersion, left,
    control_counts, control_expected, weights,
    uniform,
):  # fmt: skip
    """Find b: the slope of a logistic regression that tells thinned controls from controls.

    Rates and share are those that are most likely for the cells of the perturbation, from ``left``.
    """
    (n_genes, n_perturbed), n_controls = counts.shape, control_counts.shape[1]
    per_count, constant = matrix(n_genes, n_perturbed), unset(n_perturbed)
    works, odds, bits = unset(n_perturbed), unset(n_perturbed), unset_integers(n_perturbed)
    rho = vector(n_genes)
    copy_to(rho, left)
    share = _improve(counts, expected, dispersion, 1.0, 0.8, True, rho, per_count, constant, works,
                     odds, bits)  # fmt: skip
    thinned, per_count = matrix(n_genes, n_controls), matrix(n_genes, n_controls)
    constant, as_they_are, without = unset(n_controls), unset(n_controls), unset(n_controls)
    bits = unset_integers(n_controls)
    thin(control_counts, rho, uniform, thinned)
    _weigh_evidence(control_expected, dispersion, rho, 1.0, per_count, constant, without, bits)
    _add_up(control_counts, per_count, constant, as_they_are)
    _add_up(thinned, per_count, constant, without)
    level, slope = math.log(share / (1.0 - share)), 1.0
    for _ in range(N_SLOPE_ROUNDS):
        first, second, squares, product, square = 0.0, 0.0, 1e-6, 0.0, 1e-6
        for is_thinned in range(2):
            x, part = (without, share) if is_thinned else (as_they_are, 1.0 - share)
            for i in range(n_controls):
                probability = 1.0 / (1.0 + math.exp(-level - slope * x[i]))
                off = part * weights[i] * (is_thinned - probability)
                curvature = part * weights[i] * probability * (1.0 - probability)
                first += off
                second += off * x[i]
                squares += curvature
                product += curvature * x[i]
                square += curvature * x[i] * x[i]
        determinant = squares * square - product * product
        by_level = (square * first - product * second) / determinant
        by_slope = (squares * second - product * first) / determinant
        longest = max(abs(by_level), abs(by_slope))
        level += by_level / max(1.0, longest)
        slope += by_slope / max(1.0, longest)
        if longest < SURE_OF_SLOPE:
            break
    return min(max(slope, 0.1), 2.0)


@compiled(fastmath=FAST)
def compare_at(
    share, b, left, counts, expected,
    dispersion, control_counts, control_expected,
    unit, works, of_perturbed, of_controls,
    per_count, constant,
):  # fmt: skip
    """Find the rates that are most likely at a share, and the functions that go with them.

    ``left`` becomes the rates; the last six arguments are filled in: (n_perturbed,) probabilities
    that the guide works, (1 + n_genes, n_perturbed) and (1 + n_genes, n_controls) functions, and
    the evidence in controls, for ``thin_and_compare``.
    """
    n_perturbed, n_controls = counts.shape[1], constant.shape[0]
    own_per_count, own_constant = matrix(counts.shape[0], n_perturbed), unset(n_perturbed)
    odds, evidence = unset(n_perturbed), unset(n_controls)
    bits = unset_integers(max(n_perturbed, n_controls))
    _improve(counts, expected, dispersion, b, share, False, left, own_per_count, own_constant,
             works, odds, bits[:n_perturbed])  # fmt: skip
    _weigh_evidence(
        expected, dispersion, left, b, own_per_count, own_constant, odds, bits[:n_perturbed]
    )
    _add_up(counts, own_per_count, own_constant, works)
    _fill_functions(counts, unit, works, share, of_perturbed, bits[:n_perturbed])
    _weigh_evidence(
        control_expected, dispersion, left, b, per_count, constant, evidence, bits[:n_controls]
    )
    _add_up(control_counts, per_count, constant, evidence)
    _fill_functions(control_counts, unit, evidence, share, of_controls, bits[:n_controls])


@compiled(fastmath=FAST)
def thin_and_compare(
    share, left, counts, weights, uniform,
    unit, per_count, constant, of_controls,
    working, expected,
):  # fmt: skip
    """Return the slope of the functions' means by log rho: (1 + n_genes, n_genes).

    It is the mean of g times the score of a binomial count, whose own mean is 0. To take from g
    what is known before thinning, and from its mean what thinning by chance did to the counts,
    changes nothing but the noise. ``working`` becomes g of thinned controls, and ``expected`` what
    the mixture expects, ``(1 - pi) g_0 + pi (g_rho - chance)``: (1 + n_genes, n_controls).
    """
    n_genes, n_controls = counts.shape
    thinned, foreseen = matrix(n_genes, n_controls), matrix(1 + n_genes, n_controls)
    means, evidence, bits = vector(n_genes), unset(n_controls), unset_integers(n_controls)
    for j in range(n_genes):
        for i in range(n_controls):
            thinned[j, i] = left[j] * counts[j, i]
            means[j] += weights[i] * thinned[j, i]
    _add_up(thinned, per_count, constant, evidence)
    _fill_functions(thinned, unit, evidence, share, foreseen, bits)
    thin(counts, left, uniform, thinned)
    _add_up(thinned, per_count, constant, evidence)
    _fill_functions(thinned, unit, evidence, share, working, bits)
    for j in range(n_genes):  # what chance did
        for i in range(n_controls):
            thinned[j, i] -= left[j] * counts[j, i]
    for a in range(1 + n_genes):
        for i in range(n_controls):
            foreseen[a, i] = weights[i] * (working[a, i] - foreseen[a, i])
    slope = product_of_rows(foreseen, thinned)
    by_chance = matrix(1 + n_genes, n_genes)
    for a in range(1 + n_genes):
        for j in range(n_genes):
            slope[a, j] /= 1.0 - left[j]
            by_chance[a, j] = share * slope[a, j] / max(means[j], TINY)
    known_chance = product(by_chance, thinned)
    for a in range(1 + n_genes):
        for i in range(n_controls):
            expected[a, i] = (1.0 - share) * of_controls[a, i] + share * working[a, i]
            expected[a, i] -= known_chance[a, i]
    return slope


@compiled(fastmath=FAST)
def spread_of(
    share, of_perturbed, of_controls,
    working, expected, columns, level,
    control_columns, control_level, weights,
    of_level, lower, influence, control_influence,
):  # fmt: skip
    """Say how sure a solution is, from the parts that cells have in it.

    What covariates explain, by a weighted regression over controls, is taken out of the parts of
    the perturbed cells and of those that are expected, in place. The variance over the perturbed
    cells is the larger one of theirs and of that of the mixture of controls: the former misses what
    is rare.

    Parameters
    ----------
    of_perturbed, of_controls, working, expected
        (n_rows, n_perturbed) and (n_rows, n_controls): parts in the misfit, and in each log rate.
    columns, level, control_columns, control_level
        Covariates: ``columns`` less their weighted mean of the cell's level over the controls.
    of_level, lower
        (n_levels,) sums of weights, and the factor of the columns' weighted products.
    influence, control_influence
        (n_perturbed,) and (n_controls,), which become the parts of cells in the misfit.

    Returns
    -------
    array
        (2, n_rows): variances over the perturbed cells, and over the controls.
    """
    n_rows, n_perturbed = of_perturbed.shape
    n_controls, n_columns, n_levels = of_controls.shape[1], columns.shape[0], of_level.shape[0]
    variances, means, kept = matrix(2, n_rows), vector(n_levels), booleans(n_columns)
    slopes, products = vector(n_columns), vector(n_columns)
    kept[:] = True
    for a in range(n_rows):
        own, known, guided, mixed = of_perturbed[a], of_controls[a], working[a], expected[a]
        means[:] = 0.0
        mean = 0.0
        for i in range(n_controls):
            means[control_level[i]] += weights[i] * mixed[i]
            mean += weights[i] * mixed[i]
        for g in range(n_levels):
            means[g] = means[g] / of_level[g] if of_level[g] > 0.0 else mean
        for c in range(n_columns):
            row, summed = control_columns[c], 0.0
            for i in range(n_controls):
                summed += weights[i] * row[i] * mixed[i]
            products[c] = summed
        solve_kept(lower, kept, products, slopes)
        of_model, of_others = 0.0, 0.0
        for i in range(n_controls):
            foreseen = means[control_level[i]]
            for c in range(n_columns):
                foreseen += slopes[c] * control_columns[c, i]
            of_model += (1.0 - share) * weights[i] * (known[i] - foreseen) ** 2
            of_model += share * weights[i] * (guided[i] - foreseen) ** 2
            mixed[i] = -weights[i] * (mixed[i] - foreseen)
        n_once = control_influence.shape[0]
        for i in range(n_once):
            part = 0.0
            for copy in range(i, n_controls, n_once):
                part += mixed[copy]
            of_others += part * part
            if a == 0:
                control_influence[i] = part
        mean, squares = 0.0, 0.0
        for i in range(n_perturbed):
            own[i] -= means[level[i]]
            for c in range(n_columns):
                own[i] -= slopes[c] * columns[c, i]
            mean += own[i] / n_perturbed
        for i in range(n_perturbed):
            own[i] -= mean
            squares += own[i] * own[i] / n_perturbed
            if a == 0:
                influence[i] = own[i] / n_perturbed
        variances[0, a] = max(squares, of_model) / n_perturbed
        variances[1, a] = of_others
    return variances
