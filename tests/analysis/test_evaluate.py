"""Every measure of a network against plain loops, networkx and their definitions."""

import dataclasses
import itertools
import sys

import networkx
import numpy as np
import pytest
from scipy import stats

import argen
from argen.analysis.evaluate import average_precision

PAIR = ["source", "target"]


@pytest.fixture(scope="module")
def fitted():
    """A network with errors of all kinds, and the truth."""
    model = argen.ScreenModel(
        n_nodes=12, n_sinks=4, n_parents=2, cells_per_node=60, n_controls=600, noise=0.8
    )
    data, truth = argen.simulate_screen(model, rng=5)
    return argen.infer_network(data, argen.InferenceConfig(alpha=0.2)), truth


@pytest.fixture(scope="module")
def scores(fitted):
    return argen.evaluate(*fitted, sid=True)


def edges_of(table) -> set[tuple[str, str]]:
    return set(table[PAIR].itertuples(index=False, name=None))


def graph_of(genes, edges) -> networkx.DiGraph:
    graph = networkx.DiGraph()
    graph.add_nodes_from(genes)
    graph.add_edges_from(edges)
    return graph


def all_pairs(truth):
    return [(a, b) for a in truth.nodes for b in truth.genes if a != b]


def test_edges(fitted, scores):
    network, truth = fitted
    true, called = edges_of(truth.to_frame()), edges_of(network.edges)
    correct = sum(edge in true for edge in called)
    false = sum(edge not in true for edge in called)
    assert false > 0
    assert 0 < correct < len(true)
    assert (scores.n_true, scores.n_called, scores.n_correct) == (len(true), len(called), correct)
    precision, recall = correct / len(called), correct / len(true)
    assert scores.precision == precision
    assert scores.recall == recall
    assert scores.f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert scores.false_discovery_proportion == false / len(called)


def test_hamming_distance_counts_pairs_of_genes(fitted, scores):
    network, truth = fitted
    true, called = edges_of(truth.to_frame()), edges_of(network.edges)
    n_different = 0
    for a, b in itertools.combinations(truth.genes, 2):
        in_truth = (a, b) in true, (b, a) in true
        in_network = (a, b) in called, (b, a) in called
        n_different += in_truth != in_network
    assert scores.shd == n_different


def test_a_reversed_edge_is_one_difference(fitted):
    network, truth = fitted
    row = truth.to_frame().iloc[0]
    reverse = np.zeros(truth.direct.shape)
    place = truth.genes.index
    reverse[place(row.target), place(row.source)] = 1.0
    table = network.candidates.iloc[:1].assign(source=row.source, target=row.target, selected=True)
    called = dataclasses.replace(network, candidates=table)
    assert argen.evaluate(called, argen.Truth(truth.genes, reverse)).shd == 1


def test_average_precision_is_the_mean_over_true_pairs(fitted, scores):
    network, truth = fitted
    true = edges_of(truth.to_frame())
    p = {(r.source, r.target): r.log10_p for r in network.candidates.itertuples()}
    p = {pair: p.get(pair, np.inf) for pair in all_pairs(truth)}
    total = 0.0
    for pair in true:
        as_good = [other for other in p if p[other] <= p[pair]]
        total += sum(other in true for other in as_good) / len(as_good)
    assert scores.auprc == pytest.approx(total / len(true))


def test_average_precision_by_hand():
    evidence = np.array([3.0, 2.0, 2.0, 1.0, -np.inf, -np.inf])
    is_true = np.array([True, False, True, False, True, False])
    assert average_precision(evidence, is_true) == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)
    assert np.isnan(average_precision(evidence, np.zeros(6, bool)))


def test_intervention_distance_is_that_of_its_definition(fitted, scores):
    """Peters and Buehlmann (2015): effects adjusted for the parents of a wrong graph."""
    network, truth = fitted
    nodes = set(truth.nodes)
    true, guess = (
        graph_of(truth.nodes, [e for e in edges_of(t) if set(e) <= nodes])
        for t in (truth.to_frame(), network.edges)
    )
    n_wrong = 0
    for i, j in itertools.permutations(truth.nodes, 2):
        given = set(guess.predecessors(i))
        below = networkx.descendants(true, i)
        if j in given:
            n_wrong += j in below
            continue
        on_path = {k for k in below if k == j or j in networkx.descendants(true, k)}
        on_path = on_path if j in below else set()
        forbidden = on_path.union(*(networkx.descendants(true, k) for k in on_path))
        backdoor = true.copy()
        backdoor.remove_edges_from([(i, k) for k in on_path if true.has_edge(i, k)])
        n_wrong += bool(given & forbidden) or not networkx.is_d_separator(backdoor, {i}, {j}, given)
    assert n_wrong > 0
    assert scores.sid == n_wrong


