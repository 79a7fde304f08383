"""What a file does not say by itself: asked about, and never guessed in silence."""

import re
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import argen
from argen.checks.cells.balance import balance_table
from argen.cli import main
from argen.inspection import names
from tests.inspection import files
from tests.inspection.files import TARGETS, groups, screen, sums, with_obs
from tests.screens import screen_of

# That few cells are controls is said by reading.
pytestmark = pytest.mark.filterwarnings("ignore::argen.ArgenWarning")


def two_targets():
    adata = screen(["NT", *TARGETS])
    other = np.resize(["NT", *TARGETS], files.N_CELLS)
    return with_obs(adata, gene=str, target_gene=other)


def control_beside_guides_that_target_nothing():
    return with_obs(screen(["NT-1", "NT-2", "control", *TARGETS]), gene=str)


def unassigned_cells():
    return with_obs(screen(["non-targeting", "unassigned", *TARGETS]), gene=str)


def controls_without_a_guide():
    adata = screen(["control", *TARGETS])
    guides = [
        "none" if label == "control" else f"{label}_{k}"
        for label, k in zip(adata.obs["_"], groups(3), strict=True)
    ]
    return with_obs(adata, perturbation=str, guide_id=guides)


def two_layers_of_counts():
    adata = with_obs(screen(["NT", *TARGETS]), gene=str)
    adata.layers["corrected"] = adata.X.copy()
    adata.layers["corrected"].data -= adata.layers["corrected"].data > 4
    return adata


def two_depths():
    adata = screen(["NT", *TARGETS])
    rng = np.random.default_rng(1)
    extra = rng.integers(5, 15, (2, files.N_CELLS))
    return with_obs(adata, gene=str, n_umi=sums(adata) + extra[0], n_counts=sums(adata) + extra[1])


@pytest.mark.parametrize(
    ("made", "asked", "proposed"),
    [
        (two_targets, r"Which names the targets, obs\['target_gene'\] .* obs\['gene'\]", False),
        (control_beside_guides_that_target_nothing,
         r"Are cells labelled 'control' \(57\) controls\? That, beside 'NT-1', 'NT-2',", True),
        (unassigned_cells, r"labelled 'unassigned' \(\d+\) controls\? .*no guide was seen", True),
        (controls_without_a_guide, r"'control' \(\d+\) controls\? None of them has a guide", True),
        (two_layers_of_counts, r"Which holds the raw counts, X .*layers\['corrected'\]", False),
        (two_depths, r"Which is the depth of the cells, obs\['n_counts'\].*obs\['n_umi'\]", True),
    ],
)  # fmt: skip
def test_what_could_be_two_things_is_asked(made, asked, proposed, tmp_path, capsys):
    adata = made()
    found = argen.inspect(adata)
    assert len(found.questions) == 1
    assert re.search(asked, found.questions[0])
    assert "I cannot tell:" in found.summary()
    assert (found.options is not None) == proposed
    adata.write_h5ad(tmp_path / "screen.h5ad")
    with pytest.raises(SystemExit) as end:
        main(["fit", str(tmp_path / "screen.h5ad"), "--out", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert end.value.code == 2
    assert found.questions[0] in said.err
    assert ("argen fit" in said.err) == proposed
    assert not said.out


def test_cells_without_any_name_are_asked_about():
    adata = files.norman_in_pertpy()
    adata.obs = adata.obs[["guide_ids"]]
    found = argen.inspect(adata)
    assert "Are cells labelled '' (134) controls?" in found.questions[0]
    assert found.missing[0].startswith("Controls: no label reads like one")


@pytest.mark.parametrize("shuffled", [1, 2])
def test_order_of_cells_and_columns_does_not_matter(shuffled):
    rng = np.random.default_rng(shuffled)
    for made in (two_targets, files.replogle, files.mixscape, files.cropseq, files.high_moi):
        adata = made()
        found = argen.inspect(adata)
        other = adata[rng.permutation(adata.n_obs)].copy()
        other.obs = other.obs[rng.permutation(other.obs.columns)]
        again = argen.inspect(other)
        assert again.options == found.options
        assert again.questions == found.questions
        assert again.targets.equals(found.targets)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["STAT1", "JAK2", "MYC"], "Controls: no label reads like one"),
        (
            ["NT", "TP53", "RB1"],
            r"Targets: of the 2 in obs['gene'] ('RB1', 'TP53'), 0 are measured",
        ),
        (["a", "b", "c"], "Targets: of the 3 in obs['gene'] ('a', 'b', 'c'), 0 are measured"),
    ],
)
def test_what_is_missing(labels, said):
    found = argen.inspect(with_obs(screen(labels), gene=str))
    assert found.missing[0].startswith(said)
    assert found.options is None
    assert found.command() == found.python() == ""
    assert "No command can be proposed" in found.summary()


