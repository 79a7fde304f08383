"""Compiled draws of how many molecules are kept where each is lost at random."""

from __future__ import annotations

import math

from argen.glm._compile import loops

# Counts that are thinned by counting up from 0; larger ones from the most likely number.
FEW_MOLECULES = 60.0


@loops()
def _thinned(count, left, log_left, log_lost, uniform):
    """How many of so many molecules are kept, each with probability rho: by inversion."""
    if count <= FEW_MOLECULES:
        kept, chance = 0.0, math.exp(count * log_lost)
        while uniform > chance and kept < count:
            uniform -= chance
            chance *= (count - kept) / (kept + 1.0) * (left / (1.0 - left))
            kept += 1.0
        return kept
    # From the most likely number to both sides, one after the other.
    low = math.floor((count + 1.0) * left)
    high, below = low, math.exp(
        math.lgamma(count + 1.0) - math.lgamma(low + 1.0) - math.lgamma(count - low + 1.0)
        + low * log_left + (count - low) * log_lost
    )  # fmt: skip
    above = below
    uniform -= below
    while uniform > 0.0 and (low > 0.0 or high < count):
        if high < count:
            above *= (count - high) / (high + 1.0) * (left / (1.0 - left))
            high += 1.0
            uniform -= above
            if uniform <= 0.0:
                return high
        if low > 0.0:
            below *= low / (count - low + 1.0) * ((1.0 - left) / left)
            low -= 1.0
            uniform -= below
            if uniform <= 0.0:
                return low
        if above < 1e-300 and below < 1e-300:
            break
    return math.floor((count + 1.0) * left)


@loops()
def thin(counts, left, uniform, thinned):
    """Keep each molecule of gene j with probability rho_j: the same draws for every rho."""
    for j in range(counts.shape[0]):
        y, draws, row, rho = counts[j], uniform[j], thinned[j], left[j]
        log_left, log_lost = math.log(rho), math.log1p(-rho)
        for i in range(y.shape[0]):
            row[i] = _thinned(y[i], rho, log_left, log_lost, draws[i]) if y[i] > 0.0 else 0.0