def test_ancestors_and_order(fitted, scores):
    network, truth = fitted
    true, called = (graph_of(truth.genes, edges_of(t)) for t in (truth.to_frame(), network.edges))
    above = [
        {(a, b) for a in graph for b in networkx.descendants(graph, a)} for graph in (true, called)
    ]
    both = len(above[0] & above[1])
    assert scores.ancestor_precision == both / len(above[1])
    assert scores.ancestor_recall == both / len(above[0])
    assert scores.ancestor_f1 == pytest.approx(2 * both / (len(above[0]) + len(above[1])))
    place = {gene: number for number, gene in enumerate(network.order)}
    right = [place[a] < place[b] for a, b in above[0] if b in place]
    assert scores.order_accuracy == pytest.approx(sum(right) / len(right))


def test_effects_and_intervals(fitted, scores):
    network, truth = fitted
    effect = truth.to_frame().set_index(PAIR)["effect"].to_dict()
    errors, signs, covered, widths = [], [], {True: [], False: []}, {True: [], False: []}
    for row in network.candidates.itertuples():
        known = effect.get((row.source, row.target), 0.0)
        if known:
            errors.append((row.effect - known) * np.sign(known))
            if row.selected:
                signs.append(row.effect * known > 0)
        covered[known != 0].append(row.ci_low <= known <= row.ci_high)
        widths[known != 0].append(row.ci_high - row.ci_low)
    assert scores.n_true_candidates == len(errors)
    assert scores.effect_bias == pytest.approx(np.mean(errors))
    assert scores.effect_rmse == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert scores.sign_accuracy == np.mean(signs)
    assert scores.true_coverage == pytest.approx(np.mean(covered[True]))
    assert scores.null_coverage == pytest.approx(np.mean(covered[False]))
    assert scores.true_width == pytest.approx(np.mean(widths[True]))
    assert scores.null_width == pytest.approx(np.mean(widths[False]))


def test_null_p_values(fitted, scores):
    network, truth = fitted
    true = edges_of(truth.to_frame())
    rows = [r for r in network.candidates.itertuples() if (r.source, r.target) not in true]
    null = sorted(row.p_value for row in rows)
    assert scores.n_null == len(null) > 10
    distance = max(max((n + 1) / len(null) - p, p - n / len(null)) for n, p in enumerate(null))
    assert scores.null_ks == pytest.approx(distance)
    squares = [(row.effect / row.std_error) ** 2 for row in rows]
    middle = stats.chi2.ppf(0.5, 1)
    # The median of an even number lies between two; squares and p-values average differently.
    assert scores.null_lambda == pytest.approx(np.median(squares) / middle, rel=0.05)
    assert scores.null_below_05 == np.mean([p < 0.05 for p in null])
    assert scores.null_below_001 == np.mean([p < 0.001 for p in null])
    qq = scores.qq()
    assert 10 ** -qq["observed"].to_numpy() == pytest.approx(null)
    assert 10 ** -qq["expected"].to_numpy() == pytest.approx(
        (np.arange(len(null)) + 0.5) / len(null)
    )


def test_nothing_called(fitted):
    network, truth = fitted
    none = dataclasses.replace(network, candidates=network.candidates.iloc[:0])
    scores = argen.evaluate(none, truth, sid=True)
    assert scores.false_discovery_proportion == 0
    assert scores.recall == scores.f1 == 0
    assert np.isnan([scores.precision, scores.sign_accuracy, scores.null_ks]).all()
    assert scores.shd == len(truth.to_frame())


def test_views(scores):
    frame = scores.to_frame()
    assert frame["measure"].tolist() == list(scores.to_dict())
    assert frame.set_index("measure")["value"]["recall"] == scores.recall
    assert f"{scores.n_correct} of {scores.n_true} true edges found" in scores.summary()


def test_other_genes_are_refused(fitted):
    network, truth = fitted
    with pytest.raises(argen.InputError, match=r"they differ in 'g12'.*truth.keep"):
        argen.evaluate(network, truth.keep(g for g in truth.genes if g != "g12"))


def test_cycles_have_no_intervention_distance(fitted):
    network, truth = fitted
    direct = truth.direct.copy()
    direct[0, 1] = direct[1, 0] = 0.3
    assert np.isnan(argen.evaluate(network, argen.Truth(truth.genes, direct), sid=True).sid)


def test_the_distance_needs_its_package(fitted, monkeypatch):
    monkeypatch.setitem(sys.modules, "gadjid", None)
    with pytest.raises(argen.InputError, match=r"pip install 'argen\[evaluate\]'"):
        argen.evaluate(*fitted, sid=True)
