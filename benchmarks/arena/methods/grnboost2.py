"""GRNBoost2: every gene regressed on all others by boosted trees; it ranks pairs and calls none.

Moerman et al. (2019), Bioinformatics 35; package arboreto, one target at a time in this process.
"""

import numpy as np

REQUIREMENTS = ("arboreto",)
CALLS_EDGES = False


def fit(expression, node_of_cell):
    """Return the importance of each source for each target."""
    from arboreto.core import SGBM_KWARGS, infer_partial_network

    names = [f"g{k}" for k in range(expression.shape[1])]
    importance = np.zeros((len(names), len(names)))
    for target, name in enumerate(names):
        links = infer_partial_network(
            "GBM", SGBM_KWARGS, expression, names, name, expression[:, target], seed=0
        )
        for source, value in zip(links["TF"], links["importance"], strict=True):
            importance[names.index(source), target] = value
    return importance
