"""Validation: quiet where edges explain the effects, and speaking where feedback or guides do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

import argen
from argen.checks.edges import checking
from argen.checks.edges.validation import (
    concordance_findings,
    concordance_table,
    correlation,
    implied_effects,
    implied_findings,
    implied_table,
    intervention_table,
    slope_and_agreement,
)
from argen.network.joint_errors import joint_errors
from argen.study.oracle import infer_knowing_ancestors
from tests.networks import HOSTILE, made_up_network
from tests.screens import screen_of

NO_PAIRS = pd.DataFrame(columns=["first", "second"])


def said(found, words: str) -> list[str]:
    return [f.evidence for f in found if words in f.assumption]


def with_true_edges(seed: int, **model) -> argen.CausalNetwork:
    """The true ancestors as candidates, and the true edges among them."""
    options = {"n_nodes": 12, "n_parents": 1.5, "mean_count": 4.0, "knockdown": (1.5, 1.5)}
    data, truth = argen.simulate_screen(argen.ScreenModel(**options | model), rng=seed)
    config = argen.InferenceConfig(rule="published", screen_test="saddlepoint")
    network = infer_knowing_ancestors(data, truth, config)
    place = {gene: k for k, gene in enumerate(truth.genes)}
    at = tuple(network.candidates[end].map(place).to_numpy() for end in ("source", "target"))
    return replace(network, candidates=network.candidates.assign(selected=truth.direct[at] != 0))


def test_implied_effects_are_sums_over_paths():
    network = made_up_network(13, 30, names=HOSTILE)
    table = implied_table(network)
    own = dict(zip(network.nodes, network.screen.knockdown.effect, strict=True))
    for row in table.itertuples():
        total = argen.paths(network, row.source, row.target).total
        assert row.implied == pytest.approx(own[row.source] * total, abs=1e-12)
        assert row.path == (total != 0)
    assert len(table) == 13 * 12
    observed = network.total_effects()["effect"]
    np.testing.assert_array_equal(table["observed"], observed)


def test_errors_of_differences_in_closed_form():
    """A chain of three, the direct effect of the first on the last a candidate or an edge.

    With the candidate, implied less observed is minus that candidate's estimate, per unit of the
    knock-down; as an edge it makes the network fit the effect exactly.
    """
    network = with_true_edges(1, n_nodes=3, n_parents=1.0)
    names = network.order
    screen = network.screen
    effects, errors = screen.effect.copy(), screen.std_error.copy()
    np.fill_diagonal(effects, screen.knockdown.effect)
    np.fill_diagonal(errors, screen.knockdown.std_error)
    a, b, c = (network.nodes.index(name) for name in names)
    template = network.candidates.iloc[:1]
    rows = []
    among = np.array([a, b])
    direct = np.linalg.solve(effects[np.ix_(among, among)], effects[among, c])
    for source, target, effect in ((a, b, effects[a, b] / effects[a, a]), (a, c, direct[0]),
                                   (b, c, direct[1])):  # fmt: skip
        rows.append({"source": network.nodes[source], "target": network.nodes[target],
                     "effect": effect, "std_error": 1.0})  # fmt: skip
    for with_edge in (False, True):
        table = template.loc[template.index.repeat(3)].reset_index(drop=True)
        for k, row in enumerate(rows):
            for name, value in row.items():
                table.loc[k, name] = value
        table["selected"] = [True, with_edge, True]
        chain = replace(network, candidates=table)
        implied, std_error = implied_effects(chain, joint_errors(chain, as_in_table=False))
        if with_edge:
            assert implied[a, c] == pytest.approx(effects[a, c])
            assert std_error[a, c] == pytest.approx(0.0, abs=1e-7)
            continue
        assert implied[a, c] - effects[a, c] == pytest.approx(-effects[a, a] * direct[0])
        # d_ab theta_bc - d_ac, with theta_bc from the two by two system.
        step, moved = 1e-6, []
        for j in range(3):
            for g in range(3):
                changed = effects.copy()
                changed[j, g] += step
                theta = np.linalg.solve(changed[np.ix_(among, among)], changed[among, c])
                moved.append((changed[a, b] * theta[1] - changed[a, c]
                              - effects[a, b] * direct[1] + effects[a, c]) / step)  # fmt: skip
        expected = np.sqrt(np.square(moved) @ errors.reshape(-1) ** 2)
        assert std_error[a, c] == pytest.approx(expected, rel=1e-4)


@pytest.mark.rates
def test_nominal_rate_where_the_edges_are_the_true_ones():
    with_path, without = [], []
    for seed in range(40):
        table = implied_table(with_true_edges(seed))
        tested = table["path"] & table["z"].notna()
        with_path.append(table.loc[tested, "p_value"])
        without.append(table.loc[~table["path"], "p_value"])
    for parts, least in ((with_path, 500), (without, 3000)):
        p = np.concatenate(parts)
        assert len(p) > least
        shares = np.array([np.sum(part < 0.05) - 0.05 * len(part) for part in parts])
        error = np.sqrt(len(parts)) * shares.std() / len(p)
        assert abs(np.mean(p < 0.05) - 0.05) < 4 * error
        assert np.mean(p < 0.001) < 0.01


@pytest.mark.rates
def test_quiet_without_feedback():
    """At most one in twenty screens has an effect against the order, or a slope in reverse."""
    spoke = {"no feedback": 0, "direction": 0}
    for seed in range(40):
        model = argen.ScreenModel(n_nodes=20, n_parents=1.5, mean_count=4.0)
        network = argen.infer_network(argen.simulate_screen(model, rng=seed)[0])
        found = implied_findings(implied_table(network), NO_PAIRS)
        found += concordance_findings(concordance_table(network))
        for words in spoke:
            spoke[words] += bool(said(found, words))
    # Above this in fewer than one of a thousand runs at 5 %.
    assert max(spoke.values()) <= stats.binom.isf(0.001, 40, 0.05)


@pytest.mark.rates
def test_speaks_of_feedback():
    spoke = 0
    for seed in range(5):
        model = argen.ScreenModel(n_nodes=20, n_parents=1.5, n_feedback=2, mean_count=4.0)
        data, truth = argen.simulate_screen(model, rng=seed)
        found = argen.check(argen.infer_network(data), data, n_null_tests=0)
        evidence = said(found.findings, "no feedback")
        spoke += bool(evidence)
        table = found.tables["implied"]
        back = table[table["against_order"] & (table["p_adjusted"] < 1e-4)]
        place = {gene: k for k, gene in enumerate(truth.genes)}
        assert all(truth.total[place[r.source], place[r.target]] != 0 for r in back.itertuples())
    assert spoke >= 4


def test_speaks_of_a_guide_that_hits_upstream():
    """g0 acts on g1; the guide of g1 hits g0 too, and through it nothing that g1 does."""
    spoke = []
    for off_target in (0.0, 1.0):
        rng = np.random.default_rng(4)
        node = np.repeat(np.arange(-1, 3), [800, 250, 250, 250])
        hidden = 0.4 * rng.normal(size=len(node))
        first = 1.5 - 2.0 * (node == 0) - off_target * (node == 1)
        second = 1.5 + 0.6 * (first - 1.5) - 1.2 * (node == 1)
        third = 1.5 + 0.5 * (second - 1.5) - 2.0 * (node == 2)
        mean = np.exp(np.column_stack([first, second, third]) + hidden[:, None])
        data = screen_of(rng.poisson(mean), node)
        found = argen.check(argen.infer_network(data), data, n_null_tests=0)
        spoke.append([f for f in found.findings if f.assumption.startswith("no feedback")])
    assert not spoke[0]
    (finding,) = spoke[1]
    assert "1 of them beyond doubt (by Holm's method): g0 and g1" in finding.evidence
    assert "A guide that hits both genes looks the same" in finding.advice


def test_missing_edges_are_a_note():
    network = with_true_edges(3)
    strongest = network.edges["log10_p"].idxmin()
    edge = network.edges.loc[strongest]
    gone = (network.candidates["source"] == edge["source"]) & (
        network.candidates["target"] == edge["target"]
    )
    broken = replace(network, candidates=network.candidates.assign(
        selected=network.candidates["selected"] & ~gone))  # fmt: skip
    table = implied_table(broken).set_index(["source", "target"])
    assert table.loc[(edge["source"], edge["target"]), "badly"]
    found = implied_findings(implied_table(broken), NO_PAIRS)
    (finding,) = [f for f in found if "sufficiency" in f.assumption]
    assert finding.severity == "note"
    assert f"{edge['source']} on {edge['target']}" in finding.evidence


def test_slope_and_its_error_are_those_of_a_regression():
    network = made_up_network(30, 60)
    network.screen.effect[:] += np.random.default_rng(1).normal(0, 0.1, (30, 30))
    table = concordance_table(network).set_index("direction")
    for direction in ("forward", "reverse"):
        pairs = intervention_table(network, reverse=direction == "reverse")
        fit = sm.OLS(pairs["effect"], sm.add_constant(pairs["intervention"])).fit(
            cov_type="HC3", use_t=True
        )
        row = table.loc[direction]
        assert row["slope"] == pytest.approx(fit.params.iloc[1])
        assert row["slope_error"] == pytest.approx(fit.bse.iloc[1])
        assert row["p_value"] == pytest.approx(fit.pvalues.iloc[1])
        assert row["correlation"] == pytest.approx(pairs["effect"].corr(pairs["intervention"]))
        assert row["n_edges"] == len(pairs)


def test_turned_edges_speak():
    """Edges that all point the wrong way agree with interventions on their targets."""
    network = made_up_network(30, 60)
    assert not concordance_findings(concordance_table(network))
    effect = network.screen.effect.T.copy()
    turned = replace(network, screen=replace(network.screen, effect=effect))
    (reverse,) = [
        f for f in concordance_findings(concordance_table(turned)) if "slope" in f.evidence
    ]
    assert "related to what perturbing its target does to its source" in reverse.evidence
    signs = replace(network, screen=replace(network.screen, effect=-network.screen.effect))
    (wrong,) = [f for f in concordance_findings(concordance_table(signs)) if "sign" in f.evidence]
    assert "only 0 % have the sign" in wrong.evidence


def test_infinite_effects_and_few_edges():
    network = made_up_network(30, 3)
    table = concordance_table(network)
    assert not concordance_findings(table)
    edge = network.edges.iloc[0]
    at = network.nodes.index(edge["source"]), network.nodes.index(edge["target"])
    network.screen.effect[at], network.screen.std_error[at] = -np.inf, np.nan
    assert concordance_table(network).loc[0, ["n_edges", "n_infinite"]].tolist() == [2, 1]
    implied = implied_table(network).set_index(["source", "target"])
    assert np.isnan(implied.loc[(edge["source"], edge["target"]), "z"])
    network.screen.knockdown.effect[at[0]] = -np.inf
    of_source = implied_table(network).set_index("source").loc[edge["source"]]
    assert of_source["implied"].isna().all()


def test_slope_is_least_squares(rng):
    x, y = rng.normal(size=50), rng.normal(size=50)
    slope, agreement = slope_and_agreement(x, y)
    assert slope == pytest.approx(np.polyfit(x, y, 1)[0])
    assert agreement == np.mean(x * y > 0)
    assert np.isnan(slope_and_agreement(x[:1], y[:1])[0])
    assert correlation(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert np.isnan(correlation(x, np.ones(50)))


def test_networks_of_other_methods_are_said():
    data, _ = argen.simulate_screen(argen.ScreenModel(n_nodes=8), rng=1)
    network = argen.infer_by("random", data)
    candidates = network.candidates.assign(effect=np.nan)
    found = argen.check(replace(network, candidates=candidates), data, n_null_tests=0)
    assert "not computed" in found.summary()
    assert "implied" not in found.tables


def test_too_many_candidates_are_said(monkeypatch):
    data, _ = argen.simulate_screen(argen.ScreenModel(n_nodes=8), rng=1)
    monkeypatch.setattr(checking, "MOST_ENTRIES", 1)
    found = argen.check(argen.infer_network(data), data, n_null_tests=0)
    assert "not computed: edges have too many candidates beside them" in found.summary()
    assert "concordance" in found.tables