def test_nothing_that_looks_like_labels():
    found = argen.inspect(with_obs(screen(["NT"]), leiden=groups(4, "c{}")))
    assert "no column of obs and no table of obsm names two measured genes" in found.summary()


def test_repeated_names_of_genes_are_missing_names():
    adata = with_obs(screen(["NT", *TARGETS]), gene=str)
    adata.var_names = [*adata.var_names[:-1], "MYC"]
    assert "1 occur more than once ('MYC')" in argen.inspect(adata).missing[0]


# The rows on labels of what is met in files, each with what comes of it.
def test_labels_of_guides():
    for spell in ("{}g{}", "{}_{}", "sg{}-{}"):
        labels = [spell.format(name, k) for name in TARGETS for k in (1, 2)]
        found = argen.inspect(with_obs(screen(["NTg1", "NTg2", *labels]), guide=str))
        assert found.options.guide_pattern is not None
        assert set(found.targets["target"]) == set(TARGETS)
        assert not found.questions


def test_what_is_proposed_and_may_be_moved_is_what_a_check_tests():
    adata = files.mixscape()
    found = argen.inspect(adata)
    (said,) = [text for text in found.findings if "'percent.mito'" in text]
    assert "is proposed as a covariate, as is usual" in said
    assert "argen check tests" in said
    assert "percent.mito" in found.options.covariates
    rng = np.random.default_rng(1)
    shares = pd.DataFrame({name: rng.random(200) for name in names.MITO})
    data = replace(screen_of(rng.poisson(3.0, (200, 2)), np.arange(200) % 3 - 1), covariates=shares)
    table = balance_table(data, pd.DataFrame(index=data.cells))
    assert set(table.loc[table["column"].isin(names.MITO), "role"]) == {"consequence"}


def test_classes_of_mixscape_alone():
    adata = files.mixscape()
    adata.obs = adata.obs[["mixscape_class"]]
    found = argen.inspect(adata)
    assert found.options.target == "mixscape_class"
    assert set(found.targets["target"]) == {*TARGETS, "IFNGR1"}
    said = next(text for text in found.findings if text.startswith("Mixscape sees no perturb"))
    escaped = adata.obs["mixscape_class"].str.endswith(" NP").sum()
    of_targets = adata.n_obs - (adata.obs["mixscape_class"] == "NT").sum()
    assert f"in {escaped:,} of {of_targets:,} cells" in said
    assert found.targets["n_cells"].sum() == of_targets


def test_several_labels_of_controls_are_patterns_with_their_cells():
    controls = ["NT-1", "NT-2", "NT-3", "NTC_5", "safe-targeting", "neg_3", "AAVS1"]
    found = argen.inspect(with_obs(screen([*controls, *TARGETS]), gene=str))
    assert found.options.control == ("AAVS1", "NT-*", "NTC_5", "neg_3", "safe-targeting")
    assert set(found.controls["label"]) == set(controls)
    n_cells = found.controls["n_cells"].sum()
    assert n_cells == files.N_CELLS - found.targets["n_cells"].sum()
    assert f"{n_cells} cells, 7 labels" in found.summary()
    assert not found.questions


@pytest.mark.parametrize(
    ("labels", "separator"),
    [
        (["ctrl", "STAT1+ctrl", "ctrl+JAK2", "KLF1+STAT1"], "+"),
        (["NT", "STAT1_JAK2", "KLF1", "STAT2"], "_"),
        (["NT", "STAT1|JAK2", "KLF1"], "|"),
        (["NT", "STAT1,JAK2", "KLF1"], ","),
        (["non-targeting", "STAT1;JAK2", "KLF1"], ";"),
    ],
)
def test_labels_that_join(labels, separator):
    found = argen.inspect(with_obs(screen(labels), condition=str))
    assert found.options.separator == separator
    assert f"separator      {separator!r} " in found.summary()
    data = argen.read_perturbseq(with_obs(screen(labels), condition=str), found.options)
    assert {"STAT1", "JAK2", "KLF1"} <= set(data.nodes)


def test_names_in_another_case_or_version():
    adata = screen(["NT", *TARGETS])
    found = argen.inspect(with_obs(adata, gene=lambda x: x if x == "NT" else x.capitalize()))
    assert found.options.match_genes == "close"
    assert "4 labels with another case or version, such as 'Jak2' for JAK2" in " ".join(
        found.summary().split()
    )
    adata = screen(["NT", *files.ENSEMBL[:4]], ensembl=True)
    found = argen.inspect(with_obs(adata, gene=lambda x: x if x == "NT" else f"{x}.12"))
    assert found.options.match_genes == "close"
    assert found.options.guide_pattern is None


def test_some_names_in_another_case_are_offered():
    labels = ["NT", *TARGETS, "myc", "TP53"]
    found = argen.inspect(with_obs(screen(labels), gene=str))
    assert found.options.match_genes == "exact"
    assert any("or version alone: 'myc' for MYC. match_genes" in text for text in found.findings)


