"""Quantiles of p-values against those of no effect."""

from __future__ import annotations

import numpy as np
import pandas as pd

from argen._arrays import FloatArray

MOST_POINTS = 200


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
