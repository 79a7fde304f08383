"""Nodes: which genes qualify, and what becomes of the others."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import argen


def relabel(screen, label, n_cells):
    """Leave a label with so many cells and give the others to IRF1."""
    labels = screen.obs["perturbation"].astype(object)
    labels[labels.index[labels == label][n_cells:]] = "IRF1"
    screen.obs["perturbation"] = labels


def zero_gene(screen, gene, cells=slice(None)):
    counts = screen.X.tolil()
    counts[cells, screen.var_names.get_loc(gene)] = 0
    screen.X = counts.tocsr()


def test_listed_node_never_perturbed(screen, read):
    words = r"'MYC', in the list of nodes, is measured but never perturbed.*perturbed are 'STAT"
    with pytest.raises(argen.InputError, match=words):
        read(screen, nodes=["STAT1", "MYC"])


def test_listed_node_that_is_a_control_label(screen, read):
    screen.var.index = [*screen.var_names[:-1], "non-targeting"]
    with pytest.raises(argen.InputError, match=r"'non-targeting', in the list .* never perturbed"):
        read(screen, nodes=["STAT1", "STAT2", "non-targeting"])


def test_listed_node_not_measured(screen, read):
    words = r"'IRF1', in the list of nodes, is not a measured gene\."
    with pytest.raises(argen.InputError, match=words):
        read(screen, nodes=["STAT1", "IRF1"])
    with pytest.raises(argen.InputError, match=r"not a measured gene\. Did you mean 'STAT1'\?"):
        read(screen, nodes=["stat1", "STAT2"])


def test_list_of_nodes(screen, read):
    data = read(screen, nodes=["JAK2", "STAT1"])
    assert data.nodes == ("STAT1", "JAK2")  # in the order of the matrix
    assert data.left_out.set_index("name")["reason"].to_dict() == {
        "IRF1": "not a measured gene",
        "STAT2": "not in the list of nodes",
    }
    assert data.n_cells == 100 + 60 + 50
    for same in (np.array(data.nodes), pd.Index(data.nodes), data.nodes):
        assert read(screen, nodes=same).sha256 == data.sha256


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([], "nodes lists no gene: a network needs at least two"),
        (["STAT1"], "nodes lists 'STAT1': a network needs at least two"),
        ("STAT1", "nodes lists 'STAT1': a network needs at least two"),
        (["STAT1", "STAT2", "STAT1"], "nodes names 'STAT1' more than once"),
        (["STAT1", 2], r"nodes must be text, but holds 2 \(int\)"),
        (7, r"nodes must be a name or a list of names, not 7 \(int\)"),
    ],
)
def test_list_of_nodes_of_the_wrong_kind(screen, read, nodes, words):
    with pytest.raises(argen.InputError, match=words):
        read(screen, nodes=nodes)


def test_single_node(screen, read):
    words = (
        r"at least two genes that are both perturbed and measured; only 'JAK2' is\. Measured: "
        r"'JAK2', 'MYC', 'ACTB' and 1 more\. Perturbed but left out: 'IRF1', 'STAT1', 'STAT2'"
    )
    with pytest.raises(argen.InputError, match=words):
        read(screen[:, 2:])


def test_no_node_names_the_nearest_gene(screen, read):
    screen.obs["perturbation"] = screen.obs["perturbation"].replace(
        {name: f"{name}_g1" for name in ("STAT1", "STAT2", "JAK2")}
    )
    words = r"none is\..*No measured gene is called 'JAK2_g1'\. Did you mean 'JAK2'\?"
    with pytest.raises(argen.InputError, match=words):
        read(screen[:, 2:])


def test_no_node_because_labels_join_targets(screen, read):
    screen.obs["perturbation"] = screen.obs["perturbation"].replace(
        {"STAT1": "IRF1+STAT1", "STAT2": "IRF1+STAT2", "JAK2": "IRF1+JAK2"}
    )
    words = "3 labels, such as 'IRF1.JAK2', join several perturbations: name .* separator='.'"
    with pytest.raises(argen.InputError, match=words):
        read(screen)


def test_too_few_cells(screen, read):
    relabel(screen, "JAK2", 9)
    words = r"'JAK2 \(9 cells, fewer than 10 perturbed cells\)'.*their cells too; left_out lists"
    options = argen.ReadOptions(target="perturbation", control="non-targeting")
    with pytest.warns(argen.ArgenWarning, match=words) as warned:
        data = argen.read_perturbseq(screen, options)
    assert [Path(warning.filename).name for warning in warned] == [Path(__file__).name]
    assert data.nodes == ("STAT1", "STAT2")
    assert data.n_cells == 100 + 60 + 60
    dropped = data.left_out.set_index("name").loc["JAK2"]
    assert dropped["kind"] == "node"
    assert dropped["n_cells"] == 9
    assert dropped["reason"] == "fewer than 10 perturbed cells"

    assert read(screen, min_cells=9).nodes == ("STAT1", "STAT2", "JAK2")
    with pytest.raises(argen.InputError, match=r"'JAK2 \(9 cells.*by a list of nodes, or do"):
        read(screen, strict=True)
    assert read(screen, strict=True, nodes=["STAT1", "STAT2"]).nodes == ("STAT1", "STAT2")


def test_listed_node_without_cells_after_the_filter(screen, read):
    words = r"'JAK2 \(0 cells, no perturbed cell\)'"
    with pytest.warns(argen.ArgenWarning, match=words):
        data = read(
            screen, nodes=["STAT1", "STAT2", "JAK2"], cells="perturbation not in ['JAK2', 'IRF1']"
        )
    assert data.nodes == ("STAT1", "STAT2")


def test_no_count(screen, read):
    zero_gene(screen, "JAK2")
    words = r"'JAK2 \(50 cells, no count in any cell that is used\)'"
    with pytest.warns(argen.ArgenWarning, match=words):
        data = read(screen)
    assert data.nodes == ("STAT1", "STAT2")
    assert (
        data.left_out.set_index("name").loc["JAK2", "reason"] == "no count in any cell that is used"
    )
    with pytest.raises(argen.InputError, match=words):
        read(screen, strict=True)


def test_counts_that_go_with_the_cells_of_a_dropped_gene(screen, read):
    zero_gene(screen, "JAK2")
    zero_gene(screen, "STAT2", cells=np.flatnonzero(screen.obs["perturbation"] != "JAK2"))
    screen.var.index = ["A1", "STAT2", "JAK2", "STAT1", "ACTB", "GAPDH"]
    screen.obs["perturbation"] = screen.obs["perturbation"].replace({"IRF1": "ACTB"})
    with pytest.warns(argen.ArgenWarning, match=r"'JAK2 .*, 'STAT2 ") as warned:
        data = read(screen)
    assert len(warned) == 1
    assert data.nodes == ("STAT1", "ACTB")


def test_one_error_and_no_warning_when_all_are_dropped(screen, read):
    words = r"none is\..*Dropped: 'JAK2 \(fewer than 100 perturbed cells\)', 'STAT1 "
    with pytest.raises(argen.InputError, match=words):
        read(screen, min_cells=100)


@pytest.mark.parametrize("min_cells", [0, -1, 1.5, "10", None, True])
def test_min_cells_of_the_wrong_kind(screen, read, min_cells):
    with pytest.raises(argen.InputError, match="min_cells must be a whole number from 1, not"):
        read(screen, min_cells=min_cells)


def test_min_cells_of_numpy(screen, read):
    assert read(screen, min_cells=np.int64(5)).sha256 == read(screen).sha256


@pytest.mark.parametrize(
    ("renamed", "words"),
    [
        (
            {"STAT1": "STAT1g1", "STAT2": "STAT2g1", "JAK2": "JAK2g2"},
            r"labels look like those of guides, as 'JAK2g2' of JAK2: say .* guide_pattern='\^\(",
        ),
        (
            {"STAT1": "stat1", "STAT2": "stat2", "JAK2": "jak2"},
            r'3 labels differ from a measured gene .* \'jak2\' from \'JAK2\': match_genes="cl',
        ),
    ],
)
def test_no_node_says_what_the_labels_are(screen, read, renamed, words):
    screen.obs["perturbation"] = screen.obs["perturbation"].replace(renamed)
    with pytest.raises(argen.InputError, match=words):
        read(screen)
