"""Cells with several perturbations: joined labels, and tables of indicators."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import argen

GENES = ["STAT1", "STAT2", "JAK2"]


@pytest.fixture
def carried(screen):
    """Indicators of six genes and a guide that targets nothing: (300, 7)."""
    rng = np.random.default_rng(5)
    names = [*GENES, "IRF1", "non-targeting"]
    table = pd.DataFrame(rng.random((300, 5)) < 0.15, columns=names, index=screen.obs_names)
    table.iloc[:60] = False
    table.iloc[:30, 4] = True
    return table


def joined(table, sep):
    """Label of each cell; cells without anything get the control label."""
    return [sep.join(row.index[row]) or "non-targeting" for _, row in table.iterrows()]


def assert_is(data, table):
    """The data are those of a table: who carries what, and who is left out."""
    used = ~table["IRF1"].to_numpy()
    assert data.nodes == ("STAT1", "STAT2", "JAK2")
    assert data.cells.tolist() == table.index[used].tolist()
    np.testing.assert_array_equal(
        data.perturbations.toarray() == 1, table.loc[used, list(data.nodes)]
    )
    assert data.perturbations.has_sorted_indices
    left_out = data.left_out.set_index("name")
    assert left_out.loc["IRF1", "n_cells"] == table["IRF1"].sum()


@pytest.mark.parametrize("separator", ["+", " & "])
def test_joined_labels(screen, read, carried, separator):
    screen.obs["perturbation"] = joined(carried, separator)
    data = read(screen, separator=separator)
    assert_is(data, carried)
    several = int((data.perturbations.sum(axis=1) > 1).sum())
    assert f"{several} cells carry several perturbations, up to 3" in data.summary()
    assert not data.one_per_cell


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_tables_of_indicators(screen, read, carried, wrap):
    screen.obs["perturbation"] = joined(carried, "+")
    expected = read(screen, separator="+")
    screen.obsm["guides"] = carried.astype(int)
    data = read(screen, target="guides")
    assert_is(data, carried)
    assert data.sha256 == expected.sha256
    screen.obsm["matrix"] = wrap(carried.to_numpy().astype(np.int8))
    names = list(carried.columns)
    assert read(screen, target="matrix", target_names=names).sha256 == data.sha256
    screen.uns["names"] = np.array(names)
    assert read(screen, target="matrix", target_names="names").sha256 == data.sha256


def test_tables_in_files(screen, read, carried, tmp_path):
    screen.obsm["guides"] = carried
    screen.write_h5ad(tmp_path / "screen.h5ad")
    from_file = read(tmp_path / "screen.h5ad", target="guides")
    assert from_file.sha256 == read(screen, target="guides").sha256


def test_cells_without_any_perturbation_are_the_controls_of_a_table(screen, read, carried):
    screen.obsm["guides"] = carried.drop(columns="non-targeting")
    data = argen.read_perturbseq(screen, argen.ReadOptions(target="guides"))
    assert_is(data, carried)
    assert data.n_controls == (~carried.drop(columns="non-targeting").any(axis=1)).sum()
    with pytest.raises(argen.InputError, match=r"obsm\['guides'\] has no column 'non-targeting'"):
        read(screen, target="guides")


def test_no_separator_leaves_labels_whole(screen, read, carried):
    screen.obs["perturbation"] = joined(carried, "+")
    data = read(screen, min_cells=5)
    assert data.one_per_cell
    assert "STAT1+STAT2" in set(data.left_out["name"])


def test_a_node_loses_the_cells_that_carry_something_else(screen, read, carried):
    """All cells of JAK2 but four carry IRF1, which is not measured."""
    carried.loc[carried["JAK2"], "IRF1"] = True
    carried.iloc[60:64] = False
    carried.iloc[60:64, 2] = True
    screen.obs["perturbation"] = joined(carried, "+")
    words = rf"'JAK2 \({carried['JAK2'].sum()} cells, fewer than 10 perturbed cells\)'"
    with pytest.warns(argen.ArgenWarning, match=words):
        data = read(screen, separator="+")
    assert data.nodes == ("STAT1", "STAT2")


def test_one_perturbation_per_cell_is_the_same_either_way(screen, read):
    assert read(screen, separator="+").sha256 == read(screen).sha256


def one_each(table):
    """Every cell carries one of the genes, and nothing else."""
    each = np.arange(len(table))[:, None] % 4 == np.arange(5)
    return pd.DataFrame(each, columns=table.columns, index=table.index)


def test_cells_that_carry_something_else_can_be_kept(screen, read, carried):
    screen.obsm["guides"] = carried
    data = read(screen, target="guides", keep_others=True)
    assert data.n_cells == 300
    np.testing.assert_array_equal(data.perturbations.toarray() == 1, carried[list(data.nodes)])
    of_irf1 = data.left_out.set_index("name").loc["IRF1"]
    assert of_irf1["reason"] == "not a measured gene; its cells stay"
    screen.obs["perturbation"] = joined(carried, "+")
    assert read(screen, separator="+", keep_others=True).sha256 == data.sha256


def test_without_a_cell_that_carries_nothing(screen, read, carried):
    """Each perturbation is compared with the cells that are without it."""
    nothing = ~carried[GENES].any(axis=1)
    carried.loc[nothing, GENES] = np.arange(nothing.sum())[:, None] % 3 != np.arange(3)
    screen.obsm["guides"] = carried
    data = read(screen, target="guides", keep_others=True)
    assert data.n_controls == 0
    network = argen.infer_network(data)
    assert np.isfinite(network.screen.p_value[network.screen.pairs]).all()
    assert "(0 control)" in network.summary()
    with pytest.raises(argen.InputError, match="Every cell carries a perturbation"):
        argen.screen_descendants(data, argen.InferenceConfig(screen_test="wald"))
    argen.check(network, data, n_null_tests=100)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda t: t.astype(int) * 2, {}, r"No guide of obsm.* has 5 counts in any cell: lower"),
        (lambda t: -t.astype(int), {}, "holds something else than 0 and 1"),
        (lambda t: t / 2, {}, "holds something else than 0 and 1"),
        (lambda t: t.astype(int), {"min_guide_counts": 3}, "holds 0 and 1 alone. Leave it out"),
        (lambda t: t.astype(object), {}, "holds something else than 0 and 1"),
        (lambda t: t.to_numpy(), {}, r"have no names\. Name them by target_names"),
        (lambda t: t.to_numpy(), {"target_names": ["A", "B"]}, "has 5 columns and 2 different"),
        (lambda t: t.to_numpy(), {"target_names": "absent"}, "There is no 'absent' in uns"),
        (lambda t: t.to_numpy(), {"target_names": [1]}, "target_names must be text"),
        (lambda t: t | True, {}, "Every cell carries 'IRF1'"),
        (one_each, {}, "Every cell has a perturbation"),
        (lambda t: t, {"separator": "+"}, r"obsm\['guides'\] is a table of indicators"),
    ],
)
def test_tables_that_cannot_be_used(screen, read, carried, change, options, words):
    screen.obsm["guides"] = change(carried)
    with pytest.raises(argen.InputError, match=words):
        read(screen, target="guides", **options)


def test_options_that_do_not_go_with_labels(screen, read):
    with pytest.raises(argen.InputError, match="target_names is for a table of indicators"):
        read(screen, target_names=["a"])
    with pytest.raises(argen.InputError, match="separator must have a character"):
        read(screen, separator="")
    screen.obsm["guides"] = np.zeros((300, 2))
    with pytest.raises(
        argen.InputError, match=r"no table of that name in obsm\. Did you mean 'gui"
    ):
        read(screen, target="guide")


def test_the_network_of_such_a_screen(screen, read, carried):
    screen.obs["perturbation"] = joined(carried, "+")
    network = argen.infer_network(read(screen, separator="+", sinks="all"))
    assert np.isfinite(network.screen.effect[network.screen.pairs]).all()
