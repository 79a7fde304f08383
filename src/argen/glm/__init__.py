"""Count regressions on plain arrays: Poisson and negative binomial, robust and two-stage."""

from argen.glm._balance import balance
from argen.glm._compile import compiled, on_compiling
from argen.glm._control_effects import (
    FITTED,
    FITTED_AFRESH,
    FITTED_BY_CONTROLS,
    NO_FIT,
    NO_PERTURBED_COUNTS,
    UNSURE,
    effects_from_controls,
)
from argen.glm._controls import Layout
from argen.glm._corrections import LEAST_VARIANCE, GroupCorrections, fill_offsets, fill_totals
from argen.glm._direct_effects import combine, errors_and_deviates
from argen.glm._group_blocks import BlockOfFits, Turn, fit_genes, prepare_genes, vary_genes
from argen.glm._group_fits import FITTED as FITTED_GROUPS
from argen.glm._group_sums import Gene, GroupLayout
from argen.glm._kernels import weighted_cross
from argen.glm._mixtures import (
    LEAST_LEFT,
    MOST_LEFT,
    compare_at,
    honest_evidence,
    spread_of,
    thin_and_compare,
)
from argen.glm._pairs import fit_pairs
from argen.glm._saddlepoint import (
    CONSTANT_SHARE,
    LARGEST_DISPERSION,
    LEAST_DISPERSION,
    ResidualLayout,
    compare_groups,
    deviates,
)
from argen.glm.conditional import FEWEST_COUNTS, cautious_share, pearson_dispersion, zero_count_test
from argen.glm.groups import GroupedGene, GroupFit, group_layout, in_rounds
from argen.glm.joint import JointDesign, JointFit, fit_jointly
from argen.glm.monomials import monomials
from argen.glm.regression import fit_regressions, prepare_responses
from argen.glm.two_stage import TwoStageDesign, fit_two_stage

__all__ = [
    "CONSTANT_SHARE",
    "FEWEST_COUNTS",
    "FITTED",
    "FITTED_AFRESH",
    "FITTED_BY_CONTROLS",
    "FITTED_GROUPS",
    "LARGEST_DISPERSION",
    "LEAST_DISPERSION",
    "LEAST_LEFT",
    "LEAST_VARIANCE",
    "MOST_LEFT",
    "NO_FIT",
    "NO_PERTURBED_COUNTS",
    "UNSURE",
    "BlockOfFits",
    "Gene",
    "GroupCorrections",
    "GroupFit",
    "GroupLayout",
    "GroupedGene",
    "JointDesign",
    "JointFit",
    "Layout",
    "ResidualLayout",
    "Turn",
    "TwoStageDesign",
    "balance",
    "cautious_share",
    "combine",
    "compare_at",
    "compare_groups",
    "compiled",
    "deviates",
    "effects_from_controls",
    "errors_and_deviates",
    "fill_offsets",
    "fill_totals",
    "fit_genes",
    "fit_jointly",
    "fit_pairs",
    "fit_regressions",
    "fit_two_stage",
    "group_layout",
    "honest_evidence",
    "in_rounds",
    "monomials",
    "on_compiling",
    "pearson_dispersion",
    "prepare_genes",
    "prepare_responses",
    "spread_of",
    "thin_and_compare",
    "vary_genes",
    "weighted_cross",
    "zero_count_test",
]
