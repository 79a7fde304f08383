"""``argen qc``: what it prints and writes, and that its command runs."""

from __future__ import annotations

import shlex
from pathlib import Path

import pandas as pd
import pytest

import argen
from argen.cli.qc import MOST_SHOWN, candidate_lines, fit_command
from tests.cli.test_app import run


@pytest.fixture(scope="module")
def screen(tmp_path_factory) -> Path:
    """A screen with guides, chromosomes and a gene that does nothing."""
    model = argen.ScreenModel(n_nodes=8, n_guides=2, failed=0.2, cells_per_node=100, n_batches=2)
    adata = argen.simulated_anndata(*argen.simulate_screen(model, rng=3))
    adata.var["chromosome"] = ["1", "1", "1", "1", "2", "2", "2", "X"]
    path = tmp_path_factory.mktemp("screen") / "screen.h5ad"
    adata.write_h5ad(path)
    return path


OF_SCREEN = ["--target", "perturbation", "--control", "non-targeting"]
OF_SCREEN += ["--library-size", "library_size", "--covariates", "x1,batch"]


def test_the_printed_command_infers_the_network_of_the_chosen(
    screen, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    typed = ["qc", str(screen), *OF_SCREEN, "--min-knockdown", "0.3", "--out", "quality folder"]
    monkeypatch.setattr("sys.argv", ["argen", *typed])
    assert run(*typed) == 0
    printed = capsys.readouterr().out
    [command] = [line for line in printed.splitlines() if line.startswith("  argen fit")]
    assert run(*shlex.split(command)[1:], "--out", "results", "--quiet") == 0
    chosen = Path("quality folder", "nodes.txt").read_text("utf-8").splitlines()
    assert 2 <= len(chosen) < 8
    network = argen.load("results")
    assert list(network.nodes) == chosen
    assert f"leave {network.provenance['n_cells']:,} of" in printed
    table = pd.read_csv("quality folder/candidates.tsv", sep="\t", keep_default_na=False)
    assert list(table.loc[table["chosen"], "candidate"]) == chosen
    lines = printed.split("\n\n")[1].splitlines()
    assert len(lines) == 1 + len(table)
    assert max(map(len, lines)) <= 80


def test_quiet_prints_nothing_and_writes_the_same(screen, tmp_path, capsys):
    for name, options in {"said": [], "quiet": ["--quiet"]}.items():
        assert run("qc", str(screen), *OF_SCREEN, *options, "--out", str(tmp_path / name)) == 0
        printed = capsys.readouterr()
        assert bool(printed.out) == (name == "said")
    assert printed.err == ""
    for file in ("summary.txt", "candidates.tsv", "nodes.txt"):
        assert (tmp_path / "quiet" / file).read_bytes() == (tmp_path / "said" / file).read_bytes()


def test_genes_by_chromosome_and_gene_set(screen, tmp_path):
    gmt = tmp_path / "sets.gmt"
    gmt.write_text("ONE\t-\tg1\tg2\tg5\nTWO\t-\tg7\tZZ\n", encoding="utf-8")
    rules = ["--where", "chromosome=2,X", "--gmt", str(gmt), "--gene-set", "ONE,TWO"]
    rules += ["--max-p", "1", "--out", str(tmp_path / "out")]
    assert run("qc", str(screen), *OF_SCREEN, *rules) == 0
    assert (tmp_path / "out" / "nodes.txt").read_text("utf-8") == "g5\ng7\n"


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (["--where", "chromosome"], "expected a column of var and values, as chromosome=21,22"),
        (["--where", "chrom=2"], "There is no column 'chrom' in var for the choice of genes."),
        (["--where", "chromosome=9"], "No gene has '9' in the column 'chromosome' of var."),
        (["--gene-set", "ONE"], "--gmt has the file and --gene-set the set: expected both"),
        (["--gmt", "absent.gmt", "--gene-set", "A"], "There is no file 'absent.gmt'"),
        (["--top", "1"], "top must be a whole number from 2, not 1"),
    ],
)
def test_a_choice_that_cannot_be_made_says_why(rules, words, screen, tmp_path, capsys):
    assert run("qc", str(screen), *OF_SCREEN, *rules, "--out", str(tmp_path / "out")) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_what_belongs_to_the_choice_goes_from_the_command():
    typed = ["qc", "a file.h5ad", "--target", "gene", "--top=5", "--where", "c=1", "--nodes", "A,B"]
    typed += ["--alpha", "0.01", "--out=x", "--strict"]
    expected = "argen fit 'a file.h5ad' --target gene --alpha 0.01 --strict --nodes x/nodes.txt"
    assert fit_command(typed, Path("x/nodes.txt")) == expected


def test_many_candidates_and_long_names_fit_the_terminal():
    model = argen.ScreenModel(n_nodes=MOST_SHOWN + 5, cells_per_node=20, n_controls=200)
    data, _ = argen.simulate_screen(model, rng=1)
    found = argen.quality_control(data)
    found.candidates.loc[0, "candidate"] = "chr1:1234567-1234987_top_two"
    lines = candidate_lines(found).splitlines()
    assert lines[-1] == "... and 5 more, in candidates.tsv"
    assert any(line.startswith("chr1:12345678"[:10]) and "... " in line for line in lines)
    assert max(map(len, lines)) <= 80
