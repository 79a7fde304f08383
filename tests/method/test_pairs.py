"""Edges that are pairs of the screen, or of chance."""

import numpy as np
import pytest

import argen


def test_screen_only_selects_every_descendant(paper_screen):
    network = argen.method.infer_screen_only(paper_screen[0])
    pair = ["source", "target"]
    screened = network.screen.to_frame().query("descendant").set_index(pair)
    edges = network.edges.set_index(pair)
    assert sorted(edges.index) == sorted(screened.index)
    own = network.screen.knockdown_frame().set_index("node")
    for (source, target), row in edges.iterrows():
        total, knockdown = screened.loc[(source, target)], own.loc[source]
        effect = total["effect"] / knockdown["effect"]
        relative = np.hypot(
            total["std_error"] / total["effect"], knockdown["std_error"] / knockdown["effect"]
        )
        assert row["effect"] == pytest.approx(effect)
        assert row["std_error"] == pytest.approx(abs(effect) * relative)
        assert row["p_value"] == total["p_value"]
        assert row["p_adjusted"] == total["p_adjusted"] < 0.05


def test_its_summary_says_how_edges_were_selected(paper_screen):
    summary = argen.method.infer_screen_only(paper_screen[0]).summary()
    assert "method     screen\n" in summary
    assert "selection  every descendant of the screen\n" in summary


def test_random_pairs_are_as_many_as_edges_of_the_method(paper_screen, paper_network):
    network = argen.method.infer_random(paper_screen[0])
    assert len(network.edges) == len(paper_network.edges)
    assert (network.edges["source"] != network.edges["target"]).all()
    assert f"{len(network.edges)} random pairs, seed 0" in network.summary()


def test_random_pairs_follow_the_seed_and_cover_all(paper_screen):
    def pairs(seed):
        network = argen.method.infer_random(paper_screen[0], n_edges=15, seed=seed)
        return set(network.edges[["source", "target"]].itertuples(index=False, name=None))

    assert pairs(1) == pairs(1)
    assert len(pairs(1)) == 15
    assert len(set.union(*map(pairs, range(8)))) == 30


def test_too_many_pairs(paper_screen):
    with pytest.raises(argen.InputError, match="n_edges must be from 0 to 30"):
        argen.method.infer_random(paper_screen[0], n_edges=31)
