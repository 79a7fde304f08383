"""Reading screens: from files and objects to checked input."""

from argen.read.columns import read_columns, read_gene_column, read_labels
from argen.read.normalised import counts_of_normalised
from argen.read.options import ReadOptions
from argen.read.reading import read_perturbseq

__all__ = [
    "ReadOptions",
    "counts_of_normalised",
    "read_columns",
    "read_gene_column",
    "read_labels",
    "read_perturbseq",
]
