"""Whether the assumptions behind a network hold, with the evidence."""

from argen.checks.again import held_out, sensitivity, stability
from argen.checks.cells import check_cells, others_of
from argen.checks.checking import check
from argen.checks.edges import intervention_table, slope_and_agreement
from argen.checks.findings import Diagnostics
from argen.checks.guides import guide_effects
from argen.checks.instruments import check_knockdowns, knockdown_findings, knockdown_table
from argen.checks.weak_points import not_looked_at, undisputed, weak_points
from argen.network import Finding

__all__ = [
    "Diagnostics",
    "Finding",
    "check",
    "check_cells",
    "check_knockdowns",
    "guide_effects",
    "held_out",
    "intervention_table",
    "knockdown_findings",
    "knockdown_table",
    "not_looked_at",
    "others_of",
    "sensitivity",
    "slope_and_agreement",
    "stability",
    "undisputed",
    "weak_points",
]
