"""GOLEM with unequal variances, on all cells, with the package's settings.

Ng, Ghassami and Zhang (2020), NeurIPS; package gcastle (Zhang et al. 2021).
"""

import numpy as np

REQUIREMENTS = ("gcastle", "torch")


def fit(expression, node_of_cell):
    """Return the thresholded weights."""
    from castle.algorithms import GOLEM

    model = GOLEM(num_iter=20_000)
    model.learn(expression)
    return np.asarray(model.causal_matrix)
