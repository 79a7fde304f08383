"""Figures: what is drawn is what the network has, whatever its size and its names."""

import io
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import argen
from argen import plot
from argen.analysis import degree_table, evidence
from argen.checks.edges.validation import intervention_table, slope_and_agreement
from argen.plot.effects import comparison_table, forest_table, heatmap_table, truth_table
from argen.plot.graphs import centrality, stability_table
from argen.plot.network import network_edges
from argen.plot.screens import expression_table, knockdown_table, qq_table
from argen.plot.style import shown_name
from tests.networks import HOSTILE, made_up_network

mpl.use("agg")
# What fonts lack depends on the machine; the text itself is looked at.
pytestmark = pytest.mark.filterwarnings("ignore:Glyph")


@pytest.fixture
def ax():
    """Axes of a figure of their own."""
    return Figure(figsize=(6, 5), layout="constrained").add_subplot()


@pytest.fixture(scope="module")
def fitted():
    """A screen of twelve nodes and two sinks, its truth and its network."""
    model = argen.ScreenModel(n_nodes=12, n_sinks=2, n_parents=1.5, mean_count=6.0, failed=0.1)
    data, truth = argen.simulate_screen(model, rng=2)
    return data, truth, argen.infer_network(data)


def texts(ax) -> list[str]:
    """Return every text of the axes."""
    return [text.get_text() for text in ax.findobj(mpl.text.Text)]


def vector_text(figure) -> str:
    """Return all text of a figure written as SVG."""
    file = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg")
    return "".join(ET.fromstring(file.getvalue().decode()).itertext())  # noqa: S314


def all_draws(network):
    """Every figure that needs a network alone."""
    stability = network.candidates[["source", "target"]].assign(frequency=0.7)
    pairs = network.edges[["source", "target"]]
    known = evidence.KnownPairs(pairs.iloc[::2].assign(sign=1), True, "$x$ <b>")
    classes = pairs.assign(**{"class": np.where(np.arange(len(pairs)) % 2, "<near>", "$far$")})
    return {
        "network": lambda ax: plot.draw_network(network, ax=ax),
        "forest": lambda ax: plot.draw_forest(network, ax=ax),
        "intervention": lambda ax: plot.draw_intervention(network, ax=ax),
        "reverse": lambda ax: plot.draw_intervention(network, reverse=True, ax=ax),
        "direct": lambda ax: plot.draw_heatmap(network, ax=ax),
        "total": lambda ax: plot.draw_heatmap(network, "total", ax=ax),
        "knockdown": lambda ax: plot.draw_knockdown(network, ax=ax),
        "comparison": lambda ax: plot.draw_comparison(network, network, ax=ax),
        "degrees": lambda ax: plot.draw_degrees(network, ax=ax),
        "centrality": lambda ax: plot.draw_centrality(network, ax=ax),
        "stability": lambda ax: plot.draw_stability(network, stability, ax=ax),
        "modules": lambda ax: plot.draw_modules(network, ax=ax),
        "evidence": lambda ax: plot.draw_evidence(evidence.compare(network, known), ax=ax),
        "strength": lambda ax: plot.draw_strength(network, classes, ax=ax),
        "qq": lambda ax: plot.draw_qq(network.candidates["p_value"], ax=ax),
    }


@pytest.mark.whole
@pytest.mark.parametrize("size", [(5, 0), (5, 4), (60, 90), (500, 2500)], ids=str)
def test_every_figure_at_every_size(size):
    network = made_up_network(*size)
    for name, draw in all_draws(network).items():
        axes = Figure(figsize=(6, 5), layout="constrained").add_subplot()
        assert draw(axes) is axes, name
        file = io.BytesIO()
        axes.figure.savefig(file, format="pdf")
        assert file.getvalue().startswith(b"%PDF")


