"""Pairs of genes that are correlated (Bonferroni at .05), undirected: the floor of the arena."""

import math

import numpy as np

REQUIREMENTS = ()


def fit(expression, node_of_cell):
    """Fisher's z of the correlations over all cells."""
    n_cells, n_genes = expression.shape
    z = np.arctanh(np.clip(np.corrcoef(expression.T), -0.999999, 0.999999)) * math.sqrt(n_cells - 3)
    n_pairs = n_genes * (n_genes - 1) / 2
    low, high = 0.0, 40.0  # the bar of the tail, by bisection
    for _ in range(60):
        bar = (low + high) / 2
        low, high = (bar, high) if math.erfc(bar / math.sqrt(2)) > 0.05 / n_pairs else (low, bar)
    return np.where((np.abs(z) > bar) & ~np.eye(n_genes, dtype=bool), z, 0.0)
