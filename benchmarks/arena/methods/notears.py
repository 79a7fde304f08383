"""NOTEARS, linear, on all cells, with the package's threshold.

Zheng et al. (2018), NeurIPS; package gcastle (Zhang et al. 2021).
"""

import numpy as np

REQUIREMENTS = ("gcastle", "torch")


def fit(expression, node_of_cell):
    """Return the thresholded weights."""
    from castle.algorithms import Notears

    model = Notears()
    model.learn(expression)
    return np.asarray(model.causal_matrix)
