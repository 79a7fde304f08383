"""Reading screens: from files and AnnData objects to checked input."""

from argen.read.cells import read_columns
from argen.read.options import ReadOptions
from argen.read.reading import read_perturbseq

__all__ = ["ReadOptions", "read_columns", "read_perturbseq"]
