"""What edges say of each other: direction, and total effects that they imply."""

from argen.checks.edges.checking import check_direction, check_edges
from argen.checks.edges.validation import (
    correlation,
    intervention_table,
    number,
    slope_and_agreement,
)
from argen.checks.edges.weak_points import (
    both_directions,
    loop_partners,
    loops,
    near_bars,
    opposing_totals,
    unusual_fits,
)

__all__ = [
    "both_directions",
    "check_direction",
    "check_edges",
    "correlation",
    "intervention_table",
    "loop_partners",
    "loops",
    "near_bars",
    "number",
    "opposing_totals",
    "slope_and_agreement",
    "unusual_fits",
]
