"""PC with Fisher's z at .05, on all cells.

Spirtes, Glymour and Scheines (2000), Causation, Prediction, and Search; package causal-learn
(Zheng et al. 2024).
"""

import numpy as np

REQUIREMENTS = ("causal-learn",)


def fit(expression, node_of_cell):
    """Return directed edges, and both directions of undirected ones."""
    from causallearn.search.ConstraintBased.PC import pc

    graph = pc(expression, alpha=0.05, indep_test="fisherz", show_progress=False).G.graph
    # graph[i, j] = -1 and graph[j, i] = 1: i -> j; both -1: undirected.
    return (graph == -1) & (graph.T != 0) & ~np.eye(len(graph), dtype=bool)
