"""Enrichment: Fisher's test by scipy, planted and absent enrichment, files that are no GMT."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact

import argen
from argen import analysis
from argen.cli.app import main
from tests.networks import HOSTILE, made_up_network

GENES = [*HOSTILE, *(f"GENE{k}" for k in range(90))]


def test_is_fishers_exact_test(rng):
    groups = {"one": GENES[:20], "<two>": GENES[10:50]}
    sets = {f"set {k}": list(rng.choice([*GENES, "elsewhere"], 15)) for k in range(8)}
    found = analysis.enrichment(groups, sets, universe=GENES)
    assert len(found.table) == 16
    for row in found.table.itertuples():
        members, of_set = set(groups[row.group]), set(sets[row.gene_set]) & set(GENES)
        a = len(members & of_set)
        table = [[a, len(members) - a], [len(of_set) - a, len(GENES) - len(members | of_set)]]
        odds_ratio, p_value = fisher_exact(table, alternative="greater")
        assert row.p_value == pytest.approx(p_value)
        assert row.odds_ratio == pytest.approx(odds_ratio)
        assert row.genes == " ".join(sorted(members & of_set))
    np.testing.assert_array_less(found.table["p_value"] - 1e-12, found.table["p_adjusted"])


def test_finds_what_is_planted_and_nothing_else(rng):
    groups = {"planted": GENES[:20], "random": list(rng.choice(GENES, 20, replace=False))}
    sets = {f"set {k}": list(rng.choice(GENES, 15, replace=False)) for k in range(50)}
    sets["truth"] = GENES[:15]
    found = analysis.enrichment(groups, sets | {"alone": ["GENE1"]}, universe=GENES)
    passing = found.table[found.table["p_adjusted"] < 0.05]
    assert passing[["group", "gene_set"]].to_numpy().tolist() == [["planted", "truth"]]
    assert found.left_out.to_numpy().tolist() == [["alone", 1]]
    with pytest.raises(argen.InputError, match="has 1 genes that are not in the universe"):
        analysis.enrichment({"g": ["elsewhere"]}, sets, universe=GENES)


def test_reads_gene_sets(tmp_path):
    lines = "one\tabout\tA\tB\r\ntwo\t\tHLA-A\tNkx2.5\tÅ-遺伝子\n\n"
    plain, packed = tmp_path / "sets.gmt", tmp_path / "sets.gmt.gz"
    plain.write_text(lines, encoding="utf-8")
    packed.write_bytes(gzip.compress(lines.encode()))
    expected = {"one": ["A", "B"], "two": ["HLA-A", "Nkx2.5", "Å-遺伝子"]}
    assert analysis.read_gmt(plain) == analysis.read_gmt(packed) == expected
    plain.write_text("one\tabout\n", encoding="utf-8")
    with pytest.raises(argen.InputError, match=r"is no GMT file.*1 of 1 lines have no gene"):
        analysis.read_gmt(plain)
    with pytest.raises(argen.InputError, match=r"There is no file .*: expected gene sets"):
        analysis.read_gmt(tmp_path / "absent.gmt")


def test_command(tmp_path, capsys):
    network = made_up_network(60, 150, names=HOSTILE)
    path = argen.save(network, tmp_path / "network")
    gmt = tmp_path / "sets.gmt"
    hub = analysis.hubs(network, 1)["gene"].iloc[0]
    children = network.children(hub)["target"]
    gmt.write_text("planted\t\t" + "\t".join(children) + "\nabsent\t\tX\n", encoding="utf-8")
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        main(["analyse", str(path), "--gmt", str(gmt), "--out", str(out)])
    assert ended.value.code in (0, None)
    assert "modules of" in capsys.readouterr().out
    table = pd.read_csv(out / "enrichment.tsv", sep="\t")
    assert table.iloc[0]["group"] == f"children of {hub}"
    assert len(pd.read_csv(out / "modules.tsv", sep="\t")) == 60
    assert {file.name for file in out.iterdir()} == {
        "modules.tsv", "centrality.tsv", "hubs.tsv", "layers.tsv", "enrichment.tsv",
        "gene_sets_left_out.tsv", "argen_files.json",
    }  # fmt: skip


def test_genes_that_a_program_moves_most(program_network):
    programs = program_network.programs
    groups = analysis.program_genes(program_network)
    assert set(groups) == {"program 1 up", "program 1 down"}
    number = {gene: k for k, gene in enumerate(programs.genes)}
    loadings, error = programs.loadings[:, 0], programs.loading_error[:, 0]
    chosen = [number[gene] for genes in groups.values() for gene in genes]
    sure = np.abs(loadings) > 3 * error
    assert sure[chosen].all()
    assert len(chosen) == min(sure.sum(), 14)  # a tenth of 140 genes
    rest = np.setdiff1d(np.flatnonzero(sure), chosen)
    assert np.abs(loadings[chosen]).min() >= np.abs(loadings[rest]).max()
    for group, sign in (("program 1 up", 1), ("program 1 down", -1)):
        assert all(sign * loadings[number[gene]] > 0 for gene in groups[group])


def test_gene_sets_of_a_program_are_found(program_network, rng):
    up = analysis.program_genes(program_network)["program 1 up"]
    genes = program_network.genes
    sets = {f"set {k}": list(rng.choice(genes, 15, replace=False)) for k in range(20)}
    found = analysis.program_enrichment(program_network, sets | {"planted": up}).table
    assert found.iloc[0][["group", "gene_set"]].tolist() == ["program 1 up", "planted"]
    assert (found["n_universe"] == len(genes)).all()


def test_without_a_program_there_is_nothing_to_test(paper_network):
    assert analysis.program_genes(paper_network) == {}
    assert not len(analysis.program_enrichment(paper_network, {"set": ["X1", "X2"]}).table)


def test_command_tests_programs(program_network, tmp_path, capsys):
    up = analysis.program_genes(program_network)["program 1 up"]
    gmt = tmp_path / "sets.gmt"
    gmt.write_text("planted\t\t" + "\t".join(up) + "\n", encoding="utf-8")
    path, out = argen.save(program_network, tmp_path / "network"), tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        main(["analyse", str(path), "--gmt", str(gmt), "--out", str(out)])
    assert ended.value.code in (0, None)
    assert "1 of 2 tests of 2 sides of response programs" in " ".join(
        capsys.readouterr().out.split()
    )
    table = pd.read_csv(out / "program_enrichment.tsv", sep="\t")
    assert table.iloc[0]["group"] == "program 1 up"
    assert set(table.iloc[0]["genes"].split()) == set(up)
