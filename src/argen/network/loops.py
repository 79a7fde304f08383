"""Genes that act on each other beyond doubt, whose order a network without cycles cannot know."""

from __future__ import annotations

import numpy as np

from argen.arrays import BoolArray
from argen.network.result import CausalNetwork
from argen.pvalues import adjust


def beyond_doubt(network: CausalNetwork) -> BoolArray:
    """Pairs of nodes significant by Holm's method, at the level of the screen: (n_nodes, n_nodes).

    ``[source, target]``, as everywhere.
    """
    p_value = network.screen.p_value[:, : len(network.nodes)]
    return np.asarray(adjust(p_value, "holm") < network.config.level_of_screen)


def loops_of(acts_on: BoolArray) -> list[list[int]]:
    """Strongly connected components of two nodes or more, the largest first."""
    import networkx

    graph = networkx.from_numpy_array(acts_on, create_using=networkx.DiGraph)
    found = [sorted(group) for group in networkx.strongly_connected_components(graph)]
    return sorted((group for group in found if len(group) > 1), key=lambda g: (-len(g), g))
