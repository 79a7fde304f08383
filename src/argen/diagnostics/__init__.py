"""Whether the assumptions behind a network hold, with the evidence."""

from argen.diagnostics.checking import check, check_result
from argen.diagnostics.findings import Diagnostics, Finding
from argen.diagnostics.holding_out import held_out
from argen.diagnostics.sensitivity import sensitivity
from argen.diagnostics.stability import stability

__all__ = [
    "Diagnostics",
    "Finding",
    "check",
    "check_result",
    "held_out",
    "sensitivity",
    "stability",
]
