"""Predictions: closed forms, loops over paths, and coverage where the truth is known."""

from __future__ import annotations

import warnings
from dataclasses import replace

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import argen
import argen.network.prediction
from argen.network.joint_errors import joint_errors
from argen.network.prediction import KNOCK_OUT_REMAINS
from argen.study.oracle import infer_knowing_ancestors
from tests.networks import HOSTILE, made_up_network

# Sums over paths in another sequence.
ROUNDING = 1e-12


def network_of(edges, n_nodes=4, own=-1.5, std_error=0.1):
    """A network of chosen edges, (source, target): effect, on a made-up screen."""
    network = made_up_network(n_nodes, 2)
    genes = network.genes
    rows = pd.DataFrame(
        [(genes[s], genes[t], effect, std_error) for (s, t), effect in edges.items()],
        columns=["source", "target", "effect", "std_error"],
    )
    template = pd.concat([network.candidates.iloc[:1]] * len(rows), ignore_index=True)
    candidates = template.assign(**{name: rows[name] for name in rows}, selected=True)
    network.screen.knockdown.effect[:] = own
    return replace(network, candidates=candidates)


@pytest.fixture
def any_shift():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", argen.ArgenWarning)
        yield


def by_paths(network, source: str, target: str, cut=()) -> float:
    """Sum over simple paths of the products of effects; no path enters a gene of ``cut``."""
    graph = argen.to_networkx(network)
    graph.remove_edges_from([edge for edge in list(graph.edges) if edge[1] in cut])
    paths = nx.all_simple_edge_paths(graph, source, target)
    return sum(np.prod([graph.edges[e]["effect"] for e in path]) for path in paths)


def test_chain_in_closed_form():
    network = network_of({(0, 1): 0.5, (1, 2): -0.8}, own=-1.5)
    genes = network.genes
    table = argen.predict(network, {genes[0]: 0.25}).set_index("gene")
    shift = np.log(0.25)
    assert table.loc[genes[0], ["effect", "std_error"]].tolist() == [shift, 0.0]
    assert table.loc[genes[1], "effect"] == pytest.approx(0.5 * shift)
    assert table.loc[genes[2], "effect"] == pytest.approx(-0.4 * shift)
    assert table.loc[genes[3], ["effect", "std_error"]].tolist() == [0.0, 0.0]
    assert table.loc[genes[1], "std_error"] == pytest.approx(0.1 * abs(shift))
    np.testing.assert_allclose(table["fold_change"], np.exp(table["effect"]))
    margin = table["ci_high"] - table["effect"]
    np.testing.assert_allclose(margin, 1.959964 * table["std_error"], rtol=1e-6)
    assert table["intervened"].tolist() == [True, False, False, False]


def test_edges_into_what_is_intervened_on_are_cut():
    network = network_of({(0, 1): 0.5, (1, 2): -0.8, (0, 2): 0.3})
    a, b, c, _ = network.genes
    table = argen.predict(network, {a: 0.5, b: 0.4}).set_index("gene")
    assert table.loc[b, "effect"] == np.log(0.4)
    assert table.loc[c, "effect"] == pytest.approx(0.3 * np.log(0.5) - 0.8 * np.log(0.4))


def test_every_total_is_a_sum_over_paths(any_shift):
    network = made_up_network(14, 40, names=HOSTILE)
    for source in network.nodes:
        table = argen.predict(network, {source: 2.0}).set_index("gene")
        for target in set(network.genes) - {source}:
            expected = np.log(2.0) * by_paths(network, source, target)
            assert table.loc[target, "effect"] == pytest.approx(expected, abs=ROUNDING)
            assert (table.loc[target, "std_error"] > 0) == (expected != 0)
    first, second = network.edges.loc[0, "source"], network.edges.loc[0, "target"]
    table = argen.predict(network, {first: 0.5, second: 3.0}).set_index("gene")
    for target in set(network.genes) - {first, second}:
        cut = {first, second}
        expected = np.log(0.5) * by_paths(network, first, target, cut)
        expected += np.log(3.0) * by_paths(network, second, target, cut)
        assert table.loc[target, "effect"] == pytest.approx(expected, abs=ROUNDING)


