"""The equations of a mixture once more in NumPy, with which compiled loops must agree."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit
from scipy.stats import binom

from argen.corrections.mixture import CountedCells, MixedCells


def weights_of(cells: MixedCells) -> np.ndarray:
    """Weigh controls by ``exp(l'x)``, with one column for each level but the first."""
    own, other = dense(cells.perturbed, cells.n_levels), dense(cells.controls, cells.n_levels)
    used = np.isin(cells.controls.level, cells.perturbed.level)
    target, x = own.mean(axis=0), other[used]
    slope = np.zeros(x.shape[1])
    for _ in range(200):
        weights = np.exp((x - target) @ slope)
        weights /= weights.sum()
        off = weights @ x - target
        curvature = (x * weights[:, None]).T @ x - np.outer(weights @ x, weights @ x)
        step = np.linalg.lstsq(curvature, off, rcond=1e-12)[0]
        slope -= step / max(1.0, np.abs(step).max())
    of_all = np.zeros(len(used))
    of_all[used] = weights
    return of_all


def dense(cells: CountedCells, n_levels: int) -> np.ndarray:
    """Columns, and indicators of all levels but the first: (n_cells, n_columns + n_levels - 1)."""
    return np.column_stack([cells.columns.T, cells.level[:, None] == np.arange(1, n_levels)])


def evidence(counts, expected, dispersion, left, b) -> np.ndarray:
    """Log likelihood ratio of each cell, gene by gene."""
    total = np.zeros(counts.shape[1])
    for y, mu, phi, rho in zip(counts, expected, dispersion, left, strict=True):
        r = (1 + phi * rho * mu) / (1 + phi * mu)
        total += b * (y * np.log(rho) - (y + 1 / phi) * np.log(r))
    return total


def most_likely(cells: MixedCells, share, left, b, n_rounds, free=False):
    """Improve the shares left by EM."""
    y, mu, phi = cells.perturbed.counts, cells.perturbed.expected, cells.dispersion[:, None]
    for _ in range(n_rounds):
        works = np.ones(y.shape[1])
        if share < 1.0:
            works = expit(logit(share) + evidence(y, mu, cells.dispersion, left, b))
            share = np.clip(works.mean(), 0.05, 0.97) if free else share
        weight = works / (1 + phi * left[:, None] * mu)
        found = np.sum(weight * y, axis=1) + 0.5
        before, left = left, np.clip(found / (np.sum(weight * mu, axis=1) + 0.5), 0.01, 0.97)
        if not free and np.abs(before - left).max() < 1e-5:
            break
    return share, left


def slope_of_evidence(cells: MixedCells, left, weights, uniform) -> float:
    """Fit b by a logistic regression on both kinds of controls."""
    share, rho = most_likely(cells, 0.8, np.maximum(0.7 * left, 0.01), 1.0, 20, free=True)
    other = cells.controls
    kinds = other.counts, binom.ppf(uniform, other.counts, rho[:, None])
    x = np.hstack([evidence(y, other.expected, cells.dispersion, rho, 1.0) for y in kinds])
    works = np.repeat([0.0, 1.0], len(weights))
    weight = np.concatenate([(1 - share) * weights, share * weights])
    design, found = np.column_stack([np.ones(len(x)), x]), np.array([logit(share), 1.0])
    for _ in range(100):
        mean = expit(design @ found)
        curvature = (design * (weight * mean * (1 - mean))[:, None]).T @ design
        step = np.linalg.solve(curvature + 1e-6 * np.eye(2), design.T @ (weight * (works - mean)))
        found = found + step / max(1.0, np.abs(step).max())
    return float(np.clip(found[1], 0.1, 2.0))


def functions(counts, odds, share, unit) -> np.ndarray:
    """Score of the share and h y: (1 + n_genes, n_cells)."""
    base = min(share, 0.9)
    score = np.expm1(odds) / (base * np.exp(odds) + 1 - base) * (1 - base)
    h = expit(logit(share) + odds) if share < 1 else np.ones(len(odds))
    return np.vstack([score, h * counts * unit[:, None]])


def solved(cells: MixedCells, weights, b, uniform, left, share, start):
    """One step of the equations, and errors: misfit, log rates, variances, influences."""
    own, other, n_levels = cells.perturbed, cells.controls, cells.n_levels
    unit = 1.0 / (other.counts @ weights)
    _, likely = most_likely(cells, share, start, b, 8)
    rho = likely if share < 1 else left
    thinned = binom.ppf(uniform, other.counts, rho[:, None])
    of_own, known, guided, foreseen = (
        functions(y, evidence(y, mu, cells.dispersion, likely, b), share, unit)
        for y, mu in (
            (own.counts, own.expected),
            *((y, other.expected) for y in (other.counts, thinned, rho[:, None] * other.counts)),
        )
    )
    chance = thinned - rho[:, None] * other.counts
    slope = (weights * (guided - foreseen)) @ chance.T / (1 - rho)
    of_chance = slope / (rho * (other.counts @ weights)) @ chance
    expected = (1 - share) * known + share * (guided - of_chance)
    off, slope = of_own.mean(axis=1) - expected @ weights, share * slope
    step = np.linalg.solve(slope[1:], off[1:])
    step /= max(1.0, np.abs(step).max())
    log_left = np.clip(np.log(rho) + step, np.log(0.01), np.log(0.97))
    carried = np.eye(1 + len(rho))
    carried[0, 1:] = -slope[0] @ np.linalg.inv(slope[1:])
    carried[1:, 1:] = np.linalg.inv(slope[1:])
    of_own, known, guided, mixed = (carried @ part for part in (of_own, known, guided, expected))
    design = np.column_stack([np.ones(len(weights)), dense(other, n_levels)])
    root = np.sqrt(weights)[:, None]
    fitted = np.linalg.lstsq(design * root, mixed.T * root, rcond=1e-12)[0]
    explained = (design @ fitted).T
    of_own = of_own - (dense(own, n_levels) @ fitted[1:]).T
    of_own = of_own - of_own.mean(axis=1, keepdims=True)
    of_model = (
        (1 - share) * (known - explained) ** 2 + share * (guided - explained) ** 2
    ) @ weights
    return {
        "misfit": off[0] - slope[0] @ (log_left - np.log(rho)),
        "log_left": log_left,
        "variance": np.maximum(np.mean(of_own**2, axis=1), of_model) / of_own.shape[1],
        "influence": of_own[0] / of_own.shape[1],
        "of_controls": -weights * (mixed - explained),
    }
