"""Which cells, genes and nodes are used, and what each cell carries."""

from argen.read.choice.cells import (
    cell_filter,
    column_of,
    covariate_table,
    in_query,
    is_number,
    library_size,
)
from argen.read.choice.genes import GeneNames, gene_names
from argen.read.choice.guides import carried_guides, named_guides
from argen.read.choice.labels import (
    ControlLabels,
    GuideRule,
    Joined,
    close_names,
    control_labels,
    guide_rule,
    joined_labels,
    kind_of_label,
    shell_patterns,
)
from argen.read.choice.names import ReadAs, genes_read, names_read
from argen.read.choice.nodes import (
    NO_COUNT,
    Fate,
    NodeSelection,
    check_enough,
    drop_nodes,
    report_dropped,
    select_nodes,
    select_sinks,
)
from argen.read.choice.targets import MIN_GUIDE_COUNTS, Carried, carried_perturbations

__all__ = [
    "MIN_GUIDE_COUNTS",
    "NO_COUNT",
    "Carried",
    "ControlLabels",
    "Fate",
    "GeneNames",
    "GuideRule",
    "Joined",
    "NodeSelection",
    "ReadAs",
    "carried_guides",
    "carried_perturbations",
    "cell_filter",
    "check_enough",
    "close_names",
    "column_of",
    "control_labels",
    "covariate_table",
    "drop_nodes",
    "gene_names",
    "genes_read",
    "guide_rule",
    "in_query",
    "is_number",
    "joined_labels",
    "kind_of_label",
    "library_size",
    "named_guides",
    "names_read",
    "report_dropped",
    "select_nodes",
    "select_sinks",
    "shell_patterns",
]
