"""The page and its texts, without a browser."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import argen
from argen.checks import Diagnostics, Finding
from argen.checks.weak_points import DOUBTS
from argen.data.perturbseq import NOT_MEASURED, left_out_table
from argen.errors import listed
from argen.report import report_html
from argen.report.content import (
    findings_shown,
    penetrance_of,
    programs_of,
    provenance_of,
    summary_of,
)
from argen.report.figures import _name_points, diagnostic_figures, program_figures
from argen.report.methods import methods_of
from argen.report.page import MOST_EDGES, edge_columns
from tests.networks import HOSTILE, made_up_network

PAIR = ["source", "target"]


class Page(HTMLParser):
    """Elements, attributes and texts of a page, as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.data = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("id") or tag

    def handle_data(self, data):
        if self._inside == "data":
            self.data += data
        elif self._inside not in ("script", "style"):
            self.texts.append(data)


@pytest.fixture(scope="module")
def hostile():
    """The page of a network with hostile names, and the network."""
    network = made_up_network(len(HOSTILE), 20, names=HOSTILE)
    return Page(report_html(network, title=HOSTILE[0])), network


@pytest.mark.whole
def test_hostile_names_are_text(hostile):
    page, network = hostile
    counts = pd.Series([tag for tag, _ in page.elements]).value_counts()
    assert counts["script"] == 3  # the data, Bokeh, and the page's own
    assert counts["style"] == 1
    assert "img" not in counts
    assert not any(
        name.startswith("on") and name != "onsubmit" for _, a in page.elements for name in a
    )
    data = json.loads(page.data)
    assert tuple(data["genes"]["name"]) == network.genes
    assert data["edges"]["source"] == network.edges.sort_values("log10_p")["source"].tolist()
    assert any(HOSTILE[0] in text for text in page.texts)


def test_nothing_is_loaded_from_elsewhere(hostile):
    page, _ = hostile
    for tag, attributes in page.elements:
        assert "src" not in attributes, tag
        assert attributes.get("href", "#").startswith("#"), tag
    [policy] = [a["content"] for _, a in page.elements if a.get("http-equiv")]
    assert policy.startswith("default-src 'none'")


@pytest.mark.whole
def test_size_of_a_large_report():
    page = report_html(made_up_network(400, 2000))
    assert len(page.encode()) < 6e6


def test_missing_and_infinite_numbers_are_json(paper_network):
    candidates = paper_network.candidates.copy()
    first = candidates.index[candidates["selected"]][0]
    candidates.loc[first, ["effect", "std_error"]] = [np.inf, np.nan]
    odd = dataclasses.replace(paper_network, candidates=candidates)
    data = json.loads(Page(report_html(odd)).data, parse_constant=pytest.fail)
    place = data["edges"]["effect"].index("inf")
    assert data["edges"]["std_error"][place] is None


def test_edges_have_what_else_is_known(paper_network):
    edges = edge_columns(paper_network, None)
    assert len(edges) == len(paper_network.edges)
    assert edges["log10_p"].is_monotonic_increasing
    total = paper_network.total_effects().set_index(["source", "target"])["effect"]
    for row in edges.itertuples():
        assert row.forward == total[row.source, row.target]
        assert row.backward == total[row.target, row.source]
    # The default rule has no adjusted p-value: those of Benjamini and Hochberg, by definition.
    p = paper_network.candidates["p_value"].to_numpy()
    for row, own in zip(edges.itertuples(), 10 ** edges["log10_p"], strict=True):
        larger = p[p >= own * (1 - 1e-9)]
        expected = min(len(p) * x / (p <= x * (1 + 1e-9)).sum() for x in larger)
        assert row.q == pytest.approx(min(expected, 1), rel=1e-6)


def test_adjusted_p_values_of_the_rule_are_kept(paper_screen):
    config = argen.InferenceConfig(rule="published", edge_adjustment="holm")
    network = argen.infer_network(paper_screen[0], config)
    edges = edge_columns(network, None)
    assert set(edges["q"]) == set(network.edges["p_adjusted"])


