"""Compiled loops over cells for log-linear count regressions.

Every routine treats the Poisson model as the negative-binomial one with dispersion
``alpha = 0``: mean ``mu = exp(X beta + offset)``, variance ``mu + alpha mu^2``.

A fit is given one ``row_kind`` per cell: excluded (no information), observed, or pseudo
(the cell shares an added half count; its squared residual says nothing about its variance,
so the model variance stands in for it).
"""

from __future__ import annotations

import math

import numba
import numpy as np

from argen.arrays import FloatArray
from argen.glm._compile import compiled, inlined, inner
from argen.glm._series import FAST

EXCLUDED, OBSERVED, PSEUDO = 0, 1, 2

# A column is aliased when what the earlier columns leave of it is below this share of its
# weighted sum of squares; 1e-10 is a correlation of 1 - 5e-11 with them.
ALIASED_SHARE = 1e-10
# Twice the gain in log-likelihood still to be had. The step that reveals it is still taken,
# and convergence is quadratic for Poisson, so what remains is of its square.
DECREMENT_TOLERANCE = 1e-16
MAX_ITERATIONS = 200
MAX_HALVINGS = 40
# Relative rounding of a log-likelihood, below which two of them cannot be told apart.
ROUNDING = 1e-12
# Log means below this belong to a coefficient on its way to minus infinity.
LOWEST_LOG_MEAN = -600.0


@inlined(fastmath=FAST)
def cholesky_dropping(matrix, lower, kept):
    """Factor ``matrix = lower lower'``, dropping columns that the earlier ones explain."""
    n = matrix.shape[0]
    lower[:] = 0.0
    for j in range(n):
        pivot = matrix[j, j]
        for a in range(j):
            pivot -= lower[j, a] * lower[j, a]
        kept[j] = pivot > ALIASED_SHARE * matrix[j, j]
        if not kept[j]:
            for a in range(j):
                lower[j, a] = 0.0
            continue
        lower[j, j] = math.sqrt(pivot)
        for i in range(j + 1, n):
            entry = matrix[i, j]
            for a in range(j):
                entry -= lower[i, a] * lower[j, a]
            lower[i, j] = entry / lower[j, j]


@inlined()
def solve_kept(lower, kept, right, solution):
    """Solve ``lower lower' solution = right`` on the kept columns; the others get 0."""
    n = lower.shape[0]
    for j in range(n):
        if not kept[j]:
            solution[j] = 0.0
            continue
        entry = right[j]
        for a in range(j):
            entry -= lower[j, a] * solution[a]
        solution[j] = entry / lower[j, j]
    for j in range(n - 1, -1, -1):
        if not kept[j]:
            continue
        entry = solution[j]
        for a in range(j + 1, n):
            entry -= lower[a, j] * solution[a]
        solution[j] = entry / lower[j, j]


@inner()
def nonzero_columns(design):
    """Columns of the non-zero entries of each row, and how many: indicators cost nothing."""
    n_cells, n_columns = design.shape
    n_active = np.zeros(n_cells, np.int64)
    for i in range(n_cells):
        for a in range(n_columns):
            if design[i, a] != 0.0:
                n_active[i] += 1
    active = np.zeros((n_cells, max(np.max(n_active), 1)), np.int64)
    for i in range(n_cells):
        at = 0
        for a in range(n_columns):
            if design[i, a] != 0.0:
                active[i, at] = a
                at += 1
    return active, n_active


@inner()
def _add_outer(matrix, row, weight, active, n_active):
    """Add ``weight row row'`` to the lower triangle."""
    for s in range(n_active):
        a = active[s]
        scaled = weight * row[a]
        for t in range(s + 1):
            matrix[a, active[t]] += scaled * row[active[t]]


@inner()
def _mirror(matrix):
    for a in range(matrix.shape[0]):
        for b in range(a):
            matrix[b, a] = matrix[a, b]


