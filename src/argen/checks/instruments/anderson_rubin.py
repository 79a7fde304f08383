"""Intervals of direct effects that hold however weak the instruments are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from argen.arrays import BoolArray
from argen.checks.instruments.two_stages import EdgesOfTarget, TwoStages
from argen.errors import counted, listed
from argen.network import STRONG, Finding

# In standard errors.
INFINITY = 1e6
# Angles at which the statistic is looked at: even in atan((theta - estimate) / std_error).
N_ANGLES = 81
_OF_EDGE = ["source", "target", "effect", "ci_low", "ci_high"]
INTERVAL_COLUMNS = [*_OF_EDGE, "ar_low", "ar_high", "ar_p_value", "shape", "one_sign"]


def confidence_set(
    statistic: Callable[[float], float], estimate: float, std_error: float, bound: float
) -> list[tuple[float, float]]:
    """Return the values whose statistic is within a bound, as intervals from left to right.

    The statistic is 0 at the estimate. It is looked at on a grid, densest there, whose ends stand
    for infinity.
    """
    from scipy.optimize import brentq

    half = np.pi / 2
    angles = np.linspace(-half, half, N_ANGLES + 2)[1:-1]
    values, far = estimate + std_error * np.tan(angles), INFINITY * std_error
    values[0], values[N_ANGLES // 2], values[-1] = estimate - far, estimate, estimate + far
    excess = np.array([statistic(value) - bound for value in values])
    excess[N_ANGLES // 2] = -bound
    inside: BoolArray = excess <= 0.0

    def edge(i: int) -> float:
        """Where the statistic crosses the bound, between grid points i and i + 1."""
        return float(brentq(lambda v: statistic(v) - bound, values[i], values[i + 1], rtol=1e-8))

    starts = np.flatnonzero(inside & ~np.append(False, inside[:-1]))
    ends = np.flatnonzero(inside & ~np.append(inside[1:], False))
    return [
        (
            -np.inf if start == 0 else edge(start - 1),
            np.inf if end == N_ANGLES - 1 else edge(end),
        )
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]


def interval_rows(of_target: EdgesOfTarget, bound: float) -> list[tuple[Any, ...]]:
    """Return an interval for each edge into a gene that needs no strong instruments.

    Anderson and Rubin's (1949): all values of an effect that the data do not reject, the other
    candidates being free. Where the perturbations move the candidate enough it is nearly the
    usual interval; where they do not it is long, up to the whole line, as it should be.
    ``ar_low`` and ``ar_high`` are the ends of what holds the estimate; ``shape`` is "interval",
    "ray" (one end is infinite), "line" (nothing is excluded) or "gap" (there are further values
    beyond the ends); ``one_sign`` whether all values have the same sign. ``ar_p_value`` tests that
    there is no effect.

    Parameters
    ----------
    bound
        Critical value of the statistic.

    Source: Anderson and Rubin (1949) for linear models; Stock and Wright (2000) for moments like
    these. The critical value for one of several effects: Guggenberger, Kleibergen,
    Mavroeidis and Chen (2012).
    """
    return [
        (
            *(row[column] for column in _OF_EDGE),
            *_ends(of_target.stages, of_target.place.get(row["source"]), bound),
        )
        for row in of_target.edges.to_dict("records")
    ]


def _ends(
    stages: TwoStages | None, k: int | None, bound: float
) -> tuple[float, float, float, str, bool]:
    if stages is None or k is None:
        return np.nan, np.nan, np.nan, "not computed", False
    estimates = stages.effects()
    inverse = np.linalg.solve(stages.pi, np.arange(len(estimates)) == k)  # a row of Pi'^-1
    std_error = float(np.sqrt(inverse @ stages.spread(estimates) @ inverse))
    estimate = float(estimates[k])
    found = confidence_set(lambda value: stages.statistic(k, value), estimate, std_error, bound)
    low, high = next(ends for ends in found if ends[0] <= estimate <= ends[1])
    shape = ("interval", "ray", "line")[int(np.isinf(low)) + int(np.isinf(high))]
    p_value = float(chdtrc(1, stages.statistic(k, 0.0)))
    one_sign = all(ends[0] > 0.0 for ends in found) or all(ends[1] < 0.0 for ends in found)
    return low, high, p_value, shape if len(found) == 1 else "gap", one_sign


def weak_instrument_findings(table: pd.DataFrame) -> list[Finding]:
    """Name the edges that do not hold without the assumption of strong instruments."""
    lost = table[~table["one_sign"].astype(bool)]
    if not len(lost):
        return []
    shown = [
        f"{row.source} -> {row.target} ([{row.ar_low:.2f}, {row.ar_high:.2f}]"
        f"{' and values beyond' if row.shape == 'gap' else ''})"
        for row in lost.itertuples()
    ]
    return [
        Finding(
            STRONG,
            f"{len(lost)} of the {counted(len(table), 'edge')} looked at "
            f"{'has' if len(lost) == 1 else 'have'} an Anderson-Rubin set that holds 0, or both "
            f"signs: {listed(shown)}.",
            "Do not rely on them: their usual intervals are short because they take the first "
            "stage for certain. More cells for the source's perturbation, or a stronger guide, "
            "would decide.",
            "warning",
        )
    ]
