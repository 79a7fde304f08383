"""Direction: quiet without feedback, and speaking of it, of near-ties, and of groups."""

from __future__ import annotations

from dataclasses import replace

import networkx
import numpy as np
import pytest
from scipy import stats

import argen
from argen.checks.edges.direction import (
    NEAR_TIE,
    direction_findings,
    direction_line,
    direction_table,
    feedback_table,
    groups_table,
)
from argen.checks.edges.validation import implied_findings, implied_table
from argen.network.loops import ACYCLIC
from tests.networks import HOSTILE, made_up_network


def findings_of(network: argen.CausalNetwork):
    return [*network.findings(), *direction_findings(direction_table(network))]


def with_reverse(network, log10_p: float) -> argen.CausalNetwork:
    """The first edge of a network, significant in reverse too."""
    edge = network.edges.iloc[0]
    at = network.nodes.index(edge["target"]), network.nodes.index(edge["source"])
    screen = network.screen
    arrays = {
        name: getattr(screen, name).copy() for name in ("p_value", "log10_p", "is_descendant")
    }
    arrays["p_value"][at], arrays["log10_p"][at] = 10.0**log10_p, log10_p
    arrays["is_descendant"][at] = True
    return replace(network, screen=replace(screen, **arrays))


def test_tables_are_those_of_a_double_loop():
    network = with_reverse(made_up_network(13, 30, names=HOSTILE), -4.0)
    screen, nodes = network.screen, network.nodes
    feedback, direction = feedback_table(network), direction_table(network)
    pairs = [
        (a, b)
        for a in range(13)
        for b in range(a + 1, 13)
        if screen.is_descendant[a, b] and screen.is_descendant[b, a]
    ]
    assert [(nodes[a], nodes[b]) for a, b in pairs] == [
        *feedback[["first", "second"]].itertuples(index=False, name=None)
    ]
    for (a, b), row in zip(pairs, feedback.itertuples(), strict=True):
        assert (row.effect, row.reverse_effect) == (screen.effect[a, b], screen.effect[b, a])
        assert row.edge == "forward"
    for row, edge in zip(direction.itertuples(), network.edges.itertuples(), strict=True):
        a, b = nodes.index(edge.source), nodes.index(edge.target)
        z, reverse_z = (stats.norm.isf(screen.p_value[k] / 2) for k in ((a, b), (b, a)))
        assert row.lead == pytest.approx(z - reverse_z)
        assert row.in_doubt == (screen.is_descendant[b, a] and z - reverse_z < NEAR_TIE)
    assert direction["in_doubt"].sum() == 1
    assert "1 pair significant both ways" in direction_line(
        feedback, direction, groups_table(network)
    )


@pytest.mark.parametrize(("log10_p", "in_doubt", "by_others"),
                         [(-2.0, False, False), (-4.0, True, False), (-6.0, True, False),
                          (-8.0, True, True), (-400.0, True, True)])  # fmt: skip
def test_near_tie(log10_p, in_doubt, by_others):
    """The edge itself has p = 1e-6: |z| = 4.9; in reverse 2.6, 3.9, 4.9, 5.7 and beyond."""
    row = direction_table(with_reverse(made_up_network(13, 30), log10_p)).iloc[0]
    doubt = in_doubt if log10_p < -2 else row["z"] - row["reverse_z"] < NEAR_TIE
    assert (row["in_doubt"], row["by_others"]) == (doubt, by_others)
    assert np.isfinite(row["lead"])


def test_groups_are_cycles_of_any_length():
    network = made_up_network(6, 4)
    chain = np.zeros((6, 6), dtype=bool)
    chain[[0, 1, 2, 4], [1, 2, 0, 5]] = True
    p_value = np.where(chain, 1e-6, 0.5)
    p_value[2, 0] = 0.02  # too much for Holm's method
    looped = replace(network, screen=replace(network.screen, is_descendant=chain, p_value=p_value))
    table = groups_table(looped)
    assert table["gene"].tolist() == list(network.nodes[:3])
    assert not table["sure"].any()
    graph = networkx.DiGraph(list(zip(*np.nonzero(chain), strict=True)))
    assert max(map(len, networkx.strongly_connected_components(graph))) == 3
    (note,) = [f for f in findings_of(looped) if "of three or more" in f.evidence]
    assert note.severity == "note"
    assert not len(looped.feedback_pairs())


def test_a_loop_is_told_once():
    """Pairs, groups, and effects against the order, which are all of the same two genes."""
    network = with_reverse(made_up_network(13, 30), -40.0)
    edge = network.edges.iloc[0]
    sure = feedback_table(network).query("sure")
    assert {*sure.iloc[0][["first", "second"]]} == {edge["source"], edge["target"]}
    findings = argen.check(network).findings
    (told,) = [f for f in findings if f.assumption.startswith("no feedback")]
    assert told.severity == "warning"
    assert "1 pair of genes affect each other both ways, 1 of them beyond doubt" in told.evidence
    assert "Less sure" not in told.evidence
    table = implied_table(network)
    untold, rest = (
        [f.evidence for f in implied_findings(table, pairs) if "against the causal" in f.evidence]
        for pairs in (sure.iloc[:0], sure)
    )
    assert f"{edge['target']} on {edge['source']}" in untold[0]
    assert not rest
    assert told in network.findings()


def test_without_edges_nothing_is_said():
    network = made_up_network(6, 4)
    empty = replace(network, candidates=network.candidates.assign(selected=False))
    assert not direction_findings(direction_table(empty))
    assert not len(direction_table(empty))


@pytest.mark.rates
def test_quiet_without_feedback():
    """Pairs are sure in at most one of twenty screens; near-ties are as rare."""
    spoke = {"no feedback": 0, "direction": 0}
    for seed in range(40):
        model = argen.ScreenModel(n_nodes=20, n_parents=1.5, mean_count=4.0)
        network = argen.infer_network(argen.simulate_screen(model, rng=seed)[0])
        found = [f for f in findings_of(network) if f.severity == "warning"]
        for words in spoke:
            spoke[words] += any(f.assumption.startswith(words) for f in found)
    assert max(spoke.values()) <= stats.binom.isf(0.001, 40, 0.05)


@pytest.mark.rates
def test_speaks_of_feedback():
    spoke = 0
    for seed in range(6):
        model = argen.ScreenModel(n_nodes=20, n_parents=1.5, n_feedback=2, mean_count=4.0)
        data, truth = argen.simulate_screen(model, rng=seed)
        found = argen.check(argen.infer_network(data), data, n_null_tests=0)
        sure = found.tables["feedback"].query("sure")
        place = {gene: k for k, gene in enumerate(truth.genes)}
        for pair in sure.itertuples():
            first, second = place[pair.first], place[pair.second]
            assert truth.total[first, second] != 0
            assert truth.total[second, first] != 0
        told = [f for f in found.findings if f.assumption == ACYCLIC]
        assert len(told) <= 1
        spoke += any("beyond doubt (by Holm" in f.evidence for f in told)
    assert spoke >= 4