def test_stability_is_joined_and_may_be_missing(paper_network):
    pairs = paper_network.edges[["source", "target"]]
    table = pairs.iloc[:2].assign(frequency=[0.25, 0.75])
    edges = edge_columns(paper_network, table).set_index(["source", "target"])["stability"]
    for row in table.itertuples():
        assert edges[row.source, row.target] == row.frequency
    assert edges.isna().sum() == len(pairs) - 2


@pytest.mark.whole
def test_edges_beyond_the_page_are_counted():
    network = made_up_network(400, MOST_EDGES + 7)
    page = Page(report_html(network))
    assert len(json.loads(page.data)["edges"]["source"]) == MOST_EDGES
    assert any("7 edges with weaker evidence are not in this page" in text for text in page.texts)


def test_findings_stand_first_and_by_severity(paper_network):
    findings = [
        Finding("A thing", "It is so.", "Do this.", "note"),
        Finding("Guides hit one gene", "They do not.", "Drop them.", "serious"),
    ]
    diagnostics = Diagnostics.of(findings, {"knock_down": pd.DataFrame({"a": [1.5]})}, ["Looked."])
    found = findings_shown(paper_network, diagnostics)
    assert found[0] == findings[1]
    assert "Assumptions were not checked" not in [finding.assumption for finding in found]
    page = Page(report_html(paper_network, diagnostics=diagnostics))
    text = " ".join(page.texts)
    assert text.index("Guides hit one gene") < text.index("What was found")
    assert "Knock down: 1 rows" in text
    assert "Looked." in text


def test_what_the_network_says_is_said_once_and_everywhere(paper_network):
    rows = [
        ("node", "X9", 5, "no count"),
        ("target", "X8", 5, NOT_MEASURED),
        ("target", "X7", 6, "other"),
        ("cells", "f", 9, "-"),
    ]
    network = dataclasses.replace(paper_network, left_out=left_out_table(rows))
    expected = [
        "1 perturbed gene was dropped: X9 (no count).",
        "1 label left out, 6 cells: X7 (other).",
        "1 perturbation is not of measured genes: X8.",
        "1 filter of cells left out 9 cells: f.",
    ]
    for found in (
        network.findings(),
        argen.check(network).findings,
        findings_shown(network),
        findings_shown(network, argen.check(network)),
        findings_shown(network, Diagnostics.of([], {}, [])),
    ):
        said = [finding.evidence for finding in found]
        assert len(said) == len(set(said))
        assert set(expected) <= set(said)
        assert set(network.findings()) <= set(found)
    assert all(evidence in network.summary() for evidence in expected)


def test_findings_say_what_is_wrong():
    """Guides that fail are named."""
    model = argen.ScreenModel(n_nodes=12, failed=0.2, n_feedback=2, mean_count=6.0)
    network = argen.infer_network(argen.simulate_screen(model, rng=1)[0])
    said = [finding.evidence for finding in findings_shown(network)]
    own = network.screen.knockdown_frame().set_index("node")
    [failed] = [text for text in said if "do not change their own gene" in text]
    named = re.findall(r"(g\d+) \(", failed)
    assert len(named) == int(failed.split()[0]) > 0
    for gene in named:
        assert own.loc[gene, "effect"] + 1.96 * own.loc[gene, "std_error"] > 0
    assert "Assumptions were not checked" in [f.assumption for f in findings_shown(network)]


def test_a_network_without_edges_is_a_page(paper_network):
    candidates = paper_network.candidates.assign(selected=False)
    for table, title in (
        (candidates, "No edge passed"),
        (candidates[:0], "Nothing could be tested"),
    ):
        empty = dataclasses.replace(paper_network, candidates=table)
        assert any(f.evidence.startswith(title) for f in findings_shown(empty))
        assert json.loads(Page(report_html(empty)).data)["edges"]["source"] == []


