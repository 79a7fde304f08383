"""The weakest point of an edge: in a screen with one weakness, that one is named."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import argen
from argen.checks import Diagnostics, weak_points
from argen.checks.guides import needed_guide_points
from argen.checks.weak_points import DOUBTS, NONE
from tests.screens import guided, screen_of

EFFECTS = {(0, 1): 0.6, (1, 2): 0.6}


def chain(
    seed: int = 1,
    *,
    effects=EFFECTS,
    n_cells=(1500, 300, 300, 300),
    drops=((2.0, 2.0, 2.0),) * 3,
    past=(),
    level: float = 1.5,
    penetrance: float = 1.0,
    with_guides: bool = True,
    moved: float = 0.0,
    deeper: float = 0.0,
) -> argen.PerturbSeqData:
    """Three genes, each with its guides; g0 acts on g1, and g1 on g2, with nothing amiss.

    Parameters
    ----------
    effects
        Of each edge.
    n_cells
        Controls, then cells of each gene.
    drops
        Of each gene: how far each of its guides lowers it.
    past
        What guides do elsewhere: gene, number of its guide, other gene, and by how much it falls.
    moved, deeper
        How much the perturbation of g0 moves the covariate ``p_mito``, and the library size.
    """
    rng = np.random.default_rng(seed)
    node = np.repeat(np.arange(-1, len(n_cells) - 1), n_cells)
    n_genes = len(n_cells) - 1
    number = rng.integers(3, size=len(node))
    number = np.where(node < 0, number, number % np.array([len(own) for own in drops])[node])
    works = rng.random(len(node)) < penetrance
    direct = np.zeros((len(node), n_genes))
    for gene, own in enumerate(drops):
        at = (node == gene) & works
        direct[at, gene] -= np.array(own)[number[at]]
    for gene, guide, other, drop in past:
        direct[(node == gene) & (number == guide) & works, other] -= drop
    weights = np.zeros((n_genes, n_genes))
    for pair, effect in effects.items():
        weights[pair] = effect
    x = rng.normal(size=len(node)) + moved * (node == 0)
    hidden = 0.4 * rng.normal(size=len(node))
    log_mean = level + direct @ np.linalg.inv(np.eye(n_genes) - weights)
    log_mean += (0.2 * x + hidden)[:, None]
    size = rng.gamma(20.0, 1 / 20, len(node)) * np.exp(deeper * (node == 0))
    counts = rng.poisson(np.exp(log_mean) * size[:, None])
    data = screen_of(counts, node, pd.DataFrame({"p_mito": x}), size)
    names = [f"g{k}-{n}" if k >= 0 else f"nt-{n}" for k, n in zip(node, number, strict=True)]
    return guided(data, names) if with_guides else data


def weakest(
    data: argen.PerturbSeqData, *further: Diagnostics, config=None, every_edge=False, n_null_tests=0
) -> pd.DataFrame:
    """The weakest point of each edge, by source and target."""
    network = argen.infer_network(data, config)
    found = argen.check(
        network, data, n_null_tests=n_null_tests, every_edge=every_edge, further=further
    )
    return found.tables["weak_points"].set_index(["source", "target"])


@pytest.fixture(scope="module")
def near() -> tuple[argen.PerturbSeqData, argen.CausalNetwork]:
    """A screen whose edge from g0 to g2 passed narrowly, and its network."""
    data = chain(2, effects=EFFECTS | {(0, 2): 0.08}, with_guides=False)
    return data, argen.infer_network(data)


def of_tables(network: argen.CausalNetwork, **tables: pd.DataFrame) -> pd.DataFrame:
    """The weakest point of each edge, of what some tables say."""
    found = weak_points(network, Diagnostics.of([], tables, []))
    return found.set_index(["source", "target"])


def test_a_strong_edge_has_none_and_says_what_is_missing():
    table = weakest(chain())
    assert set(table["weak_point"]) == {NONE}
    assert set(table["rank"]) == {len(DOUBTS) + 1}
    for (source, target), row in table.iterrows():
        assert row["sentence"].startswith(f"{source} -> {target}: no check speaks against it, and ")
        assert f"the 3 guides of {source} agree (p = 0." in row["sentence"]
        assert "a replicate of the screen would convince." in row["sentence"]
        assert row["also"] == ""


def test_what_was_not_looked_at_is_said():
    data = chain(with_guides=False)
    sentence = weakest(data).loc[("g0", "g1"), "sentence"]
    assert "but no guides could be compared; a second, independent guide of g0" in sentence
    network = argen.infer_network(data)
    for found in (weak_points(network), argen.check(network).tables["weak_points"]):
        assert "balance and null screens were not looked at" in found["sentence"][0]


# The screen has this weakness in the edge from g0 to g1, or that which is named, and nowhere else.
SCREENS = {
    "knock-down not seen": (
        {"seed": 6, "drops": ((0.08,) * 3, (2.0,) * 3, (2.0,) * 3), "effects": {(1, 2): 0.6},
         "past": [(0, n, 1, 1.5) for n in range(3)], "with_guides": False},
        r"is not seen to change g0 itself \(94 % left, adjusted p = 0\.2\): the same edge from",
    ),
    "small knock-down": (
        {"seed": 0, "drops": ((0.25,) * 3, (2.0,) * 3, (2.0,) * 3)},
        r"small knock-down \(83 % of g0 left\): guides that lower g0 further would",
    ),
    "one guide": (
        {"drops": ((0.0, 0.0, 2.5), (2.0,) * 3, (2.0,) * 3)},
        r"rests on guide g0-2 alone \(p = 0\.\d+ from the other guides of g0; 1 of 3 guides "
        r"changes g1 by itself\): another guide of g0 that does the same would convince\.$",
    ),
    "guides disagree": (
        {"past": [(0, 2, 1, 1.2)]},
        r"disagree about g1 beyond their strength \(adjusted p = \S+, g0-2 against the others; "
        r"3 of 3 guides change g1 by themselves\): the same edge without g0-2",
    ),
    "both directions": (
        {"effects": {(0, 1): 0.6, (1, 0): 0.3, (1, 2): 0.6}},
        r"the other way too: perturbing g1 changes g0 by -0\.\d+ \(natural log, p = .*time course",
    ),
    "unbalanced cells": (
        {"moved": 0.6},
        r"is adjusted for p_mito, which the perturbation of g0 may move .* without the covariate",
    ),
    "few cells": (
        {"n_cells": (1500, 24, 300, 300), "with_guides": False},
        r"those that carry g0, and the controls like them, are worth 24\): more cells",
    ),
    "small hidden effect": (
        {"effects": {(0, 1): 0.06, (1, 2): 0.6}, "n_cells": (3000, 2000, 300, 300),
         "with_guides": False},
        r"a guide that changes g1 past g0 by 6\.3 %, .*: a second, independent guide of g0",
    ),
    "cells escape": (
        {"penetrance": 0.6},
        r"guide of g0 works \(6\d %, \d+ to \d+ %\): a guide of g0 that works in every cell",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_with_one_weakness_has_it_named(name):
    options, said = SCREENS[name]
    table = weakest(chain(**options))
    assert table.loc[("g0", "g1"), "weak_point"] == name
    assert pd.Series(table.loc[("g0", "g1"), "sentence"]).str.contains(said).all()
    assert np.isfinite(table.loc[("g0", "g1"), "value"])
    # Cells escape in the whole screen, and what comes out of a loop is in doubt; all else is of
    # one gene.
    other = {"cells escape": name, "both directions": "loop partner"}.get(name, NONE)
    assert table.loc[("g1", "g2"), "weak_point"] == other


def test_controls_of_another_depth():
    table = weakest(chain(deeper=0.4))
    sentence = table.loc[("g0", "g1"), "sentence"]
    assert "with controls that differ in log library size" in sentence
    assert table.loc[("g1", "g2"), "weak_point"] == NONE


@pytest.mark.parametrize("options", [{"moved": 0.6}, {"deeper": 0.4}])
def test_a_doubt_that_another_fit_settles_is_gone(options):
    data = chain(**options)
    varied = argen.sensitivity(argen.infer_network(data), data)
    assert set(weakest(data, varied)["weak_point"]) == {NONE}


def test_a_source_that_is_a_large_part_of_the_library_size():
    """Without g0, which has most of the counts, every other gene seems to rise."""
    data = chain(effects={(1, 2): 0.6}, with_guides=False)
    sizes = data.counts.dense(np.arange(1))[0] + 10.0
    table = weakest(dataclasses.replace(data, library_size=np.asarray(sizes, dtype=np.float64)))
    lent = table[table["weak_point"] == "library size"]
    assert {source for source, _ in lent.index} == {"g0"}
    assert lent["sentence"].str.contains("with the loss of g0, a large part of the library").all()
    assert table.loc[("g1", "g2"), "weak_point"] == NONE


def test_a_guide_that_acts_elsewhere_leaves_the_other_parents_unexplained():
    table = weakest(chain(effects={(0, 2): 0.6}, past=[(1, 2, 2, 1.2)]))
    assert table.loc[("g0", "g2"), "weak_point"] == "target unexplained"
    assert table.loc[("g1", "g2"), "weak_point"] == "one guide"
    assert table.loc[("g1", "g2"), "also"] == "guides disagree, target unexplained"


def test_an_interval_that_needs_no_strong_instruments():
    weak = {"effects": {(0, 1): 0.9, (1, 2): 1.2, (0, 2): -0.6}, "with_guides": False,
            "n_cells": (1500, 40, 40, 300),
            "drops": ((2.0,) * 3, (0.3,) * 3, (2.0,) * 3)}  # fmt: skip
    row = weakest(chain(3, **weak)).loc[("g1", "g2")]
    assert row["weak_point"] == "weak perturbation"
    assert "conditional F = 5.7; interval all above 0.63 and values beyond" in row["sentence"]
    weak |= {"effects": EFFECTS | {(0, 1): 0.9, (1, 2): 1.2}}
    weak |= {"level": 0.0, "n_cells": (1500, 80, 80, 300)}
    weak |= {"drops": ((2.0,) * 3, (0.5,) * 3, (2.0,) * 3)}
    row = weakest(chain(0, **weak)).loc[("g1", "g2")]
    assert row["weak_point"] == "uncertain size"
    assert "(conditional F = 9.4; interval 0.21 to 2.7)" in row["sentence"]


def test_an_interval_that_holds_0_without_cells():
    data = chain(
        2, effects={(0, 1): 0.9, (1, 2): 1.2}, drops=((2.0,) * 3, (0.3,) * 3, (2.0,) * 3),
        n_cells=(1500, 40, 40, 300), with_guides=False,
    )  # fmt: skip
    network = argen.infer_network(data)
    row = weak_points(network).set_index(["source", "target"]).loc[("g0", "g2")]
    assert row["weak_point"] == "weak perturbation"
    assert "has an interval that holds 0 (-0.0042 to 1)" in row["sentence"]
    # A perturbation that is known to be strong enough is not called weak for that.
    strength = pd.DataFrame({"source": ["g0"], "target": ["g2"], "conditional_f": [86.0]})
    row = of_tables(network, strength=strength.assign(weak=False)).loc[("g0", "g2")]
    assert "weak perturbation" not in (row["weak_point"], *row["also"].split(", "))
    assert "uncertain size" in (row["weak_point"], *row["also"].split(", "))
    row = of_tables(network, strength=strength.assign(weak=True, conditional_f=6.0))
    row = row.loc[("g0", "g2")]
    assert row["weak_point"] == "weak perturbation"


def test_an_interval_that_holds_0_since_cells_escape():
    """The p-value is of the error without an effect, in which the share of cells has no part."""
    data = chain(penetrance=0.6)
    network = argen.infer_network(data)
    wide = network.candidates.assign(ci_low=-0.1)
    network = dataclasses.replace(network, candidates=wide)
    for found in (
        weak_points(network),
        argen.check(network, data, n_null_tests=0).tables["weak_points"],
    ):
        row = found.set_index(["source", "target"]).loc[("g0", "g1")]
        assert row["weak_point"] == "uncertain size"
        assert re.search(
            r"\(interval -0\.1 to 0\.\d+, although p = \S+ speaks against 0\), as the guide of g0 "
            r"works in a part of its cells alone \(6\d %, \d+ to \d+ %\): stronger guides",
            row["sentence"],
        )


def test_four_genes_in_a_circle():
    circle = {(0, 1): 0.4, (1, 2): 0.4, (2, 3): 0.4, (3, 0): 0.4}
    data = chain(
        effects=circle, n_cells=(1500, *[100] * 4), drops=((2.0,) * 3,) * 4, with_guides=False
    )
    row = weakest(data).loc[("g1", "g2")]
    assert row["weak_point"] == "in a loop"
    assert "within a group of 4 genes" in row["sentence"]


def test_fewer_cells_are_told_from_guides_that_do_not_agree():
    network = argen.infer_network(chain())
    rows = [("", 0.5, 1e-5), ("g0-0", 0.4, 0.07), ("g0-1", 0.5, 1e-3), ("g0-2", 0.5, 1e-3)]
    table = pd.DataFrame(rows, columns=["left_out", "effect", "p_value"])
    table = table.assign(source="g0", target="g1")
    (point,) = needed_guide_points(network, {"leave_one_guide_out": table})
    assert point.shows.startswith("is too unsure without g0-0 (0.4, where all give 0.5; p = 0.07")
    table.loc[1, "effect"] = 0.2  # the others hardly do the same
    (point,) = needed_guide_points(network, {"leave_one_guide_out": table})
    assert point.shows.startswith("does not hold without g0-0 (p = 0.07 from")


def test_either_gene_of_a_loop_may_act_on_a_third():
    """The transcript does not tell: the activity of g1 follows g0, or g2 follows both."""
    loop = {(0, 1): 0.5, (1, 0): 0.4}
    row = weakest(chain(effects=loop | {(0, 2): 0.4, (1, 2): 0.3})).loc[("g0", "g2")]
    assert row["weak_point"] == "loop partner"
    assert (
        "comes out of a loop: g0 and g1 act on each other beyond doubt; write 'g0/g1 -> g2', as "
        "which of them acts on g2 is open (perturbing them changes it by -"
    ) in row["sentence"]
    assert "in cells in which g1 is active whatever " in row["sentence"]
    assert row["value"] < 0
    # What hardly acts on the third, or the other way, is not its source.
    for other in (0.0, -0.6):
        data = chain(effects={(0, 1): 0.3, (1, 0): 0.3, (0, 2): 0.6, (1, 2): other})
        assert "loop partner" not in " ".join(
            weakest(data).loc[("g0", "g2"), ["weak_point", "also"]]
        )


def test_an_effect_that_opposes_the_total():
    data = chain(effects={(0, 1): 0.9, (1, 2): 0.9, (0, 2): -0.5})
    table = weakest(data)["weak_point"]
    assert table.to_dict() == {
        ("g0", "g1"): NONE, ("g0", "g2"): "opposes the total", ("g1", "g2"): NONE,
    }  # fmt: skip


def test_what_passed_narrowly_and_does_not_come_back(near):
    data, network = near
    pair = ("g0", "g2")
    row = weakest(data).loc[pair]
    assert row["weak_point"] == "near its bar"
    assert "(p = 0.014, where 0.04 was needed): the same edge in a replicate" in row["sentence"]
    assert row["also"] == "small hidden effect"
    again = argen.stability(network, data, n_resamples=10)
    found = weak_points(network, again).set_index(["source", "target"])
    assert found["weak_point"].to_dict() == {
        ("g0", "g1"): NONE,
        pair: "unstable",
        ("g1", "g2"): NONE,
    }
    assert "comes back in 10 % of the resamples only" in found.loc[pair, "sentence"]


def test_inflated_p_values_and_other_choices(near):
    data, network = near
    found = argen.check(network, data, n_null_tests=200).tables
    assert (found["calibration"]["inflation_needed"] == 1.0).all()
    inflated = of_tables(network, calibration=found["calibration"].assign(inflation_needed=2.0))
    assert inflated["weak_point"].to_dict() == {
        ("g0", "g1"): NONE, ("g0", "g2"): "inflated p-values", ("g1", "g2"): NONE,
    }  # fmt: skip
    assert "its bar of 0.04 if p-values" in inflated.loc[("g0", "g2"), "sentence"]
    survival = argen.sensitivity(network, data).tables["survival"]
    lost = survival["target"].eq("g2") & survival["source"].eq("g0")
    survival = survival.assign(share_called=survival["share_called"].mask(lost, 0.5))
    row = of_tables(network, survival=survival).loc[("g0", "g2")]
    assert row["weak_point"] == "lost by other choices"
    assert "under 50 % of other choices only (lost: alpha 0.01" in row["sentence"]


def test_an_edge_that_turns_round():
    data = chain(with_guides=False)
    network = argen.infer_network(data)
    again = argen.stability(network, data, n_resamples=4).tables["stability"]
    assert set(of_tables(network, stability=again)["weak_point"]) == {NONE}
    turned = again.assign(direction_frequency=np.where(again["source"] == "g0", 0.6, 1.0))
    table = of_tables(network, stability=turned)
    assert table["weak_point"].to_dict() == {("g0", "g1"): "turns round", ("g1", "g2"): NONE}
    assert "points the other way in 40 % of the resamples" in table.loc[("g0", "g1"), "sentence"]


def test_a_guide_that_is_not_foreseen():
    data = chain(past=[(0, 2, 1, 1.2)])
    network = argen.infer_network(data)
    held = argen.held_out(data, by_guide=True)
    table = weak_points(network, held).set_index(["source", "target"])
    assert table["weak_point"].to_dict() == {("g0", "g1"): "held-out guide", ("g1", "g2"): NONE}
    assert "what guide g0-2 does to g1 when it is left out" in table.loc[("g0", "g1"), "sentence"]


def test_edges_of_response_programs():
    model = argen.ScreenModel(
        n_nodes=20, n_sinks=120, n_parents=0.7, n_programs=1, cells_per_node=100, program_effect=0.6
    )
    data = argen.simulate_screen(model, rng=1)[0]
    network = argen.infer_network(data)
    table = weak_points(network).set_index(["source", "target"])
    carrier = argen.network.program_carriers(network.programs, network.screen).iloc[0]
    assert carrier["likeness"] > 0.9
    of_program = table[table["weak_point"] == "response program"]
    assert len(of_program) > 0
    for pair, row in of_program.iterrows():
        assert carrier["node"] in pair
        assert f"(cosine {carrier['likeness']:.2f})" in row["sentence"]
    taken = table[table["weak_point"] == "program taken out"]
    assert len(taken) > 0
    programs, screen = network.programs, network.screen
    for source, target in taken.index:
        k, j = network.nodes.index(source), network.genes.index(target)
        part = sum(programs.scores[k, c] * programs.loadings[j, c] for c in range(1))
        assert abs(part) > abs(screen.effect[k, j])
    # Both are settled where the edge is there without programs.
    rows = [("without programs", *pair, True) for pair in table.index]
    columns = ["scenario", "source", "target", "called"]
    settled = of_tables(network, sensitivity=pd.DataFrame(rows, columns=columns))
    assert not settled["weak_point"].isin(["response program", "program taken out"]).any()
    unusual = set(network.edges.query("status != 'OK'")["target"])
    assert set(table.index[table["weak_point"] == "unusual fit"].get_level_values(1)) <= unusual


def test_a_fit_that_needed_help_is_named():
    data = chain()
    network = argen.infer_network(data)
    candidates = network.candidates.assign(status="HALF_COUNT")
    table = weak_points(dataclasses.replace(network, candidates=candidates))
    assert set(table["weak_point"]) == {"unusual fit"}
    assert "a fit that needed help (half count)" in table["sentence"][0]


def test_the_first_of_several_is_the_weakest_and_the_others_are_named():
    names = [doubt.name for doubt in DOUBTS]
    assert len(set(names)) == len(names)
    table = weakest(chain(past=[(0, 2, 1, 1.2)], moved=0.6, penetrance=0.6))
    row = table.loc[("g0", "g1")]
    ranks = [names.index(name) for name in [row["weak_point"], *row["also"].split(", ")]]
    assert ranks == sorted(ranks)
    assert len(ranks) > 2
    assert row["rank"] == 1 + ranks[0]


def test_the_rule_is_the_one_that_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "trust.md").read_text("utf-8")
    rows = page[page.index("(weak-points)=") :].split("\n## ")[1].split("\n")
    cells = [[cell.strip() for cell in row.split("|")] for row in rows if row.startswith("| ")]
    assert [row[2] for row in cells if row[1].isdigit()] == [doubt.name for doubt in DOUBTS]


def test_an_edge_that_is_lost_where_guides_are_taken_as_they_are():
    network = argen.infer_network(chain(with_guides=False))
    rows = [("", 0.2, 0.08), ("g0-0", 0.2, 0.1)]
    table = pd.DataFrame(rows, columns=["left_out", "effect", "p_value"])
    table = table.assign(source="g0", target="g1")
    found = Diagnostics.of([], {"leave_one_guide_out": table}, [])
    row = weak_points(network, found).set_index(["source", "target"]).loc[("g0", "g1")]
    assert row["weak_point"] == "lost in all cells"
    assert "in all of their cells (0.2, p = 0.08): more cells with guides of g0" in row["sentence"]
    table.loc[0, "p_value"] = 0.04
    row = weak_points(network, found).set_index(["source", "target"]).loc[("g0", "g1")]
    assert row["weak_point"] == "one guide"
