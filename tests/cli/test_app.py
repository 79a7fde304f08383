"""The command line, run as a user would run it."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import argen
from argen.cli import main
from tests.networks import HOSTILE, made_up_network

COLUMNS = ["--target", "perturbation", "--control", "non-targeting"]
COLUMNS += ["--library-size", "library_size", "--covariates", "L"]


def run(*arguments: str) -> int:
    """Run a command in this process and return its exit code.

    Without the page of a fit, which has tests of its own and takes as long as all else.
    """
    if arguments[:1] == ("fit",) and len(arguments) > 2:
        arguments += ("--no-report",)
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return end.value.code or 0


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    """A simulated screen on disk."""
    path = tmp_path_factory.mktemp("screen") / "screen.h5ad"
    assert run("simulate", "--out", str(path), "--seed", "1", "--hide", "X7,X8") == 0
    return path


@pytest.fixture(scope="module")
def result(screen, tmp_path_factory):
    """Results of that screen."""
    folder = tmp_path_factory.mktemp("result")
    assert run("fit", str(screen), *COLUMNS, "--out", str(folder), "--quiet") == 0
    return folder


def test_fit_writes_the_results_of_the_library_call(screen, tmp_path, capsys, paper_network):
    assert run("fit", str(screen), *COLUMNS, "--out", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "Causal network of 6 genes: 6 edges selected of 9 candidates" in printed
    assert "weak_points.tsv is provisional: it rests on the network alone" in printed
    written = argen.load(tmp_path)
    pd.testing.assert_frame_equal(written.candidates, paper_network.candidates)
    edges = pd.read_csv(tmp_path / "edges.tsv", sep="\t", converters={"effect": float})
    np.testing.assert_array_equal(edges["effect"], paper_network.edges["effect"])
    points = pd.read_csv(tmp_path / "weak_points.tsv", sep="\t")
    assert points["source"].tolist() == edges["source"].tolist()
    assert points["sentence"].str.endswith("would convince.").all()
    assert set(points["looked_at"]) == {"network; provisional, without cells"}


def test_options_of_the_method_reach_it(screen, tmp_path):
    options = ["--rule", "published", "--alpha", "0.01", "--edge-adjustment", "holm"]
    options += ["--family", "nb", "--threads", "1"]
    assert run("fit", str(screen), *COLUMNS, *options, "--out", str(tmp_path), "--quiet") == 0
    config = argen.load(tmp_path).config
    assert config == argen.InferenceConfig(
        rule="published", alpha=0.01, edge_adjustment="holm", family="nb", threads=1
    )


def test_nodes_and_filter(screen, tmp_path):
    genes = tmp_path / "genes.txt"
    genes.write_text("X1\r\nX2\n\nX3\n", encoding="utf-8-sig")  # as a spreadsheet writes it
    options = ["--nodes", str(genes), "--cells", "library_size > 5"]
    assert run("fit", str(screen), *COLUMNS, *options, "--out", str(tmp_path), "--quiet") == 0
    assert argen.load(tmp_path).nodes == ("X1", "X2", "X3")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("--control a --control b,c", {"control": ("a", "b,c")}),
        ("--covariates A,B", {"covariates": ("A", "B")}),
        ("--covariates ~A+C(B)", {"covariates": "~A+C(B)"}),
        ("--nodes X1,X2, --sinks all", {"nodes": ("X1", "X2"), "sinks": "all"}),
        ("--sinks X3,X4 --min-sink-mean 1", {"sinks": ("X3", "X4"), "min_sink_mean": 1.0}),
        ("--target-names guides --separator +", {"target_names": "guides", "separator": "+"}),
        ("--memory 1KB --scratch here", {"memory": 1000, "scratch": "here"}),
        ("--min-cells 3 --strict", {"min_cells": 3, "strict": True}),
    ],
)  # fmt: skip
def test_what_is_typed_becomes_options_of_reading(typed, expected, tmp_path, monkeypatch):
    seen = []

    def caught(file, options, *, threads):
        seen.append((options, threads))
        raise argen.InputError("enough")

    monkeypatch.setattr("argen.cli.reading.read_perturbseq", caught)
    others = ["--threads", "3", "--out", str(tmp_path)]
    assert run("fit", "screen.h5ad", "--target", "gene", *typed.split(), *others) == 2
    assert seen == [(argen.ReadOptions(target="gene", **expected), 3)]


@pytest.mark.whole
@pytest.mark.parametrize("method", ["naive", "inverse-sparse"])
def test_other_methods_by_name(method, screen, tmp_path, capsys):
    assert run("fit", str(screen), *COLUMNS, "--method", method, "--out", str(tmp_path)) == 0
    assert f"method     {method}\n" in capsys.readouterr().out
    assert argen.load(tmp_path).provenance["method"] == method


@pytest.mark.whole
def test_a_random_screen_can_be_fitted_as_printed(tmp_path, capsys):
    path = tmp_path / "random.h5ad"
    options = [
        "--network",
        "random",
        "--n-nodes",
        "8",
        "--n-batches",
        "2",
        "--effect",
        "0.5",
        "0.9",
    ]
    assert run("simulate", "--out", str(path), *options) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("8 genes, ")
    command = printed.split("Fit it with\n")[1].split()[1:]
    assert command[-1] == "x1,batch"
    assert run(*command, "--out", str(tmp_path / "results"), "--quiet") == 0
    model = argen.ScreenModel(n_nodes=8, n_batches=2, effect=(0.5, 0.9))
    data, _ = argen.simulate_screen(model, rng=1)
    network = argen.load(tmp_path / "results")
    assert network.candidates.equals(argen.infer_network(data).candidates)


@pytest.mark.process
def test_study_of_the_paper_in_processes(tmp_path):
    command = [sys.executable, "-m", "argen", "study", "paper", "--replicates", "2"]
    command += ["--workers", "2", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("The simulation of the paper, 2 replicates")
    assert "[-3.336 (0.201)]" in done.stdout
    files = {path.name for path in tmp_path.iterdir()}
    tables = {"estimates.tsv", "table.tsv", "proportions.tsv"}
    assert files == tables | {"networks.png", "effects.png", "argen_files.json"}


@pytest.mark.whole
def test_study_of_a_toy_grid_goes_on(tmp_path, capsys):
    command = ["study", "grid", "--settings", "p8-base", "--replicates", "1", "--workers", "1"]
    assert run(*command, "--methods", "screen", "--out", str(tmp_path)) == 0
    assert run(*command, "--methods", "screen,inverse", "--out", str(tmp_path)) == 0
    assert "The tables and figures are in" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "grid.tsv", sep="\t")
    assert table["method"].tolist() == ["screen", "inverse"]
    assert (tmp_path / "grid.png").is_file()


def test_studies_without_matplotlib_say_what_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    command = ["study", "grid", "--settings", "p8-base", "--replicates", "1", "--workers", "1"]
    assert run(*command, "--methods", "screen", "--out", str(tmp_path)) == 0
    assert "without figures (Figures need matplotlib" in capsys.readouterr().out


@pytest.mark.whole
def test_check(screen, tmp_path, capsys):
    few = ["--null-tests", "500"]  # no rate is looked at here
    assert run("check", str(screen), *COLUMNS, *few, "--out", str(tmp_path / "check")) == 0
    printed = capsys.readouterr().out
    assert "knock-down: " in printed
    assert (tmp_path / "check" / "summary.txt").read_text("utf-8").strip() in printed
    assert (tmp_path / "check" / "knockdown.tsv").is_file()
    page = (tmp_path / "check" / "report.html").read_text("utf-8")
    assert "<title>Checks of a network</title>" in page
    assert '<th scope="row">command</th><td>not given' not in page


@pytest.mark.whole
def test_stability(screen, tmp_path, capsys):
    assert run("stability", str(screen), *COLUMNS, "--resamples", "3", "--out", str(tmp_path)) == 0
    assert "stability (3 resamples, 0.5 of the cells)" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "stability.tsv", sep="\t")
    assert {"source", "target", "frequency", "direction_frequency"} <= set(table.columns)
    assert "stability at least" in (tmp_path / "report.html").read_text("utf-8")


@pytest.mark.whole
def test_check_under_other_choices(screen, tmp_path, capsys):
    quick = [str(screen), *COLUMNS, "--null-tests", "0", "--sensitivity", "--out", str(tmp_path)]
    assert run("check", *quick) == 0
    printed = capsys.readouterr().out
    assert "edges are called under all of" in printed
    assert "not looked at yet: resampled cells (argen stability); held-out" in printed
    points = pd.read_csv(tmp_path / "weak_points.tsv", sep="\t")
    assert set(points["looked_at"]) == {"network, cells, other choices"}
    assert (tmp_path / "survival.tsv").is_file()
    assert (tmp_path / "weak_points.tsv").is_file()
    assert (tmp_path / "off_target_needed.tsv").is_file()
    sized = ["--other-sizes", "library_size"]
    assert run("check", *quick, *sized) == 0
    scenarios = pd.read_csv(tmp_path / "scenarios.tsv", sep="\t").set_index("scenario")
    same = scenarios.loc["library size library_size"]
    assert same["n_shared"] == same["n_possible"] == same["n_edges"]
    assert run("check", str(screen), *COLUMNS, *sized) == 2
    assert "--other-sizes has choices of --sensitivity: add it" in capsys.readouterr().err


@pytest.mark.whole
def test_check_a_result(screen, tmp_path, capsys):
    assert run("fit", str(screen), *COLUMNS, "--out", str(tmp_path)) == 0
    capsys.readouterr()
    assert run("check", str(tmp_path), "--out", str(tmp_path / "check")) == 0
    assert "not checked, as they need the cells" in capsys.readouterr().out
    assert (tmp_path / "check" / "report.html").is_file()
    for options, words in (
        (COLUMNS, "is a result, which has no cells for --target"),
        (["--also", "g", "--every-edge"], "which has no cells for --also, --every-edge: check"),
        (["--inflation", "2"], "is a result, whose options of the method are what they are"),
    ):
        assert run("check", str(tmp_path), *options) == 2
        assert words in " ".join(capsys.readouterr().err.split())


@pytest.mark.whole
def test_check_with_perturbations_held_out(screen, tmp_path, capsys):
    quick = [str(screen), *COLUMNS, "--null-tests", "0"]
    hidden = ["--nodes", "X1,X2,X3,X4,X5", "--held-out", "X6,X1", "--out", str(tmp_path)]
    assert run("check", *quick, *hidden) == 0
    printed = capsys.readouterr().out
    assert "held-out perturbations, from" in printed
    assert "held-out perturbations of nodes, from" in printed
    table = pd.read_csv(tmp_path / "held_out.tsv", sep="\t")
    assert set(table["held"]) == {"X6", "X1"}
    assert set(table["target"]) <= {"X1", "X2", "X3", "X4", "X5"}
    assert run("check", *quick, "--held-out", "nodes") == 0
    assert "held-out perturbations of nodes" in capsys.readouterr().out
    assert run("check", *quick, "--held-out", "X9") == 2
    assert "--held-out 'X9': no node and no label. Did you mean 'X" in capsys.readouterr().err
    assert run("check", *quick, "--held-out", "guides") == 2
    assert "needs the guides of the cells" in capsys.readouterr().err


def test_predict(result, tmp_path, capsys):
    table = tmp_path / "prediction.tsv"
    options = ["--knock-down", "X1=0.5", "--knock-down", "X4", "--out", str(table)]
    assert run("predict", str(result), *options) == 0
    assert "other genes change" in capsys.readouterr().out
    network = argen.load(result)
    expected = argen.predict(network, {"X1": 0.5, "X4": "measured"})
    pd.testing.assert_frame_equal(pd.read_csv(table, sep="\t"), expected)
    options = ["--knock-out", "X1", "--over-express", "X4=2", "--confidence", "0.5"]
    assert run("predict", str(result), *options, "--out", str(table)) == 0
    assert "beyond what the screen has seen" in capsys.readouterr().err
    with pytest.warns(argen.ArgenWarning):
        expected = argen.predict(network, {"X1": "knock-out", "X4": 2.0}, confidence=0.5)
    pd.testing.assert_frame_equal(pd.read_csv(table, sep="\t"), expected)


@pytest.mark.whole
def test_predict_with_any_names(tmp_path, capsys):
    network = made_up_network(12, 20, names=HOSTILE)
    path = argen.save(network, tmp_path / "any.npz")
    for name in network.edges["source"].unique():
        assert run("predict", str(path), f"--knock-down={name}=0.9") == 0
        assert "other genes change" in capsys.readouterr().out
        assert run("predict", str(path), f"--knock-down={name}") == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "There is nothing to predict"),
        (["--knock-down", "X1=20"], "expected the fraction that remains, above 0 and below 1"),
        (["--knock-down", "X1=0"], "For nothing left there is --knock-out"),
        (["--knock-down", "X1=half"], "expected a number behind the equals sign, not 'half'"),
        (["--over-express", "X1"], "expected the fold of its expression, above 1"),
        (["--over-express", "X1=0.5"], "expected the fold of its expression, above 1"),
        (["--knock-out", "X1", "--knock-down", "X1"], "'X1' is named twice"),
        (["--knock-out", "X9"], "'X9' is not a node of this network"),
        (["--knock-down", "X1", "--out", "/nowhere/there.tsv"], "cannot be written"),
    ],
)
def test_what_cannot_be_predicted(result, capsys, options, words):
    assert run("predict", str(result), *options) == 2
    assert words in capsys.readouterr().err


def test_show(screen, tmp_path, capsys):
    run("fit", str(screen), *COLUMNS, "--out", str(tmp_path), "--quiet")
    assert run("show", str(tmp_path)) == 0
    assert "Causal network of 6 genes" in capsys.readouterr().out
    assert run("show", str(tmp_path / "network.npz"), "--gene", "X3") == 0
    printed = capsys.readouterr().out
    assert "Parents of X3" in printed
    assert "Children of X3" in printed
    for result in (tmp_path, tmp_path / "network.npz"):
        assert run("show", str(result), "--pair", "X3, X1") == 0
        printed = capsys.readouterr().out
        assert printed.startswith("X3 -> X1\n")
        assert "\nX1 -> X3\n" in printed
        assert printed.splitlines()[-1].startswith("X3 -> X1: ")
    for pair, words in {"X3": "expected two genes", "X3,X33": "Did you mean 'X3'?"}.items():
        assert run("show", str(tmp_path), "--pair", pair) == 2
        assert words in capsys.readouterr().err
    assert run("show", str(tmp_path), "--pair", "X1,X3", "--gene", "X1") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "absent.h5ad", *COLUMNS], "There is no file 'absent.h5ad'"),
        (["fit", "SCREEN", *COLUMNS, "--alpha", "2"], "alpha must be a number between 0 and 1"),
        (["fit", "SCREEN", *COLUMNS, "--alpha", "5%"], 'unable to convert "5%"'),
        (["fit", "SCREEN", *COLUMNS, "--family", "gamma"], "Invalid value"),
        (["fit", "SCREEN", "--control", "x"], "--target"),
        (["fit", "SCREEN", *COLUMNS, "--cells", "nonsense"], "neither a column of obs nor"),
        (["fit", "SCREEN", *COLUMNS, "--nodes", "X1,Y2"], "'Y2', in the list of nodes"),
        (["fit", "SCREEN", *COLUMNS, "--nodes", "X1", "X2"], "Unexpected 'X2'. Write lists with"),
        (["fit", "SCREEN", *COLUMNS, "--nodes", "genes.txt"], "neither a file nor a list"),
        (["fit", "SCREEN", *COLUMNS, "--nodes", "SCREEN"], "cannot be read ('utf-8' codec"),
        (["fit", "SCREEN", *COLUMNS, "--nodes", "X1," * 100], "names 'X1' more than once"),
        (["fit", "SCREEN", *COLUMNS, "--min-cells", "350", "--strict"], "cannot be nodes"),
        (["fit", "SCREEN", *COLUMNS, "--out", "SCREEN"], "is a file: expected a folder"),
        (["fit", "SCREEN", *COLUMNS, "--out", "SCREEN/in"], "cannot be written: Not a directory"),
        (["fit", "SCREEN", *COLUMNS, "--out", ""], "expected a path, not an empty text"),
        (["fit", "SCREEN", *COLUMNS, "--threads", "1.5"], "expected a whole number, not '1.5'"),
        (["fit", "SCREEN", *COLUMNS, "--threads", "0"], "threads must be a whole number from 1"),
        (["fit", "SCREEN", *COLUMNS, "--min-cells", "1e1"], "expected a whole number, not '1e1'"),
        (["fit", "SCREEN", *COLUMNS, "--workers", "2"], "are for --executor dask: add it"),
        (["fit", "SCREEN", *COLUMNS, "--executor", "disk"], "Invalid value"),
        (["show", "absent"], "There is no file 'absent'"),
        (["simulate", "--out", "screen.csv"], "must be an .h5ad file"),
        (["simulate", "--out", "screen.h5ad", "--hide", "X9"], "hidden must name"),
        (["simulate", "--out", "screen.h5ad", "--n-cells", "0"], "Must be >= 1"),
        (["simulate", "--out", "screen.h5ad", "--seed", "-1"], "Must be >= 0"),
        (["simulate", "--out", "FOLDER.h5ad"], "cannot be written: "),
        (["simulate", "--out", "s.h5ad", "--n-nodes", "5"], "are for --network random: add it"),
        (["simulate", "--out", "s.h5ad", "--network", "random", "--hide", "X1"], "leave them out"),
        (["simulate", "--out", "s.h5ad", "--network", "random", "--failed", "2"], "from 0 to 1"),
        (["fit", "SCREEN", *COLUMNS, "--method", "magic"], "Invalid value"),
        (["study", "grid", "--settings", "p7-base"], "settings has 'p7-base'"),
        (["study", "grid", "--methods", "magic"], "methods has 'magic'"),
        (["study", "paper", "--replicates", "-1"], "Must be >= 0"),
        (["fti"], 'Did you mean "fit"'),
    ],
)
def test_bad_input_exits_with_2_and_one_message(arguments, words, screen, tmp_path, capsys):
    folder = tmp_path / "a.h5ad"
    folder.mkdir()
    places = {"SCREEN": screen, "SCREEN/in": screen / "in", "FOLDER.h5ad": folder}
    arguments = [str(places.get(a, a)) for a in arguments]
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert words in captured.err
    assert captured.err.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_found_before_the_fits(screen, monkeypatch, capsys):
    monkeypatch.setattr("argen.cli.fit.infer_by", lambda *_, **__: pytest.fail("computed in vain"))
    assert run("fit", str(screen), *COLUMNS, "--out", str(screen / "in")) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_an_interrupt_exits_with_1(screen, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("argen.cli.fit.infer_by", interrupted)
    assert run("fit", str(screen), *COLUMNS, "--out", str(tmp_path)) == 1
    assert capsys.readouterr().err == "interrupted\n"


def test_dropped_genes_are_a_warning_of_one_line(screen, tmp_path, capsys):
    options = ["--min-cells", "330", "--out", str(tmp_path)]
    assert run("fit", str(screen), *COLUMNS, *options) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("warning: ")
    assert "fewer than 330 perturbed cells" in captured.err
    assert re.search(r"perturbed genes? (was|were) dropped: .*fewer than 330 ", captured.out)


def test_failures_exit_with_1(screen, tmp_path, capsys, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr("argen.cli.fit.infer_by", broken)
    assert run("fit", str(screen), *COLUMNS, "--out", str(tmp_path)) == 1
    said = capsys.readouterr().err
    assert "argen failed: RuntimeError: the disk is on fire" in said
    assert "--debug" in said
    assert "Traceback" not in said
    assert run("--debug", "fit", str(screen), *COLUMNS, "--out", str(tmp_path)) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["fit"], ["show"]])
def test_help_knows_debug(command, capsys):
    assert run(*command, "--help") == 0
    assert "--debug" in capsys.readouterr().out


@pytest.mark.process
def test_module_and_version():
    command = [sys.executable, "-m", "argen", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == argen.__version__


@pytest.mark.whole
def test_fit_with_sinks_and_kept_counts(screen, tmp_path, capsys):
    """The same tables from either side of the memory limit."""
    options = ["--nodes", "X1,X2,X3", "--sinks", "X4,X5", "--scratch", str(tmp_path / "scratch")]
    for folder, memory in (("a", "0 B"), ("b", "1 GB")):
        out = ["--out", str(tmp_path / folder), "--memory", memory]
        assert run("fit", str(screen), *COLUMNS, *options, *out) == 0
        assert "2 sinks" in capsys.readouterr().out
    left, right = (tmp_path / folder / "descendants.tsv" for folder in "ab")
    assert left.read_bytes() == right.read_bytes()
    assert "X5" in left.read_text("utf-8")
