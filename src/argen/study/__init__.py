"""Simulation studies: the paper's, and a wider grid."""

from argen.study.grid import grid_summary, run_grid
from argen.study.paper import PaperStudy, run_paper_study
from argen.study.settings import Setting, Variant, chosen_settings, chosen_variants, declared_grid

__all__ = [
    "PaperStudy",
    "Setting",
    "Variant",
    "chosen_settings",
    "chosen_variants",
    "declared_grid",
    "grid_summary",
    "run_grid",
    "run_paper_study",
]
