"""Sinks: measured genes that are targets without being nodes."""

import numpy as np
import pytest

import argen


def test_all_measured_genes(screen, read):
    data = read(screen, sinks="all")
    assert data.nodes == ("STAT1", "STAT2", "JAK2")
    assert data.sinks == ("MYC", "ACTB", "GAPDH")
    assert data.genes == data.nodes + data.sinks
    expected = screen[data.cells, list(data.genes)].X.toarray()
    np.testing.assert_array_equal(data.counts.to_csc().toarray(), expected)
    assert "3 sinks (targets that nobody perturbed)" in data.summary()
    without = read(screen)
    np.testing.assert_array_equal(data.counts.dense([0, 1, 2]), without.counts.dense([0, 1, 2]))
    assert without.sinks == ()
    assert "sinks" not in without.summary()


def test_listed_sinks_by_either_name(screen, read):
    screen.var["symbol"] = [f"symbol of {name}" for name in screen.var_names]
    data = read(screen, gene_symbols="symbol", sinks=["GAPDH", "symbol of MYC", "STAT1"])
    assert data.sinks == ("symbol of MYC", "symbol of GAPDH")  # a node is a target anyway
    assert read(screen, sinks="GAPDH").sinks == ("GAPDH",)


@pytest.mark.parametrize(
    ("sinks", "words"),
    [
        (["GAPD"], r"'GAPD', in the list of sinks, is not a measured gene\. Did you mean 'GAPDH'"),
        (["MYC", "MYC"], "sinks names 'MYC' more than once"),
        (7, "sinks must be a name or a list of names, not 7"),
    ],
)
def test_sinks_that_are_none(screen, read, sinks, words):
    with pytest.raises(argen.InputError, match=words):
        read(screen, sinks=sinks)


def test_the_same_sink_twice(screen, read):
    screen.var["symbol"] = [f"symbol of {name}" for name in screen.var_names]
    with pytest.raises(argen.InputError, match="in the list of sinks, is there by its other name"):
        read(screen, gene_symbols="symbol", sinks=["MYC", "symbol of MYC"])


def test_sinks_without_counts_are_left_out(screen, read):
    counts = screen.X.tolil()
    counts[:, 3] = 0
    counts[(screen.obs["perturbation"] != "IRF1").to_numpy(), 4] = 0  # in cells that go
    screen.X = counts.tocsr()
    data = read(screen, sinks="all")
    assert data.sinks == ("GAPDH",)
    sinks = data.left_out[data.left_out["kind"] == "sink"]
    assert sinks["name"].tolist() == ["MYC", "ACTB"]
    assert set(sinks["reason"]) == {"no count in any cell that is used"}
    assert "left out: 2 sinks ('MYC', 'ACTB'): no count in any cell" in data.summary()


def test_rare_sinks(screen, read):
    counts = screen.X.tolil()
    counts[10:, 5] = 0
    screen.X = counts.tocsr()
    data = read(screen, sinks="all", min_sink_mean=0.5)
    assert data.sinks == ("MYC", "ACTB")
    assert data.left_out.set_index("name").loc["GAPDH", "reason"] == "mean count below 0.5"
    for bad in (-1, "1", None, float("nan"), True):
        with pytest.raises(argen.InputError, match="min_sink_mean must be a number from 0"):
            read(screen, sinks="all", min_sink_mean=bad)


def test_nodes_that_are_dropped_are_no_sinks(screen, read):
    counts = screen.X.tolil()
    counts[:, 2] = 0
    screen.X = counts.tocsr()
    with pytest.warns(argen.ArgenWarning, match="JAK2"):
        data = read(screen, sinks="all")
    assert data.nodes == ("STAT1", "STAT2")
    assert data.sinks == ("MYC", "ACTB", "GAPDH")
    expected = screen[data.cells, list(data.genes)].X.toarray()
    np.testing.assert_array_equal(data.counts.to_csc().toarray(), expected)