def test_paths_and_mediators_against_all_simple_paths():
    network = made_up_network(14, 45, names=HOSTILE)
    graph = argen.to_networkx(network)
    seen = 0
    for source in network.nodes:
        for target in nx.descendants(graph, source):
            found = argen.paths(network, source, target)
            expected = {
                (source, *(e[1] for e in path)): np.prod([graph.edges[e]["effect"] for e in path])
                for path in nx.all_simple_edge_paths(graph, source, target)
            }  # fmt: skip
            assert found.n_paths == len(expected)
            assert found.total == pytest.approx(sum(expected.values()), abs=ROUNDING)
            listed = dict(zip(found.paths["path"], found.paths["effect"], strict=True))
            largest = sorted(map(abs, expected.values()), reverse=True)[:100]
            np.testing.assert_allclose(found.paths["effect"].abs(), largest)
            assert all(effect == pytest.approx(expected[path]) for path, effect in listed.items())
            for row in found.mediators.itertuples():
                through = sum(v for path, v in expected.items() if row.gene in path[1:-1])
                assert row.effect == pytest.approx(through, abs=ROUNDING)
                assert row.share == pytest.approx(through / found.total)
            seen += found.n_paths > 3
            assert all(" > ".join(path) in found.summary() for path in listed)
    assert seen > 10


def test_the_strongest_paths_come_first_and_the_rest_is_said():
    network = network_of({(0, 1): 0.5, (1, 3): 0.5, (0, 2): -0.9, (2, 3): 2.0, (0, 3): 0.1})
    a, b, c, d = network.genes
    found = argen.paths(network, a, d, most=2)
    assert found.paths["path"].tolist() == [(a, c, d), (a, b, d)]
    assert found.paths["effect"].tolist() == pytest.approx([-1.8, 0.25])
    assert found.n_paths == 3
    assert found.total == pytest.approx(-1.45)
    assert found.mediators["gene"].tolist() == [c, b]
    assert "+0.1  over 1 more paths" in str(found)
    # The product of two independent estimates, by the delta method.
    assert found.paths["std_error"][1] == pytest.approx(0.1 * np.hypot(0.5, 0.5), rel=0.2)


def test_no_path():
    network = network_of({(0, 1): 0.5})
    found = argen.paths(network, network.genes[1], network.genes[0])
    assert (found.total, found.std_error, found.n_paths) == (0.0, 0.0, 0)
    assert found.paths.empty
    assert found.mediators.empty


def test_errors_follow_the_effects_that_the_edges_rest_on():
    """Each derivative is that of solving the second stage with one effect moved a little."""
    rng = np.random.default_rng(2)
    network = made_up_network(5, 6)
    n, step = 5, 1e-6
    total = rng.normal(0, 0.4, (n, n))
    np.fill_diagonal(total, -1.5)
    parents = np.array([0, 1, 2])

    def solved(effects):
        return np.linalg.solve(effects[np.ix_(parents, parents)], effects[parents, 4])

    theta = solved(total)
    slopes = np.zeros((3, n * n))
    for entry in range(n * n):
        moved = total.copy()
        moved.flat[entry] += step
        slopes[:, entry] = (solved(moved) - theta) / step
    std_error = rng.uniform(0.05, 0.1, (n, n))
    size = np.sqrt(slopes**2 @ std_error.reshape(-1) ** 2)
    network.screen.effect[:], network.screen.std_error[:] = total, std_error
    network.screen.knockdown.effect[:] = np.diag(total)
    network.screen.knockdown.std_error[:] = np.diag(std_error)
    template = pd.concat([network.candidates.iloc[:1]] * 3, ignore_index=True)
    names = np.array(network.genes, dtype=object)
    candidates = template.assign(
        source=names[parents], target=names[4], effect=theta, std_error=2 * size, selected=True
    )
    errors = joint_errors(replace(network, candidates=candidates))
    # Standard errors are those of the table, twice those of the screen here.
    np.testing.assert_allclose(errors.rows.toarray()[:, : n * n], 2 * slopes, atol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(errors.covariance(errors.rows))), 2 * size)
    expected = 4 * (slopes * std_error.reshape(-1) ** 2) @ slopes.T
    np.testing.assert_allclose(errors.covariance(errors.rows), expected, atol=1e-4)