@pytest.mark.whole
def test_hostile_names_are_text_in_vector_figures():
    network = made_up_network(len(HOSTILE), 20, names=HOSTILE)
    shown = [shown_name(name) for name in HOSTILE]
    for name, draw in all_draws(network).items():
        axes = Figure(figsize=(9, 7), layout="constrained").add_subplot()
        draw(axes)
        written = vector_text(axes.figure)
        if name in ("direct", "knockdown"):
            assert all(gene in written for gene in shown), name
        if name == "network":
            edges = network.edges
            drawn = set(edges["source"]) | set(edges["target"])
            assert all(shown_name(gene) in written for gene in drawn)


def test_long_names_and_line_breaks():
    assert shown_name("n" * 200) == "n" * 23 + "…"
    assert shown_name("a\nb\x00c") == "a b c"


def test_without_axes_a_figure_is_made(fitted):
    network = fitted[2]
    axes = plot.draw_degrees(network)
    assert isinstance(axes, Axes)
    side_by_side = plot.draw_networks({"a": network, "b": network})
    assert len(side_by_side) == 2
    plt.close("all")


def test_without_matplotlib_the_message_says_what_to_install(fitted, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(argen.InputError, match=r"pip install 'argen\[plot\]'"):
        plot.draw_degrees(fitted[2])


def test_edges_point_down():
    network = made_up_network(60, 150)
    place = plot.layered_layout(network).place
    for source, target in network.edges[["source", "target"]].itertuples(index=False):
        assert place[source][1] > place[target][1]


def test_layers_are_longest_paths():
    """Against the recursion written out."""
    network = made_up_network(40, 60)
    layout = plot.layered_layout(network)
    parents = network.edges.groupby("target")["source"].agg(list).to_dict()

    def depth(gene):
        return max((1 + depth(parent) for parent in parents.get(gene, [])), default=0)

    assert {gene: depth(gene) for gene in layout.genes} == dict(
        zip(layout.genes, layout.layer, strict=True)
    )
    places = list(layout.place.values())
    assert len(set(places)) == len(places)


def test_neighbourhood_of_a_gene(fitted, ax):
    network = fitted[2]
    gene = network.edges["source"].value_counts().index[0]
    pairs = set(network.edges[["source", "target"]].itertuples(index=False, name=None))
    children = network_edges(network, gene, show="children")
    assert set(children["source"]) == {gene}
    around = network_edges(network, gene)
    kept = set(around[["source", "target"]].itertuples(index=False, name=None))
    near = {end for pair in pairs if gene in pair for end in pair}
    assert kept == {pair for pair in pairs if set(pair) <= near}
    plot.draw_network(network, gene, ax=ax)
    assert near <= set(texts(ax))
    with pytest.raises(argen.InputError, match="show must be"):
        plot.draw_network(network, gene, show="siblings")
    with pytest.raises(argen.InputError, match="of this network"):
        plot.draw_network(network, "nobody")


def test_the_network_says_what_it_leaves_out(ax):
    network = made_up_network(400, 1200)
    plot.draw_network(network, ax=ax)
    [said] = [text for text in texts(ax) if text.startswith("Genes ")]
    drawn = set(network.edges["source"]) | set(network.edges["target"])
    assert len(drawn) < 400
    assert f"not drawn: {400 - len(drawn)} without an edge" in said
    named = [text for text in texts(ax) if text in network.genes]
    assert f"not named: {len(drawn) - len(named)} with fewer edges" in said


def test_feedback_pairs(paper_network):
    screen = paper_network.screen
    both = [
        (a, b)
        for i, a in enumerate(screen.nodes)
        for j, b in enumerate(screen.nodes)
        if i < j and screen.is_descendant[i, j] and screen.is_descendant[j, i]
    ]
    assert list(paper_network.feedback_pairs().itertuples(index=False, name=None)) == both


def test_networks_side_by_side_share_one_layout(fitted):
    data, _, network = fitted
    axes = Figure().subplots(1, 2)
    plot.draw_networks({"argen": network, "naive": argen.method.infer_naive(data)}, axes=axes)
    places = [
        {text.get_text(): text.xy for text in ax.texts if text.get_text() in network.genes}
        for ax in axes
    ]
    assert places[0] == places[1]
    assert "shared" in axes[1].get_title()
    with pytest.raises(argen.InputError, match="has other genes"):
        plot.draw_networks({"a": network, "b": made_up_network(5, 4)})


def test_forest_has_the_strongest_edges(fitted, ax):
    network = fitted[2]
    table = forest_table(network, n_edges=3)
    strongest = network.edges.nsmallest(3, "log10_p")
    pd.testing.assert_frame_equal(table, strongest[table.columns].reset_index(drop=True))
    plot.draw_forest(network, n_edges=3, ax=ax)
    assert ax.get_title() == f"3 of {len(network.edges)} edges"


def test_interventions_forward_and_in_reverse(fitted):
    network = fitted[2]
    effects = network.total_effects().set_index(["source", "target"])["effect"]
    for row in intervention_table(network).itertuples():
        assert row.intervention == -effects[row.source, row.target]
    reverse = intervention_table(network, reverse=True)
    assert set(reverse["target"]) <= set(network.nodes)
    for row in reverse.itertuples():
        assert row.intervention == -effects[row.target, row.source]


def test_interventions_agree_forward_and_not_in_reverse():
    """Every edge of a screen without feedback is seen from its source alone."""
    model = argen.ScreenModel(n_nodes=30, n_parents=1.0, mean_count=8.0, cells_per_node=200)
    network = argen.infer_network(argen.simulate_screen(model, rng=1)[0])
    found = []
    for reverse in (False, True):
        table = intervention_table(network, reverse=reverse)
        table = table[np.isfinite(table["intervention"])]
        x, y = table["intervention"].to_numpy(), table["effect"].to_numpy()
        found.append((slope_and_agreement(x, y), np.abs(x).mean()))
    (forward, size), (_, reverse_size) = found
    assert forward[0] > 0.2
    assert forward[1] == 1.0
    assert reverse_size < 0.15 * size


def test_heat_maps_are_in_causal_order(fitted):
    network = fitted[2]
    direct = heatmap_table(network)
    assert list(direct.index) == network.order
    edges = network.edges.set_index(["source", "target"])["effect"]
    assert direct.notna().to_numpy().sum() == len(edges)
    assert all(direct.loc[pair] == effect for pair, effect in edges.items())
    total = heatmap_table(network, "total")
    assert total.notna().to_numpy().sum() == network.screen.is_descendant.sum()
    with pytest.raises(argen.InputError, match="'direct' or 'total'"):
        heatmap_table(network, "both")


def test_knockdown_marks_what_does_not_work(fitted, ax):
    network = fitted[2]
    table = knockdown_table(network)
    assert table["effect"].is_monotonic_increasing
    weak = int((~(table["ci_high"] < 0) & np.isfinite(table["effect"])).sum())
    plot.draw_knockdown(network, ax=ax)
    assert weak > 0
    assert f"not surely knocked down ({weak})" in texts(ax)


def test_expression_is_adjusted_for_covariates(fitted):
    """The regression written out with statsmodels."""
    sm = pytest.importorskip("statsmodels.api")
    data = fitted[0]
    perturbed, observed = data.nodes[0], data.genes[-1]
    table = expression_table(data, perturbed=perturbed, observed=observed)
    node = data.node_of_cell
    cells = (node == -1) | (node == 0)
    count = data.counts.dense(np.array([len(data.genes) - 1]))[0]
    y = np.log1p(count * np.median(data.library_size) / data.library_size)[cells]
    x = data.covariates.to_numpy()[cells, 0]
    fit = sm.OLS(y, np.column_stack([np.ones(len(x)), node[cells] == 0, x])).fit()
    np.testing.assert_allclose(
        table["expression"], y - fit.params[2] * (x - x.mean()), rtol=0, atol=1e-10
    )
    assert (table["group"] == "perturbed").sum() == data.n_perturbed[0]


def test_expression_forward_and_in_reverse(fitted, ax):
    data, _, network = fitted
    edge = network.edges[~network.edges["sink"]].nsmallest(1, "log10_p").iloc[0]
    plot.draw_expression(network, data, edge["source"], edge["target"], ax=ax)
    assert ax.get_ylabel().startswith(f"{edge['target']}, ")
    assert ax.get_title().startswith("forward")
    plot.draw_expression(network, data, edge["source"], edge["target"], reverse=True, ax=ax)
    assert ax.get_ylabel().startswith(f"{edge['source']}, ")
    with pytest.raises(argen.InputError, match="not among the genes"):
        plot.draw_expression(network, data, "nobody", edge["target"])


def test_quantiles_of_uniform_p_values_are_in_their_band(rng):
    table = qq_table(np.append(rng.uniform(size=2000), np.nan))
    assert len(table) == 2000
    inside = table["observed"].between(table["low"], table["high"])
    # Ranks are correlated: the share varies far more than that of independent ones.
    assert inside.mean() > 0.7
    assert (table["low"] <= table["expected"]).mean() > 0.99


def test_quantiles_by_name_have_their_inflation(ax, rng):
    z = rng.normal(size=3000)
    from scipy.special import ndtr

    plot.draw_qq(
        {"null": 2 * ndtr(-abs(z)), "wide": 2 * ndtr(-abs(2 * z)), "zero": [0.0, 0.5]}, ax=ax
    )
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    inflation = {label.split(":")[0]: float(label.split("= ")[1]) for label in labels}
    assert inflation["null"] == pytest.approx(1, abs=0.1)
    assert inflation["wide"] == pytest.approx(4 * inflation["null"], rel=0.01)


def test_truth_beside_estimates(fitted, ax):
    _, truth, network = fitted
    table = truth_table(network, truth)
    true = truth.to_frame().set_index(["source", "target"])["effect"]
    by_pair = table.set_index(["source", "target"])
    assert (table["true"] != 0).sum() == len(true)
    assert all(by_pair.loc[pair, "true"] == effect for pair, effect in true.items())
    assert table["candidate"].sum() == len(network.candidates)
    assert table["selected"].sum() == len(network.edges)
    plot.draw_truth(network, truth, ax=ax)
    missed = int((~table["candidate"] & (table["true"] != 0)).sum())
    assert (f"true edge, not tested ({missed})" in texts(ax)) == (missed > 0)


def test_two_runs(fitted, ax):
    data, _, network = fitted
    other = argen.infer_network(data, argen.InferenceConfig(alpha=1e-6))
    table = comparison_table(network, other)
    plot.draw_comparison(network, other, names=("a", "$b$"), ax=ax)
    both = int((table["selected"] & table["selected_other"]).sum())
    assert f"edge in both ({both})" in texts(ax)
    assert ax.get_ylabel() == "direct effect, $b$"


def test_degrees_and_centrality(fitted, ax):
    network = fitted[2]
    table = degree_table(network).set_index("gene")
    assert all(len(network.parents(gene)) == table.loc[gene, "parents"] for gene in network.genes)
    assert all(len(network.children(gene)) == table.loc[gene, "children"] for gene in network.genes)
    for measure in ("degree", "betweenness", "closeness", "pagerank"):
        values = centrality(network, measure)
        assert values.is_monotonic_decreasing
        assert values.name == measure
    assert centrality(network, "pagerank").sum() == pytest.approx(1)
    with pytest.raises(argen.InputError, match="Did you mean 'degree'"):
        centrality(network, "degrees")


def test_stability_tells_edges_from_others(fitted, ax):
    network = fitted[2]
    table = network.candidates[["source", "target"]].assign(
        frequency=np.linspace(0, 1, len(network.candidates))
    )
    assert stability_table(table)["frequency"].is_monotonic_decreasing
    plot.draw_stability(network, table, ax=ax)
    assert f"edge of the network ({len(network.edges)})" in texts(ax)
    with pytest.raises(argen.InputError, match="lacks the columns 'frequency'"):
        stability_table(table.drop(columns="frequency"))
    with pytest.raises(argen.InputError, match="from 0 to 1"):
        stability_table(table.assign(frequency=2.0))
