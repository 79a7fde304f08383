"""What was measured: counts, perturbations, covariates, and the design made of them."""

from argen.data.counts import GENES_AT_ONCE, MOST_CELLS_OF_A_TILE, GeneCounts, StoredArray, Tile
from argen.data.covariates import (
    CovariateBlock,
    encode_covariates,
    explained_columns,
    is_categorical,
)
from argen.data.design import Design, build_design
from argen.data.parts import cells_of, without_gene, without_perturbation
from argen.data.perturbseq import (
    CONTROL,
    NOT_MEASURED,
    PerturbSeqData,
    left_out_table,
    perturbations_of,
)

__all__ = [
    "CONTROL",
    "GENES_AT_ONCE",
    "MOST_CELLS_OF_A_TILE",
    "NOT_MEASURED",
    "CovariateBlock",
    "Design",
    "GeneCounts",
    "PerturbSeqData",
    "StoredArray",
    "Tile",
    "build_design",
    "cells_of",
    "encode_covariates",
    "explained_columns",
    "is_categorical",
    "left_out_table",
    "perturbations_of",
    "without_gene",
    "without_perturbation",
]