def true_network(seed: int) -> tuple[argen.CausalNetwork, argen.Truth]:
    """A confounded screen, and its network with the true ancestors and the true edges."""
    model = argen.ScreenModel(n_nodes=10, n_parents=1.5, mean_count=4.0, knockdown=(1.5, 1.5))
    data, truth = argen.simulate_screen(model, rng=seed)
    config = argen.InferenceConfig(rule="published")
    network = infer_knowing_ancestors(data, truth, config)
    place = {gene: k for k, gene in enumerate(truth.genes)}
    at = tuple(network.candidates[end].map(place).to_numpy() for end in ("source", "target"))
    candidates = network.candidates.assign(selected=truth.direct[at] != 0)
    return replace(network, candidates=candidates), truth


@pytest.mark.rates
def test_intervals_cover_where_the_edges_are_known(any_shift):
    """Half of a gene, its own knock-down, two genes at once; paths and mediators."""
    z = {"half": [], "measured": [], "two": [], "paths": [], "through": []}
    for seed in range(25):
        network, truth = true_network(seed)
        for i, gene in enumerate(truth.nodes):
            below = truth.ancestors[i]
            for kind, change, shift in (("half", 0.5, np.log(0.5)), ("measured", "measured", -1.5)):
                table = argen.predict(network, {gene: change})[below]
                error = table["effect"] - shift * truth.total[i, below]
                z[kind].append(error / table["std_error"])
        for a, b in ((0, 1), (2, 5), (3, 7)):
            cut = truth.direct.copy()
            cut[:, [a, b]] = 0
            truly = np.log([0.5, 0.3]) @ np.linalg.inv(np.eye(10) - cut)[[a, b]]
            table = argen.predict(network, {truth.nodes[a]: 0.5, truth.nodes[b]: 0.3})
            reached = table["std_error"] > 0
            z["two"].append(((table["effect"] - truly) / table["std_error"])[reached])
        source, target = np.argwhere(truth.ancestors)[seed % truth.ancestors.sum()]
        found = argen.paths(network, truth.nodes[source], truth.nodes[target])
        z["paths"].append([(found.total - truth.total[source, target]) / found.std_error])
        for row in found.mediators.itertuples():
            m = truth.nodes.index(row.gene)
            truly = truth.total[source, m] * truth.total[m, target]
            z["through"].append([(row.effect - truly) / row.std_error])
    z = {kind: np.concatenate(values) for kind, values in z.items()}
    assert len(z["half"]) == len(z["measured"]) > 400
    for kind, values in z.items():
        covered = np.mean(np.abs(values) < 1.96)
        # Errors of one screen go together: a screen counts for five.
        error = np.sqrt(0.95 * 0.05 / (25 * 5 if len(values) > 125 else len(values)))
        assert abs(covered - 0.95) < 3 * error, (kind, covered)
        assert abs(values.mean()) < 0.35, (kind, values.mean())


def test_sinks_are_predicted_in_blocks(monkeypatch, any_shift):
    model = argen.ScreenModel(n_nodes=6, n_sinks=7, n_parents=2.0, mean_count=6.0)
    network = argen.infer_network(argen.simulate_screen(model, rng=2)[0])
    reached = network.edges.loc[network.edges["sink"], "source"].iloc[0]
    whole = argen.predict(network, reached)
    assert whole.loc[whole["sink"], "std_error"].gt(0).any()
    assert set(whole.loc[whole["sink"], "gene"]) == set(network.sinks)
    monkeypatch.setattr(argen.network.prediction, "BLOCK_OF_SINKS", 2)
    pd.testing.assert_frame_equal(argen.predict(network, reached), whole)
    sink = network.edges.loc[network.edges["sink"], "target"].iloc[0]
    assert argen.paths(network, reached, sink).total != 0
    with pytest.raises(argen.InputError, match="is a sink of this network: nobody perturbed it"):
        argen.predict(network, {sink: 0.5})


def test_measured_knock_out_and_names(any_shift):
    network = made_up_network(14, 40, names=HOSTILE)
    gene = network.edges.loc[0, "source"]
    own = network.screen.knockdown.effect[network.nodes.index(gene)]
    measured = argen.predict(network, gene)
    for same in ([gene], (g for g in [gene]), {gene: "measured"}):
        pd.testing.assert_frame_equal(argen.predict(network, same), measured)
    row = measured.set_index("gene").loc[gene]
    assert row["effect"] == own
    assert row["std_error"] == pytest.approx(0.1)
    out = argen.predict(network, {gene: "knock-out"}).set_index("gene")
    assert out.loc[gene, "effect"] == pytest.approx(np.log(KNOCK_OUT_REMAINS))
    with_half = argen.predict(network, {gene: 0.5}, confidence=0.5)
    assert (with_half["ci_high"] - with_half["effect"]).max() == pytest.approx(
        0.67449 * with_half["std_error"].max(), rel=1e-4
    )


