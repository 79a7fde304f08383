"""The network inferred again: from resampled cells, other choices, and parts left out."""

from argen.checks.again.holding_out import held_out
from argen.checks.again.sensitivity import sensitivity
from argen.checks.again.stability import stability
from argen.checks.again.weak_points import (
    frail_edges,
    turning_edges,
    unforeseen_guides,
    unstable_edges,
)

__all__ = [
    "frail_edges",
    "held_out",
    "sensitivity",
    "stability",
    "turning_edges",
    "unforeseen_guides",
    "unstable_edges",
]
