"""Cells: the filter, their names, and the library size."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import argen

AFTER_FILTER = {"cells": "confident"}


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("confidant", r"neither a column of obs nor a query .* Did you mean 'confident'\?"),
        ("quality > 3", r"neither a column of obs nor a query .*: name 'quality' is not defined"),
        ("p_mito <", r"neither a column of obs nor a query that can be computed: invalid"),
        ("total umi > 60", r"and names with spaces or dots between backticks"),
        ("lane == L1", r"'L1' is not defined.* Put text in quotes, as in lane == 'L1'"),
        ("", r"neither a column of obs nor a query .*: invalid syntax"),
        ("lane > 3", r"neither a column of obs nor a query that can be computed"),
        ("import os", r"neither a column of obs nor a query that can be computed"),
        ("@obs.p_mito > 0", r"neither a column of obs nor a query .*: invalid syntax"),
        ("p_mito * 2", r"does not give True or False for each cell: expected a comparison"),
        ("True", r"does not give True or False for each cell"),
        ("x = p_mito > 0", r"query that can be computed: invalid syntax"),
        ("p_mito.head(10) > 0", r"'p_mito.head\(10\)' is not part of a query, which has columns"),
        ("lane.str.startswith('L')", r"lane.str.startswith.* is not part of a query"),
        ("'L1' in lane", r"`in` is for a column and a list, as in lane in \['L1', 'L2'\]"),
        ("lane and confident", r"'lane' is not True or False for each cell"),
        ("lane + 'x' == 'L1x'", r"'lane' holds no numbers to calculate with"),
        ("lane in [total_umi]", r"'total_umi' stands in a list: expected numbers or text"),
        ("9**9**9**9 > p_mito", r"query that can be computed: .* out of range"),
        ("-" * 3000 + "p_mito > 0", r"query that can be computed: "),
        ("p_mito > 2", r"The cell filter 'p_mito > 2' leaves no cell of 300"),
        ("lane", r"holds .*: expected True or False\. Write a query .* \"lane == 'L\d'\"\.$"),
        ("total_umi", r"holds .*: expected True or False\. Write a query .* \"total_umi == \d\d\""),
    ],
)
def test_filters_that_are_refused(screen, read, cells, words):
    with pytest.raises(argen.InputError, match=words):
        read(screen, cells=cells)


@pytest.mark.parametrize("dtype", [object, "boolean"])
def test_filter_with_missing_values(screen, read, dtype):
    chosen = screen.obs["confident"].astype(object)
    chosen.iloc[4] = None
    screen.obs["chosen"] = chosen.astype(dtype)
    words = r"'chosen' is missing in 1 cells \(first: 'cell4'\)\. Fill it with True or False"
    with pytest.raises(argen.InputError, match=words):
        read(screen, cells="chosen")


@pytest.mark.parametrize("texts", [["0", "1"], ["False", "True"]])
def test_filter_of_texts(screen, read, texts):
    screen.obs["well chosen"] = np.array(texts)[screen.obs["confident"].astype(int)]
    words = r"expected True or False\. Write a query instead, such as \"`well chosen` == '\w+'\""
    with pytest.raises(argen.InputError, match=words):
        read(screen, cells="well chosen")
    data = read(screen, cells=f"`well chosen` == '{texts[1]}'")
    assert data.sha256 == read(screen, cells="confident").sha256


@pytest.mark.parametrize("dtype", [bool, "boolean", object, "category", int, float])
def test_filter_by_a_column_of_any_boolean_type(screen, read, dtype):
    expected = read(screen, cells="confident")
    screen.obs["confident"] = screen.obs["confident"].astype(dtype)
    assert read(screen, cells="confident").sha256 == expected.sha256


@pytest.mark.parametrize(
    "query",
    [
        "confident",
        "confident == True",
        "not ~confident",
        "index in @",
        "`umi.per cell` > 60",
        "`umi.per cell` > 60 & p_mito < 1 | lane == 'none & |'",
        "60 < `umi.per cell` <= 70 + 2**0",
        "confident and not lane.isna() and lane in ['L1', 'L2', 'L3']",
        "`umi.per cell`.isin([70, -1]) and log10(`umi.per cell`) > 1.8",
        "confident == [True]",
        "(confident == False) not in [True]",
    ],
)
def test_filter_by_query(screen, read, query):
    screen.obs["umi.per cell"] = np.where(screen.obs["confident"], 70, 50)
    if query == "index in @":
        query = f"index in {list(screen.obs_names[screen.obs['confident']])}"
    assert read(screen, cells=query).sha256 == read(screen, **AFTER_FILTER).sha256


@pytest.mark.parametrize(
    "query",
    [
        "p_mito.to_csv('MARKER')",
        "p_mito.to_pickle('MARKER')",
        "p_mito.to_json('MARKER') == 1",
        "p_mito.__class__.__init__.__globals__['os'].system('touch MARKER') == 0",
        "__import__('os').system('touch MARKER') == 0",
        "open('MARKER', 'w')",
        "@os.system('touch MARKER')",
        "index.map(print)",
        "(lambda: open('MARKER', 'w'))()",
        "[open(x, 'w') for x in ['MARKER']]",
        'f\'{open("MARKER", "w")}\' == lane',
        "log(open('MARKER', 'w')) > 0",
        "p_mito.isna(open('MARKER', 'w'))",
        "lane.isin(open('MARKER', 'w'))",
        "'{0.__class__}'.format(p_mito)",
        "(p_mito := open('MARKER', 'w'))",
        "p_mito[open('MARKER', 'w')]",
        "`p_mito`.to_csv('MARKER')",
    ],
)
def test_a_query_runs_nothing_and_writes_nothing(screen, read, tmp_path, query):
    marker = tmp_path / "marker"
    with pytest.raises(argen.InputError, match="The cell filter"):
        read(screen, cells=query.replace("MARKER", str(marker)))
    assert not marker.exists()


def test_a_comparison_with_a_missing_value_is_false(screen, read):
    screen.obs["score"] = pd.array([None, *[1] * 299], dtype="Int64")
    assert read(screen, cells="score > 0").left_out["n_cells"].iloc[0] == 1


def test_filtered_cells_are_counted(screen, read):
    n_filtered = int((~screen.obs["confident"]).sum())
    data = read(screen, cells="confident")
    assert data.left_out.iloc[0].to_dict() == {
        "kind": "cells",
        "name": "filtered",
        "n_cells": n_filtered,
        "reason": "not in 'confident'",
    }
    assert data.n_cells + data.left_out["n_cells"].sum() == 300
    assert read(screen, cells="index != ''").left_out["kind"].tolist() == ["target"]


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf])
def test_library_size_that_is_not_positive(screen, read, value):
    kept = read(screen).cells
    sizes = screen.obs["total_umi"].astype(float)
    sizes[kept[3]] = value
    screen.obs["size.factor"] = sizes
    words = (
        rf"library size \(obs\['size.factor'\]\) is zero, negative, missing or infinite in 1 cells "
        rf"\(first: '{kept[3]}'\): expected a positive number\. Leave .*\"`size.factor` > 0\"\.$"
    )
    with pytest.raises(argen.InputError, match=words):
        read(screen, library_size="size.factor")
    assert read(screen, library_size="size.factor", cells=f"index != '{kept[3]}'").n_cells == 269


def test_library_size_of_cells_that_are_not_used_does_not_matter(screen, read):
    screen.obs.loc[screen.obs["perturbation"] == "IRF1", "total_umi"] = 0
    assert read(screen, library_size="total_umi").n_cells == 270


def test_missing_library_size_of_a_nullable_type(screen, read):
    screen.obs["size"] = pd.array([None] * 300, dtype="Int64")
    with pytest.raises(argen.InputError, match=r"missing or infinite in 270 cells .* and 267 more"):
        read(screen, library_size="size")


@pytest.mark.parametrize("column", ["lane", "cycling", "size"])
def test_library_size_that_is_not_numeric(screen, read, column):
    screen.obs["size"] = screen.obs["total_umi"].astype("category")
    with pytest.raises(argen.InputError, match=rf"obs\['{column}'\] is not numeric. Name a column"):
        read(screen, library_size=column)


def test_missing_library_size_column(screen, read):
    with pytest.raises(argen.InputError, match=r"library size\. Did you mean 'total_umi'\?"):
        read(screen, library_size="total_umis")


@pytest.mark.parametrize("dtype", ["int32", "float32", "Int64", "Float64"])
def test_library_size_of_any_numeric_type(screen, read, dtype):
    expected = read(screen, library_size="total_umi")
    assert expected.library_size.tolist() == screen.obs.loc[expected.cells, "total_umi"].tolist()
    assert expected.library_size_source == "obs['total_umi']"
    screen.obs["total_umi"] = screen.obs["total_umi"].astype(dtype)
    assert read(screen, library_size="total_umi").sha256 == expected.sha256


def test_library_size_is_by_default_the_sum_over_all_measured_genes(screen, read):
    data = read(screen, cells="confident", nodes=["STAT1", "STAT2"])
    sums = np.asarray(screen[data.cells].X.sum(axis=1)).ravel()
    np.testing.assert_array_equal(data.library_size, sums)
    assert data.library_size_source == "row sums of all measured genes (none was named)"


def test_cell_without_counts(screen, read):
    counts = screen.X.tolil()
    counts[screen.obs_names.get_loc(read(screen).cells[0])] = 0
    screen.X = counts.tocsr()
    with pytest.raises(argen.InputError, match=r"row sums .* in 1 cells .* Name a column of obs"):
        read(screen)
    assert read(screen, library_size="total_umi").n_cells == 270


def test_cell_names_that_repeat(screen, read):
    expected = read(screen, covariates=["p_mito", "lane"], cells="confident")
    names = ["cell"] * screen.n_obs
    with pytest.warns(UserWarning, match="Observation names are not unique"):
        repeated = AnnData(X=screen.X, obs=screen.obs.set_axis(names), var=screen.var)
    data = read(repeated, covariates=["p_mito", "lane"], cells="confident")
    assert data.sha256 == expected.sha256
    again = read(repeated, covariates="~ p_mito + lane", cells="p_mito > 0 and confident")
    np.testing.assert_array_equal(
        again.counts.to_csc().toarray(), expected.counts.to_csc().toarray()
    )


def test_cell_names_that_are_integers(screen, read):
    expected = read(screen, covariates="p_mito", cells="confident")
    screen.obs.index = pd.RangeIndex(screen.n_obs)
    data = read(screen, covariates="p_mito", cells="confident")
    assert data.sha256 == expected.sha256
    screen.obs["total_umi"] = 0
    with pytest.raises(argen.InputError, match=r"is zero, .* in 270 cells \(first: '\d+'"):
        read(screen, library_size="total_umi")
