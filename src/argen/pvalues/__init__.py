"""P-values: normal tails, adjustment for many tests, comparison with no effect, words."""

from argen.pvalues.adjustment import Selection, adjust, select, two_level
from argen.pvalues.inflation import inflation_needed, less_inflated, quantile_table
from argen.pvalues.normal import NEAR_TIE, critical_value, deviates, two_sided
from argen.pvalues.words import p_of, shown_p

__all__ = [
    "NEAR_TIE",
    "Selection",
    "adjust",
    "critical_value",
    "deviates",
    "inflation_needed",
    "less_inflated",
    "p_of",
    "quantile_table",
    "select",
    "shown_p",
    "two_level",
    "two_sided",
]
