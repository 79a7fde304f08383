"""The commands that show a result, run as a user would run them."""

import json
from xml.etree import ElementTree

import networkx
import numpy as np
import pandas as pd
import pytest

import argen
from argen.cli import main
from argen.cli.reading import read_truth
from tests.networks import HOSTILE, made_up_network

pytestmark = pytest.mark.whole

COLUMNS = ["--target", "perturbation", "--control", "non-targeting"]
COLUMNS += ["--library-size", "library_size", "--covariates", "L"]


def run(*arguments) -> int:
    """Run a command in this process and return its exit code."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code or 0


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A simulated screen on disk, and the folder of its results."""
    folder = tmp_path_factory.mktemp("fitted")
    screen, results = folder / "screen.h5ad", folder / "results"
    assert run("simulate", "--out", screen, "--seed", 1) == 0
    nodes = ["--nodes", "X1,X2,X3,X4,X5,X6"]
    assert run("fit", screen, *COLUMNS, *nodes, "--out", results, "--quiet") == 0
    return screen, results


def test_fit_writes_the_report_unless_refused(fitted, tmp_path):
    screen, results = fitted
    assert (results / "report.html").is_file()
    refused = ["--no-report", "--quiet", "--out", tmp_path]
    assert run("fit", screen, *COLUMNS, *refused) == 0
    assert not (tmp_path / "report.html").exists()
    assert (tmp_path / "edges.tsv").is_file()


def test_report(fitted, tmp_path, capsys):
    out = tmp_path / "in a folder" / "a.html"
    network = argen.load(fitted[1])
    table = network.edges[["source", "target"]].assign(frequency=0.5)
    table.to_csv(tmp_path / "stability.tsv", sep="\t", index=False)
    options = ["--stability", tmp_path / "stability.tsv", "--title", "My <screen>"]
    assert run("report", fitted[1], "-o", out, *options) == 0
    assert str(out) in capsys.readouterr().out
    page = out.read_text("utf-8")
    assert "<h1>My &lt;screen&gt;</h1>" in page
    assert '"stability": [0.5' in page


def test_report_stands_beside_its_result(paper_network, tmp_path):
    argen.save(paper_network, tmp_path / "some.npz")
    assert run("report", tmp_path / "some.npz") == 0
    assert (tmp_path / "report.html").is_file()


def test_check_writes_a_report_with_its_findings(fitted, tmp_path):
    options = ["--null-tests", 0, "--out", tmp_path]
    assert run("check", fitted[0], *COLUMNS, *options) == 0
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Assumptions were not checked" not in page
    assert (tmp_path / "summary.txt").read_text("utf-8").splitlines()[-1] in page


def test_plot_writes_figures_with_tables(fitted, tmp_path, capsys):
    screen, results = fitted
    network = argen.load(results)
    network.edges[["source", "target"]].assign(frequency=0.5).to_csv(
        tmp_path / "stability.tsv", sep="\t", index=False
    )
    out = tmp_path / "figures"
    options = ["--truth", screen, "--compare", results, "--out", out, "--format", "svg"]
    options += ["--stability", tmp_path / "stability.tsv"]
    assert run("plot", results, *options) == 0
    figures = {path.stem for path in out.glob("*.svg")}
    assert figures == {path.stem for path in out.glob("*.tsv")}
    assert figures == {
        "network", "forest", "forward", "reverse", "total_effects", "direct_effects", "knockdown",
        "degrees", "centrality", "comparison_1", "networks", "truth", "null_qq", "stability",
    }  # fmt: skip
    printed = capsys.readouterr().out
    assert all(f"{name}.svg" in printed for name in figures)
    forest = pd.read_csv(out / "forest.tsv", sep="\t")
    np.testing.assert_allclose(
        forest["effect"], network.edges.sort_values("log10_p")["effect"], rtol=1e-12
    )


def test_plot_some_figures_around_a_gene(fitted, tmp_path):
    options = ["--figures", "network,forest", "--gene", "X3", "--out", tmp_path]
    assert run("plot", fitted[1], *options) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "network.pdf", "network.tsv", "forest.pdf", "forest.tsv",
    }  # fmt: skip
    forest = pd.read_csv(tmp_path / "forest.tsv", sep="\t")
    assert ((forest["source"] == "X3") | (forest["target"] == "X3")).all()


def test_expression(fitted, tmp_path):
    screen, results = fitted
    options = ["--result", results, "--parent", "X1", "--child", "X2", "--out", tmp_path]
    assert run("expression", screen, *COLUMNS, *options, "--format", "png") == 0
    table = pd.read_csv(tmp_path / "expression.tsv", sep="\t")
    assert table["perturbed"].tolist() == ["X1", "X1", "X2", "X2"]
    mean = table.set_index(["perturbed", "group"])["mean"]
    forward = mean["X1", "perturbed"] - mean["X1", "control"]
    reverse = mean["X2", "perturbed"] - mean["X2", "control"]
    assert abs(forward) > 5 * abs(reverse)
    assert (tmp_path / "expression.png").read_bytes().startswith(b"\x89PNG")


