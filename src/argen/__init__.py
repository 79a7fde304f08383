"""Causal gene networks from Perturb-seq, robust to confounders that nobody measured."""

from importlib.metadata import version

from argen import baselines, diagnostics
from argen.config import InferenceConfig
from argen.counts import GeneCounts
from argen.data import read_perturbseq
from argen.descendants import DescendantScreen, screen_descendants
from argen.design import Design, build_design
from argen.errors import ArgenError, ArgenWarning, FitStatus, InputError
from argen.evaluate import Evaluation, evaluate
from argen.iv import IVPoissonResult, iv_poisson
from argen.methods import infer_by
from argen.network import CausalNetwork, select_edges
from argen.order import CausalOrder, causal_order
from argen.parents import ParentTests, search_parents
from argen.perturbseq import PerturbSeqData
from argen.pipeline import infer_network
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
    "baselines",
    "build_design",
    "causal_order",
    "diagnostics",
    "evaluate",
    "infer_by",
    "infer_network",
    "iv_poisson",
    "like",
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
