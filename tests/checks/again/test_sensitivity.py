"""Sensitivity: other choices by hand, and off-target effects that do just what they should."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import argen
from argen.checks.again.sensitivity import scenarios, sensitivity
from argen.checks.instruments.checking import tables_of_edges
from tests.networks import HOSTILE
from tests.screens import screen_of

MODEL = argen.ScreenModel(n_nodes=7, n_parents=1, mean_count=4.0, n_batches=3)


@pytest.fixture(scope="module")
def screen():
    """A small screen with a numeric covariate, batches, and names that are hard to write."""
    data, _ = argen.simulate_screen(MODEL, rng=4)
    return replace(data, genes=HOSTILE[:7])


def test_every_choice_is_tried(screen):
    names = [name for name, _, _ in scenarios(screen, argen.InferenceConfig())]
    assert names == [
        "alpha 0.01", "alpha 0.1", "without covariate x1", "without covariate batch",
        *(f"without batch {level}" for level in screen.covariates["batch"].unique()),
        "with log library size as covariate", "without extreme library sizes",
        *(f"{gene} hidden" for gene in screen.nodes),
    ]  # fmt: skip


def test_programs_that_were_taken_out_are_left_in(screen):
    config = argen.InferenceConfig()
    without = [s for s in scenarios(screen, config, n_programs=2) if s[0] == "without programs"]
    ((_, data, other),) = without
    assert data is screen
    assert other == replace(config, programs=0)


def test_guides_are_taken_to_work_in_every_cell_where_cells_escape(screen):
    config = argen.InferenceConfig()
    assert not [s for s in scenarios(screen, config) if s[2].penetrance == "full"]
    tried = scenarios(screen, config, n_programs=1, escapes=True)
    ((name, data, other),) = [s for s in tried if s[2].penetrance == "full"]
    assert name == "every guide works in every cell"
    assert data is screen
    assert other == replace(config, penetrance="full")


@pytest.mark.whole
def test_edges_that_come_and_go_with_the_correction_for_escape(monkeypatch):
    model = argen.ScreenModel(
        n_nodes=20, n_parents=1.0, mean_count=4.0, cells_per_node=100, penetrance=0.6
    )
    data, _ = argen.simulate_screen(model, rng=3)
    network = argen.infer_network(data)
    assert network.penetrance.corrected.any()
    every = scenarios  # one of them is enough, and the rest would take a minute

    def the_one(*given, **options):
        return [s for s in every(*given, **options) if s[2].penetrance == "full"]

    monkeypatch.setattr(sys.modules["argen.checks.again.sensitivity"], "scenarios", the_one)
    found = sensitivity(network, data)
    by_hand = argen.infer_network(data, argen.InferenceConfig(penetrance="full"))
    known, without = (
        set(n.edges[["source", "target"]].itertuples(index=False, name=None))
        for n in (network, by_hand)
    )
    (line,) = [line for line in found.measured if line.startswith("if every guide worked")]
    assert f"of {len(known)} edges {len(known - without)} lost" in line
    assert f"{len(without - known)} more" in line
    assert known != without
    survival = found.tables["survival"].set_index(["source", "target"])
    assert set(survival.index[survival["edge"] & survival["always"]]) == known & without
    assert not survival["always"].all()
    # Without the correction sizes are others.
    effects = by_hand.candidates.set_index(["source", "target"])["effect"]
    table = found.tables["sensitivity"].set_index(["source", "target"])["effect"].dropna()
    np.testing.assert_allclose(table, effects[table.index], rtol=1e-9)


@pytest.mark.whole
def test_edges_that_come_and_go_with_the_programs(program_screen, program_network):
    found = sensitivity(program_network, program_screen)
    table = found.tables["sensitivity"]
    rows = table[(table["scenario"] == "without programs") & table["called"]]
    by_hand = argen.infer_network(program_screen, argen.InferenceConfig(programs=0))
    known, without = (
        set(n.edges[["source", "target"]].itertuples(index=False, name=None))
        for n in (program_network, by_hand)
    )
    assert set(rows[["source", "target"]].itertuples(index=False, name=None)) == without
    (line,) = [line for line in found.measured if "without response programs" in line]
    assert f"of {len(known)} edges {len(known - without)} lost" in line
    assert f"{len(without - known)} more" in line
    assert len(without - known) > 10


@pytest.mark.parametrize(
    ("given", "tried"),
    [
        ({"alpha": 0.1}, ["alpha 0.01"]),
        ({"screen_alpha": 0.1}, ["alpha 0.01", "alpha 0.1", "screen_alpha 0.01"]),
        (
            {"screen_alpha": 0.2, "edge_alpha": 0.1},
            ["screen_alpha 0.01", "screen_alpha 0.1", "edge_alpha 0.01"],
        ),
    ],
)
def test_the_levels_in_force_are_varied(screen, given, tried):
    config = argen.InferenceConfig(**given)
    in_use = {config.level_of_screen, config.level_of_edges}
    others = [(name, other) for name, _, other in scenarios(screen, config) if "alpha" in name]
    assert [name for name, _ in others] == tried
    assert all({o.level_of_screen, o.level_of_edges} != in_use for _, o in others)


def test_a_strict_level_makes_a_difference_also_where_each_step_has_its_own():
    data, _ = argen.simulate_screen(replace(MODEL, mean_count=1.0, n_parents=2), rng=1)
    network = argen.infer_network(data, argen.InferenceConfig(screen_alpha=0.5, edge_alpha=0.5))
    found = sensitivity(network, data).tables
    n_edges = found["scenarios"].set_index("scenario")["n_edges"]
    assert n_edges["edge_alpha 0.01"] < n_edges["edge_alpha 0.1"] < len(network.edges)
    # A strict screen leaves fewer candidates, and so other effects of those that stay.
    effects = network.candidates.set_index(["source", "target"])["effect"]
    of_scenario = found["sensitivity"].set_index("scenario").loc["screen_alpha 0.01"]
    strict = of_scenario.set_index(["source", "target"])["effect"]
    assert not np.allclose(strict, effects[strict.index])


def test_library_sizes_that_are_all_alike_have_no_extremes(screen):
    alike = replace(screen, library_size=np.ones(screen.n_cells))
    names = [name for name, _, _ in scenarios(alike, argen.InferenceConfig())]
    assert not [name for name in names if "library size" in name]


@pytest.mark.whole
def test_other_library_sizes_are_taken_in_turn(screen):
    sizes = pd.DataFrame(
        {"n counts": 3.0 * screen.library_size, "flat": np.ones(screen.n_cells)},
        index=screen.cells,
    )
    found = sensitivity(argen.infer_network(screen), screen, library_sizes=sizes.iloc[::-1])
    table = found.tables["sensitivity"].set_index(["source", "target"])
    network = argen.infer_network(screen)
    effects = network.candidates.set_index(["source", "target"])["effect"]
    # A factor changes nothing; no library size at all does.
    same = table.loc[table["scenario"] == "library size n counts", "effect"].dropna()
    np.testing.assert_allclose(same, effects[same.index], rtol=1e-6)
    other = table.loc[table["scenario"] == "library size flat", "effect"].dropna()
    flat = argen.infer_network(replace(screen, library_size=np.ones(screen.n_cells)))
    np.testing.assert_allclose(
        other, flat.candidates.set_index(["source", "target"])["effect"][other.index], rtol=1e-9
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [(0.0, r"'n' is zero, negative or infinite in 1 cells \(first: "), ("a", "'n' is not numeric")],
)
def test_library_sizes_that_are_none_are_refused(screen, values, words):
    sizes = pd.DataFrame({"n": [values, *np.ones(screen.n_cells - 1)]}, index=screen.cells)
    with pytest.raises(argen.InputError, match=words):
        sensitivity(argen.infer_network(screen), screen, library_sizes=sizes)


def test_is_what_one_finds_by_hand(screen):
    found = sensitivity(argen.infer_network(screen), screen)
    table = found.tables["sensitivity"].set_index(["scenario", "source", "target"])
    network = argen.infer_network(screen)
    known = set(network.edges[["source", "target"]].itertuples(index=False, name=None))
    counts = screen.counts.to_csc().toarray()
    gene = screen.nodes.index(network.edges["source"].iloc[0])
    kept = screen.node_of_cell != gene
    others = np.delete(np.arange(7), gene)
    node = screen.node_of_cell[kept]
    hidden = screen_of(
        counts[kept][:, others], np.where(node > gene, node - 1, node), screen.covariates[kept],
        screen.library_size[kept],
    )  # fmt: skip
    hidden = replace(hidden, genes=tuple(screen.genes[k] for k in others))
    again = argen.infer_network(hidden)
    rows = table.loc[f"{screen.genes[gene]} hidden"]
    called = set(rows.index[rows["called"]])
    edges = set(again.edges[["source", "target"]].itertuples(index=False, name=None))
    assert called == edges
    assert screen.genes[gene] not in set(rows.index.get_level_values("source"))
    effects = again.candidates.set_index(["source", "target"])["effect"]
    for pair in called:
        assert rows.loc[pair, "effect"] == pytest.approx(effects[pair], rel=1e-9)
    survival = found.tables["survival"].set_index(["source", "target"])
    assert set(survival.index[survival["edge"]]) == known
    for pair, row in survival.iterrows():
        of_pair = table.xs(pair, level=("source", "target"))
        assert row["n_scenarios"] == len(of_pair)
        assert row["share_called"] == pytest.approx(of_pair["called"].mean())
        assert row["always"] == of_pair["called"].all()
    (line,) = [line for line in found.measured if line.startswith("sensitivity:")]
    n_tried = len(found.tables["scenarios"])
    assert f"{n_tried} other choices, of which {n_tried - 2} have both genes of a pair" in line


@pytest.mark.whole
def test_quiet_of_strong_edges_and_speaking_of_frail_ones():
    strong = replace(MODEL, mean_count=20.0, cells_per_node=400, effect=(0.7, 0.9), n_factors=0)
    data, _ = argen.simulate_screen(strong, rng=1)
    found = sensitivity(argen.infer_network(data), data)
    assert not found.findings
    # At a generous level, edges appear that no other choice confirms.
    data, _ = argen.simulate_screen(replace(MODEL, mean_count=1.0, n_parents=2), rng=1)
    network = argen.infer_network(data, argen.InferenceConfig(alpha=0.5))
    (finding,) = sensitivity(network, data).findings
    assert "lost under more than 25 % of other choices" in finding.evidence


def off_target_screen(seed: int, own: float) -> argen.PerturbSeqData:
    """g0 does not act on g1, but its guide does, by ``own``; g2 acts on both."""
    rng = np.random.default_rng(seed)
    node = np.repeat([-1, 0, 1, 2], [2500, 600, 600, 600])
    log_mean = -1.5 * (node[:, None] == [0, 1, 2])
    log_mean[:, :2] += 0.5 * log_mean[:, [2]]
    log_mean[node == 0, 1] += own
    counts = rng.poisson(8.0 * np.exp(log_mean))
    return screen_of(counts, node, pd.DataFrame(index=range(len(node))))


@pytest.mark.rates
def test_an_off_target_effect_is_what_it_takes():
    needed = []
    for seed in range(10):
        data = off_target_screen(seed, own=0.6)
        network = argen.infer_network(data)
        table = tables_of_edges(network, data)[0].set_index(["source", "target"])
        row = table.loc[(data.nodes[0], data.nodes[1])]
        needed.append(row["needed"])
        # The guide moves its gene by -1.5 alone: an effect of d looks like one of d / -1.5.
        assert row["needed"] == pytest.approx(row["effect"] * -1.5, rel=0.1)
        assert 0 < row["needed_for_interval"] < row["needed"]
        assert row["needed_percent"] == pytest.approx(100 * np.expm1(row["needed"]))
    assert np.mean(needed) == pytest.approx(0.6, abs=0.05)


def test_taking_the_off_target_effect_away_leaves_no_edge():
    """Counts thinned by what is needed give an effect of 0."""
    data = off_target_screen(3, own=0.6)
    network = argen.infer_network(data)
    table = tables_of_edges(network, data)[0].set_index(["source", "target"])
    needed = table.loc[(data.nodes[0], data.nodes[1]), "needed"]
    counts = data.counts.to_csc().toarray()
    mine = data.node_of_cell == 0
    rng = np.random.default_rng(1)
    counts[mine, 1] = rng.binomial(counts[mine, 1].astype(int), np.exp(-needed))
    again = argen.infer_network(screen_of(counts, data.node_of_cell, data.covariates))
    pair = data.nodes[0], data.nodes[1]
    called = [network.edges.set_index(["source", "target"]).index for network in (network, again)]
    assert pair in called[0]
    assert pair not in called[1]
    total = again.total_effects().set_index(["source", "target"]).loc[pair]
    assert abs(total["effect"]) < 3 * total["std_error"]
