"""Why a pair of genes has an edge or none: each reason, and what decided by a twin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import argen
from argen.errors import FitStatus
from argen.pvalues import two_level
from argen.steps import ancestor_bar
from argen.steps.rule import ANCESTOR_SHARE, PARENT_SHARE
from tests.networks import HOSTILE, made_up_network


@pytest.fixture(scope="module")
def inferred():
    """A network with a hidden cause, sinks, and candidates of all kinds."""
    model = argen.ScreenModel(n_nodes=12, n_sinks=4, n_parents=1.5, mean_count=2.0, failed=0.2)
    data, _ = argen.simulate_screen(model, rng=5)
    return argen.infer_network(data)


def three(**changes) -> argen.CausalNetwork:
    """A -> B by a candidate whose columns are changed; A has no effect on C, nor B on anything."""
    network = made_up_network(3, 1, names=("A", "B", "C"))
    values = {
        "source": "A", "target": "B", "effect": 0.5, "std_error": 0.1, "ci_low": 0.3,
        "ci_high": 0.7, "z": 5.0, "p_value": 1e-6, "log10_p": -6.0, "p_adjusted": np.nan,
        "batch": 1, "level": 0.01, "callable": True, "p_held": np.nan, "selected": False,
        "sink": False, "status": "OK",
    }  # fmt: skip
    candidates = pd.DataFrame([values | changes])[network.candidates.columns]
    acts = np.zeros((3, 3), dtype=bool)
    acts[0, 1] = True
    p_value = np.where(acts, 1e-8, 0.5)
    screen = replace(
        network.screen, is_descendant=acts, p_value=p_value, log10_p=np.log10(p_value),
        p_adjusted=p_value,
    )  # fmt: skip
    order = argen.CausalOrder(np.arange(3), acts, np.zeros((3, 3), dtype=bool))
    return replace(network, candidates=candidates, screen=screen, causal_order=order)


def because(network, source="A", target="B") -> str:
    row = argen.pair(network, source, target).table.iloc[0]
    assert row["edge"] == (row["because"] == "")
    return row["because"]


def test_an_edge_is_said_to_be_one():
    network = three(selected=True)
    assert because(network) == ""
    last = argen.pair(network, "A", "B").summary().splitlines()[-1]
    assert last.startswith("A -> B: an edge; B -> A: no edge, because perturbing B is not seen")


def test_genes_of_a_loop_are_one_unit():
    network = three(selected=True)
    p_value = network.screen.p_value.copy()
    p_value[0, 2] = p_value[2, 0] = 1e-8
    network = replace(network, screen=replace(network.screen, p_value=p_value))
    assert argen.pair(network, "A", "B").loops == ()
    (said,) = argen.pair(network, "C", "A").loops
    assert said.startswith("C and A act on each other beyond doubt")
    summary = argen.pair(network, "C", "B").summary()
    assert summary.splitlines()[-1] == (
        "A has the edge, in a loop with C: read the loop as one unit."
    )


def test_an_edge_out_of_a_loop_may_come_from_another_gene_of_it():
    network = three(selected=True)
    p_value, effect = network.screen.p_value.copy(), network.screen.effect.copy()
    descendant = network.screen.is_descendant.copy()
    p_value[0, 2] = p_value[2, 0] = 1e-8
    descendant[2, 1] = True
    effect[0, 1], effect[0, 2], effect[2, 1] = 0.6, 0.5, 0.4
    knockdown = replace(network.screen.knockdown, effect=np.array([1.0, 1.0, 1.0]))
    screen = replace(
        network.screen, p_value=p_value, effect=effect, is_descendant=descendant,
        knockdown=knockdown,
    )  # fmt: skip
    network = replace(network, screen=screen)
    said = "comes out of a loop of genes that act on each other beyond doubt: write 'A/C -> B', as"
    said += " which of them acts on B is open."
    assert argen.pair(network, "A", "B").loops == (f"The edge {said}",)
    assert argen.pair(network, "C", "B").loops == (f"A has the edge, which {said}",)
    effect[2, 1] = 0.2  # less than half of what A does
    assert argen.pair(network, "A", "B").loops == ()


def test_a_p_value_that_the_interval_does_not_give_is_explained():
    given = {"selected": True, "effect": 0.1, "std_error": 0.1}
    summary = argen.pair(three(**given, p_value=0.009, log10_p=-2.05), "A", "B").summary()
    assert "p is by the error that the effect would have if it were none" in summary
    alike = argen.pair(three(**given, p_value=0.3, log10_p=-0.52), "A", "B").summary()
    assert "p or interval" not in alike


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"p_value": 0.03, "log10_p": np.log10(0.03)},
         "its direct effect, 0.5 (0.3 to 0.7), has p = 0.03, and p had to be at most 0.01"),
        ({"p_value": 0.03, "log10_p": np.log10(0.03), "level": 0.0},
         "has p = 0.03, and p had to be at most 0.04, were it the only candidate"),
        ({"callable": False},
         "A is not surely an ancestor of B: the total effect has p = 1.0e-8, which had to be at"),
        ({"p_held": 0.2},
         "genes that may lie between, held fixed, take the evidence away (p = 0.2, which had to "
         "be at most 0.05)"),
        ({"p_value": np.nan, "log10_p": np.nan, "status": "NOT_IDENTIFIED"},
         "its direct effect could not be estimated (NOT_IDENTIFIED)"),
    ],
)  # fmt: skip
def test_why_a_candidate_is_none(changes, words):
    assert words in because(three(**changes))


def test_p_values_that_underflow_are_said_by_their_logarithm():
    network = three(p_value=0.0, log10_p=-400.0, selected=True)
    network = replace(network, screen=replace(network.screen, p_adjusted=np.zeros((3, 3))))
    said = argen.pair(network, "A", "B").summary()
    assert "p = 1.0e-400" in said
    assert "adjusted p < 1e-300" in said
    assert "p = 0;" not in said


def test_the_published_rule_compares_the_adjusted_p_value():
    network = three(p_adjusted=0.2)
    network = replace(network, config=argen.InferenceConfig(rule="published", edge_adjustment="bh"))
    assert "adjusted 0.2, which had to be below 0.01" in because(network)
    network = replace(three(), config=argen.InferenceConfig(rule="published"))
    assert "too large for the level 0.01" in because(network)


def test_why_a_pair_was_not_tested():
    network = three()
    assert because(network, "A", "C").startswith("perturbing A is not seen to change C (total")
    # The fit failed.
    status = network.screen.status.copy()
    status[0, 2] = FitStatus.NOT_CONVERGED
    p_value = network.screen.p_value.copy()
    p_value[0, 2] = np.nan
    unseen = replace(network, screen=replace(network.screen, status=status, p_value=p_value))
    assert because(unseen, "A", "C").startswith("it could not have been seen")
    assert FitStatus.NOT_CONVERGED.advice in argen.pair(unseen, "A", "C").summary()
    # The perturbation does nothing to its own gene.
    own = network.screen.knockdown
    dead = replace(own, p_value=np.array([0.8, 1e-3, 1e-3]), log10_p=np.log10([0.8, 1e-3, 1e-3]))
    dead = replace(network, screen=replace(network.screen, knockdown=dead))
    assert because(dead, "A", "C").startswith("nothing can be said: perturbing A is not seen to ch")
    assert because(dead, "A", "B").endswith("perturbing A is not seen to change that gene itself")
    assert argen.pair(dead, "A", "C").table["failed"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("reverse", "is_sure", "words"),
    [(1e-30, True, "what perturbing A does to B is surer (p = 1.0e-30, against 1.0e-10)"),
     (1e-12, True, "surer (p = 1.0e-12, against 1.0e-10, a near-tie that may as well be the other"),
     (1e-12, False, "surer effects lead from A to B"),
     (1e-9, True, "surer effects lead from A to B")],
)  # fmt: skip
def test_why_the_order_forbids_it(reverse, is_sure, words):
    network = three()
    network.screen.is_descendant[0, 1] = is_sure
    log10_p = network.screen.log10_p.copy()
    log10_p[1, 0], log10_p[0, 1] = -10.0, np.log10(reverse)
    possible = network.causal_order.possible.copy()
    possible[1, 0] = True
    order = replace(network.causal_order, possible=possible)
    network = replace(network, causal_order=order, screen=replace(network.screen, log10_p=log10_p))
    assert because(network, "B", "A").startswith("A comes before B in the causal order")
    assert words in because(network, "B", "A")


def test_every_pair_has_the_reason_that_a_plain_loop_finds(inferred):
    network, seen = inferred, set()
    called = set(network.edges[["source", "target"]].itertuples(index=False, name=None))
    tested = network.candidates.set_index(["source", "target"])
    for s, source in enumerate(network.genes):
        for t, target in enumerate(network.genes):
            if s == t:
                continue
            said = because(network, source, target)
            if (source, target) in called:
                expected = ""
            elif s >= len(network.nodes):
                expected = "nobody perturbed"
            elif (source, target) in tested.index:
                row = tested.loc[(source, target)]
                expected = "p had to be at most"
                if row["p_value"] <= row["level"]:
                    expected = "take the evidence" if row["callable"] else "is not surely an"
            elif network.causal_order.possible[s, t]:
                expected = "in the causal order"
            elif network.screen.knockdown.p_value[s] > 0.05:
                expected = "nothing can be said"
            else:
                expected = "is not seen to change"
            assert (expected in said) if expected else said == ""
            seen.add(expected)
    assert len(seen) >= 6


def test_the_bar_of_ancestors_is_what_the_rule_used(rng):
    config, n_pairs, n_told = argen.InferenceConfig(), 300, 0
    alpha = config.level_of_edges
    for _ in range(200):
        n = int(rng.integers(1, 30))
        p = np.where(rng.random(n) < 0.5, 10 ** rng.uniform(-8, -1, n), rng.random(n))
        ancestor_p = 10 ** rng.uniform(-7, -2, n)
        sure = rng.random(n) < 0.3
        found, can = two_level(
            p, ancestor_p, sure, n_pairs=n_pairs,
            ancestor_alpha=ANCESTOR_SHARE * alpha, parent_alpha=PARENT_SHARE * alpha,
        )  # fmt: skip
        bar = ancestor_bar(found.level[0], int(can.sum()), n_pairs, config)
        if found.level[0] > 0:
            np.testing.assert_array_equal(can, sure | (ancestor_p <= bar * (1 + 1e-9)))
            n_told += int((can & ~sure).sum())
    assert n_told > 50


def test_a_path_of_edges_is_the_shortest():
    network = made_up_network(4, 3, names=("A", "B", "C", "D"))
    table = network.candidates.iloc[[0, 0, 0, 0]].assign(
        source=["A", "B", "C", "A"], target=["B", "C", "D", "C"], selected=True
    )
    network = replace(network, candidates=table.reset_index(drop=True))
    assert "path of edges     A > C > D" in argen.pair(network, "A", "D").summary()
    ends = argen.pair(network, "D", "A").summary().split("\n\n")[0]
    assert ends.splitlines()[-1].startswith("  path of edges     none")


def test_a_file_says_the_same_and_names_cannot_command_a_terminal(tmp_path):
    names = ("\x1b[31mred", "new\nline", *HOSTILE[:3])
    network = made_up_network(5, 4, names=names)
    said = argen.pair(network, names[0], names[1]).summary()
    assert "\x1b" not in said
    assert "\nline" not in said
    assert "\\x1b[31mred -> new\\nline" in said
    argen.save(network, tmp_path / "network")
    again = argen.load(tmp_path / "network.npz")
    assert argen.pair(again, names[0], names[1]).summary() == said


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("A", "A"), "Source and target are both 'A'"),
        (("A", "Bb"), r"'Bb' is not a node of this network\. Did you mean 'B'\?"),
        (("A*", "B"), r"'A\*' is not a node .* It was left out: fewer than 10 perturbed cells"),
    ],
)
def test_names_that_are_no_pair_are_refused(names, words):
    with pytest.raises(argen.InputError, match=words):
        argen.pair(three(), *names)
