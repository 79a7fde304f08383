"""Graph numbers: by hand on small graphs, planted modules, names of any kind."""

from __future__ import annotations

from dataclasses import replace

import networkx
import numpy as np
import pandas as pd
import pytest

import argen
from argen import analysis
from tests.networks import HOSTILE, made_up_network


def network_of(pairs, n_nodes: int, effects=None) -> argen.CausalNetwork:
    """A network of given edges."""
    network = made_up_network(n_nodes, 2)
    rows = pd.concat([network.candidates.iloc[[0]]] * len(pairs), ignore_index=True)
    rows["source"], rows["target"] = zip(*pairs, strict=True)
    rows["effect"], rows["selected"] = effects if effects is not None else 0.5, True
    return replace(network, candidates=rows)


DIAMOND = [("GENE0", "GENE1"), ("GENE0", "GENE2"), ("GENE1", "GENE3"), ("GENE2", "GENE3"),
           ("GENE0", "GENE3")]  # fmt: skip


def test_numbers_of_a_diamond():
    network = network_of(DIAMOND, 5)
    layers = analysis.layers(network).set_index("gene")["layer"]
    assert layers.to_dict() == {"GENE0": 0, "GENE1": 1, "GENE2": 1, "GENE3": 2, "GENE4": 0}
    table = analysis.centrality_table(network).set_index("gene")
    assert table.loc["GENE0", ["parents", "children"]].tolist() == [0, 3]
    assert table.index[0] == "GENE0"
    # GENE0 reaches all three others in one step each; closeness counts 3 of 4 genes.
    assert table.loc["GENE0", "closeness"] == pytest.approx(3 / 4)
    assert table["betweenness"].tolist() == [0.0] * 5
    assert table.loc["GENE0", "katz"] > table.loc["GENE1", "katz"] > table.loc["GENE3", "katz"]
    assert table["hub"].idxmax() == "GENE0"
    assert table["authority"].idxmax() == "GENE3"
    hubs = analysis.hubs(network, n=1)
    assert hubs.to_numpy().tolist() == [
        ["acts on most", "GENE0", 3], ["acted on by most", "GENE3", 3]
    ]  # fmt: skip


def test_the_part_that_regulators_reach():
    network = network_of([*DIAMOND, ("GENE4", "GENE3")], 6)
    whole = analysis.subnetwork(network, ["GENE0"])
    assert dict(zip(zip(whole["source"], whole["target"], strict=True), whole["step"],
                    strict=True)) == {
        ("GENE0", "GENE1"): 1, ("GENE0", "GENE2"): 1, ("GENE0", "GENE3"): 1,
        ("GENE1", "GENE3"): 2, ("GENE2", "GENE3"): 2,
    }  # fmt: skip
    assert len(analysis.subnetwork(network, "GENE4", depth=1)) == 1
    assert not len(analysis.subnetwork(network, ["GENE5"]))
    with pytest.raises(argen.InputError, match="'GENE9' is no gene of the network"):
        analysis.subnetwork(network, ["GENE9"])


def test_planted_modules_are_found_and_small_ones_join():
    rng = np.random.default_rng(1)
    blocks = [range(10), range(10, 20), range(20, 28)]
    pairs = [
        (a, b) for block in blocks for a in block for b in block if a < b and rng.random() < 0.6
    ]
    pairs += [(0, 10), (5, 22), (9, 28), (28, 29)]  # bridges, and a tail of two genes
    named = [(f"GENE{a}", f"GENE{b}") for a, b in pairs]
    network = network_of(named, 32)
    table = analysis.modules(network).set_index("gene")
    for block in blocks:
        assert len(set(table.loc[[f"GENE{k}" for k in block], "module"])) == 1
    assert set(table["module"]) == {0, 1, 2, 3}  # three, and 0 for what is linked with nothing
    assert table.loc[["GENE30", "GENE31"], "module"].tolist() == [0, 0]
    assert len(set(table.loc[["GENE28", "GENE29", "GENE0"], "module"])) == 1
    assert (table.groupby("module")["size"].first() == table.groupby("module").size()).all()
    pd.testing.assert_frame_equal(analysis.modules(network), analysis.modules(network))
    alone = network_of([("GENE0", "GENE1"), ("GENE2", "GENE3")], 5)
    assert analysis.modules(alone)["module"].tolist() == [1, 1, 2, 2, 0]


def test_agrees_with_networkx_on_names_of_any_kind():
    network = made_up_network(40, 100, names=HOSTILE)
    table = analysis.centrality_table(network).set_index("gene")
    graph = argen.to_networkx(network)
    assert set(table.index) == set(network.genes)
    expected = networkx.betweenness_centrality(graph)
    for gene in HOSTILE:
        assert table.loc[gene, "betweenness"] == pytest.approx(expected[gene])
    layers = analysis.layers(network).set_index("gene")["layer"]
    assert layers.max() == networkx.dag_longest_path_length(graph, weight=None)
    assert set(analysis.modules(network)["gene"]) == set(network.genes)


def test_cycles_of_other_methods_have_no_layers():
    looped = network_of([("GENE0", "GENE1"), ("GENE1", "GENE0")], 3)
    with pytest.raises(argen.InputError, match="form a cycle"):
        analysis.layers(looped)
    assert np.isfinite(analysis.centrality_table(looped)["katz"]).all()


def test_without_edges():
    network = made_up_network(4, 2)
    empty = replace(network, candidates=network.candidates.assign(selected=False))
    assert (analysis.modules(empty)["module"] == 0).all()
    assert (analysis.layers(empty)["layer"] == 0).all()
    assert not len(analysis.hubs(empty))
    assert (analysis.centrality_table(empty)["hub"] == 0).all()
