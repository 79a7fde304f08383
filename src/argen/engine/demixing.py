"""Total effects in the cells where a guide works, from those in all cells that carry it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from argen.arrays import BoolArray, FloatArray

# Least share of a gene's mean that is believed to be left in working cells.
LEAST_LEFT = 0.01


@dataclass(frozen=True, slots=True)
class Demixed:
    """Effects in working cells, and how they change; each of the shape of the effects."""

    total: FloatArray
    by_effect: FloatArray  # derivative by the effect in all cells
    by_share: FloatArray  # derivative by the share of working cells
    at_floor: BoolArray  # fewer counts than the escaping cells alone should have

    def std_error(
        self, of_effect: FloatArray, of_share: FloatArray, covariance: FloatArray
    ) -> FloatArray:
        """Carry errors over: of the effect, of the share, and the covariance of the two."""
        variance = (self.by_effect * of_effect) ** 2 + (self.by_share * of_share) ** 2
        variance = variance + 2.0 * self.by_effect * self.by_share * covariance
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def demixed(effect: FloatArray, share: FloatArray) -> Demixed:
    """Take the cells that escape out of log rate ratios.

    With a share pi of cells in which the guide works, the mean of a gene over all cells is a
    mixture, so that its log rate ratio R and that in working cells, T, obey::

        exp(R) = 1 - pi + pi exp(T)
        T = log((exp(R) - 1 + pi) / pi)
        dT/dR = exp(R) / (exp(R) - 1 + pi)
        dT/dpi = (1 - exp(R)) / (pi (exp(R) - 1 + pi))

    Near exp(R) = 1 - pi there is nothing left in working cells, and the logarithm leads to
    nowhere: below the floor ``LEAST_LEFT`` of exp(T), T and its derivatives are those of the floor
    of exp(R), so that errors there are large and finite. Where pi is 1, T is R, bit for bit.

    Parameters
    ----------
    effect
        R, any shape; missing effects stay missing.
    share
        pi, above 0, of a shape that fits; one row for each perturbation: (n_nodes, 1).

    Examples
    --------
    >>> import numpy as np
    >>> found = demixed(np.log(np.array([0.44])), np.array([0.7]))
    >>> np.exp(found.total).round(3)
    array([0.2])
    """
    effect, share = np.broadcast_arrays(effect, share)
    working = np.exp(effect) - (1.0 - share)
    floor = LEAST_LEFT * share
    at_floor = working < floor
    working = np.where(at_floor, floor, working)
    rate = working + 1.0 - share
    total = np.log(working) - np.log(share)
    mixed = share < 1.0
    return Demixed(
        total=np.where(mixed, total, effect),
        by_effect=np.where(mixed, rate / working, 1.0),
        by_share=(1.0 - rate) / (share * working),
        at_floor=np.asarray(at_floor & mixed),
    )