def test_summary_in_numbers(paper_network):
    said = " ".join(summary_of(paper_network))
    points = argen.checks.weak_points(paper_network)
    best = paper_network.edges[~argen.checks.put_in_doubt(points)].nsmallest(1, "log10_p").iloc[0]
    assert f"would be multiplied by {2 ** best['effect']:.2f}" in said
    assert f"{len(paper_network.edges)} edges among 6 perturbed genes" in said


def test_it_says_what_the_screen_can_see(paper_network):
    fall = np.median(paper_network.screen.detectable(0.05)[paper_network.screen.pairs])
    said = next(said for said in summary_of(paper_network) if said.startswith("What this screen"))
    assert f"a fall of a gene to {100 * np.exp(-fall):.0f} % of what it is" in said
    assert f"in half of the pairs falls by {fall:.2g} (natural log)" in paper_network.summary()
    screen = paper_network.screen
    blind = dataclasses.replace(screen, std_error=np.full_like(screen.std_error, 9.0))
    network = dataclasses.replace(paper_network, screen=blind)
    assert "no fall of a gene, however deep" in " ".join(summary_of(network))
    assert "no fall can be seen: the counts are too few" in network.summary()


def test_the_headline_is_an_edge_that_no_check_puts_in_doubt(paper_network):
    edges = paper_network.edges.sort_values("log10_p")
    points = argen.checks.weak_points(paper_network)
    points = points.assign(rank=len(DOUBTS) + 1, weak_point="none found", also="", sentence="S.")
    points["looked_at"] = "network, cells"
    at = [points.index[(points[PAIR] == edges[PAIR].iloc[n]).all(axis=1)][0] for n in range(4)]

    def headline(table) -> str:
        said = summary_of(paper_network, table)
        (at,) = (n for n, line in enumerate(said) if "the strongest evidence is" in line)
        assert said[at + 1].startswith("What speaks most against it: ")
        return said[at]

    pairs = [f"for {row.source} and {row.target}: " for row in edges.itertuples()]
    assert pairs[0] in headline(points)
    points.loc[at[0], ["rank", "weak_point"]] = [7, "both directions"]
    points.loc[at[1], ["rank", "weak_point"]] = [21, "loop partner"]
    points.loc[at[2], ["rank", "weak_point", "also"]] = [16, "near its bar", "in a loop, few cells"]
    assert pairs[3] in headline(points)
    assert "Of the edges that no check puts in doubt, and that no loop blurs," in headline(points)
    assert summary_of(paper_network, points)[-1] == (
        f"1 of {len(edges)} edges is put in doubt by a check, so do not take it as shown: "
        f"{edges.iloc[0]['source']} -> {edges.iloc[0]['target']} (both directions)."
    )
    loops = points.assign(rank=21, weak_point="loop partner")
    loops.loc[at[0], ["rank", "weak_point"]] = [7, "both directions"]
    assert pairs[1] in headline(loops)
    assert "No edge stands by itself. Of those that no check puts in doubt," in headline(loops)
    assert "before argen check has looked at cells and guides" in headline(None)
    points["rank"] = 3
    assert pairs[0] in headline(points)
    assert "Every edge is put in doubt by a check or blurred by a loop" in headline(points)
    assert summary_of(paper_network, points)[-1].count(" -> ") == min(len(edges), 12)
    assert "for X" in " ".join(summary_of(paper_network))  # from what the network says alone


def test_direct_is_explained_in_summary_and_methods(paper_network):
    said = " ".join(summary_of(paper_network))
    assert "not through a change in the transcript amount of another gene of the network" in said
    assert "if the assumptions hold" in said
    assert "phosphorylation or a complex, counts as direct" in said
    methods = methods_of(paper_network)
    assert "does not pass through the transcript amounts of other candidates" in methods


