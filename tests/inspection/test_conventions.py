"""A file in the shape of each convention: what is recognised, and that the proposal runs."""

import shlex

import pandas as pd
import pytest

import argen
from argen.cli import main
from tests.inspection import files
from tests.read.layouts import mudata_of, quiet, screen_parts, write_cell_ranger

# That few cells are controls is said by reading.
pytestmark = pytest.mark.filterwarnings("ignore::argen.ArgenWarning")

# What is taken for what, the options besides, and the nodes that a fit would have.
EXPECTED = {
    "scperturb": (
        {"target": "perturbation", "control": "control", "depth": "ncounts", "mito": "percent_mito",
         "batch": "gemgroup"},
        {"separator": "_", "covariates": "~ percent_mito + C(gemgroup)"},
    ),
    "mixscape": (
        {"target": "gene_target", "control": "NT", "depth": "nCount_RNA", "mito": "percent.mito",
         "guide": "guide_ID", "batch": "replicate"},
        {"covariates": ("percent.mito", "replicate", "orig.ident")},
    ),
    "replogle": (
        {"target": "gene", "control": "non-targeting", "depth": "UMI_count", "mito": "mitopercent",
         "guide": "sgID_AB", "batch": "gem_group"},
        {"gene_symbols": "gene_name", "covariates": "~ mitopercent + C(gem_group)"},
    ),
    "norman": (
        {"target": "guide_identity", "depth": "UMI_count", "batch": "gemgroup"},
        {"separator": "_", "control": ("NegCtrl0", "NegCtrl10", "NegCtrl11")},
    ),
    "norman_in_pertpy": (
        {"target": "perturbation_name", "control": "control", "depth": "UMI_count"},
        {"separator": "+", "guide": None},
    ),
    "virtual_cell_challenge": (
        {"target": "target_gene", "control": "non-targeting", "guide": "guide_id",
         "batch": "batch"},
        {"covariates": ("batch",)},
    ),
    "cellxgene": (
        {"target": "genetic_perturbation_id", "counts": "raw", "batch": "donor_id"},
        {"separator": " || ", "guide_pattern": "^(?P<target>.+)-[0-9]+$", "layer": "raw",
         "control": ("CTRL-1", "CTRL-2"), "gene_symbols": "feature_name"},
    ),
    "gears": (
        {"target": "condition", "control": "ctrl", "counts": "layers['counts']"},
        {"separator": "+", "layer": "counts"},
    ),
    "cropseq": (
        {"target": "sgRNA", "control": "NTC_*", "depth": "n_umi", "mito": "pct_counts_mt",
         "batch": "lane"},
        {"guide_pattern": "^(?P<target>.+)_[0-9]+$"},
    ),
    "dixit": (
        {"target": "guide", "batch": "batch"},
        {"control": ("p_INTERGENIC1216445", "p_INTERGENIC393453")},
    ),
    "high_moi": (
        {"target": "grna_target_indicator", "control": "non-targeting", "depth": "total_umi"},
        {"target_names": "grna_target_names", "guide_pattern": "^(?P<target>.+)_TSS$"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_columns_of_a_convention(name):
    roles, options = EXPECTED[name]
    found = argen.inspect(getattr(files, name)())
    assert {role: found.guess(role) for role in roles} == roles
    assert found.options is not None, found.summary()
    assert {option: getattr(found.options, option) for option in options} == options
    assert not found.missing


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("scperturb", "scPerturb"),
        ("mixscape", "Mixscape"),
        ("replogle", "Replogle 2022"),
        ("norman", "Norman 2019"),
        ("causalbench", "CausalBench"),
        ("virtual_cell_challenge", "Virtual Cell Challenge"),
        ("cellxgene", "CELLxGENE"),
        ("gears", "GEARS"),
    ],
)
def test_conventions_are_named(name, said):
    found = argen.inspect(getattr(files, name)())
    assert any(convention.startswith(said) for convention in found.conventions)
    assert f"Looks like {found.conventions[0]}" in found.summary()


def test_causalbench_has_no_counts():
    found = argen.inspect(files.causalbench())
    assert found.guess("target") == "interventions"
    assert found.guess("control") == "non-targeting"
    assert found.options is None
    assert found.missing[0].startswith("Raw counts: X holds fractions")


@pytest.mark.parametrize("name", EXPECTED)
def test_proposals_run(name):
    found = argen.inspect(getattr(files, name)())
    data = argen.read_perturbseq(getattr(files, name)(), found.options)
    measured = found.targets[found.targets["measured"]]
    assert set(data.nodes) <= set(measured["target"])
    assert len(data.nodes) >= 3


@pytest.mark.parametrize("name", EXPECTED)
def test_a_proposed_command_is_one_that_the_command_line_takes(name, tmp_path, monkeypatch):
    path = tmp_path / "it's a screen.h5ad"
    getattr(files, name)().write_h5ad(path)
    found = argen.inspect(path)
    seen = []

    def caught(file, options, *, threads):
        seen.append((file, options))
        raise argen.InputError("enough")

    monkeypatch.setattr("argen.cli.reading.read_perturbseq", caught)
    words = shlex.split(found.command().replace("\\\n", ""))
    assert words[:2] == ["argen", "fit"]
    with pytest.raises(SystemExit):
        main([*words[1:], "--out", str(tmp_path)])
    assert seen == [(path, found.options)]
    made = {}
    exec(found.python().split("data = ")[0], {"argen": argen}, made)  # noqa: S102
    assert made["options"] == found.options


@pytest.fixture(scope="module")
def parts():
    return screen_parts()


@pytest.mark.parametrize("in_file", [False, True])
def test_mudata_as_igvf_writes_it(parts, tmp_path, in_file):
    given = mudata_of(parts, names=("gene", "guide"))
    if in_file:
        with quiet():
            given.write(tmp_path / "screen.h5mu")
        given = tmp_path / "screen.h5mu"
    found = argen.inspect(given)
    assert found.conventions[0].startswith("IGVF")
    assert found.guess("target") == "guide/guide_assignment"
    assert found.options.control == ("Non-Targeting",)
    assert found.options.gene_symbols == "symbol"
    assert not found.questions
    data = argen.read_perturbseq(given, found.options)
    assert data.nodes == ("STAT1", "STAT2", "JAK2")
    assert data.n_controls == found.controls["n_cells"].sum()
    assert len(data.guides.names) == 8


def test_mudata_with_counts_of_guides_alone(parts):
    given = mudata_of(parts, names=("gex", "gdo"))
    del given["gdo"].layers["guide_assignment"]
    found = argen.inspect(given)
    assert found.guess("guide counts") == found.guess("target") == "gdo"
    assert len(argen.read_perturbseq(given, found.options).nodes) == 3


def test_a_modality_must_be_named_where_no_name_says_genes(parts):
    given = mudata_of(parts, names=("one", "guide"))
    with pytest.raises(argen.InputError, match="name the one with the counts of genes"):
        argen.inspect(given)
    found = argen.inspect(given, modality="one")
    assert found.options.modality == "one"
    assert "--modality one" in found.command()


def test_folder_of_cell_ranger(parts, tmp_path):
    folder = write_cell_ranger(tmp_path / "outs", parts)
    path = folder / "crispr_analysis" / "protospacer_calls_per_cell.csv"
    calls = pd.read_csv(path, dtype=str)
    both = calls.index[:40]
    calls.loc[both, "feature_call"] += "|JAK2-1"
    calls.loc[both, "num_umis"] += "|20"
    calls.to_csv(path, index=False)
    found = argen.inspect(folder)
    assert found.conventions[0].startswith("Cell Ranger")
    assert found.guess("target") == "feature_call"
    assert found.options == argen.ReadOptions(
        target="feature_call", control="Non-Targeting", separator="|", gene_symbols="symbol",
        cells="feature_call.notna()",
    )  # fmt: skip
    data = argen.read_perturbseq(folder, found.options)
    assert data.nodes == ("STAT1", "STAT2", "JAK2")
    counted = dict(zip(found.targets["target"], found.targets["n_cells"], strict=True))
    assert counted["JAK2"] >= data.n_perturbed[2] > 0


def test_a_table_of_cells_beside_the_counts(tmp_path):
    adata = files.cropseq()
    adata.obs.to_csv(tmp_path / "cells.csv")
    adata.obs = adata.obs[[]]
    adata.write_h5ad(tmp_path / "screen.h5ad")
    found = argen.inspect(tmp_path / "screen.h5ad", obs=tmp_path / "cells.csv")
    assert found.guess("target") == "sgRNA"
    assert f'obs="{tmp_path / "cells.csv"}",' in found.python()
    assert f"--obs {tmp_path / 'cells.csv'}" in found.command().replace("\\\n   ", "")
