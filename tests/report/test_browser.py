"""The page as its reader uses it, in headless Chromium, opened from disk."""

import csv
import dataclasses
import io

import numpy as np
import pandas as pd
import pytest

import argen
from argen.checks import Diagnostics
from tests.networks import HOSTILE, made_up_network
from tests.report.browser import chromium

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def network():
    """A network with hostile names."""
    return made_up_network(60, 120, names=HOSTILE)


@pytest.fixture(scope="module")
def path(network, tmp_path_factory):
    """Its report, with stability."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    return argen.write_report(network, file, stability=again(network))


def again(network) -> pd.DataFrame:
    """How often each edge comes back, made up."""
    return network.edges[["source", "target"]].assign(frequency=np.linspace(0, 1, 120))


@pytest.fixture
def page(browser, path):
    """The open page; at the end there must be no error, dialog or request."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    wrong = watch(opened)
    visit(opened, path)
    yield opened
    assert wrong == []
    opened.close()


def watch(page) -> list[str]:
    """Collect what must not happen."""
    wrong = []
    page.on("request", lambda r: None if r.url.startswith("file:") else wrong.append(r.url))
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))

    def refuse(dialog):
        wrong.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", refuse)
    return wrong


def visit(page, path) -> None:
    """Open a report and wait until all is drawn."""
    page.goto(path.as_uri())
    page.wait_for_function("document.body.dataset.ready === 'all'")


def column(page, name: str) -> list[str]:
    """Texts of a column of the table of edges."""
    names = page.locator("#table th").evaluate_all("all => all.map((th) => th.dataset.column)")
    number = names.index(name) + 1
    return page.locator(f"#table tbody td:nth-child({number})").all_text_contents()


def drawn_edges(page) -> int:
    """How many edges the graph holds."""
    return page.evaluate(
        "Bokeh.documents.map(d => d.get_model_by_name('edges')).find(Boolean).data.x0.length"
    )


def slide(page, name: str, value: float) -> None:
    """Move a slider as the keyboard or mouse would."""
    page.locator(name).evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }", value
    )


def place_of(page, gene: str) -> tuple[float, float]:
    """Where a gene is on the screen."""
    box = page.locator("#graph-box")
    box.scroll_into_view_if_needed()
    bounds = box.bounding_box()
    x, y, width, height = page.evaluate(
        """(name) => {
          const model = (n) => Bokeh.documents.map((d) => d.get_model_by_name(n)).find(Boolean);
          const plot = model("graph"), points = model("genes").data;
          const i = Array.from(points.name).indexOf(name);
          const share = (v, r) => (v - r.start) / (r.end - r.start);
          return [share(points.x[i], plot.x_range) * plot.inner_width,
            (1 - share(points.y[i], plot.y_range)) * plot.inner_height, plot.inner_width,
            plot.inner_height];
        }""",
        gene,
    )
    left = bounds["x"] + (bounds["width"] - width) / 2
    return left + x, bounds["y"] + (bounds["height"] - height) / 2 + y


def test_a_click_on_a_gene_shows_its_edges(page, network):
    edges = network.edges
    gene = edges["source"].value_counts().index[0]
    page.mouse.click(*place_of(page, gene if len(gene) < 25 else f"{gene[:23]}…"))
    page.wait_for_function("document.querySelector('#panel h4')")
    assert page.locator("#panel h3").text_content() == gene
    assert page.locator("#gene").input_value() == gene
    titles = page.locator("#panel h4").all_text_contents()
    assert titles == [
        f"Parents: {len(network.parents(gene))}",
        f"Children: {len(network.children(gene))}",
    ]
    best = network.children(gene).iloc[0]
    shown = page.locator("#panel ul").nth(1).locator("li").first.text_content()
    assert best["target"] in shown
    assert f"{best['effect']:.3f}" in shown
    # From gene to gene by buttons, which the keyboard reaches.
    page.locator("#panel ul").nth(1).locator("button").first.press("Enter")
    assert page.locator("#panel h3").text_content() == best["target"]


@pytest.mark.parametrize("gene", HOSTILE)
def test_search_finds_every_name(page, gene):
    page.locator("#gene").fill(gene)
    page.locator("#gene").press("Enter")
    assert page.locator("#panel h3").text_content() == gene


