"""The guides of a gene compared, as they must agree when they act through it alone."""

from argen.checks.guides.by_guide import FEWEST_CELLS, guide_effects
from argen.checks.guides.checking import check_guides
from argen.checks.guides.group_effects import (
    GroupEffects,
    GroupFits,
    group_effects,
    regress_effects,
)

__all__ = [
    "FEWEST_CELLS",
    "GroupEffects",
    "GroupFits",
    "check_guides",
    "group_effects",
    "guide_effects",
    "regress_effects",
]
