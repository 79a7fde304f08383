"""What stands between guides and effects in the network, estimated: escape and programs."""

from argen.corrections.estimation import Estimated, corrections_of, estimate_corrections
from argen.corrections.guides import GuideStrengths
from argen.corrections.penetrance import LoweredGenes, Penetrance, estimate_penetrance
from argen.corrections.programs import FEWEST_GENES, Programs, fewest_setting_off, find_programs

__all__ = [
    "FEWEST_GENES",
    "Estimated",
    "GuideStrengths",
    "LoweredGenes",
    "Penetrance",
    "Programs",
    "corrections_of",
    "estimate_corrections",
    "estimate_penetrance",
    "fewest_setting_off",
    "find_programs",
]