def test_search_says_when_there_is_none(page):
    page.locator("#gene").fill("<b>nobody</b>")
    page.locator("#gene").press("Enter")
    assert page.locator("#count").text_content() == "No gene is called <b>nobody</b>."


def test_filters_act_on_graph_and_table(page, network):
    edges = network.edges
    assert drawn_edges(page) == len(column(page, "source")) == len(edges)
    page.locator("#sign").select_option("-1")
    n_lowering = int((edges["effect"] < 0).sum())
    assert drawn_edges(page) == len(column(page, "source")) == n_lowering
    page.locator("#clear").click()
    slide(page, "#effect", 50)
    n_large = int((edges["effect"].abs() >= edges["effect"].abs().max() / 2).sum())
    assert 0 < n_large < len(edges)
    assert drawn_edges(page) == len(column(page, "source")) == n_large
    page.locator("#clear").click()
    slide(page, "#stability", 0.5)
    assert drawn_edges(page) == 60
    page.locator("#clear").click()
    slide(page, "#q", -6)
    q = [float(value) for value in column(page, "q")]
    assert 0 < len(q) < len(edges)
    assert max(q) <= 1e-6
    assert page.locator("#count").text_content().startswith(f"{len(q)} of 120 edges")


def test_the_table_sorts_both_ways(page, network):
    by_effect = page.locator("#table th[data-column=effect] button")
    by_effect.click()
    effects = [float(value) for value in column(page, "effect")]
    assert effects == sorted(effects)
    assert page.locator("th[data-column=effect]").get_attribute("aria-sort") == "ascending"
    by_effect.press("Enter")
    assert [float(value) for value in column(page, "effect")] == sorted(effects, reverse=True)
    page.locator("#table th[data-column=source] button").click()
    assert sorted(column(page, "source")) == sorted(network.edges["source"])


def test_p_values_that_round_up_to_ten_get_the_next_power(browser, tmp_path):
    network = made_up_network(10, 6)
    log10_p = np.log10([1.0, 9.996e-4, 9.94e-6, 9.96e-6, 1e-200, 1.0])
    log10_p[-1] = -np.inf
    network.candidates.loc[network.candidates["selected"], "log10_p"] = log10_p
    page = browser.new_page()
    wrong = watch(page)
    visit(page, argen.write_report(network, tmp_path / "report.html"))
    assert set(column(page, "log10_p")) == {"1.0", "1.0e-3", "9.9e-6", "1.0e-5", "1.0e-200", "0"}
    assert wrong == []
    page.close()


