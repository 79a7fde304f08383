"""RCD, LiNGAM with latent confounders, on all cells.

Maeda and Shimizu (2020), AISTATS; package lingam (Ikeuchi et al. 2023). Pairs with a hidden common
cause, which it reports as missing numbers, are no edges.
"""

import numpy as np

REQUIREMENTS = ("lingam",)


def fit(expression, node_of_cell):
    """Return the adjacency matrix, sources in rows."""
    import lingam

    model = lingam.RCD()
    model.fit(expression)
    return np.nan_to_num(model.adjacency_matrix_.T)
