"""SDCD, stable differentiable causal discovery with known interventions, the package's settings.

Nazaret, Hong, Azizi and Blei (2024), ICML; package sdcd.
"""

import numpy as np

REQUIREMENTS = ("sdcd", "setuptools<80")


def fit(expression, node_of_cell):
    """Return the thresholded adjacency."""
    import pandas as pd
    from sdcd.models import SDCD
    from sdcd.utils import create_intervention_dataset

    names = [f"g{k}" for k in range(expression.shape[1])]
    table = pd.DataFrame(expression, columns=names)
    table["perturbation_label"] = ["obs" if k < 0 else names[k] for k in node_of_cell]
    dataset = create_intervention_dataset(table, perturbation_colname="perturbation_label")
    model = SDCD()
    model.train(dataset, finetune=True)
    return np.asarray(model.get_adjacency_matrix(threshold=True), dtype=float)