def test_truth_of_a_file_is_that_of_the_simulator(fitted):
    network = argen.load(fitted[1])
    _, truth = argen.simulate_paper_screen(rng=1, hidden=("X7", "X8"))
    found = read_truth(fitted[0], network)
    assert found.genes == truth.genes
    np.testing.assert_allclose(found.direct, truth.direct, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Glyph")
def test_hostile_names_are_text_in_every_file(tmp_path):
    network = made_up_network(len(HOSTILE), 20, names=HOSTILE)
    argen.write_results(network, tmp_path)
    figures = ["--figures", "network,knockdown", "--out", tmp_path / "figures"]
    assert run("plot", tmp_path, *figures) == 0
    assert run("report", tmp_path) == 0
    pairs = network.edges[["source", "target"]]
    for table in (tmp_path / "edges.tsv", tmp_path / "figures" / "network.tsv"):
        pd.testing.assert_frame_equal(pd.read_csv(table, sep="\t")[["source", "target"]], pairs)
    knockdown = pd.read_csv(tmp_path / "figures" / "knockdown.tsv", sep="\t")
    assert set(knockdown["node"]) == set(network.genes)
    graph = networkx.read_graphml(tmp_path / "network.graphml")
    assert set(graph.nodes) == set(network.genes)
    page = (tmp_path / "report.html").read_text("utf-8")
    data = page.split('id="data">')[1].split("</script>")[0]
    assert tuple(json.loads(data)["genes"]["name"]) == network.genes


CONTROL = ("a\x07b", "a\x1b[31mb", "a\nb", "a\rb", "a\ufffeb", "a\u202eb")


@pytest.mark.filterwarnings("ignore:Glyph", "ignore:Matplotlib currently does not support")
def test_names_with_control_characters_command_nothing(tmp_path, capfd):
    network = made_up_network(12, 14, names=CONTROL)
    argen.write_results(network, tmp_path / "results\x1b[31m")
    figures = ["--figures", "network,knockdown", "--format", "svg", "--out", tmp_path / "figures"]
    assert run("plot", tmp_path / "results\x1b[31m", *figures) == 0
    texts = {
        path.name: "".join(ElementTree.parse(path).getroot().itertext())  # noqa: S314
        for path in (tmp_path / "figures").glob("*.svg")
    }
    assert "[31mb" in texts["network.svg"]
    assert len(texts) == 2
    assert run("show", tmp_path / "results\x1b[31m") == 0
    assert run("show", tmp_path / "results\x1b[31m", "--gene", "a\x1b[31mb") == 0
    assert run("show", tmp_path / "results\x1b[31m", "--gene", "a\x1b") == 2
    assert run("report", tmp_path / "results\x1b[31m") == 0
    (tmp_path / "results\x1b[31m" / "edges.tsv").write_text("")
    assert run("show", tmp_path / "results\x1b[31m") == 0  # and a warning
    printed = capfd.readouterr()
    assert "\\x1b[31mb" in printed.out
    assert "is not a node" in printed.err
    assert "are not as they were written together" in printed.err
    assert all(c.isprintable() or c in "\n\t" for c in printed.out + printed.err)
    page = (tmp_path / "results\x1b[31m" / "report.html").read_text("utf-8")
    data = page.split('id="data">')[1].split("</script>")[0]
    assert tuple(json.loads(data)["genes"]["name"]) == network.genes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "absent"], "There is no file 'absent'"),
        (["report", "RESULTS", "-o", "report.pdf"], "A report is an .html file"),
        (["report", "RESULTS", "--stability", "absent.tsv"], "There is no file"),
        (["report", "RESULTS", "--stability", "RESULTS/order.tsv"], "lacks the columns"),
        (["plot", "RESULTS", "--figures", "netwrok"], "Did you mean 'network'"),
        (["plot", "RESULTS", "--gene", "X9"], "is not a node"),
        (["plot", "RESULTS", "--format", "gif"], "Invalid value"),
        (["plot", "RESULTS", "--truth", "RESULTS/network.npz"], "a file of argen simulate"),
        (["expression", "SCREEN", *COLUMNS, "--result", "RESULTS", "--parent", "X1", "--child",
          "X7"], "'X7' is not a perturbed gene of network and data"),
    ],
)  # fmt: skip
def test_bad_input_exits_with_2_and_one_message(arguments, words, fitted, tmp_path, capsys):
    screen, results = fitted
    arguments = [
        a.replace("RESULTS", str(results)).replace("SCREEN", str(screen)) for a in arguments
    ]
    out = ["--out", str(tmp_path)] if arguments[0] != "report" else []
    assert run(*arguments, *out) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert words in captured.err
    assert captured.err.count("\n") == 1
