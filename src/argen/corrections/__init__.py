"""What stands between guides and effects in the network, estimated: response programs."""

from argen.corrections.estimation import Estimated, estimate_corrections
from argen.corrections.programs import FEWEST_GENES, Programs, fewest_setting_off, find_programs

__all__ = [
    "FEWEST_GENES",
    "Estimated",
    "Programs",
    "estimate_corrections",
    "fewest_setting_off",
    "find_programs",
]
