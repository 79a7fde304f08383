"""Figures: ``draw_*(network, ..., ax=None)`` returns the axes; they need matplotlib.

Each figure has its numbers as a table, ``*_table``; ``write_figures`` writes both.
"""

from argen.plot.effects import (
    draw_comparison,
    draw_forest,
    draw_heatmap,
    draw_intervention,
    draw_truth,
)
from argen.plot.files import write_expression, write_figures
from argen.plot.graphs import draw_centrality, draw_degrees, draw_stability, stability_table
from argen.plot.layout import LayeredLayout, layered_layout
from argen.plot.meaning import draw_evidence, draw_modules, draw_strength
from argen.plot.network import draw_network, draw_networks
from argen.plot.penetrance import draw_penetrance, penetrance_table
from argen.plot.programs import draw_programs, programs_table
from argen.plot.screens import (
    draw_expression,
    draw_knockdown,
    draw_qq,
    highest_percent,
    knockdown_table,
)
from argen.plot.style import FEEDBACK, NEGATIVE, NEUTRAL, OTHER, POSITIVE, new_figure, shown_name

__all__ = [
    "FEEDBACK",
    "NEGATIVE",
    "NEUTRAL",
    "OTHER",
    "POSITIVE",
    "LayeredLayout",
    "draw_centrality",
    "draw_comparison",
    "draw_degrees",
    "draw_evidence",
    "draw_expression",
    "draw_forest",
    "draw_heatmap",
    "draw_intervention",
    "draw_knockdown",
    "draw_modules",
    "draw_network",
    "draw_networks",
    "draw_penetrance",
    "draw_programs",
    "draw_qq",
    "draw_stability",
    "draw_strength",
    "draw_truth",
    "highest_percent",
    "knockdown_table",
    "layered_layout",
    "new_figure",
    "penetrance_table",
    "programs_table",
    "shown_name",
    "stability_table",
    "write_expression",
    "write_figures",
]
