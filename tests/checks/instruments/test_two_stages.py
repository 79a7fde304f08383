"""The two stages behind each edge: with all corrections they are those of the engine."""

from __future__ import annotations

import numpy as np
import pytest

import argen
from argen.checks.instruments.checking import tables_of_edges
from argen.checks.instruments.two_stages import TwoStages, edges_by_target

MODEL = {"n_nodes": 12, "n_parents": 1, "cells_per_node": 100, "mean_count": 4.0}


def of_edges(network: argen.CausalNetwork, data: argen.PerturbSeqData) -> np.ndarray:
    """Effect and error of each edge in the network, and from its two stages: (n_edges, 4)."""
    rows = []
    for of_target in edges_by_target(network, data):
        stages = of_target.stages
        estimates, inverse = stages.effects(), np.linalg.inv(stages.pi.T)
        errors = np.sqrt(np.diagonal(inverse @ stages.spread(estimates) @ inverse.T))
        for edge in of_target.edges.to_dict("records"):
            k = of_target.place[edge["source"]]
            rows.append((edge["effect"], edge["std_error"], estimates[k], errors[k]))
    return np.array(rows)


@pytest.mark.parametrize(
    ("options", "seed"),
    [({}, 1), ({"penetrance": 0.6}, 2), ({"n_guides": 3, "guide_strength_sd": 0.5}, 2)],
    ids=["nothing", "escape", "uneven guides"],
)
def test_effects_and_errors_are_those_of_the_network(options, seed):
    data, _ = argen.simulate_screen(argen.ScreenModel(**MODEL | options), rng=seed)
    network = argen.infer_network(data)
    assert network.penetrance.corrected.any() == ("penetrance" in options)
    if "n_guides" in options:
        assert network.penetrance.guides.uneven
    found = of_edges(network, data)
    assert len(found) > 4
    np.testing.assert_allclose(found[:, 2:], found[:, :2], rtol=1e-9)


def test_so_they_are_with_programs(program_network, program_screen):
    assert program_network.programs.n_programs
    found = of_edges(program_network, program_screen)
    np.testing.assert_allclose(found[:, 2:], found[:, :2], rtol=1e-9)


def test_what_perturbations_share_is_counted_once(rng):
    """Errors of u = delta - Pi' theta are those of draws in which genes move together."""
    n, theta = 3, np.array([0.5, -0.8, 0.3])
    root = 0.1 * rng.normal(size=(1 + n, n, n))
    shared = 0.2 * rng.normal(size=(1 + n, n, 2))
    stages = TwoStages(
        rng.normal(size=(n, n)), rng.normal(size=n), root @ root.transpose(0, 2, 1), shared
    )
    own = np.einsum("gab,sgb->sga", root, rng.normal(size=(100_000, 1 + n, n)))
    own += np.einsum("gkq,skq->sgk", shared, rng.normal(size=(100_000, n, 2)))
    drawn = np.cov((own[:, 0] - np.einsum("m,smk->sk", theta, own[:, 1:])).T)
    np.testing.assert_allclose(drawn, stages.spread(theta), atol=0.02 * np.abs(drawn).max())


@pytest.mark.rates
def test_intervals_for_weak_instruments_are_as_good_as_the_others_where_cells_escape():
    model = argen.ScreenModel(**MODEL | {"dispersion": 0.2, "penetrance": 0.6, "n_nodes": 15})
    held = []
    for seed in range(8):
        data, truth = argen.simulate_screen(model, rng=seed)
        network = argen.infer_network(data)
        network.candidates["selected"] = network.candidates["status"] == "OK"
        table = tables_of_edges(network, data)[1]
        place = {gene: i for i, gene in enumerate(network.genes)}
        true = truth.direct[table["source"].map(place), table["target"].map(place)]
        held.append(
            [np.mean((table[f"{k}_low"] <= true) & (true <= table[f"{k}_high"]))
             for k in ("ar", "ci")]
        )  # fmt: skip
    robust, usual = np.mean(held, axis=0)
    assert robust > usual - 0.03  # it would be 0.2 less without the correction
    assert robust > 0.85
