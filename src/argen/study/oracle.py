"""The method when it is told who is upstream of whom: what the parent search does by itself."""

from __future__ import annotations

import numpy as np

from argen.config import InferenceConfig
from argen.data import PerturbSeqData
from argen.method import select_edges
from argen.network import CausalNetwork
from argen.simulate import Truth
from argen.steps import causal_order, screen_descendants, search_parents


def infer_knowing_ancestors(
    data: PerturbSeqData, truth: Truth, config: InferenceConfig
) -> CausalNetwork:
    """Infer the network with the true ancestors of each target as its candidates."""
    order = causal_order(truth.ancestors, np.where(truth.ancestors, 0.0, 1.0))
    return select_edges(
        search_parents(data, order, config),
        screen_descendants(data, config),
        order,
        config,
        left_out=data.left_out,
        provenance={"method": "argen, given the true ancestors"},
    )
