from . import analysis, checks, method, plot, study
from .analysis import Evaluation, evaluate
from .checks import check, held_out, sensitivity, stability
from .config import InferenceConfig
from .data import GeneCounts, Guides, PerturbSeqData
from .errors import ArgenError, ArgenWarning, FitStatus, InputError
from .inspection import Inspection, inspect
from .interchange import export
from .iv import IVPoissonResult, iv_poisson
from .method import infer_by, infer_network, select_edges
from .network import (
    CausalNetwork,
    load,
    pair,
    paths,
    predict,
    save,
    to_anndata,
    to_igraph,
    to_mudata,
    to_networkx,
    write_results,
)
from .qc import NodeChoice, QualityControl, quality_control
from .read import ReadOptions, read_perturbseq
from .report import write_report
from .simulate import (
    ScreenModel,
    ScreenProfile,
    Truth,
    like,
    simulate_paper_screen,
    simulate_screen,
    simulated_anndata,
    write_screen,
)
from .steps import (
    CausalOrder,
    DescendantScreen,
    ParentTests,
    causal_order,
    screen_descendants,
    search_parents,
)

__version__: str

__all__ = [
    "ArgenError",
    "ArgenWarning",
    "CausalNetwork",
    "CausalOrder",
    "DescendantScreen",
    "Evaluation",
    "FitStatus",
    "GeneCounts",
    "Guides",
    "IVPoissonResult",
    "InferenceConfig",
    "InputError",
    "Inspection",
    "NodeChoice",
    "ParentTests",
    "PerturbSeqData",
    "QualityControl",
    "ReadOptions",
    "ScreenModel",
    "ScreenProfile",
    "Truth",
    "analysis",
    "causal_order",
    "check",
    "checks",
    "evaluate",
    "export",
    "held_out",
    "infer_by",
    "infer_network",
    "inspect",
    "iv_poisson",
    "like",
    "load",
    "method",
    "pair",
    "paths",
    "plot",
    "predict",
    "quality_control",
    "read_perturbseq",
    "save",
    "screen_descendants",
    "search_parents",
    "select_edges",
    "sensitivity",
    "simulate_paper_screen",
    "simulate_screen",
    "simulated_anndata",
    "stability",
    "study",
    "to_anndata",
    "to_igraph",
    "to_mudata",
    "to_networkx",
    "write_report",
    "write_results",
    "write_screen",
]
