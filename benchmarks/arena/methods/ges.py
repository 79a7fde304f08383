"""Greedy equivalence search with the Gaussian BIC, on all cells.

Chickering (2002), Journal of Machine Learning Research 3; package causal-learn (Zheng et al. 2024).
"""

import numpy as np

REQUIREMENTS = ("causal-learn",)


def fit(expression, node_of_cell):
    """Return directed edges, and both directions of undirected ones."""
    from causallearn.search.ScoreBased.GES import ges

    graph = ges(expression, score_func="local_score_BIC")["G"].graph
    return (graph == -1) & (graph.T != 0) & ~np.eye(len(graph), dtype=bool)
