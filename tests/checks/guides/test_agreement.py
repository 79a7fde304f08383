"""Exclusion: guides of different strength agree; one that acts elsewhere is named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import argen
from argen.checks.guides import by_guide
from argen.checks.guides.agreement import (
    agreement_table,
    explained_targets,
    overidentification_table,
)
from argen.checks.guides.by_guide import guide_effects, guide_table
from argen.checks.guides.group_effects import regress_effects
from tests.screens import guided, screen_of

N_GUIDES, EFFECT = 4, 0.6
NODES = ("g0", "g1", "g2")
PAIRS = [(a, b) for a in range(3) for b in range(3) if a != b]


def guided_screen(seed: int, off_target: float = 0.0) -> tuple[argen.PerturbSeqData, pd.Series]:
    """g0 acts on g1, both on g2; four guides each; the last of g0 lowers g2 by off_target too."""
    rng = np.random.default_rng(seed)
    node = np.repeat(np.arange(-1, 3), [600, 240, 240, 240])
    number = rng.integers(N_GUIDES, size=len(node))
    labels = np.array([f"g{k}-{n}<b>" for k, n in zip(node, number, strict=True)], dtype=object)
    guide = np.where(node < 0, "none", labels)
    strength = np.linspace(0.6, 2.0, N_GUIDES)[number]
    hidden = 0.4 * rng.normal(size=len(node))
    x = rng.normal(size=len(node))
    level = [1.5 - strength * (node == 0)]
    level.append(1.5 - strength * (node == 1) + EFFECT * (level[0] - 1.5))
    level.append(1.5 - strength * (node == 2) + 0.5 * (level[1] - 1.5) + 0.3 * (level[0] - 1.5))
    level[2] = level[2] - off_target * ((node == 0) & (number == N_GUIDES - 1))
    mean = np.exp(np.array(level).T + (hidden + 0.3 * x)[:, None])
    counts = rng.poisson(mean * rng.gamma(4.0, 0.25, mean.shape))
    data = screen_of(counts, node, pd.DataFrame({"x": x}))
    return guided(data, guide), pd.Series(guide, index=data.cells)


@pytest.mark.rates
def test_nominal_rate_where_guides_act_through_their_gene():
    p_pairs, p_targets, estimates = [], [], []
    for seed in range(60):
        data, guides = guided_screen(seed)
        found = guide_effects(data, guides.to_numpy())
        table = agreement_table(found, NODES, PAIRS)
        p_pairs.append(table["p_value"])
        fit = regress_effects(found.whole, 1, np.array([0]), found.of(np.array([0])))
        estimates.append((fit.coefficients[0] - EFFECT) / fit.std_error[0])
        both = np.array([0, 1])
        p_targets.append(regress_effects(found.whole, 2, both, found.of(both)).p_value)
    p = np.concatenate(p_pairs)
    assert len(p) == 360
    assert abs(np.mean(p < 0.05) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / len(p))
    assert np.mean(np.array(p_targets) < 0.05) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 60)
    assert stats.kstest(p_targets, "uniform").pvalue > 0.001
    # The effect per unit, with an error of the right size.
    assert abs(np.mean(estimates)) < 4 / np.sqrt(60)
    assert 0.7 < np.std(estimates) < 1.3


def test_speaks_where_a_guide_acts_elsewhere():
    data, _ = guided_screen(1, off_target=1.2)
    found = argen.check(argen.infer_network(data), data, n_null_tests=0)
    table = found.tables["guide_agreement"].set_index(["source", "target"])
    assert table.loc[("g0", "g2"), "disagree"]
    assert table.loc[("g0", "g2"), "odd_guide"] == "g0-3<b>"
    assert not table.loc[("g0", "g1"), "disagree"]
    evidence = [f.evidence for f in found.findings if f.assumption.startswith("exclusion")]
    assert any("g0 on g2 (adjusted p = " in text and "guide g0-3<b>)" in text for text in evidence)
    assert found.tables["overidentification"].set_index("target").loc["g2", "rejected"]


@pytest.mark.rates
def test_quiet_where_none_does():
    n_findings = 0
    for seed in range(5):
        data, _ = guided_screen(100 + seed)
        found = argen.check(argen.infer_network(data), data, n_null_tests=0)
        n_findings += sum("guides of the source disagree" in f.evidence for f in found.findings)
    assert n_findings <= 1


def test_an_edge_without_one_guide():
    data, _ = guided_screen(2)
    network = argen.infer_network(data)
    found = argen.check(network, data, n_null_tests=0)
    table = found.tables["leave_one_guide_out"]
    assert len(table) == len(network.edges) * (1 + N_GUIDES)
    whole = table[table["left_out"] == ""].reset_index(drop=True)
    difference = whole["effect"] - network.edges["effect"]
    assert (difference.abs() < 2 * network.edges["std_error"]).all()
    without = table[table["left_out"] != ""].groupby(["source", "target"])["std_error"].mean()
    errors = whole.set_index(["source", "target"])["std_error"]
    assert (without > errors).mean() > 0.5


def test_guides_of_few_cells_are_named():
    data, guides = guided_screen(3)
    first = guides.index[guides == "g1-0<b>"][:4]
    guides[first] = "rare"
    data = guided(data, guides)
    found = argen.check(argen.infer_network(data), data, n_null_tests=0)
    assert "not compared: rare (4 cells)" in found.summary()
    assert "rare" not in set(found.tables["guides"]["guide"])
    sizes = found.tables["guides"].drop_duplicates("guide").set_index("guide")["n_cells"]
    assert sizes.sum() == 3 * 240 - 4


def test_effects_of_guides_side_by_side():
    data, guides = guided_screen(4)
    found = guide_effects(data, guides.to_numpy())
    table = guide_table(found, NODES, PAIRS)
    own = table[table["source"] == table["target"]]
    assert len(table) == 3 * 3 * N_GUIDES
    strength = np.tile(np.linspace(0.6, 2.0, N_GUIDES), 3)
    assert (np.abs(own["effect"] + strength) < 4.5 * own["std_error"]).all()


def test_without_candidates_or_with_one_guide():
    data, guides = guided_screen(5)
    data = guided(data, guides.str[:2])
    # Too few genes to look for programs, of which a note speaks under the same assumption.
    network = argen.infer_network(data, argen.InferenceConfig(programs=0))
    found = guide_effects(data, data.guides.labels())
    assert agreement_table(found, NODES, PAIRS).empty
    assert overidentification_table(explained_targets(found, network, PAIRS)[0]).empty
    check = argen.check(network, data, n_null_tests=0)
    said = [f for f in check.findings if f.assumption.startswith("exclusion")]
    assert not [f for f in said if "response programs" not in f.evidence]


def test_many_genes_have_the_guides_of_their_edges_compared(monkeypatch):
    """Beyond the limit the numbers are those of few genes, for edges alone."""
    data, _ = guided_screen(6, off_target=1.2)
    network = argen.infer_network(data)
    few = argen.check(network, data, n_null_tests=0).tables
    monkeypatch.setattr(by_guide, "MOST_GENES", 2)
    many = argen.check(network, data, n_null_tests=0).tables
    pair = ["source", "target"]
    edges = network.edges[pair].sort_values(pair).reset_index(drop=True)
    pd.testing.assert_frame_equal(many["guide_agreement"][pair], edges, check_dtype=False)
    both = many["guide_agreement"].merge(few["guide_agreement"], on=pair)
    # Correlations are pooled over the guides that are looked at together.
    for column in ("effect", "std_error", "statistic", "df"):
        np.testing.assert_allclose(both[f"{column}_x"], both[f"{column}_y"], rtol=0.05)
    left_out = "leave_one_guide_out"
    one, other = (tables[left_out].drop(columns="p_value") for tables in (many, few))
    pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=0.05)
    assert len(many["guides"]) == N_GUIDES * (3 + len(edges))
    monkeypatch.setattr(by_guide, "MOST_CANDIDATES", 1)
    summary = argen.check(network, data, n_null_tests=0).summary()
    assert "guides of targets with more than 1 candidates, not compared: g2" in summary


def test_guides_are_compared_on_sinks_with_an_edge():
    """A guide of g1 acts on a sink by itself."""
    data, guides = guided_screen(7)
    rng, counts = np.random.default_rng(7), data.counts.to_csc().toarray()
    log_mean = 0.8 * np.log((counts[:, 1] + 1.0) / counts[:, 1].mean())
    log_mean -= 1.5 * (guides == "g1-0<b>").to_numpy()
    sinks = np.column_stack([rng.poisson(4.0 * np.exp(log_mean)), rng.poisson(4.0, data.n_cells)])
    data = screen_of(
        np.column_stack([counts, sinks]), data.node_of_cell, data.covariates, n_nodes=3
    )
    data = guided(data, guides)
    network = argen.infer_network(data)
    assert ("g1", "g3") in set(
        network.edges[["source", "target"]].itertuples(index=False, name=None)
    )
    tables = argen.check(network, data, n_null_tests=0).tables
    table = tables["guide_agreement"].set_index(["source", "target"])
    assert table.loc[("g1", "g3"), "odd_guide"] == "g1-0<b>"
    assert ("g1", "g4") not in table.index
    assert "g3" in set(tables["leave_one_guide_out"]["target"])
    assert tables["overidentification"].set_index("target").loc["g3", "rejected"]


def test_edges_of_other_methods_need_not_be_candidates():
    data, _ = guided_screen(8)
    network = argen.infer_by("inverse", data)
    tables = argen.check(network, data, n_null_tests=0).tables
    assert len(tables["leave_one_guide_out"])


def heavy_tailed(seed: int) -> tuple[argen.PerturbSeqData, pd.Series]:
    """Guides of thirty cells that do not differ, overdispersed counts and hidden factors."""
    model = argen.ScreenModel(
        n_nodes=15, cells_per_node=120, n_controls=1500, mean_count=3.0, n_factors=2, n_batches=2
    )
    data, _ = argen.simulate_screen(model, rng=seed)
    number = np.random.default_rng(seed).integers(N_GUIDES, size=data.n_cells)
    labels = [f"g{n}-{k}" for n, k in zip(data.node_of_cell, number, strict=True)]
    return guided(data, labels), pd.Series(labels, index=data.cells)


@pytest.mark.rates
def test_quiet_where_tails_are_heavy():
    """Permuted guides ask for it: statistics as they come are too large."""
    raw, p_values, n_findings = [], [], 0
    for seed in range(4):
        data, _ = heavy_tailed(seed)
        found = argen.check(argen.infer_network(data), data, n_null_tests=0)
        table = found.tables["guide_agreement"]
        raw.append(stats.chi2.sf(table["statistic"], table["df"]))
        p_values.append(table["p_value"])
        said = [f.evidence for f in found.findings if f.assumption.startswith("exclusion")]
        n_findings += sum("disagree" in text or "do not explain" in text for text in said)
    assert np.mean(np.concatenate(raw) < 0.05) > 0.06
    assert np.mean(np.concatenate(p_values) < 0.05) < 0.05
    assert np.mean(np.concatenate(p_values) < 0.001) < 0.002
    assert n_findings <= 1


@pytest.mark.rates
def test_an_off_target_guide_is_heard_through_heavy_tails():
    n_heard = 0
    for seed in range(3):
        data, guides = heavy_tailed(seed)
        rng, counts = np.random.default_rng(seed), data.counts.to_csc().toarray()
        target = int(np.argmax(counts.sum(axis=0) * (np.arange(15) > 0)))
        hit = (guides == "g0-2").to_numpy()
        counts[hit, target] = rng.binomial(counts[hit, target], 0.05)
        data = screen_of(counts, data.node_of_cell, data.covariates, data.library_size)
        data = guided(data, guides)
        found = argen.check(argen.infer_network(data), data, n_null_tests=0)
        row = (
            found.tables["guide_agreement"].set_index(["source", "target"]).loc["g0", f"g{target}"]
        )
        n_heard += bool(row["disagree"] and row["odd_guide"] == "g0-2")
    assert n_heard >= 2