@inner()
def _log_likelihood(y, eta, row_kind, dispersion):
    """Log-likelihood up to terms free of the mean."""
    total = 0.0
    for i in range(y.shape[0]):
        if row_kind[i] == EXCLUDED:
            continue
        mean = math.exp(eta[i])
        if dispersion == 0.0:
            total += y[i] * eta[i] - mean
        else:
            # y log(alpha mu) - (y + 1/alpha) log(1 + alpha mu), without its cancellation.
            total -= y[i] * math.log1p(1.0 / (dispersion * mean))
            total -= math.log1p(dispersion * mean) / dispersion
    return total


@inner()
def _linear_predictor(design, active, n_active, offset, beta, eta):
    for i in range(design.shape[0]):
        value = offset[i]
        for s in range(n_active[i]):
            value += design[i, active[i, s]] * beta[active[i, s]]
        eta[i] = max(value, LOWEST_LOG_MEAN)


@inner()
def _start(y, row_kind, offset, eta):
    """First log means: half-way between the counts and the rate common to all cells."""
    total, exposure = 0.0, 0.0
    for i in range(y.shape[0]):
        if row_kind[i] != EXCLUDED:
            total += y[i]
            exposure += math.exp(offset[i])
    for i in range(y.shape[0]):
        eta[i] = math.log(0.5 * (y[i] + total / exposure * math.exp(offset[i])))


@inner()
def _score(y, row_kind, design, active, n_active, eta, origin, dispersion, information, gradient):
    """Fill ``X' W X`` and ``X' W (working residual + eta - origin)``, ``W = mu / (1 + alpha mu)``.

    With ``origin = eta`` the right-hand side is the score; with ``origin`` the offset, solving
    gives the coefficients themselves, which is how the first iteration starts from nothing.
    """
    information[:] = 0.0
    gradient[:] = 0.0
    for i in range(design.shape[0]):
        if row_kind[i] == EXCLUDED:
            continue
        mean = math.exp(eta[i])
        shrink = 1.0 / (1.0 + dispersion * mean)
        _add_outer(information, design[i], mean * shrink, active[i], n_active[i])
        residual = (y[i] - mean + mean * (eta[i] - origin[i])) * shrink
        for s in range(n_active[i]):
            gradient[active[i, s]] += design[i, active[i, s]] * residual


@inner()
def scoring(
    y, row_kind, design, active, n_active, offset, dispersion, beta, eta, warm, kept, lower
):
    """Maximise the likelihood over ``beta`` at a fixed dispersion by Fisher scoring.

    Solves ``sum_i x_i (y_i - mu_i) / (1 + alpha mu_i) = 0``; for Poisson this is Newton. A step
    that lowers the likelihood is halved. ``beta`` and ``eta`` are updated in place, and taken
    as the start when ``warm``; returns whether it converged. A column that could be told from
    the others on the way, and at the end cannot, is on its way to infinity: that is no maximum.
    """
    n_cells, n_columns = design.shape
    information = np.empty((n_columns, n_columns))
    gradient = np.empty(n_columns)
    step = np.empty(n_columns)
    trial_eta = np.empty(n_cells)
    if not warm:
        _start(y, row_kind, offset, eta)
        _score(
            y, row_kind, design, active, n_active, eta, offset, dispersion, information, gradient
        )
        cholesky_dropping(information, lower, kept)
        solve_kept(lower, kept, gradient, beta)
        _linear_predictor(design, active, n_active, offset, beta, eta)
    log_likelihood = _log_likelihood(y, eta, row_kind, dispersion)
    for _ in range(MAX_ITERATIONS):
        _score(y, row_kind, design, active, n_active, eta, eta, dispersion, information, gradient)
        cholesky_dropping(information, lower, kept)
        solve_kept(lower, kept, gradient, step)
        decrement = np.sum(gradient * step)
        halvings = 0
        lowest = log_likelihood - ROUNDING * (abs(log_likelihood) + 1.0)
        while True:
            _linear_predictor(design, active, n_active, offset, beta + step, trial_eta)
            log_likelihood = _log_likelihood(y, trial_eta, row_kind, dispersion)
            if log_likelihood >= lowest:
                break
            halvings += 1
            if halvings > MAX_HALVINGS:
                return False
            step *= 0.5
        beta += step
        eta[:] = trial_eta
        if decrement <= DECREMENT_TOLERANCE:
            return not np.any(beta[~kept])
    return False