def test_cells_without_a_label_or_counts_are_filtered_and_named():
    adata = with_obs(screen(["NT", *TARGETS]), gene=str)
    adata.X = sparse.vstack([sparse.csr_matrix((3, adata.n_vars)), adata.X[3:]], format="csr")
    adata.obs["total_counts"] = sums(adata)
    adata.obs.loc[adata.obs.index[5:9], "gene"] = np.nan
    found = argen.inspect(adata)
    assert found.options.cells == "gene.notna() and total_counts > 0"
    assert "obs['gene'] is missing in 4 cells, left out." in found.findings
    assert argen.read_perturbseq(adata, found.options).n_cells == files.N_CELLS - 7


@pytest.mark.parametrize("where", ["X", "layers['counts']"])
def test_dust_on_counts_is_rounded_and_said(where):
    adata = with_obs(screen(["NT", *TARGETS]), gene=str)
    dusty = adata.X.astype(np.float64)
    dusty.data += 3e-7
    adata.X = dusty.log1p()
    if where == "X":
        adata.X = dusty
    else:
        adata.layers["counts"] = dusty
    found = argen.inspect(adata)
    assert found.guess("counts") == where
    assert found.options.round
    assert " --round" in found.command()
    assert f"\ncounts         {where} " in found.summary()
    assert f"{where} holds whole numbers but for 3e-07" in found.findings[0]
    assert len(argen.read_perturbseq(adata, found.options).nodes) == 4


def test_batches_that_cannot_be_covariates():
    adata = screen(["NT", *TARGETS])
    labels = adata.obs["_"]
    lane = labels.map({name: f"L{k}" for k, name in enumerate(["NT", *TARGETS])})
    nested = groups(4, "s{}")
    adata = with_obs(
        adata, gene=str, batch=lane.to_numpy(), sample=nested,
        donor=[f"d{name in ('s1', 's2')}" for name in nested],
        library=[f"l{k}" for k in range(400)],
    )  # fmt: skip
    found = argen.inspect(adata)
    assert found.options.covariates == ("sample",)
    assert any("obs['batch'] cannot be told from the perturb" in text for text in found.findings)
    assert any("obs['library'] has 400 levels for 80 control" in text for text in found.findings)
    argen.read_perturbseq(adata, found.options)


@pytest.mark.process
def test_hostile_names_are_shown_and_quoted(tmp_path):
    names = ["STAT1", "STAT2", "a'b; rm -rf x", "\x1b[31mred", "$(touch y)", "new\nline"]
    adata = screen(["NT", *names[:2], *names[2:]])
    adata.var_names = [*names, *adata.var_names[6:]]
    adata = with_obs(adata, pert=str)
    adata.obs = adata.obs.rename(columns={"pert": "tar get\x1b[2J`'"})
    adata.obs[["--batch", "x,y"]] = pd.DataFrame({"a": groups(2), "b": groups(3)}).to_numpy()
    found = argen.inspect(adata)
    page = found.summary()
    assert "\x1b" not in page
    assert found.options.target == "tar get\x1b[2J`'"
    assert "--target $'tar get\\x1b[2J`\\''" in found.command()
    made = ["bash", "-c", f"printf '%s\\n' {found.command()}"]
    words = subprocess.run(made, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert f"--target\n{found.options.target}\n" in words
    assert not list(tmp_path.iterdir())
    assert len(argen.read_perturbseq(adata, found.options).nodes) == len(names)


def test_the_page_has_eighty_columns():
    for name in ("scperturb", "mixscape", "replogle", "norman", "cellxgene", "gears", "high_moi"):
        page = argen.inspect(getattr(files, name)()).summary()
        words = page.split("Fit it with")[0].splitlines()
        assert max(map(len, words)) <= 80


def test_representation_is_short():
    found = argen.inspect(files.gears())
    assert (
        repr(found) == "Inspection('AnnData object', 400 cells, 10 genes, 0 missing, 0 questions)"
    )


def test_columns_without_a_role_are_listed():
    found = argen.inspect(with_obs(screen(["NT", *TARGETS]), gene=str, L=1.5, notes="x"))
    assert "Other columns: L, notes." in found.summary()
    table = found.columns.set_index("column")
    assert table.loc["gene", "role"] == "target"
    assert (table.loc["notes", "n_values"], table.loc["notes", "first"]) == (1, "x")


@pytest.mark.parametrize("n_controls", [1, 5])
def test_controls_whose_label_has_the_separator_are_no_list(n_controls):
    controls = [f"non_targeting_{k}" for k in range(n_controls)]
    made = [with_obs(screen([*controls, "STAT1_JAK2", *TARGETS]), pert=str) for _ in range(2)]
    found = argen.inspect(made[0])
    assert (found.options.separator, found.options.control) == ("_", tuple(controls))
    data = argen.read_perturbseq(made[1], found.options)
    assert set(data.nodes) == set(TARGETS)
    assert data.n_controls == found.controls["n_cells"].sum()
