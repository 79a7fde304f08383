"""DirectLiNGAM, on all cells; effects of absolute value over 0.05 are edges.

Shimizu et al. (2011), Journal of Machine Learning Research 12; package lingam (Ikeuchi et al.
2023).
"""

import numpy as np

REQUIREMENTS = ("lingam",)


def fit(expression, node_of_cell):
    """Return the adjacency matrix, sources in rows."""
    import lingam

    model = lingam.DirectLiNGAM()
    model.fit(expression)
    effects = model.adjacency_matrix_.T
    return np.where(np.abs(effects) > 0.05, effects, 0.0)
