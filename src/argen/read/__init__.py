"""Reading screens: from files and AnnData objects to checked input."""

from argen.read.columns import read_columns
from argen.read.reading import read_perturbseq

__all__ = ["read_columns", "read_perturbseq"]