@inner()
def _size_score(size, exceeding, y, mean, row_kind):
    """Score and its derivative for the size ``theta = 1 / alpha``.

    ``exceeding[j]`` counts the cells with ``y > j``: digamma(y + theta) - digamma(theta) is
    the finite sum of ``1 / (theta + j)`` over ``j < y``, exact for integer counts.
    """
    score, slope = 0.0, 0.0
    for j in range(exceeding.shape[0]):
        score += exceeding[j] / (size + j)
        slope -= exceeding[j] / ((size + j) * (size + j))
    for i in range(y.shape[0]):
        if row_kind[i] != OBSERVED:
            continue
        total = size + mean[i]
        score -= math.log1p(mean[i] / size) + (y[i] - mean[i]) / total
        slope += mean[i] / (size * total) + (y[i] - mean[i]) / (total * total)
    return score, slope


@inner()
def best_size(exceeding, y, mean, row_kind, start):
    """Maximum-likelihood size given the means: Newton on log(theta) inside a bracket."""
    low, high = math.log(1e-8), math.log(1e10)
    log_size = min(max(math.log(start), low), high)
    for _ in range(200):
        size = math.exp(log_size)
        score, slope = _size_score(size, exceeding, y, mean, row_kind)
        if score > 0.0:
            low = log_size
        else:
            high = log_size
        curvature = size * (slope * size + score)
        proposal = log_size - score * size / curvature if curvature < 0.0 else 0.5 * (low + high)
        if not low < proposal < high:
            proposal = 0.5 * (low + high)
        moved = abs(proposal - log_size)
        log_size = proposal
        if moved < 1e-11:
            break
    return math.exp(log_size)


@inner()
def _fit_dispersion(y, row_kind, design, active, n_active, offset, beta, eta, kept, lower):
    """Joint maximum likelihood of ``beta`` and the dispersion, started at the Poisson fit.

    Returns (dispersion, converged). Dispersion 0 means that the likelihood does not rise
    from the Poisson limit: there is no overdispersion to estimate.
    """
    n_cells = y.shape[0]
    mean = np.exp(eta)
    excess, squared_mean, largest = 0.0, 0.0, 0
    for i in range(n_cells):
        if row_kind[i] == OBSERVED:
            excess += (y[i] - mean[i]) ** 2 - y[i]
            squared_mean += mean[i] * mean[i]
            largest = max(largest, int(y[i]))
    if excess <= 0.0:
        return 0.0, True
    exceeding = np.zeros(largest)
    for i in range(n_cells):
        if row_kind[i] == OBSERVED:
            for j in range(int(y[i])):
                exceeding[j] += 1.0
    size = squared_mean / excess
    for _ in range(MAX_ITERATIONS):
        previous = size
        size = best_size(exceeding, y, mean, row_kind, previous)
        if not scoring(
            y, row_kind, design, active, n_active, offset, 1.0 / size, beta, eta, True, kept, lower
        ):
            return 1.0 / size, False
        mean = np.exp(eta)
        if abs(math.log(size / previous)) < 1e-10:
            return 1.0 / size, True
    return 1.0 / size, False


