"""Random networks: what was asked for is what they have."""

import numpy as np
import pytest

import argen
from argen.simulate.graphs import LARGEST_ECHO, random_effects

KINDS = ("erdos-renyi", "scale-free", "layered")


@pytest.mark.parametrize("graph", KINDS)
def test_acyclic_with_the_parents_sizes_and_signs_of_the_model(graph, rng):
    model = argen.ScreenModel(
        n_nodes=200, n_sinks=50, n_hidden_genes=50, graph=graph, n_parents=3, effect=(0.2, 0.4),
        positive=0.7,
    )  # fmt: skip
    effects = random_effects(model, rng)
    assert effects.shape == (250, 300)
    truth = argen.Truth(tuple(map(str, range(300))), effects)
    assert not truth.has_cycle
    edges = effects[effects != 0]
    assert np.abs(edges).min() >= 0.2
    assert np.abs(edges).max() <= 0.4
    # About 900 edges: three standard errors are .05 of the share, and .3 of the mean number.
    assert (edges > 0).mean() == pytest.approx(0.7, abs=0.05)
    assert (effects != 0).sum(axis=0).mean() == pytest.approx(3, abs=0.4)


def test_children_are_uneven_in_scale_free_networks_alone(rng):
    most = {}
    for graph in KINDS:
        model = argen.ScreenModel(n_nodes=300, graph=graph)
        most[graph] = (random_effects(model, rng) != 0).sum(axis=1).max()
    assert most["scale-free"] > 1.5 * max(most["erdos-renyi"], most["layered"])


def test_paths_are_short_in_layered_networks(rng):
    edges = random_effects(argen.ScreenModel(n_nodes=60, graph="layered"), rng) != 0
    assert np.linalg.matrix_power(edges.astype(int), 4).any()
    assert not np.linalg.matrix_power(edges.astype(int), 5).any()


def test_feedback_closes_cycles_that_die_out(rng):
    effects = random_effects(argen.ScreenModel(n_nodes=30, n_feedback=5), rng)
    assert argen.Truth(tuple(map(str, range(30))), effects).has_cycle
    assert np.abs(np.linalg.eigvals(effects)).max() <= LARGEST_ECHO + 1e-9
