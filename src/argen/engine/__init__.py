"""Engines: how the regressions of each step are computed."""

from argen.engine.corrections import Corrections, LoweredRates, UnevenGuides
from argen.engine.exact import CORRECTIONS_NEED, ExactEngine, ExactParentTester
from argen.engine.grouped import Genes
from argen.engine.joint import joint_design, without_counts
from argen.engine.protocol import (
    Effects,
    Engine,
    Fitted,
    ParentJob,
    ParentTester,
    Screener,
    Worker,
    sum_of_fits,
)
from argen.engine.shared import SharedEngine
from argen.engine.threads import in_threads, using_threads

__all__ = [
    "CORRECTIONS_NEED",
    "Corrections",
    "Effects",
    "Engine",
    "ExactEngine",
    "ExactParentTester",
    "Fitted",
    "Genes",
    "LoweredRates",
    "ParentJob",
    "ParentTester",
    "Screener",
    "SharedEngine",
    "UnevenGuides",
    "Worker",
    "in_threads",
    "joint_design",
    "sum_of_fits",
    "using_threads",
    "without_counts",
]
