"""The result, and functions of it: files, views, joint errors, prediction, paths."""

from argen.network.carriers import LARGEST_LIKENESS, program_carriers
from argen.network.files import load, save
from argen.network.findings import (
    STRONG,
    WORKS,
    Finding,
    Severity,
    left_out_findings,
    penetrance_line,
)
from argen.network.joint_errors import JointErrors, joint_errors
from argen.network.loops import (
    MOST_PARTNERS,
    beyond_doubt,
    loop_partners_of,
    loops_of,
    unit_of,
)
from argen.network.pair import KNOCKDOWN_ALPHA, Pair, pair
from argen.network.paths import EffectPaths, paths
from argen.network.prediction import Change, predict, propagated
from argen.network.result import CausalNetwork
from argen.network.results import result_tables, write_results
from argen.network.views import columns_stay, to_anndata, to_igraph, to_mudata, to_networkx

__all__ = [
    "KNOCKDOWN_ALPHA",
    "LARGEST_LIKENESS",
    "MOST_PARTNERS",
    "STRONG",
    "WORKS",
    "CausalNetwork",
    "Change",
    "EffectPaths",
    "Finding",
    "JointErrors",
    "Pair",
    "Severity",
    "beyond_doubt",
    "columns_stay",
    "joint_errors",
    "left_out_findings",
    "load",
    "loop_partners_of",
    "loops_of",
    "pair",
    "paths",
    "penetrance_line",
    "predict",
    "program_carriers",
    "propagated",
    "result_tables",
    "save",
    "to_anndata",
    "to_igraph",
    "to_mudata",
    "to_networkx",
    "unit_of",
    "write_results",
]
