"""Whether the assumptions behind a network hold, with the evidence."""

from argen.checks.again import held_out, sensitivity, stability
from argen.checks.checking import check
from argen.checks.edges import intervention_table, slope_and_agreement
from argen.checks.findings import Diagnostics
from argen.checks.instruments import check_knockdowns
from argen.network import Finding

__all__ = [
    "Diagnostics",
    "Finding",
    "check",
    "check_knockdowns",
    "held_out",
    "intervention_table",
    "sensitivity",
    "slope_and_agreement",
    "stability",
]
