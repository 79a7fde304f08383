"""Loadings of response programs, beside what parents pass on.

With T the total effects over the network on the nodes, own knock-downs on the diagonal, the effects
on gene t are those on its parents, passed on, and those of programs::

    R_kt = sum_m T_km theta_mt + s_k'v_t + error,      T = R - s v' on the nodes

Many of the perturbations that set a program off can act on t, and still by way of few parents. So t
is regressed on the scores, on the columns of T that are its parents, and on single perturbations
that reach it in another way. They come in one at a time, the most significant first, until none
is. Were perturbations that act on t outliers, each by itself, few would be left to tell of v_t; a
parent costs no more than one of them, however many it explains.
"""

from __future__ import annotations

import numpy as np

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.corrections.slopes import robust_slopes, to_unit

# Standard errors from 0 at which a parent, or a perturbation, comes in: of 60 that do nothing, one
# gene in 35 takes one, which costs it precision alone.
SIGNIFICANT = 3.5
# None comes in of which the others explain more than all but such a part.
LEAST_OWN_PART = 0.05
# Programs and what is passed on take so much of the perturbations at most.
MOST_OF_ROWS = 0.5
# Loadings, then scores and loadings again, after which they move no more.
N_ROUNDS = 3


def fit_beside_network(
    effect: FloatArray, std_error: FloatArray, known: BoolArray, own: FloatArray,
    scores: FloatArray, loadings: FloatArray, errors: FloatArray, panel: IntArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:  # fmt: skip
    """Fit scores and loadings again, with what the network passes on in the regressions.

    Parameters
    ----------
    effect, std_error, known
        (n_nodes, n_genes): total effects with programs; no perturbation's on its own gene is known.
    own
        (n_nodes,): effects of perturbations on their own genes, 0 where not known.
    scores, loadings, errors
        From robust fits: (n_nodes, n_programs), and (n_genes, n_programs) of loadings.
    panel
        Genes that tell of scores.

    Returns
    -------
    scores, score_error, loadings, loading_error
        Errors of loadings are those of the last regression, given the scores and what came in.
    """
    if not scores.shape[1]:
        return scores, scores, loadings, errors
    n_nodes, n_genes = effect.shape
    precision = np.where(known, 1.0 / std_error, 0.0)
    on_nodes = np.where(known[:, :n_nodes], effect[:, :n_nodes], 0.0) + np.diag(own)
    loadings, errors = loadings.copy(), errors.copy()
    passed_on, told = np.zeros(effect.shape), np.append(np.arange(n_nodes), panel)
    for number in range(N_ROUNDS):
        if number > 0:
            slopes, _ = _scores(effect - passed_on, std_error, known, scores, loadings, panel)
            scores, scale = to_unit(slopes)
            loadings *= scale
        variance = np.mean(loadings[told] ** 2 + errors[told] ** 2, axis=0)
        total = np.where(on_nodes != 0.0, on_nodes - scores @ loadings[:n_nodes].T, 0.0)
        for gene in told.tolist() if number < N_ROUNDS - 1 else range(n_genes):
            loadings[gene], errors[gene], passed_on[:, gene] = beside_parents(
                effect[:, gene], precision[:, gene], total, scores, variance, without=gene
            )
    _, of_scores = _scores(effect - passed_on, std_error, known, scores, loadings, panel)
    return scores, of_scores, loadings, errors


def _scores(
    effect: FloatArray, std_error: FloatArray, known: BoolArray, scores: FloatArray,
    loadings: FloatArray, panel: IntArray,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Fit the scores of one program after another, from where they are; returns errors, too."""
    scores, errors = scores.copy(), np.empty(scores.shape)
    for c in range(scores.shape[1]):
        others = np.arange(scores.shape[1]) != c
        rest = effect - scores[:, others] @ loadings[:, others].T
        parts = rest[:, panel].T, std_error[:, panel].T, known[:, panel].T
        scores[:, c], errors[:, c] = robust_slopes(*parts, loadings[panel, c], scores[:, c])
    return scores, errors


def beside_parents(
    effect: FloatArray, precision: FloatArray, total: FloatArray, scores: FloatArray,
    variance: FloatArray, *, without: int,
) -> tuple[FloatArray, FloatArray, FloatArray]:  # fmt: skip
    """Regress the effects on one gene on scores, its parents, and what else moves it.

    Loadings are normal with mean 0 by themselves. All is divided by the errors, so that a
    perturbation by itself is one row: its column, what the others leave of it, and its product
    with the residual need no matrix.

    Parameters
    ----------
    effect, precision
        (n_nodes,): effects, and the inverse of their errors, 0 where not known.
    total
        (n_nodes, n_nodes): total effects on the nodes.
    variance
        (n_programs,): of loadings.
    without
        The gene, which is no parent of its own.

    Returns
    -------
    loadings, errors, passed_on
        (n_programs,), the same, and (n_nodes,): what does not come from programs.
    """
    n_nodes, n_programs = scores.shape
    y, columns = effect * precision, total * precision[:, None]
    if without < n_nodes:
        columns[:, without] = 0.0
    squares = np.sum(columns**2, axis=0)
    design, plain, come_in = scores * precision[:, None], scores, 0
    most = int(MOST_OF_ROWS * np.count_nonzero(precision)) - n_programs
    while True:
        information = design.T @ design
        information[np.diag_indices(n_programs)] += 1.0 / variance
        covariance = np.linalg.inv(information)
        slopes = covariance @ (design.T @ y)
        left = y - design @ slopes
        if come_in >= most:
            break
        across = columns.T @ design
        own = squares - np.sum((across @ covariance) * across, axis=1)
        z = np.abs(np.append(columns.T @ left, left))
        own = np.append(own, 1.0 - np.sum((design @ covariance) * design, axis=1))
        usable = own > LEAST_OWN_PART * np.append(squares, np.ones(n_nodes))
        z = np.where(usable, z / np.sqrt(np.where(usable, own, 1.0)), 0.0)
        best = int(np.argmax(z))
        if z[best] < SIGNIFICANT:
            break
        more = total[:, best] if best < n_nodes else np.eye(n_nodes)[best - n_nodes]
        plain, come_in = np.column_stack([plain, more]), come_in + 1
        design = plain * precision[:, None]
    error = np.sqrt(np.diagonal(covariance)[:n_programs])
    return slopes[:n_programs], error, plain[:, n_programs:] @ slopes[n_programs:]
