"""What stands between guides and effects in the network, estimated: escape and programs."""

from argen.corrections.estimation import Estimated, estimate_corrections
from argen.corrections.penetrance import Penetrance, estimate_penetrance
from argen.corrections.programs import FEWEST_GENES, Programs, fewest_setting_off, find_programs

__all__ = [
    "FEWEST_GENES",
    "Estimated",
    "Penetrance",
    "Programs",
    "estimate_corrections",
    "estimate_penetrance",
    "fewest_setting_off",
    "find_programs",
]
