"""Held-out perturbations: predicted where the network is right, and off where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import argen
from argen.checks import held_out
from argen.checks.again.scores import score_findings, score_table
from argen.checks.again.unforeseen import unforeseen_findings
from argen.data.parts import without_perturbation
from tests.checks.guides.test_agreement import guided_screen
from tests.screens import guided, screen_of

pytestmark = pytest.mark.whole

TRUE = {(0, 1): 0.6, (1, 2): 0.7, (2, 3): -0.6}


def chain(seed: int, *, drop: float = 1.0) -> tuple[argen.PerturbSeqData, pd.Series]:
    """g0 to g3 in a chain, and cells labelled A<b>, read as controls, in which g0 is lowered."""
    rng = np.random.default_rng(seed)
    node = np.repeat(np.arange(-1, 5), [1000, 200, 200, 200, 200, 250])
    label = np.where(node == 4, "A<b>", "")
    hidden, x = 0.4 * rng.normal(size=len(node)), rng.normal(size=len(node))
    levels = []
    for gene in range(4):
        level = 1.5 - 1.5 * (node == gene) - drop * ((node == 4) & (gene == 0))
        parents = [(s, effect) for (s, t), effect in TRUE.items() if t == gene]
        level = level + sum(effect * (levels[s] - 1.5) for s, effect in parents)
        levels.append(level)
    mean = np.exp(np.array(levels).T + (hidden + 0.3 * x)[:, None])
    data = screen_of(rng.poisson(mean), np.where(node == 4, -1, node), pd.DataFrame({"x": x}))
    return data, pd.Series(label, index=data.cells)


@pytest.mark.rates
def test_an_unseen_perturbation_is_predicted_from_where_it_enters():
    tables = []
    for seed in range(25):
        data, labels = chain(seed)
        tables.append(held_out(data, held=["A<b>"], labels=labels).tables["held_out"])
    for given, n_least in (("entry", 70), ("parents", 60)):
        parts = [table[table["given"] == given] for table in tables]
        rows = pd.concat(parts)
        assert len(rows) >= n_least
        reached = rows[rows["predicted"] != 0]
        z = (reached["observed"] - reached["predicted"]) / reached["std_error"]
        assert abs(z.mean()) < 0.5
        # Edges that are not called leave their targets unpredicted: those are not counted here.
        assert 0.88 <= np.mean(np.abs(z) < 1.96) <= 1.0
        assert np.corrcoef(reached["predicted"], reached["observed"])[0, 1] > 0.9
    entries = pd.concat(tables).query("given == 'entry'")["entry"]
    assert (entries == "g0").mean() > 0.9


def test_predictions_are_those_of_the_network_of_the_rest():
    data, labels = chain(3)
    seen = np.flatnonzero(labels.to_numpy() == "")
    table = held_out(data, held=["A<b>"], labels=labels).tables["held_out"]
    perturbed = np.asarray(data.perturbations.todense())[seen] @ np.arange(1, 5) - 1
    counts = data.counts.dense(np.arange(4)).T[seen]
    alone = screen_of(counts, perturbed, data.covariates.iloc[seen])
    network = argen.infer_network(alone)
    entry = table[table["given"] == "entry"].set_index("target")
    first = entry["entry"].iloc[0]
    whole = table[table["given"] == "parents"].set_index("target")
    start = held_out(data, held=["A<b>"], labels=labels, entry="g1").tables["held_out"]
    observed = start.set_index(["given", "target"])["observed"]["entry"]
    for target, row in entry.iterrows():
        total = argen.paths(network, first, target).total
        assert row["predicted"] == pytest.approx(observed[first] * total)
        assert row["ci_high"] - row["predicted"] == pytest.approx(1.959964 * row["std_error"])
        assert row["inside"] == (row["ci_low"] <= row["observed"] <= row["ci_high"])
    everything = {**observed, **entry["observed"]}
    for target, row in whole.iterrows():
        parents = network.parents(target)
        by_hand = sum(everything[s] * e for s, e in zip(parents["source"], parents["effect"],
                                                        strict=True))  # fmt: skip
        assert row["predicted"] == pytest.approx(by_hand)
    means = network.screen.effect
    assert entry.loc["g3", "mean"] == pytest.approx(np.mean(means[:3, 3]))


def test_observed_effects_are_those_of_the_screen():
    data, _ = chain(4, drop=0.0)  # all controls are such
    table = held_out(data, held=["g1"]).tables["held_out"]
    screen = argen.screen_descendants(data)
    for row in table.itertuples():
        at = 1, data.nodes.index(row.target)
        # The screen takes slopes from the controls and one group, here all cells have a part.
        assert row.observed == pytest.approx(screen.effect[at], abs=screen.std_error[at])
    assert set(table["target"]) >= {"g3"}
    assert set(table["entry"]) <= {"", "g2"}


def test_a_perturbation_left_out_makes_its_gene_a_sink():
    data, _ = chain(5)
    rest = without_perturbation(data, 1)
    assert (rest.nodes, rest.sinks) == (("g0", "g2", "g3"), ("g1",))
    node = data.node_of_cell
    kept = node != 1
    np.testing.assert_array_equal(
        rest.counts.dense(np.arange(4)), data.counts.dense(np.array([0, 2, 3, 1]))[:, kept]
    )
    expected = np.array([-1, 0, -1, 1, 2])[node[kept] + 1]
    np.testing.assert_array_equal(rest.node_of_cell, expected)
    assert argen.infer_network(rest).nodes == rest.nodes


@pytest.mark.rates
def test_guides_are_predicted_from_their_own_gene():
    inside, spoke = [], 0
    for seed in range(12):
        data, _ = guided_screen(seed)
        found = held_out(data, by_guide=True)
        table = found.tables["held_out"]
        assert set(table["given"]) == {"own gene"}
        assert table["held"].nunique() == 12
        assert (table["entry"] == table["held"].str[:2]).all()
        inside.append(table.loc[table["predicted"] != 0, "inside"].mean())
        spoke += bool(found.findings)
        score = found.tables["held_out_scores"].query("held == ''").iloc[0]
        assert score["explained"] > max(0.5, score["explained_by_mean"])
    assert spoke <= 1
    assert abs(np.mean(inside) - 0.95) < 4 * np.std(inside) / np.sqrt(12) + 0.01


def test_speaks_where_counts_do_not_show_what_guides_do():
    """The effect of g0 on others follows a protein that two of its guides destroy unseen."""
    rng = np.random.default_rng(1)
    node = np.repeat(np.arange(-1, 3), [800, 400, 400, 400])
    number = rng.integers(4, size=len(node))
    seen = np.linspace(0.6, 2.0, 4)[number]
    unseen = np.where(number < 2, 3.0, 0.3)
    first = 1.5 - seen * (node == 0)
    second = 1.5 - seen * (node == 1) - 0.6 * unseen * (node == 0)
    third = 1.5 - seen * (node == 2) + 0.6 * (second - 1.5)
    mean = np.exp(np.column_stack([first, second, third]))
    data = screen_of(rng.poisson(mean), node)
    labels = [f"g{k}-{n}" for k, n in zip(node, number, strict=True)]
    found = held_out(guided(data, labels), by_guide=True)
    evidence = [f.evidence for f in found.findings if "prediction" in f.assumption]
    assert any("off beyond doubt" in text and ": g0-" in text for text in evidence)


def redrawn(data, cells, log_mean):
    """Draw the counts of some cells anew."""
    counts = data.counts.dense(np.arange(4)).T.copy()
    counts[cells] = np.random.default_rng(2).poisson(np.exp(log_mean), (len(cells), 4))
    return screen_of(counts, data.node_of_cell, data.covariates)


def test_speaks_where_predictions_are_worse_than_none():
    """In the held-out cells every gene moves against its parents."""
    data, labels = chain(6)
    cells = np.flatnonzero(labels == "A<b>")
    wrong = redrawn(data, cells, [0.2, 2.6, 0.2, 0.2])
    several = labels.copy()
    several.iloc[cells[::2]] = "B"
    found = held_out(wrong, held=["A<b>", "B"], labels=several)
    (finding,) = found.findings
    assert "no better than to say that there are none" in finding.evidence
    scores = found.tables["held_out_scores"].set_index(["held", "given"])
    assert scores.loc[("", "parents"), "explained"] < 0
    assert scores.loc[("A<b>", "entry"), "entry"] == "g0"


def test_speaks_where_a_perturbation_does_the_opposite():
    """In the held-out cells g0 rises, as a partner does, while the signal that it carries stops."""
    data, labels = chain(6)
    odd = redrawn(data, np.flatnonzero(labels == "A<b>"), [2.3, 0.7, 0.7, 2.1])
    found = held_out(odd, held=["A<b>"], labels=labels)
    (finding,) = [f for f in found.findings if "the opposite" in f.evidence]
    assert finding.severity == "warning"
    assert finding.evidence.startswith("1 of 1 left-out perturbations do the opposite")
    assert "A<b> from g0 (3 of 3 signs wrong, -" in finding.evidence
    # As it is, the network foresees what follows from g0.
    assert not held_out(data, held=["A<b>"], labels=labels).findings


def test_what_the_mean_of_others_foresees_better_is_a_note():
    rows = pd.DataFrame(
        {
            "held": "P", "kind": "label", "given": "entry", "entry": "g0", "predicted": 0.0,
            "target": [f"g{k}" for k in range(1, 7)], "observed": -1.0, "mean": -0.5,
            "affected": True, "inside": False, "p_value": 1e-9,
        }
    )  # fmt: skip
    (note,) = score_findings(rows, score_table(rows))
    assert note.severity == "note"
    assert "P from g0 (0 % explained, 75 % by the mean)" in note.evidence
    better = rows.assign(predicted=-0.8)
    assert not score_findings(better, score_table(better))
    # Where effects are too small to be seen nothing can be said.
    small = rows.assign(affected=rows["target"] < "g5")
    assert not score_findings(small, score_table(small))


@pytest.mark.rates
def test_quiet_where_effects_are_small_and_seldom_loud_elsewhere():
    """Of 40 such screens each a warning came in none and in 1, a note in none and in 2."""
    kinds = {"faint": {"effect": (0.1, 0.3), "mean_count": 1.0, "cells_per_node": 60}, "usual": {}}
    for kind, more in kinds.items():
        options = {"n_nodes": 10, "cells_per_node": 100, "n_controls": 1000, "n_parents": 1.0}
        model = argen.ScreenModel(**(options | more))
        spoke = [0, 0]
        for seed in range(6):
            data, _ = argen.simulate_screen(model, rng=seed)
            tables = held_out(data).tables
            found = unforeseen_findings(tables["held_out"], tables["held_out_scores"])
            spoke[0] += any(finding.severity == "warning" for finding in found)
            spoke[1] += any(finding.severity == "note" for finding in found)
        assert spoke[0] <= (kind == "usual")
        assert spoke[1] <= 2 * (kind == "usual")


def test_scores_by_hand():
    data, labels = chain(7)
    found = held_out(data, held=["A<b>", "g0"], labels=labels)
    table, scores = (found.tables[name] for name in ("held_out", "held_out_scores"))
    row = scores.query("held == 'A<b>' and given == 'entry'").iloc[0]
    part = table.query("held == 'A<b>' and given == 'entry'")
    observed, predicted = part["observed"], part["predicted"]
    assert row["n"] == len(part)
    assert row["n_affected"] == part["affected"].sum()
    assert row["correlation"] == pytest.approx(observed.corr(predicted))
    assert row["slope"] == pytest.approx(np.polyfit(predicted, observed, 1)[0])
    assert row["inside"] == part["inside"].mean()
    squares = (observed**2).sum()
    assert row["explained"] == pytest.approx(1 - ((observed - predicted) ** 2).sum() / squares)
    by_mean = 1 - ((observed - part["mean"]) ** 2).sum() / squares
    assert row["explained_by_mean"] == pytest.approx(by_mean)
    affected = part[part["affected"]]
    same = np.sign(affected["observed"]) == np.sign(affected["predicted"])
    assert row["same_sign"] == pytest.approx(same.mean())
    assert {"node", "label"} == set(scores["kind"])
    assert "held-out perturbations of nodes" in found.summary()


def test_what_changes_nothing_has_no_entry():
    data, labels = chain(8, drop=0.0)
    found = held_out(data, held=["A<b>"], labels=labels)
    assert "without an effect to begin from: A<b>" in found.summary()
    assert set(found.tables["held_out"]["given"]) == {"parents"}
    assert not found.findings


def test_networks_without_edges_predict_nothing():
    rng = np.random.default_rng(1)
    node = np.repeat(np.arange(-1, 3), [300, 60, 60, 60])
    data = screen_of(rng.poisson(3.0, (len(node), 3)), node)
    found = held_out(data)
    assert "without an effect to begin from: g0, g1, g2" in found.summary()
    assert found.tables["held_out"].empty
    assert found.tables["held_out_scores"].empty


def test_guides_that_cannot_be_left_out_are_named():
    data, guides = guided_screen(3)
    guides[guides.index[guides == "g1-0<b>"][:4]] = "rare"
    guides[guides.str.startswith("g2")] = "only"
    found = held_out(guided(data, guides), by_guide=True)
    assert "have fewer than 10 cells: rare, only" in found.summary()
    assert not {"rare", "only"} & set(found.tables["held_out"]["held"])


def test_bad_input():
    data, labels = chain(9)
    cases = [
        ({"held": []}, "There is nothing to hold out"),
        ({"held": ["g9"]}, r"'g9' is not a node\. Did you mean 'g"),
        ({"held": ["B"], "labels": labels}, "'B' is neither a node nor a label of at least 10"),
        ({"entry": "nobody"}, "entry 'nobody' is not a node"),
    ]
    for options, words in cases:
        with pytest.raises(argen.InputError, match=words):
            held_out(data, **options)
    node = np.repeat(np.arange(-1, 2), [60, 20, 20])
    two = screen_of(np.random.default_rng(1).poisson(2.0, (100, 2)), node)
    with pytest.raises(argen.InputError, match="Of two nodes none can be left out"):
        held_out(two)
    both = np.zeros((100, 2))
    both[:40, 0], both[20:60, 1] = 1, 1
    several = replace(two, perturbations=screen_of(np.ones((100, 2)), both).perturbations)
    with pytest.raises(argen.InputError, match="cannot be held out where cells carry several"):
        held_out(several)
