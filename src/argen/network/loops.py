"""Genes that act on each other beyond doubt, whose order a network without cycles cannot know."""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components

from argen.arrays import BoolArray
from argen.config import InferenceConfig
from argen.pvalues import adjust
from argen.steps import DescendantScreen


def beyond_doubt(screen: DescendantScreen, config: InferenceConfig) -> BoolArray:
    """Pairs of nodes significant by Holm's method, at the level of the screen: (n_nodes, n_nodes).

    ``[source, target]``, as everywhere.
    """
    p_value = screen.p_value[:, : len(screen.nodes)]
    return np.asarray(adjust(p_value, "holm") < config.level_of_screen)


def loops_of(acts_on: BoolArray) -> list[list[int]]:
    """Strongly connected components of two nodes or more, the largest first."""
    _, component = connected_components(acts_on, connection="strong")
    found = [np.flatnonzero(component == k).tolist() for k in np.unique(component)]
    return sorted((group for group in found if len(group) > 1), key=lambda g: (-len(g), g))
