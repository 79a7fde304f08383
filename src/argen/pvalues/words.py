"""P-values as text, which never say that one is 0."""

from __future__ import annotations

import numpy as np


def p_of(value: float) -> str:
    """Return a p-value in words, where its logarithm is not at hand."""
    if np.isnan(value):
        return "p missing"
    return f"p = {_short(value)}" if value > 0.0 else "p < 1e-300"


def shown_p(log10_p: float) -> str:
    """Return a p-value as text, also where it is too small for a float."""
    if np.isnan(log10_p):
        return "missing"
    if log10_p > -3 or np.isinf(log10_p):
        return _short(10**log10_p)
    power = int(np.floor(log10_p))
    digits, shift = f"{10 ** (log10_p - power):.1e}".split("e")  # 9.96 is 1.0e+01
    return f"{digits}e{power + int(shift)}"


def _short(value: float) -> str:
    """Two digits, but three where two would hide on which side of .05 it is."""
    said = f"{value:.2g}"
    return f"{value:.3g}" if said == "0.05" else said
