"""Genes by other names than the measured ones: aliases, case, versions."""

import pandas as pd
import pytest

import argen

IDS = ["ENSG00000115415.20", "ENSG00000170581.14", "ENSG00000096968.7"]


def rename(screen, names):
    screen.obs["perturbation"] = screen.obs["perturbation"].astype(str).replace(names)
    return screen


def test_names_in_another_case(screen, read):
    expected = read(screen)
    rename(screen, {"STAT1": "Stat1", "JAK2": "jak2"})
    with pytest.raises(argen.InputError, match="only 'STAT2' is"):
        read(screen)
    data = read(screen, match_genes="close")
    assert data.sha256 == expected.sha256
    assert data.read_as.to_dict("records") == [
        {"kind": "gene", "name": "Stat1", "read_as": "STAT1", "n_cells": 60,
         "reason": "but for case or version"},
        {"kind": "gene", "name": "jak2", "read_as": "JAK2", "n_cells": 50,
         "reason": "but for case or version"},
    ]  # fmt: skip
    assert "read as gene but for case or version: Stat1 as STAT1, jak2 as JAK2" in data.summary()
    assert expected.read_as.empty


@pytest.mark.parametrize("measured_have_versions", [True, False])
def test_versions_of_ensembl(screen, read, measured_have_versions):
    bare = [name.partition(".")[0] for name in IDS]
    measured, labels = (IDS, bare) if measured_have_versions else (bare, IDS)
    screen.var.index = [*measured, *screen.var_names[3:]]
    rename(screen, dict(zip(["STAT1", "STAT2", "JAK2"], labels, strict=True)))
    data = read(screen, match_genes="close")
    assert data.nodes == tuple(measured)
    assert data.read_as["name"].tolist() == sorted(labels)
    with pytest.raises(argen.InputError, match="none is"):
        read(screen)


def test_what_differs_in_more_is_another_gene(screen, read):
    screen.var.index = ["STAT1.2", "STAT2", "JAK2", "Stat3", "stat3", "GAPDH"]
    rename(screen, {"IRF1": "STAT3"})
    data = read(screen, match_genes="close")  # STAT1.2 is no Ensembl identifier
    assert data.nodes == ("STAT2", "JAK2")
    reasons = data.left_out.set_index("name")["reason"].to_dict()
    assert reasons["STAT1"] == "not a measured gene"
    assert reasons["STAT3"] == "the name of 2 measured genes, but for case or version"


@pytest.mark.parametrize("as_file", [True, False])
def test_other_names(screen, read, tmp_path, as_file):
    expected = read(screen)
    rename(screen, {"STAT1": "ISGF-3", "STAT2": "P113"})
    aliases = {"ISGF-3": "STAT1", "P113": "STAT2", "JAK2": "MYC", "unused": "absent"}
    if as_file:
        path = tmp_path / "aliases.tsv"
        pd.DataFrame(aliases.items(), columns=["alias", "gene"]).to_csv(path, sep="\t", index=False)
        aliases = path
    data = read(screen, aliases=aliases)
    assert data.sha256 == expected.sha256  # a measured name is never another
    assert data.read_as["reason"].unique().tolist() == ["in the table of other names"]
    assert data.read_as["name"].tolist() == ["ISGF-3", "P113"]
    close = read(screen, aliases={"ISGF-3": "stat1", "P113": "STAT2"}, match_genes="close")
    assert "in the table of other names, but for case or version" in set(close.read_as["reason"])
    assert close.sha256 == expected.sha256


def test_names_in_lists_of_nodes_and_sinks(screen, read):
    data = read(screen, nodes=["stat1", "STAT2"], sinks=["Myc"], match_genes="close")
    assert (data.nodes, data.sinks) == (("STAT1", "STAT2"), ("MYC",))
    assert data.read_as["name"].tolist() == ["stat1", "Myc"]
