"""Observed beside null p-values: quantiles, and the factor that corrects inflated statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import chdtrc, chdtri

from argen.arrays import FloatArray

MOST_POINTS = 200
# P-values expected beyond a level, to take its quantile.
FEWEST_BEYOND = 10


def quantile_table(p_values: FloatArray, **labels: str) -> pd.DataFrame:
    """Return points of a QQ plot: expected and observed -log10 p, largest first.

    Missing p-values take no part; of many, the most extreme and some of the others are kept.

    Parameters
    ----------
    labels
        Columns to put before, the same in each row.
    """
    found = np.sort(p_values[np.isfinite(p_values)])
    n = len(found)
    rank = np.unique(np.geomspace(1, max(n, 1), MOST_POINTS).astype(np.int64))[: max(n, 0)]
    with np.errstate(divide="ignore"):
        observed = -np.log10(found[rank - 1])
    table = pd.DataFrame({"expected": -np.log10((rank - 0.5) / max(n, 1)), "observed": observed})
    for place, (name, value) in enumerate(labels.items()):
        table.insert(place, name, value)
    return table


def inflation_needed(
    p_values: FloatArray, levels: Sequence[float], *, fewest: int = FEWEST_BEYOND
) -> float:
    """Return what chi-square statistics must be divided by to be those of no effect, 1 or more.

    The largest ratio of an upper quantile to that of no effect: of the median, and of those
    levels beyond which so many p-values are expected, ``fewest`` of them.
    """
    found = p_values[np.isfinite(p_values)]
    if not len(found):
        return 1.0
    tried = np.array([0.5, *(level for level in levels if len(found) * level >= fewest)])
    ratios = chdtri(1.0, np.quantile(found, tried)) / chdtri(1.0, tried)
    return float(max(1.0, *ratios))


def less_inflated(p_values: FloatArray, inflation: FloatArray | float) -> FloatArray:
    """Divide the statistics behind p-values, as chi-square of one degree, by ``inflation``."""
    return np.asarray(chdtrc(1.0, chdtri(1.0, p_values) / inflation))
