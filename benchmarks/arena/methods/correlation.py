"""Pairs of genes that are correlated (Bonferroni at .05), undirected: the floor of the arena."""

import math
from statistics import NormalDist

import numpy as np

REQUIREMENTS = ()


def fit(expression, node_of_cell):
    """Return Fisher's z of the correlations over all cells, where it passes."""
    n_cells, n_genes = expression.shape
    z = np.arctanh(np.clip(np.corrcoef(expression.T), -0.999999, 0.999999)) * math.sqrt(n_cells - 3)
    n_pairs = n_genes * (n_genes - 1) / 2
    bar = NormalDist().inv_cdf(1 - 0.025 / n_pairs)
    return np.where((np.abs(z) > bar) & ~np.eye(n_genes, dtype=bool), z, 0.0)
