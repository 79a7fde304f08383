"""Shares of working cells of many perturbations, each less sure than all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import expit, logit, ndtr

from argen.arrays import FloatArray
from argen.corrections.mixture import MOST_ERRORS, SHARES
from argen.pvalues import adjust

# Places of shares below 1, evenly spaced in their log odds; the last place is 1 itself.
PLACES = np.append(expit(np.linspace(logit(0.1), logit(0.985), 60)), 1.0)
# Grids of what the shares of a screen have in common.
ALL_WORK = np.linspace(0.0, 0.98, 15)
CENTRES = logit(np.linspace(0.15, 0.97, 42))
SPREADS = np.array([0.05, 0.2, 0.4, 0.7, 1.0, 1.5])
# Of effects that are pooled.
LEAST_SPREAD = 0.01


def p_value_of_escape(
    misfit: FloatArray, influence: Sequence[FloatArray], own_variance: FloatArray
) -> float:
    """Test that all guides work in all cells, against escape from many or from few: p-value.

    The sum of the standardized scores at share 1 has a variance in which controls, which all
    perturbations share, count as often as they are used; the smallest p-value is adjusted.

    Parameters
    ----------
    misfit
        (n_perturbations,) scores at share 1.
    influence
        (n_controls,) parts of the controls in each of them.
    own_variance
        (n_perturbations,) of the cells of each perturbation.
    """
    if not len(misfit):
        return 1.0
    error = np.sqrt(own_variance + [own @ own for own in influence])
    shared = np.zeros_like(influence[0])
    for own, of_one in zip(influence, error, strict=True):
        shared += own / of_one
    together = np.sqrt(np.sum(own_variance / error**2) + shared @ shared)
    of_many = ndtr(np.sum(misfit / error) / together)
    of_few = adjust(ndtr(misfit / error), "bh").min()
    return float(min(1.0, 2.0 * min(of_many, of_few)))


@dataclass(frozen=True, slots=True)
class Shares:
    """Posterior of each share: (n_perturbations,)."""

    mean: FloatArray
    std_error: FloatArray
    own_error: FloatArray  # the part of the error that the perturbation's own cells can lessen
    works: FloatArray  # probability that the share is 1


def pooled_shares(z: FloatArray) -> Shares:
    """Let the perturbations of a screen say what shares are like, and then what each one is.

    With z_k(pi) the standardized equation of share pi, whose square is minus twice a log
    likelihood::

        pi_k = 1 with probability q,   else logit(pi_k) ~ Normal(m, s^2)

    q, m and s have flat priors on grids and are averaged over, so that their errors are in those
    of the shares.

    Parameters
    ----------
    z
        (n_perturbations, len(SHARES)); rows of zeros say nothing.
    """
    order = np.argsort(SHARES)
    at_places = np.array([np.interp(PLACES, SHARES[order], row[order]) for row in z])
    likelihood = np.exp(-0.5 * np.minimum(np.abs(at_places), MOST_ERRORS) ** 2)
    slabs = np.array([_slab(m, s) for m, s in product(CENTRES, SPREADS)])
    below, at_one = likelihood[:, :-1] @ slabs.T, likelihood[:, -1:]
    log_evidence = np.array([np.log(q * at_one + (1.0 - q) * below).sum(axis=0) for q in ALL_WORK])
    weights = np.exp(log_evidence - log_evidence.max())
    weights /= weights.sum()
    of_slabs, works = np.zeros_like(below), np.zeros(len(z))
    for q, weight in zip(ALL_WORK, weights, strict=True):
        total = q * at_one + (1.0 - q) * below
        of_slabs += (1.0 - q) * weight * below / total
        works += (at_one * q * weight / total).sum(axis=1)
    of_slabs /= of_slabs.sum(axis=1, keepdims=True)
    first, second = (
        (likelihood[:, :-1] * PLACES[:-1] ** power) @ slabs.T / below for power in (1, 2)
    )
    mean = np.sum(of_slabs * first, axis=1)
    variance = np.sum(of_slabs * second, axis=1) - mean**2
    within = np.sum(of_slabs * (second - first**2), axis=1)
    return Shares(mean, np.sqrt(variance), np.sqrt(np.maximum(within, 0.0)), works)


def _slab(centre: float, spread: float) -> FloatArray:
    """Return the probabilities of the places below 1: (n_places - 1,)."""
    density = np.exp(-0.5 * ((logit(PLACES[:-1]) - centre) / spread) ** 2)
    return np.asarray(density / density.sum())


def interval(z: FloatArray, most_errors: float) -> tuple[float, float]:
    """Return the least and the largest share that are not contradicted: from 0, to 1."""
    order = np.argsort(SHARES)
    fine = np.linspace(SHARES.min(), 1.0, 181)
    allowed = fine[np.abs(np.interp(fine, SHARES[order], z[order])) <= most_errors]
    if not len(allowed):
        closest = float(SHARES[np.argmin(np.abs(z))])
        return closest, closest
    low, high = float(allowed[0]), float(allowed[-1])
    return (0.0 if low <= SHARES.min() else low), high


def normal_by_moments(effect: FloatArray, variance: FloatArray) -> tuple[float, float]:
    """Mean and variance of normal effects that were estimated with errors."""
    spread = max(float(np.var(effect, ddof=1) - np.mean(variance)), 0.0)
    mean = float(np.mean(effect))
    for _ in range(50):
        weights = 1.0 / (spread + variance)
        mean = float(weights @ effect / weights.sum())
        excess = weights**2 @ ((effect - mean) ** 2 * len(effect) / (len(effect) - 1.0) - variance)
        spread = max(float(excess / np.sum(weights**2)), 0.0)
    return mean, max(spread, LEAST_SPREAD)
