"""The guides of a gene compared, as they must agree when they act through it alone."""

from argen.checks.guides.by_guide import FEWEST_CELLS, guide_effects
from argen.checks.guides.checking import check_guides
from argen.checks.guides.group_effects import (
    EffectsOfGroups,
    FitsOfGroups,
    GroupEffects,
    GroupFits,
    group_effects,
    regress_effects,
)
from argen.checks.guides.idle import OWN_EFFECT_ALPHA, idle_findings, own_effects
from argen.checks.guides.joint_effects import JointFits
from argen.checks.guides.weak_points import (
    disagreeing_guides,
    lost_in_all_cells,
    needed_guide_points,
    unexplained_targets,
)

__all__ = [
    "FEWEST_CELLS",
    "OWN_EFFECT_ALPHA",
    "EffectsOfGroups",
    "FitsOfGroups",
    "GroupEffects",
    "GroupFits",
    "JointFits",
    "check_guides",
    "disagreeing_guides",
    "group_effects",
    "guide_effects",
    "idle_findings",
    "lost_in_all_cells",
    "needed_guide_points",
    "own_effects",
    "regress_effects",
    "unexplained_targets",
]
