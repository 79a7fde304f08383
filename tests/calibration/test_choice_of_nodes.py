"""What the choice of nodes does to false edges, over simulated screens."""

from __future__ import annotations

import numpy as np
import pytest

import argen
from argen.qc.choice import reasons_against

FAILING = argen.ScreenModel(
    n_nodes=20, failed=0.3, knockdown=(0.5, 2.5), cells_per_node=150, n_controls=1500
)
# Nothing acts on anything; a strong hidden factor moves all genes of a cell together.
NOTHING = argen.ScreenModel(
    n_nodes=20, n_parents=0, failed=0.5, factor_effect=1.0, cells_per_node=100, n_controls=1000
)
BY_DESCENDANTS = argen.NodeChoice(max_p=1.0, top=8, top_by="descendants")
CONFIG = argen.InferenceConfig(threads=2)


def n_false_and_called(
    data: argen.PerturbSeqData, truth: argen.Truth, chosen: np.ndarray
) -> tuple[int, int]:
    """Edges of the network of some nodes that are no direct effects among these, and all edges."""
    numbers = np.flatnonzero(chosen)
    cells = np.flatnonzero(data.controls | np.isin(data.node_of_cell, numbers))
    network = argen.infer_network(data.take(cells, numbers), CONFIG)
    score = argen.evaluate(network, truth.keep(network.genes))
    return score.n_called - score.n_correct, score.n_called


@pytest.mark.rates
def test_nodes_with_a_knockdown_hold_the_rate_of_false_edges():
    """With all perturbed genes it is well above .05, as paths through failed ones look direct."""
    every, chosen = np.zeros(2), np.zeros(2)
    for seed in range(8):
        data, truth = argen.simulate_screen(FAILING, rng=seed)
        nodes = argen.quality_control(data, config=CONFIG).candidates["chosen"].to_numpy()
        assert 10 <= nodes.sum() <= 17
        every += n_false_and_called(data, truth, np.ones(20, dtype=bool))
        chosen += n_false_and_called(data, truth, nodes)
    assert every[0] / every[1] > 0.08
    assert chosen[0] / chosen[1] <= 0.06
    assert chosen[1] > 50


@pytest.mark.rates
def test_a_choice_makes_no_edge_where_there_is_none():
    """Neither that by the knock-down, whose errors a hidden factor shares, nor by descendants."""
    n_with_edges = np.zeros(2)
    for seed in range(15):
        data, truth = argen.simulate_screen(NOTHING, rng=seed)
        table = argen.quality_control(data, config=CONFIG).candidates
        by_descendants = (reasons_against(table, BY_DESCENDANTS, {}) == "").to_numpy()
        for k, chosen in enumerate((table["chosen"].to_numpy(), by_descendants)):
            n_with_edges[k] += n_false_and_called(data, truth, chosen)[1] > 0
    assert (n_with_edges <= 3).all()  # of 15 at .05: more than 3 once in 180
