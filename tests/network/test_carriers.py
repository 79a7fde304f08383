"""Response programs that are what one node does: said of a regulator, and not of a response."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import argen
from argen.network import LARGEST_LIKENESS, program_carriers


def regulator_screen(seed: int) -> argen.PerturbSeqData:
    """A node that 14 others act on, and that acts on 170 of 200 sinks; no response around it."""
    rng, n = np.random.default_rng(seed), 15
    direct = np.zeros((n, n + 200))
    direct[:14, 14] = rng.uniform(0.3, 0.6, 14)
    targets = n + rng.permutation(200)[:170]
    direct[14, targets] = rng.uniform(0.3, 0.7, 170) * rng.choice([-1, 1], 170)
    model = argen.ScreenModel(n_nodes=n, n_sinks=200, cells_per_node=150)
    return argen.simulate_screen(model, rng=seed, direct=direct)[0]


def warnings_of(network: argen.CausalNetwork) -> list[str]:
    """Return what is said of programs that may be the network."""
    found = [f for f in network.findings() if "it may be what" in f.evidence]
    assert {f.severity for f in found} <= {"warning"}
    return [f.evidence for f in found]


@pytest.fixture(scope="module")
def regulated():
    """The screen of a regulator, and its network."""
    data = regulator_screen(2)
    return data, argen.infer_network(data)


def test_a_regulator_of_most_genes_is_named(regulated):
    data, network = regulated
    assert network.programs.n_programs == 1
    table = program_carriers(network.programs, network.screen)
    assert table.loc[0, "node"] == "g15"
    assert table.loc[0, "likeness"] > 0.95 > LARGEST_LIKENESS > table.loc[1, "likeness"]
    (said,) = warnings_of(network)
    assert "change g15 (cosine 0.9" in said
    # What the warning is for: its edges went with the program.
    without = argen.infer_network(data, argen.InferenceConfig(programs=0))
    assert (without.edges["source"] == "g15").sum() > 100 > len(network.edges)


def test_the_likeness_is_of_effects_before_programs_were_taken_out(regulated):
    data, network = regulated
    screen = argen.infer_network(data, argen.InferenceConfig(programs=0)).screen
    table = program_carriers(network.programs, network.screen).set_index("node")["likeness"]
    score = network.programs.scores[:, 0]
    for node, gene in enumerate(network.nodes):
        changed = screen.effect[:, node].copy()
        changed[node] = screen.knockdown.effect[node]
        known = np.isfinite(changed)
        a, b = changed[known], score[known]
        assert table[gene] == pytest.approx(abs(a @ b) / np.sqrt((a @ a) * (b @ b)))


def test_nothing_is_said_of_a_response_around_the_network(program_network):
    table = program_carriers(program_network.programs, program_network.screen)
    assert table["likeness"].max() < LARGEST_LIKENESS
    assert warnings_of(program_network) == []


def test_effects_that_are_infinite_do_not_count(program_network):
    effect = program_network.screen.effect.copy()
    effect[3, :20], effect[:, 5] = -np.inf, np.nan
    screen = replace(program_network.screen, effect=effect)
    table = program_carriers(program_network.programs, screen)
    assert table["likeness"].between(0.0, 1.0 + 1e-12).all()


@pytest.mark.rates
def test_responses_around_the_network_are_seldom_taken_for_a_node():
    model = argen.ScreenModel(
        n_nodes=20, n_sinks=150, n_parents=1.0, n_programs=1, cells_per_node=100
    )
    n_found = n_warned = 0
    for seed in range(2, 14):
        network = argen.infer_network(argen.simulate_screen(model, rng=seed)[0])
        n_found += network.programs.n_programs
        n_warned += len(warnings_of(network))
    assert n_found >= 8
    assert n_warned <= 1
