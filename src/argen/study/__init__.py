"""Simulation studies: the paper's, and a wider grid."""

from argen.study.figures import write_grid_figure, write_paper_figures
from argen.study.grid import grid_summary, run_grid
from argen.study.paper import PaperStudy, run_paper_study
from argen.study.settings import Setting, Variant, chosen_settings, chosen_variants, declared_grid
from argen.study.tables import write_grid_page

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
    "write_grid_figure",
    "write_grid_page",
    "write_paper_figures",
]