def test_cells_that_escape_are_explained_and_shown(escaping_network):
    said = penetrance_of(escaping_network)
    assert said[0].startswith("Not every cell that carries a guide is perturbed by it")
    assert "too large where the target falls less than the source itself" in said[0]
    assert escaping_network.penetrance_line() in said[1]
    page = Page(report_html(escaping_network))
    assert said[1] in page.texts
    data = json.loads(page.data)
    assert "penetrance" in data["figures"]
    shares = escaping_network.penetrance.to_frame()
    np.testing.assert_allclose(data["genes"]["penetrance"], shares["penetrance"], rtol=1e-5)
    assert "effects of 15 perturbations are corrected" in methods_of(escaping_network)


def test_without_escape_the_page_says_so(paper_network, escaping_network):
    (said,) = penetrance_of(paper_network)
    assert said.startswith("Cells in which guides work: not known:")
    assert penetrance_of(dataclasses.replace(paper_network, penetrance=None)) == []
    assert "thinned" not in methods_of(paper_network)
    data = json.loads(Page(report_html(paper_network)).data)
    assert "penetrance" not in data["figures"]
    assert data["genes"]["penetrance"] == [None] * 6
    work = dataclasses.replace(
        escaping_network.penetrance, corrected=np.zeros(15, dtype=bool), screen_p_value=0.4
    )
    network = dataclasses.replace(escaping_network, penetrance=work)
    assert "there was no sign that cells escape (p = 0.4)." in methods_of(network)


def test_programs_are_explained_and_shown(program_network):
    said = " ".join(programs_of(program_network))
    assert "1 response program was found, and taken out of all effects" in said
    page = Page(report_html(program_network))
    text = " ".join(page.texts)
    share = 100 * program_network.programs.share[0]
    assert f"Program 1: {share:.0f} % of the variance of total effects" in text
    assert "10 needed." in text
    table = argen.plot.programs_table(program_network, n_perturbations=10, n_genes=10)
    for row in table.itertuples():
        assert f"{row.ci_low:.2f} to {row.ci_high:.2f}" in page.texts
        assert row.name in page.texts
    assert f"1 ({share:.0f} % of their variance) was taken out" in methods_of(program_network)


def test_without_programs_the_page_says_why(paper_network, program_network):
    (said,) = programs_of(paper_network)
    assert said.startswith("Not looked for: 0 other genes, 50 needed. A response program is")
    assert "Program 1" not in " ".join(Page(report_html(paper_network)).texts)
    assert "searched" not in methods_of(paper_network)
    programs = program_network.programs
    none = dataclasses.replace(
        programs, scores=np.empty((20, 0)), share=np.empty(0), strength=programs.strength[-1:],
        chance=programs.chance[-1:], chance_sd=programs.chance_sd[-1:],
        n_setting_off=programs.n_setting_off[-1:],
    )  # fmt: skip
    network = dataclasses.replace(program_network, programs=none)
    assert programs_of(network)[0].startswith("None found (strength ")
    assert "none stood out from chance." in methods_of(network)
    few = dataclasses.replace(none, strength=np.array([90.0]), n_setting_off=np.array([4]))
    network = dataclasses.replace(program_network, programs=few)
    for said in (programs_of(network)[0].lower(), methods_of(network)):
        assert "none taken out (4 of 20 perturbations set off a response in common" in said
    assert "none stood out" not in methods_of(network)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["saddlepoint", "two-level rule", "Poisson regression: the perturbations", "0.05"]),
        ({"family": "nb", "alpha": 0.01}, ["two-stage negative-binomial", "rate of 0.01"]),
        ({"rule": "published"}, ["Wald tests", "BatchBH", "peeled"]),
        (
            {"rule": "published", "edge_adjustment": "holm", "edge_scope": "target"},
            ["Holm's method within each target"],
        ),
        ({"screen_adjustment": "by"}, ["Benjamini and Yekutieli"]),
        ({"confidence": 0.9}, ["aim at a coverage of 90 % where the assumptions hold"]),
    ],
)
def test_methods_name_the_settings(paper_screen, options, words):
    text = methods_of(argen.infer_network(paper_screen[0], argen.InferenceConfig(**options)))
    for word in [*words, "arXiv:2601.01830", "L as covariates", argen.__version__]:
        assert word in text


