"""What was measured: counts, perturbations, covariates, library size."""

from argen.data.counts import GENES_AT_ONCE, MOST_CELLS_OF_A_TILE, GeneCounts, Tile
from argen.data.covariates import (
    CovariateBlock,
    encode_covariates,
    explained_columns,
    is_categorical,
)
from argen.data.expressions import NUMERIC, formula_columns, parsed
from argen.data.guides import Guides
from argen.data.parts import only_cells, without_gene, without_perturbation
from argen.data.perturbseq import (
    CONTROL,
    ENOUGH_CONTROLS,
    NOT_MEASURED,
    Panel,
    PerturbSeqData,
    left_out_table,
    perturbations_of,
    read_as_table,
    require_screen,
)
from argen.data.stored import StoredArray

__all__ = [
    "CONTROL",
    "ENOUGH_CONTROLS",
    "GENES_AT_ONCE",
    "MOST_CELLS_OF_A_TILE",
    "NOT_MEASURED",
    "NUMERIC",
    "CovariateBlock",
    "GeneCounts",
    "Guides",
    "Panel",
    "PerturbSeqData",
    "StoredArray",
    "Tile",
    "encode_covariates",
    "explained_columns",
    "formula_columns",
    "is_categorical",
    "left_out_table",
    "only_cells",
    "parsed",
    "perturbations_of",
    "read_as_table",
    "require_screen",
    "without_gene",
    "without_perturbation",
]
