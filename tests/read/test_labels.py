"""Target and control labels: which types are read, and what is refused."""

import numpy as np
import pandas as pd
import pytest

import argen

NUMBER_OF_LABEL = {"non-targeting": "0", "STAT1": "1", "STAT2": "2", "JAK2": "3", "IRF1": "4"}


def test_missing_column(screen, read):
    words = r"no column 'perturbatoin' in obs for the target labels\. Did you mean 'perturbation'\?"
    with pytest.raises(argen.InputError, match=words):
        read(screen, target="perturbatoin")


def test_repeated_column(screen, read):
    screen.obs = pd.concat([screen.obs, screen.obs[["perturbation"]]], axis=1)
    with pytest.raises(argen.InputError, match=r"more than one column 'perturbation'. Rename them"):
        read(screen)


@pytest.mark.parametrize("nothing", [np.nan, None, pd.NA])
def test_all_labels_missing(screen, read, nothing):
    screen.obs["perturbation"] = pd.Series([nothing] * 300, index=screen.obs_names, dtype=object)
    with pytest.raises(argen.InputError, match=r"Every label in obs.* is missing: expected the"):
        read(screen)


@pytest.mark.parametrize("dtype", [object, "category", "string"])
def test_some_labels_missing(screen, read, dtype):
    labels = screen.obs["perturbation"].astype(object)
    labels.iloc[[3, 5]] = np.nan
    screen.obs["guide target"] = labels.astype(dtype)
    words = (
        r"obs\['guide target'\] is missing in 2 of 300 cells \(first: 'cell3', 'cell5'\)\. "
        r"Leave them out with a cell filter, such as cells=\"`guide target`\.notna\(\)\""
    )
    with pytest.raises(argen.InputError, match=words):
        read(screen, target="guide target")
    advice = "`guide target`.notna()"
    assert read(screen, target="guide target", cells=advice).left_out["n_cells"].iloc[0] == 2


@pytest.mark.parametrize("dtype", [object, "category", "string"])
def test_text_labels_of_every_type(screen, read, dtype):
    expected = read(screen)
    screen.obs["perturbation"] = screen.obs["perturbation"].astype(dtype)
    assert read(screen).sha256 == expected.sha256
    assert read(screen).left_out.equals(expected.left_out)


@pytest.mark.parametrize("dtype", ["int64", "Int64", "category"])
def test_integer_labels(screen, read, dtype):
    expected = read(screen)
    numbers = screen.obs["perturbation"].astype(str).map(NUMBER_OF_LABEL).astype("int64")
    screen.obs["perturbation"] = numbers.astype(dtype)
    screen.var.index = ["1", "2", "3", "7", "8", "9"]
    data = read(screen, control="0")
    assert data.nodes == ("1", "2", "3")
    np.testing.assert_array_equal(data.node_of_cell, expected.node_of_cell)
    with pytest.raises(argen.InputError, match=r"control must be.* 0 \(int\)"):
        read(screen, control=0)
    with pytest.raises(argen.InputError, match=r"holds 0 .*compared as text: write '0'"):
        read(screen, control=[0])


def test_missing_control(screen, read):
    words = (
        r"No cell has the control label 'nontargeting'\. Did you mean 'non-targeting'\? "
        r"Labels: 'non-targeting', '.*', 'JAK2', 'IRF1'\.$"
    )
    with pytest.raises(argen.InputError, match=words):
        read(screen, control="nontargeting")
    with pytest.raises(argen.InputError, match="No cell has the control label 'safe'"):
        read(screen, control=["non-targeting", "safe"])
    with pytest.raises(argen.InputError, match=r"IRF1'\. Name them one by one\. Labels: "):
        read(screen, control="non-targeting,IRF1")


@pytest.mark.parametrize("control", [None, 5, [None], []])
def test_control_that_is_no_label(screen, read, control):
    with pytest.raises(argen.InputError, match=r"^control (must be|is empty)"):
        read(screen, control=control)


def test_cell_filter_that_leaves_no_control(screen, read):
    words = (
        r"The cell filter leaves no control cell \('non-targeting'\): the 200 cells that pass it "
        r"have the labels 'IRF1', 'JAK2', 'STAT1', 'STAT2'\. Widen the filter"
    )
    with pytest.raises(argen.InputError, match=words):
        read(screen, cells="perturbation != 'non-targeting'")


def test_several_control_labels(screen, read):
    expected = read(screen)
    halves = np.where(np.arange(300) % 2, "intergenic", "safe")
    is_control = screen.obs["perturbation"] == "non-targeting"
    screen.obs["perturbation"] = np.where(is_control, halves, screen.obs["perturbation"])
    data = read(screen, control=["safe", "intergenic"])
    assert data.sha256 == expected.sha256
    with pytest.warns(argen.ArgenWarning, match="There are 50 control cells"):
        alone = read(screen, control="safe")
    assert alone.n_controls < data.n_controls
    assert "intergenic" in set(alone.left_out["name"])


def test_fewer_controls_than_coefficients(screen, read):
    few = screen.obs_names[screen.obs["perturbation"] == "non-targeting"][:4]
    screen.obs["kept"] = (screen.obs["perturbation"] != "non-targeting") | (
        screen.obs_names.isin(few)
    )
    words = (
        r"There are 4 control cells for 5 coefficients \(intercept, perturbation, 3 of "
        r"covariates\): expected more cells than coefficients"
    )
    with pytest.raises(argen.InputError, match=words):
        read(screen, cells="kept", covariates=["p_mito", "lane"])
    with pytest.warns(argen.ArgenWarning, match="There are 4 control cells"):
        assert read(screen, cells="kept", covariates=["p_mito"]).n_controls == 4


def test_target_that_is_no_gene_is_left_out(screen, read):
    data = read(screen)
    assert data.nodes == ("STAT1", "STAT2", "JAK2")
    assert data.n_cells == 270
    assert data.left_out.to_dict("records") == [
        {"kind": "target", "name": "IRF1", "n_cells": 30, "reason": "not a measured gene"}
    ]
    assert "left out: target IRF1 (30 cells): not a measured gene" in data.summary()


def test_cells_follow_their_labels(screen, read):
    data = read(screen)
    names = np.array([*data.nodes, "non-targeting"])[data.node_of_cell]
    np.testing.assert_array_equal(names, screen.obs.loc[data.cells, "perturbation"])
    expected = screen[data.cells, list(data.nodes)].X.toarray()
    np.testing.assert_array_equal(data.counts.to_csc().toarray(), expected)


def test_labels_that_join_targets(screen, read):
    labels = screen.obs["perturbation"].astype(object)
    labels.iloc[:20] = "STAT1+STAT2"
    screen.obs["perturbation"] = labels
    data = read(screen)
    joined = data.left_out.set_index("name").loc["STAT1+STAT2"]
    assert joined["n_cells"] == 20
    assert joined["reason"] == "several perturbations, joined by '+'"


@pytest.mark.parametrize("option", ["target", "library_size", "layer", "cells", "gene_symbols"])
def test_options_that_are_no_text(screen, read, option):
    with pytest.raises(argen.InputError, match=rf"^{option} must be text, not \['a'\] \(list\)"):
        read(screen, **{option: ["a"]})


def test_neither_path_nor_anndata(screen, read):
    with pytest.raises(argen.InputError, match=r"path of an .h5ad file or an .*, not DataFrame"):
        read(screen.obs)
    with pytest.raises(argen.InputError, match="not NoneType"):
        read(None)