def test_methods_promise_no_more_than_the_checks_do(paper_network):
    text = methods_of(paper_network)
    assert "aims at a false discovery rate of 0.05 from screen to edge where the assump" in text
    assert "The assumptions were not checked." in text
    assert "both ways" not in text
    findings = [
        Finding("exclusion (of some kind)", "E.", "A.", "warning"),
        Finding("exclusion (of some kind)", "F.", "A.", "warning"),
        Finding("direction", "E.", "A.", "warning"),
        Finding("size (of tests)", "E.", "A.", "serious"),
        Finding("only noted", "E.", "A.", "note"),
    ]
    text = methods_of(paper_network, Diagnostics.of(findings, {}, []))
    assert (
        "Checks of the assumptions spoke seriously against: size (of tests), and as a warning "
        "against: exclusion (of some kind); direction." in text
    )
    assert "not checked" not in text
    assert "only noted" not in text
    quiet = methods_of(paper_network, Diagnostics.of([], {}, []))
    assert "had no serious finding and no warning." in quiet
    assert (
        text in Page(report_html(paper_network, diagnostics=Diagnostics.of(findings, {}, []))).texts
    )


def test_methods_name_feedback(paper_network):
    screen = paper_network.screen
    is_descendant = screen.is_descendant.copy()
    source, target = np.argwhere(is_descendant)[0]
    is_descendant[target, source] = True
    both = dataclasses.replace(screen, is_descendant=is_descendant)
    text = methods_of(dataclasses.replace(paper_network, screen=both))
    first, second = sorted((source, target))
    names = f"{paper_network.nodes[first]} and {paper_network.nodes[second]}"
    assert f"1 pair of genes affects each other both ways in the screen ({names}); the" in text


def test_methods_of_another_method_say_so(paper_screen):
    text = methods_of(argen.method.infer_naive(paper_screen[0]))
    assert "by the method 'naive', which is not ARGEN" in text
    assert "Murphy-Topel" not in text


@pytest.mark.parametrize(
    ("options", "unused"),
    [
        ({}, {"edge_adjustment", "edge_scope"}),
        ({"rule": "published"}, {"edge_scope"}),
        ({"rule": "published", "edge_adjustment": "holm"}, set()),
    ],
)
def test_provenance_has_every_option_that_was_used(paper_network, options, unused):
    network = dataclasses.replace(paper_network, config=argen.InferenceConfig(**options))
    rows = dict(provenance_of(network))
    assert rows["input sha256"] == network.provenance["input_sha256"]
    shown = {name.removeprefix("option ") for name in rows if name.startswith("option ")}
    assert set(network.config.to_dict()) - shown == unused


def test_long_lists_are_cut_and_counted():
    assert listed("abc") == "a, b, c"
    assert listed(range(10), 8) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"


def test_a_report_is_html(tmp_path, paper_network):
    path = argen.write_report(paper_network, tmp_path / "report.html")
    assert path.read_text("utf-8").startswith("<!doctype html>")
    with pytest.raises(argen.InputError, match=r"is an \.html file, not 'report\.pdf'"):
        argen.write_report(paper_network, tmp_path / "report.pdf")


def test_the_same_network_gives_the_same_numbers(paper_network):
    first, second = (json.loads(Page(report_html(paper_network)).data) for _ in range(2))
    assert first["edges"] == second["edges"]
    assert first["genes"] == second["genes"]


