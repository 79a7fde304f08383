"""Relevance: quiet where every guide works, and speaking where one fails or two go together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import argen
from argen.checks.guides.group_effects import group_effects, regress_effects
from argen.checks.instruments import strength
from argen.checks.instruments.strength import WEAK_F, node_fits, strength_table
from tests.screens import screen_of

WORKING = argen.ScreenModel(n_nodes=10, n_parents=1, cells_per_node=150, mean_count=4.0)


def node_effects(data):
    """Effects of every perturbation on every node."""
    nodes = np.arange(data.n_nodes)
    return node_fits(data).among(nodes, nodes)


def check(data):
    return argen.check(argen.infer_network(data), data, n_null_tests=0)


def said(found, words: str) -> list[str]:
    return [f.evidence for f in found.findings if words in f.assumption]


def test_quiet_where_every_guide_works():
    for seed in range(3):
        data, _ = argen.simulate_screen(WORKING, rng=seed)
        found = check(data)
        assert not said(found, "changes its own gene")
        assert (found.tables["knockdown"]["percent_remaining"] < 30).all()


def test_speaks_where_guides_fail():
    model = argen.ScreenModel(
        n_nodes=10, n_parents=0, cells_per_node=150, mean_count=4.0, failed=0.5
    )
    data, _ = argen.simulate_screen(model, rng=3)
    found = check(data)
    table = found.tables["knockdown"].set_index("node")
    assert 3 <= table["failed"].sum() <= 6
    assert (table.loc[~table["failed"], "percent_remaining"] < 30).all()
    (evidence,) = said(found, "changes its own gene")
    assert f"{table['failed'].sum()} of 10 perturbations" in evidence


@pytest.mark.rates
def test_guides_that_do_nothing_are_taken_for_such():
    """Of sixty, nearly all are named, and their intervals hold all that is in the controls."""
    model = argen.ScreenModel(n_nodes=20, n_parents=0, failed=1.0, mean_count=4.0, assignment=0.0)
    tables = [check(argen.simulate_screen(model, rng=s)[0]).tables["knockdown"] for s in range(3)]
    table = pd.concat(tables)
    assert table["failed"].mean() > 0.9
    assert ((table["percent_low"] < 100) & (table["percent_high"] > 100)).mean() > 0.85


def chained(
    seed: int, own_effect: float, sign: int = 1, *, per_unit: float = 0.8
) -> argen.PerturbSeqData:
    """g0 moves g1, and its own guide lowers g1 by own_effect; g2 follows both, g1 by per_unit.

    A hidden factor raises all three.
    """
    rng = np.random.default_rng(seed)
    node = np.repeat(np.arange(-1, 3), [800, 200, 200, 200])
    hidden = 0.4 * rng.normal(size=(len(node), 1))
    on_g2 = -per_unit * own_effect
    drop = np.array([[-1.5, -1.0 * sign, -1.2], [0, -own_effect, on_g2], [0, 0, -1.5]])
    log_mean = np.log(5.0) + np.vstack([drop, np.zeros(3)])[node] + hidden
    return screen_of(rng.poisson(np.exp(log_mean)), node)


@pytest.mark.rates
@pytest.mark.parametrize("sign", [1, -1])
def test_conditional_strength_is_chi_square_where_another_explains_the_candidate(sign):
    """g1 is a multiple of g0 under both guides: one degree of freedom, at its nominal rate.

    The hidden factor makes errors of both genes go together, which is not left out: without it
    0.5 % of p-values would be below 0.05 where g0 lowers g1, and 12 % where it raises it.
    """
    both = np.array([0, 1])
    statistics = []
    for seed in range(200):
        effects = node_effects(chained(seed, 0.0, sign))
        statistics.append(regress_effects(effects, 1, both[:1], both).statistic)
    p = stats.chi2.sf(statistics, 1)
    assert stats.kstest(p, "uniform").pvalue > 0.001
    assert abs(np.mean(p < 0.05) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 200)


def test_strength_of_edges_is_that_of_their_candidates(monkeypatch):
    """From all effects at once, and beyond a hundred nodes target by target."""
    model = argen.ScreenModel(n_nodes=20, mean_count=1.0, cells_per_node=100)
    data, _ = argen.simulate_screen(model, rng=1)
    network = argen.infer_network(data)
    of_all = strength_table(network, data)
    monkeypatch.setattr(strength, "MOST_NODES", 10)
    of_edges = strength_table(network, data)
    assert len(of_edges) == len(network.edges) > 10
    both = of_edges.merge(of_all, on=["source", "target"])
    assert (both["n_candidates_x"] == both["n_candidates_y"]).all()
    # Correlations of errors are pooled over other perturbations: no more is different.
    np.testing.assert_allclose(both["conditional_f_x"], both["conditional_f_y"], rtol=0.01)
    np.testing.assert_allclose(
        both["smallest_singular_value_x"], both["smallest_singular_value_y"], rtol=1e-10
    )


@pytest.mark.parametrize(("own_effect", "is_weak"), [(0.1, True), (1.5, False)])
def test_weak_given_the_others(own_effect, is_weak):
    found = check(chained(1, own_effect))
    table = found.tables["strength"]
    of_g1 = table[(table["source"] == "g1") & (table["target"] == "g2")]
    if is_weak:  # either it is flagged, or the screen has not even made it a candidate
        assert of_g1["weak"].all()
        assert found.tables["knockdown"]["first_stage_f"][1] < 2 * WEAK_F
    else:
        assert len(of_g1) == 1
        assert not of_g1["weak"].any()
        assert not said(found, "given the other candidates")


def test_weak_candidates_are_named():
    """With the order given by a strong first guide, a faint second one is weak given the first."""
    data = chained(4, 0.16, per_unit=3.0)
    found = check(data)
    table = found.tables["strength"]
    weak = table[table["weak"]]
    assert len(weak)
    assert set(weak["source"]) <= {"g0", "g1"}
    (evidence,) = said(found, "given the other candidates")
    assert all(source in evidence for source in weak["source"])


def test_effects_and_errors_are_those_of_the_screen():
    data, _ = argen.simulate_screen(WORKING, rng=5)
    screen = argen.screen_descendants(data)
    effects = node_effects(data)
    own = np.diagonal(effects.effect)
    errors = np.array([np.sqrt(effects.covariance(np.array([k]), np.array([k]), np.ones(1))[0, 0])
                       for k in range(10)])  # fmt: skip
    # The screen takes slopes from the controls and one group, the effects here from all cells.
    np.testing.assert_allclose(own, screen.knockdown.effect, atol=0.1)
    np.testing.assert_allclose(errors, screen.knockdown.std_error, rtol=0.1)


def test_groups_without_counts_get_half_a_count():
    rng = np.random.default_rng(1)
    node = np.repeat(np.arange(-1, 2), [100, 30, 30])
    counts = rng.poisson(2.0, (160, 2))
    counts[node == 0, 0] = 0
    data = screen_of(counts, node)
    group = np.where(node < 0, 2, node)
    effects = group_effects(data, group, np.arange(2))
    expected = np.log(0.5 / 30) - np.log(counts[node == -1, 0].mean())
    assert effects.effect[0, 0] == pytest.approx(expected)
    assert effects.cross[0, 0, 0] == 2.0
    table = check(data).tables["knockdown"]
    assert table["percent_remaining"][0] == 0.0
    assert not table["failed"][0]


def test_summary_and_files(tmp_path):
    data, _ = argen.simulate_screen(WORKING, rng=1)
    found = check(data)
    folder = found.write(tmp_path / "check")
    assert {path.name for path in folder.iterdir()} >= {"summary.txt", "knockdown.tsv"}
    assert "knock-down: " in found.summary()


def test_genes_that_could_not_be_nodes_are_named():
    adata = argen.simulated_anndata(*argen.simulate_paper_screen(rng=1, n_cells=2000))
    adata.X = adata.X.toarray() * (adata.var_names != "X3")
    fewer = adata[:, adata.var_names != "X5"].copy()
    options = argen.ReadOptions(
        target="perturbation", control="non-targeting", covariates=["L"],
        library_size="library_size",
    )  # fmt: skip
    with pytest.warns(argen.ArgenWarning, match="X3"):
        data = argen.read_perturbseq(fewer, options)
    network = argen.infer_network(data)
    for found in (check(data), argen.check(network)):
        named = {f.severity: f for f in found.findings if "changes its own gene" in f.assumption}
        assert "1 perturbed gene was dropped: X3 (no count in any" in named["warning"].evidence
        assert "1 perturbation is not of measured genes: X5." in named["note"].evidence
        assert "--held-out" in named["note"].advice
