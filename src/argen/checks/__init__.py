"""Whether the assumptions behind a network hold, with the evidence."""

from argen.checks.again import held_out, sensitivity, stability
from argen.checks.cells import check_cells, others_of
from argen.checks.checking import check
from argen.checks.edges import intervention_table, slope_and_agreement
from argen.checks.findings import Diagnostics
from argen.checks.guides import OWN_EFFECT_ALPHA, guide_effects, idle_findings, own_effects
from argen.checks.instruments import (
    FEWEST_MOVED_MORE,
    check_knockdowns,
    knockdown_findings,
    knockdown_table,
    transcript_findings,
)
from argen.checks.weak_points import not_looked_at, put_in_doubt, undisputed, weak_points
from argen.network import Finding

__all__ = [
    "FEWEST_MOVED_MORE",
    "OWN_EFFECT_ALPHA",
    "Diagnostics",
    "Finding",
    "check",
    "check_cells",
    "check_knockdowns",
    "guide_effects",
    "held_out",
    "idle_findings",
    "intervention_table",
    "knockdown_findings",
    "knockdown_table",
    "not_looked_at",
    "others_of",
    "own_effects",
    "put_in_doubt",
    "sensitivity",
    "slope_and_agreement",
    "stability",
    "transcript_findings",
    "undisputed",
    "weak_points",
]
