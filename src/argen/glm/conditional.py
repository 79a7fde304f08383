"""A test for groups of cells without a single count, where no Wald test exists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from argen._arrays import FloatArray


@dataclass(frozen=True, slots=True)
class ConditionalTest:
    """Two-sided p-value of "the perturbation has no effect", and its log10."""

    p_value: float
    log10_p: float


def pearson_dispersion(counts: FloatArray, mean: FloatArray, n_parameters: int) -> float:
    """Pearson's ``sum (y - mu)^2 / mu`` over its degrees of freedom, at least 1."""
    used = mean > 0
    freedom = int(used.sum()) - n_parameters
    if freedom <= 0:
        return 1.0
    return max(1.0, float(np.sum((counts[used] - mean[used]) ** 2 / mean[used]) / freedom))


def zero_count_test(
    counts: FloatArray, mean: FloatArray, perturbed: np.ndarray, *, n_parameters: int
) -> ConditionalTest:
    """Test whether a group that holds none, or all, of the counts does so by chance.

    Given the total ``T`` of Poisson counts, the count of the perturbed cells is
    ``Binomial(T, q)`` with ``q`` their share of the means ``mu`` fitted without the
    perturbation; so ``p = 2 (1 - q)^T`` when the perturbed cells have none, ``2 q^T`` when
    they have all. Overdispersed counts carry the information of ``T / phi`` Poisson ones,
    ``phi`` being Pearson's dispersion: for negative-binomial counts of mean ``mu`` a cell is
    empty with log probability ``-log(1 + alpha mu) / alpha``, at most ``-mu / (1 + alpha mu)``,
    so the test errs on the safe side.

    Parameters
    ----------
    counts, mean
        (n_cells,) counts and fitted means under "no effect".
    perturbed
        (n_cells,) boolean.
    n_parameters
        Number of coefficients fitted for ``mean``.
    """
    share = float(mean[perturbed].sum() / mean.sum())
    total = float(counts.sum()) / pearson_dispersion(counts, mean, n_parameters)
    chance = np.log1p(-share) if not counts[perturbed].any() else np.log(share)
    log_p = min(0.0, float(np.log(2.0) + total * chance))
    return ConditionalTest(float(np.exp(log_p)), log_p / float(np.log(10.0)))
