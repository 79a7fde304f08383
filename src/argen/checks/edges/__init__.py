"""What edges say of each other: direction, and total effects that they imply."""

from argen.checks.edges.checking import check_edges
from argen.checks.edges.validation import (
    correlation,
    intervention_table,
    number,
    slope_and_agreement,
)

__all__ = [
    "check_edges",
    "correlation",
    "intervention_table",
    "number",
    "slope_and_agreement",
]