@inner()
def _excess_variance(y, row_kind, eta):
    """Moment estimate of ``phi`` in ``Var(y) = mu + phi mu^2``, from all cells; 0 at least."""
    excess, squares = 0.0, 0.0
    for i in range(y.shape[0]):
        if row_kind[i] == OBSERVED:
            mean = math.exp(eta[i])
            excess += (y[i] - mean) ** 2 - mean
            squares += mean * mean
    return max(excess / squares, 0.0) if squares > 0.0 else 0.0


@inner()
def _sandwich(y, row_kind, design, active, n_active, eta, dispersion, model_share, kept, lower,
              covariance):  # fmt: skip
    """``A^-1 (sum_i v_i x_i x_i') A^-1`` with ``A = X' W X``; HC0 when ``model_share`` is 0.

    v_i is the squared score residual ``u_i^2``, of which ``model_share`` is replaced by its
    expectation when the counts have the variance ``mu + phi mu^2``.
    """
    n_cells, n_columns = design.shape
    phi = _excess_variance(y, row_kind, eta) if model_share > 0.0 else 0.0
    information = np.zeros((n_columns, n_columns))
    meat = np.zeros((n_columns, n_columns))
    for i in range(n_cells):
        if row_kind[i] == EXCLUDED:
            continue
        mean = math.exp(eta[i])
        shrink = 1.0 / (1.0 + dispersion * mean)
        _add_outer(information, design[i], mean * shrink, active[i], n_active[i])
        variance = mean * shrink
        if row_kind[i] == OBSERVED:
            squared, expected = (y[i] - mean) ** 2, mean + phi * mean * mean
            variance = (squared + model_share * (expected - squared)) * shrink * shrink
        _add_outer(meat, design[i], variance, active[i], n_active[i])
    _mirror(meat)
    cholesky_dropping(information, lower, kept)
    half = np.empty((n_columns, n_columns))
    for a in range(n_columns):
        solve_kept(lower, kept, meat[a], half[a])
    for a in range(n_columns):
        solve_kept(lower, kept, half[:, a].copy(), covariance[a])
    for a in range(n_columns):
        for b in range(n_columns):
            if not (kept[a] and kept[b]):
                covariance[a, b] = np.nan


@compiled(parallel=True)
def fit_responses(
    responses, row_kinds, design, offset, with_dispersion, model_share, beta, covariance, kept,
    dispersion,
):  # fmt: skip
    """Fit every response on one design, in parallel over responses; returns convergence.

    Each response is fitted by one thread from start to end, so the bits do not depend on how
    many threads there are.
    """
    n_responses, n_cells = responses.shape
    n_columns = design.shape[1]
    converged = np.zeros(n_responses, np.bool_)
    active, n_active = nonzero_columns(design)
    for r in numba.prange(n_responses):
        lower = np.empty((n_columns, n_columns))
        eta = np.empty(n_cells)
        y, kind = responses[r], row_kinds[r]
        done = scoring(
            y, kind, design, active, n_active, offset, 0.0, beta[r], eta, False, kept[r], lower
        )
        dispersion[r] = 0.0
        if done and with_dispersion:
            dispersion[r], done = _fit_dispersion(
                y, kind, design, active, n_active, offset, beta[r], eta, kept[r], lower
            )
        _sandwich(
            y, kind, design, active, n_active, eta, dispersion[r], model_share, kept[r], lower,
            covariance[r],
        )  # fmt: skip
        converged[r] = done
    return converged


@compiled()
def weighted_cross(left: FloatArray, weights: FloatArray, right: FloatArray) -> FloatArray:
    """``left' diag(weights) right``, summed cell by cell so that zeros cost nothing."""
    n_left, n_right = left.shape[1], right.shape[1]
    total = np.zeros((n_left, n_right))
    active, n_active = nonzero_columns(right)
    for i in range(left.shape[0]):
        if weights[i] == 0.0:
            continue
        for a in range(n_left):
            scaled = weights[i] * left[i, a]
            if scaled != 0.0:
                for s in range(n_active[i]):
                    total[a, active[i, s]] += scaled * right[i, active[i, s]]
    return total
