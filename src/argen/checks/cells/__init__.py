"""Columns of the cells: whether chance decided which cell got which guide; and their sizes."""

from argen.checks.cells.balance import LIBRARY_SIZE
from argen.checks.cells.checking import check_cells
from argen.checks.cells.columns import others_of, refuse_others_network, rows_of
from argen.checks.cells.weak_points import (
    lent_effects,
    moved_columns,
)

__all__ = [
    "LIBRARY_SIZE",
    "check_cells",
    "lent_effects",
    "moved_columns",
    "others_of",
    "refuse_others_network",
    "rows_of",
]
