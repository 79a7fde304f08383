"""Reading screens: from files and objects to checked input."""

from argen.read.choice import (
    MIN_GUIDE_COUNTS,
    ControlLabels,
    GuideRule,
    Joined,
    close_names,
    control_labels,
    guide_rule,
    in_query,
    is_number,
    joined_labels,
    kind_of_label,
    shell_patterns,
)
from argen.read.columns import read_columns, read_gene_column, read_labels
from argen.read.counts import counts_of_normalised
from argen.read.formats import OpenAnnData, open_screen
from argen.read.look import MatrixLook, look_at_matrices, refusal
from argen.read.options import ReadOptions
from argen.read.reading import read_perturbseq

__all__ = [
    "MIN_GUIDE_COUNTS",
    "ControlLabels",
    "GuideRule",
    "Joined",
    "MatrixLook",
    "OpenAnnData",
    "ReadOptions",
    "close_names",
    "control_labels",
    "counts_of_normalised",
    "guide_rule",
    "in_query",
    "is_number",
    "joined_labels",
    "kind_of_label",
    "look_at_matrices",
    "open_screen",
    "read_columns",
    "read_gene_column",
    "read_labels",
    "read_perturbseq",
    "refusal",
    "shell_patterns",
]
