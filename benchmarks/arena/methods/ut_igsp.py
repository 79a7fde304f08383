"""UT-IGSP, on the controls and the cells of each guide, whose target is given as known.

Squires, Wang and Uhler (2020), UAI; package causaldag (Squires).
"""

import random

import numpy as np

REQUIREMENTS = ("causaldag",)


def fit(expression, node_of_cell):
    """Return the adjacency of the directed acyclic graph."""
    import causaldag as cd
    from conditional_independence import (
        MemoizedCI_Tester,
        MemoizedInvarianceTester,
        gauss_invariance_suffstat,
        gauss_invariance_test,
        partial_correlation_suffstat,
        partial_correlation_test,
    )

    np.random.seed(0)  # noqa: NPY002 - of its random starts
    random.seed(0)
    nodes = set(range(expression.shape[1]))
    controls = expression[node_of_cell < 0]
    perturbed = [expression[node_of_cell == node] for node in sorted(nodes)]
    independence = MemoizedCI_Tester(
        partial_correlation_test, partial_correlation_suffstat(controls), alpha=1e-3
    )
    invariance = MemoizedInvarianceTester(
        gauss_invariance_test, gauss_invariance_suffstat(controls, perturbed), alpha=1e-3
    )
    known = [{"known_interventions": [node]} for node in sorted(nodes)]
    dag, _ = cd.unknown_target_igsp(known, nodes, independence, invariance)
    edges = np.zeros((len(nodes), len(nodes)))
    for source, target in dag.arcs:
        edges[source, target] = 1.0
    return edges
