"""Normal tails that do not underflow."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp

from argen.arrays import FloatArray

# Two independent |z| that differ by less do not differ at 5 %, as their difference has variance 2.
NEAR_TIE = 1.96 * np.sqrt(2.0)


def two_sided(z: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Two-sided normal p-value and its log10.

    ``p`` underflows to 0 from ``|z|`` about 38; ``log10_p`` never does.
    """
    tail = -np.abs(np.asarray(z, dtype=np.float64))
    return 2.0 * ndtr(tail), (log_ndtr(tail) + np.log(2.0)) / np.log(10.0)


def deviates(log10_p: ArrayLike) -> FloatArray:
    """Sizes of standard normal deviates with these two-sided p-values."""
    log_p = np.minimum(np.asarray(log10_p) * np.log(10.0), 0.0)
    return np.asarray(-ndtri_exp(log_p - np.log(2.0)))


def critical_value(level: float) -> float:
    """``z`` such that ``effect +- z std_error`` covers with probability ``level``."""
    return float(ndtri(0.5 + 0.5 * level))
