"""The network inferred again: from resampled cells, other choices, and parts left out."""

from argen.checks.again.holding_out import held_out
from argen.checks.again.sensitivity import sensitivity
from argen.checks.again.stability import stability

__all__ = ["held_out", "sensitivity", "stability"]