def test_sentences_of_the_page_are_those_of_the_table(paper_network):
    data = json.loads(Page(report_html(paper_network)).data)["edges"]
    points = argen.checks.weak_points(paper_network).set_index(["source", "target"])
    for row in zip(*(data[n] for n in ("source", "target", "rank", "sentence")), strict=True):
        assert points.loc[row[:2], "rank"] == row[2]
        assert points.loc[row[:2], "sentence"] == row[3]
    checked = argen.check(paper_network).tables
    assert "Weak points: " not in " ".join(Page(report_html(paper_network)).texts)
    assert "weak_points" in checked
    # What resamples say is taken into account.
    seldom = paper_network.edges[["source", "target"]].assign(frequency=0.1)
    data = json.loads(Page(report_html(paper_network, stability=seldom)).data)["edges"]
    assert set(data["weak_point"]) == {"unstable"}


def test_the_page_says_which_weak_points_are_provisional(paper_screen, paper_network):
    text = " ".join(Page(report_html(paper_network)).texts)
    assert "Provisional." in text
    assert (
        "Not looked at yet: cells, with guides, balance and null screens (argen check); res" in text
    )
    found = argen.check(paper_network, paper_screen[0], n_null_tests=0)
    seldom = paper_network.edges[PAIR].assign(frequency=0.1)
    page = Page(report_html(paper_network, diagnostics=found, stability=seldom))
    text = " ".join(page.texts)
    assert "Provisional." not in text
    assert "Not looked at yet: other choices (argen check --sensitivity); held-out" in text


def test_the_page_says_what_a_knock_out_alone_validates(paper_network):
    text = " ".join(" ".join(Page(report_html(paper_network)).texts).split())
    assert (
        "after knocking the source out, by qPCR for example, shows the total effect again" in text
    )


def test_figures_of_programs_have_what_the_table_has(program_network):
    figures = program_figures(program_network, 1, 10)
    table = argen.plot.programs_table(program_network, n_perturbations=10, n_genes=10)
    for what, figure in zip(("perturbation", "gene"), figures.values(), strict=True):
        [source] = {r.data_source for r in figure.plot.renderers if "value" in r.data_source.data}
        drawn = dict(zip(source.data["name"], source.data["value"], strict=True))
        rows = table[table["what"] == what]
        assert drawn == dict(zip(rows["name"], rows["value"], strict=True))
        assert list(drawn.values()) == sorted(drawn.values(), reverse=True)


def test_an_interval_without_end_does_not_stretch_the_axis(paper_network):
    own = paper_network.screen.knockdown
    error = own.std_error.copy()
    error[0] = 30.0
    screen = dataclasses.replace(
        paper_network.screen, knockdown=dataclasses.replace(own, std_error=error)
    )
    panel = diagnostic_figures(dataclasses.replace(paper_network, screen=screen))["knockdown"]
    [drawn] = {r.data_source for r in panel.plot.renderers if "value" in r.data_source.data}
    assert max(drawn.data["high"]) == 150.0
    assert "1 intervals go on above the axis." in panel.said


def test_names_that_would_hide_each_other_are_left_out():
    from bokeh.plotting import figure

    plot, names = figure(), ["first", "hidden", "far", "above"]
    at = pd.DataFrame({"x": [0.0, 0.01, 1.0, 0.0], "y": [0.0, 0.0, 0.0, 1.0]})
    ends = np.array([0.0, 1.0])
    _name_points(plot, at, names, xs=ends, ys=ends)
    [drawn] = plot.renderers
    assert list(drawn.data_source.data["text"]) == ["first", "", "far", "above"]


def test_notes_are_folded_beside_warnings(paper_network):
    warning = Finding("order", "Two genes are in doubt.", "Take more cells.", "warning")
    note = Finding("cells", "Some were left out.", "Look at them.", "note")
    opened = '<details class="in-print" open>'
    alone = report_html(paper_network, diagnostics=Diagnostics.of([note], {}, []))
    beside = report_html(paper_network, diagnostics=Diagnostics.of([warning, note], {}, []))
    assert opened in alone
    assert "What to do" not in alone
    assert opened not in beside
    assert "<summary>What to do</summary><p>Take more cells.</p>" in beside
