"""Slopes of many columns of effects that outliers do not move."""

from __future__ import annotations

import numpy as np

from argen.arrays import BoolArray, FloatArray

# Residuals beyond it, in standard errors, have no weight (Tukey's biweight).
CUTOFF = 3.0
# Values at which a slope is tried first, in units of their scale.
GRID = np.linspace(-4.0, 4.0, 33)
N_REFINEMENTS = 10
# Columns of effects that are in the cache together.
COLUMNS_AT_ONCE = 64


def robust_slopes(
    effect: FloatArray,
    std_error: FloatArray,
    known: BoolArray,
    by: FloatArray,
    start: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Regress each column of effects on ``by`` (n_rows,), through the origin.

    Residuals count by Tukey's biweight, so that rows far from the others do not count at all: the
    least loss is looked for on a grid, unless it is known where to start, and from there by
    reweighting. Slopes are normal with mean 0 by themselves, with a variance that all slopes tell.

    Returns
    -------
    slopes, errors
        (n_columns,) each.
    """
    # In units of the residual that has no weight any more.
    z = np.where(known, effect / (CUTOFF * std_error), 0.0)
    x = np.where(known, by[:, None] / (CUTOFF * std_error), 0.0)
    slope = _least_on_grid(z, x) if start is None else start
    precision, information, kept = 0.0, np.zeros(len(slope)), np.empty_like(z)
    for _ in range(N_REFINEMENTS):
        np.multiply(x, slope, out=kept)
        np.subtract(z, kept, out=kept)
        _biweight(kept)
        kept *= x
        information = CUTOFF**2 * np.einsum("ij,ij->j", kept, x)
        product = CUTOFF**2 * np.einsum("ij,ij->j", kept, z)
        slope = product / np.maximum(information + precision, 1e-300)
        free = slope * (information + precision) / np.maximum(information, 1e-300)
        error = np.median(1.0 / np.maximum(information, 1e-300))
        variance = max(np.median(free**2) / 0.4549 - error, 0.1 * error) if len(slope) else 1.0
        precision = 1.0 / variance
    return slope, 1.0 / np.sqrt(np.maximum(information + precision, 1e-300))


def _biweight(z: FloatArray) -> None:
    """Put weights of residuals, in units of the first without any, in their place."""
    np.square(z, out=z)
    np.subtract(1.0, z, out=z)
    np.maximum(z, 0.0, out=z)
    np.square(z, out=z)


def _least_on_grid(z: FloatArray, x: FloatArray) -> FloatArray:
    """Find the slopes of a grid with the least biweight loss, for some columns after others."""
    plain = np.sum(x * z, axis=0) / np.maximum(np.sum(x**2, axis=0), 1e-300)
    grid = GRID * (np.median(np.abs(plain)) / 0.6745 if len(plain) else 0.0)
    best = np.zeros(len(plain))
    for first in range(0, len(best), COLUMNS_AT_ONCE):
        some = slice(first, first + COLUMNS_AT_ONCE)
        own, by = z[:, some].astype(np.float32), x[:, some].astype(np.float32)
        like = [_likeness(own - by * np.float32(at)) for at in grid]
        best[some] = grid[np.argmax(like, axis=0)]
    return best


def _likeness(z: FloatArray) -> FloatArray:
    """How much of the loss that is possible residuals do not have: sums over rows."""
    np.square(z, out=z)
    np.subtract(1.0, z, out=z)
    np.maximum(z, 0.0, out=z)
    return np.asarray(np.sum(z * z * z, axis=0))


def to_unit(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scale columns to mean square 1, with a sum that is not negative; returns the scales, too."""
    scale = np.sqrt(np.mean(values**2, axis=0))
    scale = np.where(scale > 0.0, scale, 1.0) * np.where(values.sum(axis=0) < 0.0, -1.0, 1.0)
    return values / scale, scale
