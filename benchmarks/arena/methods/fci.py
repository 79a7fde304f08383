"""FCI, which allows for hidden causes, with Fisher's z at .05, on all cells.

Spirtes, Meek and Richardson (1995); package causal-learn (Zheng et al. 2024). Edges of the partial
ancestral graph: i -> j is an edge, i o-> j too; i o-o j is undirected; i <-> j is none, since it
says that a hidden cause moves both.
"""

import numpy as np

REQUIREMENTS = ("causal-learn",)
TAIL, ARROW = -1, 1


def fit(expression, node_of_cell):
    """Return the edges that the ancestral graph allows to be causal."""
    from causallearn.search.ConstraintBased.FCI import fci

    graph, _ = fci(expression, "fisherz", 0.05, show_progress=False)
    # graph[j, i] is the mark at j's end of the edge, and so is mark[i, j].
    mark = graph.graph.T
    causal = (mark != 0) & (mark != TAIL) & (mark.T != ARROW)
    return causal & ~np.eye(len(mark), dtype=bool)
