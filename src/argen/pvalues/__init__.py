"""P-values: normal tails, adjustment for many tests, comparison with no effect."""

from argen.pvalues.adjustment import Selection, adjust, select, two_level
from argen.pvalues.inflation import inflation_needed, less_inflated, quantile_table
from argen.pvalues.normal import critical_value, two_sided

__all__ = [
    "Selection",
    "adjust",
    "critical_value",
    "inflation_needed",
    "less_inflated",
    "quantile_table",
    "select",
    "two_level",
    "two_sided",
]
