"""Causal gene networks from Perturb-seq, robust to confounders that nobody measured."""

from importlib.metadata import version

from argen import checks, method
from argen.analysis.evaluate import Evaluation, evaluate
from argen.config import InferenceConfig
from argen.data.counts import GeneCounts
from argen.data.design import Design, build_design
from argen.data.perturbseq import PerturbSeqData
from argen.errors import ArgenError, ArgenWarning, FitStatus, InputError
from argen.iv import IVPoissonResult, iv_poisson
from argen.method.by_name import infer_by
from argen.method.pipeline import infer_network
from argen.network.result import CausalNetwork, select_edges
from argen.read import read_perturbseq
from argen.report import write_report
from argen.simulate import (
    ScreenModel,
    ScreenProfile,
    Truth,
    like,
    simulate_paper_screen,
    simulate_screen,
    simulated_anndata,
    write_screen,
)
from argen.steps.descendants import DescendantScreen, screen_descendants
from argen.steps.order import CausalOrder, causal_order
from argen.steps.parents import ParentTests, search_parents

__version__ = version("argen")

__all__ = [
    "ArgenError",
    "ArgenWarning",
    "CausalNetwork",
    "CausalOrder",
    "DescendantScreen",
    "Design",
    "Evaluation",
    "FitStatus",
    "GeneCounts",
    "IVPoissonResult",
    "InferenceConfig",
    "InputError",
    "ParentTests",
    "PerturbSeqData",
    "ScreenModel",
    "ScreenProfile",
    "Truth",
    "build_design",
    "causal_order",
    "checks",
    "evaluate",
    "infer_by",
    "infer_network",
    "iv_poisson",
    "like",
    "method",
    "read_perturbseq",
    "screen_descendants",
    "search_parents",
    "select_edges",
    "simulate_paper_screen",
    "simulate_screen",
    "simulated_anndata",
    "write_report",
    "write_screen",
]
