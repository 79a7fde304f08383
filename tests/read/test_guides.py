"""Guides of the cells: a column of them beside the genes."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import argen


def with_guides(screen):
    """Give each gene two guides, the controls three."""
    numbers = np.arange(len(screen.obs)) % 2
    genes = screen.obs["perturbation"].astype(str)
    is_control = (genes == "non-targeting").to_numpy()
    names = genes + "-" + numbers.astype(str)
    screen.obs["guide"] = np.where(is_control, [f"NT{k % 3}" for k in range(len(genes))], names)
    return screen


def test_the_column_of_guides(screen, read):
    data = read(with_guides(screen), guide="guide")
    genes = screen.obs.loc[data.cells, "guide"]
    assert data.guides.labels().tolist() == genes.tolist()
    assert data.guides.names[:3] == ("NT0", "NT1", "NT2")
    assert data.guides.node.tolist() == [-1, -1, -1, 0, 0, 1, 1, 2, 2]
    assert [data.nodes[k] for k in data.guides.node if k >= 0] == [
        name.rpartition("-")[0] for name in data.guides.names[3:]
    ]
    assert "6 guides of nodes, 3 of controls or others" in data.summary()
    assert data.sha256 != read(screen).sha256
    assert read(screen).guides is None


def test_guides_may_be_missing_in_controls_alone(screen, read):
    with_guides(screen)
    is_control = screen.obs["perturbation"] == "non-targeting"
    screen.obs["guide"] = screen.obs["guide"].where(~is_control)
    data = read(screen, guide="guide")
    assert (data.guides.labels() == "").sum() == data.n_controls
    screen.obs["guide"] = screen.obs["guide"].where(screen.obs["perturbation"] != "JAK2")
    words = r"obs\['guide'\] names no guide in 50 perturbed cells \(first: .*guide\.notna\(\)\"\.$"
    with pytest.raises(argen.InputError, match=words):
        read(screen, guide="guide")
    with pytest.raises(argen.InputError, match=r"no column 'guides' in obs for the guides\. Did"):
        read(screen, guide="guides")


def test_one_guide_a_cell_where_cells_carry_several(screen, read):
    with_guides(screen)
    labels = screen.obs["perturbation"].astype(object)
    labels.iloc[:20] = "STAT1+STAT2"
    screen.obs["perturbation"] = labels
    with pytest.raises(argen.InputError, match=r"guide='guide' names one guide a cell, but cells"):
        read(screen, guide="guide", separator="+")


LABELS = {
    "STAT1g1": r"(.+)g[0-9]+$",
    "STAT1_1": r"(?P<target>.+)_[0-9]+$",
    "sgSTAT1-1": r"^sg(.+)-[0-9]+$",
}


def labelled(screen, form):
    """Write guides of two per gene into the labels, three of the controls."""
    genes = screen.obs["perturbation"].astype(str)
    own = [form.replace("STAT1", g)[:-1] + str(k % 2 + 1) for k, g in enumerate(genes)]
    nt = [f"NT-{k % 3}" for k in range(len(genes))]
    screen.obs["perturbation"] = np.where(genes == "non-targeting", nt, own)
    return screen


@pytest.mark.parametrize("form", list(LABELS))
def test_labels_of_guides(screen, read, form):
    plain = read(screen)
    data = read(labelled(screen, form), control="NT-*", guide_pattern=LABELS[form])
    assert data.nodes == plain.nodes
    assert (data.perturbations != plain.perturbations).nnz == 0
    assert data.guides.names[:3] == ("NT-0", "NT-1", "NT-2")
    assert data.guides.labels().tolist() == screen.obs.loc[data.cells, "perturbation"].tolist()
    assert data.guides.node.tolist() == [-1, -1, -1, 0, 0, 1, 1, 2, 2]
    assert set(data.left_out["name"]) == {"IRF1"}
    assert "read as control by 'NT-*': NT-0 (" in data.summary()
    controls = data.read_as[data.read_as["kind"] == "control"]
    assert controls["n_cells"].sum() == 100
    by_column = labelled_column(screen, plain, read)
    assert data.sha256 == by_column.sha256


def labelled_column(screen, plain, read):
    """Read the same guides from a column beside that of the genes."""
    screen.obs["guide"] = screen.obs["perturbation"]
    genes = np.array([*plain.nodes, "non-targeting"])[plain.node_of_cell]
    screen.obs["gene"] = "IRF1"
    screen.obs.loc[plain.cells, "gene"] = genes
    return read(screen, target="gene", guide="guide")


def test_a_pattern_that_fits_nothing(screen, read):
    words = r"guide_pattern 'sg\(\.\+\)' finds no target in any label: expected it to fit labels"
    with pytest.raises(argen.InputError, match=words):
        read(screen, guide_pattern="sg(.+)")


def test_classes_of_mixscape_are_not_guides(screen, read):
    """NP cells carry the perturbation all the same, and are not compared with the others."""
    plain = read(screen)
    genes = screen.obs["perturbation"].astype(str)
    worked = np.where(np.random.default_rng(3).random(300) < 0.6, " KO", " NP")
    screen.obs["perturbation"] = np.where(genes == "non-targeting", "NT", genes + worked)
    data = read(screen, control="NT", guide_pattern=r"(.+) (KO|NP)$")
    assert data.guides is None
    assert data.sha256 == plain.sha256


def table_of(screen):
    guides = sorted(set(screen.obs["perturbation"]))
    return {g: "NT" if g.startswith("NT") else g[:-2] for g in guides}


@pytest.mark.parametrize("columns", [["guide", "target"], ["GUIDE_ID", "intended_target_name"]])
@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_a_table_of_guides(screen, read, tmp_path, columns, kind):
    labelled(screen, "STAT1_1")
    listed = table_of(screen)
    table = pd.DataFrame(listed.items(), columns=columns).assign(sequence="ACGT")
    path = tmp_path / "table"  # what it is, and not what it is called, decides
    if kind == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="," if kind == "csv" else "\t", encoding="utf-8-sig")
    data = read(screen, control="NT", guides=path)
    by_pattern = read(screen, control="NT-?", guide_pattern="(.+)_[0-9]$")
    assert data.sha256 == by_pattern.sha256
    assert read(screen, control="NT", guides=listed).sha256 == data.sha256
    assert "read as control by 'NT': NT-0 (" in data.summary()


def test_tables_of_guides_that_cannot_be_used(screen, read, tmp_path):
    labelled(screen, "STAT1_1")
    listed = table_of(screen)
    fewer = {g: t for g, t in listed.items() if not g.startswith("STAT")}
    words = r"guides does not list 4 of 11 guides of the screen \(first: 'STAT[12]_[12]', .*"
    with pytest.raises(argen.InputError, match=words):
        read(screen, control="NT", guides=fewer)
    cases = {
        "guide,gene_sets\nA,B\n": r"has the columns 'guide', 'gene_sets': expected guide and targ",
        "guide,target\nA,B\nA,C\n": "guides says two things for 'A': expected one target of each",
        "guide,target\nA,\n": "guides says nothing for 'A': expected the target of each",
        "": r"cannot be read \(.*expected a table of guides",
        "\xff\xfe\x00": r"cannot be read \(.*expected a table of guides",
    }
    for number, (text, words) in enumerate(cases.items()):
        path = tmp_path / f"{number}.csv"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(argen.InputError, match=words):
            read(screen, control="NT", guides=path)
    with pytest.raises(argen.InputError, match=r"no file '.*absent': expected a table of guides"):
        read(screen, control="NT", guides=tmp_path / "absent")


def test_control_labels_by_pattern(screen, read):
    genes = screen.obs["perturbation"].astype(str)
    names = np.array(["safe-targeting", "NTC_1", "neg_3", "AAVS1"])[np.arange(300) % 4]
    screen.obs["perturbation"] = np.where(genes == "non-targeting", names, genes)
    data = read(screen, control=["safe*", "N?C_*", "neg_3", "AAVS1"])
    assert data.n_controls == 100
    assert set(data.read_as["name"]) == {"safe-targeting", "NTC_1"}
    with pytest.raises(argen.InputError, match="No cell has the control label 'NTX"):
        read(screen, control=["safe*", "NTX*"])
    screen.obs["perturbation"] = np.where(genes == "non-targeting", "N*C", genes)
    screen.obs["perturbation"] = screen.obs["perturbation"].replace({"IRF1": "NC"})
    data = read(screen, control="N*C")  # a label that is exactly that
    assert data.n_controls == 100
    assert data.read_as.empty
    assert read(screen, control="N\x2aC").n_controls == 100


@pytest.mark.parametrize("bracket", ["NT[1]", "NT.1", "NT+1"])
def test_patterns_have_two_signs_alone(screen, read, bracket):
    genes = screen.obs["perturbation"].astype(str)
    screen.obs["perturbation"] = np.where(genes == "non-targeting", f"{bracket}x", genes)
    assert read(screen, control=f"{bracket}*").n_controls == 100


def counts_of_guides(screen, several=False):
    """Guide counts with one guide called in most cells, noise below five, and cells without."""
    rng = np.random.default_rng(4)
    names = [f"{g}_{n}" for g in ("STAT1", "STAT2", "JAK2", "IRF1", "NT") for n in (1, 2)]
    counts = rng.integers(0, 3, (300, 10))
    own = rng.choice(10, 300, p=[0.08] * 8 + [0.18] * 2)
    called = np.zeros((300, 10), dtype=bool)
    called[np.arange(300), own] = True
    if several:
        called |= rng.random((300, 10)) < 0.08
    called[:40] = False
    counts[called] = rng.integers(5, 40, called.sum())
    table = pd.DataFrame(counts, columns=names, index=screen.obs_names)
    screen.obsm["guides"] = table
    return table, called


def test_guides_called_from_counts(screen, read):
    table, called = counts_of_guides(screen)
    data = read(screen, target="guides", control="NT", guide_pattern="(.+)_[12]$")
    expected = pd.Series(np.where(called.any(axis=1), called.argmax(axis=1), -1), table.index)
    names = np.array([*table.columns, ""])[expected.loc[data.cells]]
    assert data.guides.labels().tolist() == names.tolist()
    assert "guides: guides with 5 counts or more in a cell are called" in data.summary()
    # A cell in which no guide was found is no control where cells have one guide.
    assert data.n_controls == np.isin(expected, [8, 9]).sum()
    left_out = data.left_out.set_index("name").loc["without a guide"]
    assert left_out["n_cells"] == 40
    assert left_out["reason"].startswith("no guide was found in them, which is not")
    fewer = read(
        screen, target="guides", control="NT", guide_pattern="(.+)_[12]$", min_guide_counts=20,
        min_cells=1,
    )  # fmt: skip
    assert (fewer.guides.n_cells.sum()) < data.guides.n_cells.sum()
    assert "guides with 20 counts or more" in fewer.summary()
    with pytest.raises(argen.InputError, match=r"No guide of .* has 99 counts in any cell: lower"):
        read(screen, target="guides", guide_pattern="(.+)_[12]$", control="NT", min_guide_counts=99)


def test_several_guides_in_a_cell_are_kept(screen, read):
    """Controls are cells with guides of controls alone, or without any."""
    table, called = counts_of_guides(screen, several=True)
    data = read(screen, target="guides", control="NT", guide_pattern="(.+)_[12]$", min_cells=1)
    genes = called.reshape(300, 5, 2).any(axis=2)  # STAT1, STAT2, JAK2, IRF1, NT
    used = ~genes[:, 3]
    assert data.cells.tolist() == table.index[used].tolist()
    np.testing.assert_array_equal(data.perturbations.toarray() == 1, genes[used][:, :3])
    assert data.n_controls == (~genes[used][:, :3].any(axis=1)).sum()
    assert not data.one_per_cell
    assert data.guides.names == (
        "NT_1", "NT_2", "STAT1_1", "STAT1_2", "STAT2_1", "STAT2_2", "JAK2_1", "JAK2_2",
    )  # fmt: skip
    order = [8, 9, 0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(data.guides.carried.toarray() == 1, called[used][:, order])


@pytest.mark.parametrize("wrap", ["sparse", "frame"])
def test_tables_of_counts_of_every_kind(screen, read, wrap):
    table, _ = counts_of_guides(screen)
    options = {"target": "guides", "control": "NT", "guide_pattern": "(.+)_[12]$"}
    expected = read(screen, **options)
    if wrap == "sparse":
        screen.obsm["guides"] = sparse.csr_matrix(table.to_numpy())
        options["target_names"] = list(table.columns)
    else:
        screen.obsm["guides"] = table.astype(pd.SparseDtype(int, 0))
    assert read(screen, **options).sha256 == expected.sha256
