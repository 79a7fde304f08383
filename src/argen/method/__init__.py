"""From data to a network: the method itself, and others with the same input and result."""

from argen.method.by_name import Method, infer_by, method_of
from argen.method.causalbench import CausalBenchModel
from argen.method.inverse import infer_inverse
from argen.method.naive import infer_naive
from argen.method.pairs import infer_random, infer_screen_only
from argen.method.pipeline import infer_network, select_edges

__all__ = [
    "CausalBenchModel",
    "Method",
    "infer_by",
    "infer_inverse",
    "infer_naive",
    "infer_network",
    "infer_random",
    "infer_screen_only",
    "method_of",
    "select_edges",
]