def test_the_table_is_searched_and_downloaded(page, network):
    page.locator("#search").fill("gene1")
    found = network.edges
    is_found = [
        "gene1" in f"{s} {t}".lower() for s, t in zip(found["source"], found["target"], strict=True)
    ]
    assert len(column(page, "source")) == sum(is_found)
    page.locator("#search").fill("")
    with page.expect_download() as waiting:
        page.locator("#download").click()
    download = waiting.value
    assert download.suggested_filename == "edges.tsv"
    with open(download.path(), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    expected = network.edges.sort_values("log10_p")
    assert [row["source"] for row in rows] == expected["source"].tolist()
    assert [row["target"] for row in rows] == expected["target"].tolist()
    np.testing.assert_allclose(
        [float(row["effect"]) for row in rows], expected["effect"], rtol=1e-5
    )
    text = pd.DataFrame(rows).to_csv(sep="\t", index=False)
    assert len(list(csv.reader(io.StringIO(text), delimiter="\t"))) == len(expected) + 1


def test_long_tables_come_in_parts(browser, tmp_path):
    page = browser.new_page()
    wrong = watch(page)
    visit(page, argen.write_report(made_up_network(100, 300), tmp_path / "long.html"))
    assert len(column(page, "source")) == 200
    page.get_by_role("button", name="Show all 300 rows").click()
    assert len(column(page, "source")) == 300
    assert wrong == []
    page.close()


def test_the_weakest_point_of_an_edge_is_opened_chosen_and_sorted(page, network):
    points = argen.checks.weak_points(
        network, Diagnostics.of([], {"stability": again(network)}, [])
    )
    points = points.set_index(["source", "target"])
    best = network.edges.sort_values("log10_p").iloc[0]
    row = points.loc[(best["source"], best["target"])]
    first = page.locator("#table tbody details").first
    sentence = first.get_by_text(row["sentence"], exact=True)
    assert not sentence.is_visible()
    first.locator("summary").press("Enter")
    assert sentence.is_visible()
    assert first.locator("summary").text_content() == row["weak_point"]
    counts = points["weak_point"].value_counts()
    assert len(counts) > 1
    options = page.locator("#weak option").all_text_contents()
    assert options[0] == "any"
    assert set(options[1:]) == {f"{name}: {n}" for name, n in counts.items()}
    page.locator("#weak").select_option(str(counts.index[-1]))
    assert len(column(page, "rank")) == counts.iloc[-1]
    page.locator("#weak").select_option("")
    page.locator("#table th[data-column=rank] button").click()
    shown = page.locator("#table tbody summary").all_text_contents()
    assert shown == points.sort_values("rank")["weak_point"].tolist()
    # Beside the selected gene too.
    page.locator("#gene").fill(best["source"])
    page.locator("#gene").press("Enter")
    assert row["sentence"] in page.locator("#panel li p").all_text_contents()


def test_edges_that_a_check_puts_in_doubt_are_dashed(page, network):
    doubted = argen.checks.put_in_doubt(argen.checks.weak_points(network)).sum()
    assert 0 < doubted < len(network.edges)
    dash = page.evaluate(
        "Bokeh.documents.map(d => d.get_model_by_name('edges')).find(Boolean).data.dash"
    )
    assert sorted(dash) == ["dashed"] * doubted + ["solid"] * (len(network.edges) - doubted)


def test_the_graph_answers_to_the_keyboard(page):
    ranges = """() => {
      const plot = Bokeh.documents.map(d => d.get_model_by_name('graph')).find(Boolean);
      return [plot.x_range.start, plot.x_range.end];
    }"""
    page.locator("#graph-box").focus()
    start, end = page.evaluate(ranges)
    page.keyboard.press("+")
    zoomed = page.evaluate(ranges)
    assert zoomed[1] - zoomed[0] == pytest.approx((end - start) / 1.5)
    page.keyboard.press("ArrowRight")
    moved = page.evaluate(ranges)
    assert moved[0] > zoomed[0]
    page.keyboard.press("0")
    assert page.evaluate(ranges) == pytest.approx([start, end])
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "gene"


def test_dragging_moves_the_graph(page):
    start = "Bokeh.documents.map(d => d.get_model_by_name('graph')).find(Boolean).x_range.start"
    page.locator("#graph-box").scroll_into_view_if_needed()
    bounds = page.locator("#graph-box").bounding_box()
    before = page.evaluate(start)
    page.mouse.move(bounds["x"] + 30, bounds["y"] + 30)
    page.mouse.down()
    page.mouse.move(bounds["x"] + 130, bounds["y"] + 60, steps=5)
    page.mouse.up()
    assert page.evaluate(start) < before


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_widths_and_colour_schemes(browser, path, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    wrong = watch(page)
    visit(page, path)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    paper, ink = page.evaluate(
        "(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))"
    )
    assert (brightness(paper) > 200) == (scheme == "light")
    assert abs(brightness(paper) - brightness(ink)) > 150
    assert wrong == []
    page.close()


def brightness(colour: str) -> float:
    """Mean of red, green and blue of ``rgb(...)``."""
    return float(np.mean([int(part) for part in colour[4:-1].split(",")]))


def test_the_page_prints(page):
    assert page.pdf().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert not page.locator("#controls").is_visible()
    assert page.locator("#table").is_visible()


def test_on_paper_all_sentences_are_open_and_figures_keep_apart(page):
    closed = page.locator("#table details:not([open])")
    assert closed.count() == 120
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert closed.count() == 0
    page.set_viewport_size({"width": 720, "height": 1000})
    boxes = [each.bounding_box() for each in page.locator(".figures figure").all()]
    assert len(boxes) > 1
    for number, a in enumerate(boxes):
        assert a["x"] + a["width"] <= 720
        for b in boxes[:number]:
            apart = a["x"] >= b["x"] + b["width"] - 1 or b["x"] >= a["x"] + a["width"] - 1
            assert apart or a["y"] >= b["y"] + b["height"] - 1
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert closed.count() == 120


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_have_the_colours_of_the_page(browser, path, scheme):
    page = browser.new_page(color_scheme=scheme)
    wrong = watch(page)
    visit(page, path)
    drawn, raises, lowers = page.evaluate(
        """() => {
          const plot = Bokeh.documents.map((d) => d.get_model_by_name("knockdown")).find(Boolean);
          const style = getComputedStyle(document.documentElement);
          const sources = plot.renderers.map((part) => part.data_source).filter(Boolean);
          const drawn = sources.find((source) => source.data.colour).data.colour;
          return [drawn, style.getPropertyValue("--raises").trim(),
            style.getPropertyValue("--lowers").trim()];
        }"""
    )
    assert set(drawn) == {raises, lowers}
    assert wrong == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_quantiles_of_checks_are_drawn(browser, tmp_path, scheme):
    data, _ = argen.simulate_paper_screen(rng=1, n_cells=2000)
    network = argen.infer_network(data)
    checked = argen.check(network, data, n_null_tests=1)
    page = browser.new_page(color_scheme=scheme)
    wrong = watch(page)
    visit(page, argen.write_report(network, tmp_path / "checked.html", diagnostics=checked))
    for name in ("calibration_qq", "balance_qq"):
        assert page.locator(f"#figure-{name} canvas").count() > 0
    drawn, colour = page.evaluate(
        """() => {
          const name = "calibration_qq";
          const plot = Bokeh.documents.map((d) => d.get_model_by_name(name)).find(Boolean);
          const legend = plot.center.find((part) => part.items);
          return [legend.items.map((item) => item.label.value), legend.label_text_color];
        }"""
    )
    assert drawn == list(checked.tables["calibration"]["kind"])
    ink = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink')")
    assert colour == ink.strip()
    assert wrong == []
    page.close()


def test_a_page_without_edges(browser, tmp_path):
    page = browser.new_page()
    wrong = watch(page)
    visit(page, argen.write_report(made_up_network(5, 0), tmp_path / "none.html"))
    page.locator("#gene").fill("GENE1")
    page.locator("#gene").press("Enter")
    assert page.locator("#panel h3").text_content() == "GENE1"
    assert wrong == []
    page.close()


def renamed(network: argen.CausalNetwork, names: tuple[str, ...]) -> argen.CausalNetwork:
    """Return the same network with other names of genes."""
    place = dict(zip(network.genes, names, strict=True))
    ends = {end: network.candidates[end].map(place) for end in ("source", "target")}
    return dataclasses.replace(
        network,
        candidates=network.candidates.assign(**ends),
        programs=dataclasses.replace(network.programs, genes=names),
        screen=dataclasses.replace(network.screen, genes=names),
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_programs_fit_the_page_whatever_their_names(browser, program_network, tmp_path, width):
    network = renamed(program_network, (*HOSTILE, *program_network.genes[len(HOSTILE) :]))
    page = browser.new_page(viewport={"width": width, "height": 900})
    wrong = watch(page)
    visit(page, argen.write_report(network, tmp_path / "programs.html"))
    assert page.evaluate("document.documentElement.scrollWidth") == width
    shown = page.locator("#programs tbody td:first-child").all_text_contents()
    table = argen.plot.programs_table(network, n_perturbations=10, n_genes=10)
    assert shown == table["name"].tolist()
    assert wrong == []
    page.close()


def test_a_gene_has_the_share_of_cells_in_which_its_guide_works(
    browser, escaping_network, tmp_path
):
    page = browser.new_page()
    wrong = watch(page)
    visit(page, argen.write_report(escaping_network, tmp_path / "escaping.html"))
    own = escaping_network.knockdowns().iloc[0]
    page.locator("#gene").fill(own["node"])
    page.locator("#gene").press("Enter")
    share, low, high = (
        f"{100 * own[name]:.0f}" for name in ("penetrance", "penetrance_low", "penetrance_high")
    )
    said = f"Its guide works in {share} % of the cells that carry it [{low}, {high}]."
    assert said in page.locator("#panel p").all_text_contents()
    assert wrong == []
    page.close()
