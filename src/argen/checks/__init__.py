"""Whether the assumptions behind a network hold, with the evidence."""

from argen.checks.again.holding_out import held_out
from argen.checks.again.sensitivity import sensitivity
from argen.checks.again.stability import stability
from argen.checks.checking import check, check_result
from argen.checks.findings import Diagnostics, Finding

__all__ = [
    "Diagnostics",
    "Finding",
    "check",
    "check_result",
    "held_out",
    "sensitivity",
    "stability",
]
