"""A test for groups of cells without a single count, where no Wald test exists."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from argen.arrays import FloatArray

# Fewer counts of a gene than this do not tell what covariates do to it.
FEWEST_COUNTS = 20


def pearson_dispersion(counts: FloatArray, mean: FloatArray, n_parameters: int) -> float:
    """Pearson's ``sum (y - mu)^2 / mu`` over its degrees of freedom, at least 1."""
    used = mean > 0
    freedom = int(used.sum()) - n_parameters
    if freedom <= 0:
        return 1.0
    return max(1.0, float(np.sum((counts[used] - mean[used]) ** 2 / mean[used]) / freedom))


def cautious_share(share: ArrayLike, by_exposure: ArrayLike, total: float) -> FloatArray:
    """Limit the shares that a fit of few counts expects to those of the exposure.

    A slope from two or three counts, extrapolated to the group, can make its emptiness a miracle.
    """
    fitted = np.asarray(share, dtype=np.float64)
    return fitted if total >= FEWEST_COUNTS else np.minimum(fitted, by_exposure)


def zero_count_test(
    total: float, share: ArrayLike, dispersion: float
) -> tuple[FloatArray, FloatArray]:
    """Test whether groups of cells are without counts by chance: p-value and its log10.

    Given the total ``T`` of Poisson counts, a group is empty with probability ``(1 - q)^T``,
    ``q`` being its share of the means that a fit without the perturbation expects; doubled
    for two sides. Overdispersed counts carry the information of ``T / phi`` Poisson ones: for
    negative-binomial counts of mean ``mu`` a cell is empty with log probability
    ``-log(1 + alpha mu) / alpha``, at most ``-mu / (1 + alpha mu)``, so the test errs on the
    safe side.

    Parameters
    ----------
    total
        Counts of all cells, T.
    share
        q of each group, any shape.
    dispersion
        Pearson's phi, at least 1.
    """
    log_empty = total / dispersion * np.log1p(-np.asarray(share, dtype=np.float64))
    log_p = np.minimum(0.0, np.log(2.0) + log_empty)
    return np.exp(log_p), log_p / np.log(10.0)