def test_what_the_screen_has_not_seen_is_said():
    network = network_of({(0, 1): 0.5}, own=np.log(0.3))
    gene = network.genes[0]
    argen.predict(network, {gene: 0.31})
    for beyond in (0.29, 2.0, "knock-out"):
        with pytest.warns(argen.ArgenWarning, match=r"beyond what the screen .* \(screen: 0\.3\)"):
            argen.predict(network, {gene: beyond})


@pytest.mark.parametrize(
    ("interventions", "words"),
    [
        ({}, "There is no intervention to predict: name at least one node"),
        ([], "There is no intervention"),
        ({"GENE9": 0.5}, r"'GENE9' is not a node of this network\. Did you mean 'GENE"),
        ({"GENE0": 0.0}, "minus infinity on the log scale.*'knock-out', which leaves 0.01"),
        ({"GENE0": -0.5}, "expected a fold of its expression, above 0 and not 1"),
        ({"GENE0": 1.0}, "not 1"),
        ({"GENE0": np.nan}, "cannot become nan"),
        ({"GENE0": np.inf}, "cannot become inf"),
        ({"GENE0": True}, "cannot become True"),
        ({"GENE0": "gone"}, "cannot become 'gone'"),
        ({0: 0.5}, "0 is not a node"),
    ],
)
def test_what_cannot_be_predicted(interventions, words):
    with pytest.raises(argen.InputError, match=words):
        argen.predict(network_of({(0, 1): 0.5}), interventions)


def test_other_bad_input():
    network = network_of({(0, 1): 0.5})
    a, b = network.genes[:2]
    with pytest.raises(argen.InputError, match="confidence must be a number between 0 and 1"):
        argen.predict(network, a, confidence=95)
    with pytest.raises(argen.InputError, match="expected two genes"):
        argen.paths(network, a, a)
    with pytest.raises(argen.InputError, match="most must be a whole number from 1"):
        argen.paths(network, a, b, most=0)
    with pytest.raises(argen.InputError, match="is not a node"):
        argen.paths(network, a, "nobody")
    network.screen.knockdown.effect[0] = -np.inf
    with pytest.raises(argen.InputError, match=r"Say what remains, as in \{'GENE0': 0\.05\}"):
        argen.predict(network, a)
    with pytest.raises(argen.InputError, match="form a cycle among 'GENE0', 'GENE1'"):
        argen.predict(network_of({(0, 1): 0.5, (1, 0): 0.2}), {a: 0.5})
    with pytest.raises(argen.InputError, match="have no finite effect: 'GENE0 to GENE1'"):
        argen.predict(network_of({(0, 1): np.nan}), {a: 0.5})


def test_networks_without_errors_have_predictions_without(any_shift):
    network = network_of({(0, 1): 0.5}, std_error=np.nan)
    table = argen.predict(network, {network.genes[0]: 0.5})
    assert table["std_error"].isna().tolist() == [False, True, False, False]
    assert table["effect"][1] == 0.5 * np.log(0.5)


def test_effects_without_a_finite_error_are_taken_as_independent():
    network = network_of({(0, 2): 0.5, (1, 2): 0.4})
    network.screen.effect[0, 1], network.screen.std_error[0, 1] = -np.inf, np.nan
    errors = joint_errors(network)
    np.testing.assert_allclose(errors.covariance(errors.rows), 0.01 * np.eye(2))
    assert sparse.issparse(errors.rows)


def test_predictions_of_a_file(tmp_path, any_shift):
    data, _ = argen.simulate_paper_screen(rng=2, n_cells=4000)
    network = argen.infer_network(data, argen.InferenceConfig(rule="published"))
    table = argen.predict(network, {"X7": 0.5, "X4": 2.0})
    assert table["std_error"].gt(0).sum() >= 4
    again = argen.predict(argen.load(argen.save(network, tmp_path / "n")), {"X7": 0.5, "X4": 2.0})
    pd.testing.assert_frame_equal(again, table)
