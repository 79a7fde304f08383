"""Whatever a screen is kept in: the same cells give the same data and the same network."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import argen
from tests.read.layouts import called, mudata_of, quiet, screen_parts, write_cell_ranger
from tests.screens import assert_same_network

OPTIONS = {"control": "Non-Targeting", "covariates": ["p_mito"], "min_cells": 5}


@pytest.fixture(scope="module")
def parts():
    return screen_parts()


@pytest.fixture(scope="module")
def expected(parts):
    """The screen from plain AnnData, with a column of guides."""
    counts, genes, _, guides, cells = parts
    obs = cells.assign(guide=called(parts))
    screen = AnnData(X=sparse.csr_matrix(counts), obs=obs, var=genes)
    options = argen.ReadOptions(
        target="guide", guides=guides["target_gene_name"].to_dict(), gene_symbols="symbol",
        cells="guide != ''", **OPTIONS,
    )  # fmt: skip
    return argen.read_perturbseq(screen, options)


def assert_same(data, expected):
    assert data.sha256 == expected.sha256
    assert data.nodes == expected.nodes == ("STAT1", "STAT2", "JAK2")
    assert data.cells.tolist() == expected.cells.tolist()
    assert data.n_measured == expected.n_measured == 8
    assert data.guides.names == expected.guides.names
    config = argen.InferenceConfig(threads=1)
    assert_same_network(argen.infer_network(data, config), argen.infer_network(expected, config))


@pytest.mark.parametrize("kind", ["memory", "h5mu", "zarr"])
@pytest.mark.parametrize("table", ["guide", "guide/guide_assignment"])
def test_mudata(parts, expected, tmp_path, kind, table):
    given = mudata_of(parts)
    if kind != "memory":
        path = tmp_path / "screen"  # what it is decides, not what it is called
        with quiet():
            getattr(given, {"h5mu": "write", "zarr": "write_zarr"}[kind])(path)
        given = path
    data = argen.read_perturbseq(
        given, argen.ReadOptions(target=table, gene_symbols="symbol", **OPTIONS)
    )
    assert_same(data, expected)
    if kind != "memory":
        assert data.source == str(path)


@pytest.fixture(scope="module")
def outs(parts, tmp_path_factory):
    return write_cell_ranger(tmp_path_factory.mktemp("run") / "outs", parts)


@pytest.fixture
def cell_table(parts, tmp_path):
    path = tmp_path / "cells.csv"
    parts[4].sample(frac=1, random_state=3).to_csv(path)
    return path


CELL_RANGER = [
    ".", "filtered_feature_bc_matrix.h5", "filtered_feature_bc_matrix",
    "filtered_feature_bc_matrix/matrix.mtx.gz",
]  # fmt: skip


@pytest.mark.parametrize("part", CELL_RANGER)
@pytest.mark.parametrize(
    "options", [{"target": "guides"}, {"target": "feature_call", "cells": "num_features > 0"}]
)
def test_cell_ranger(expected, outs, cell_table, part, options):
    """Guides are called from their counts, or by Cell Ranger; their targets are its reference's."""
    options = argen.ReadOptions(**options, obs=cell_table, **OPTIONS)
    assert_same(argen.read_perturbseq(outs / part, options), expected)


def test_cells_that_cell_ranger_called_no_guide_in(outs, cell_table):
    options = argen.ReadOptions(target="feature_call", obs=cell_table, **OPTIONS)
    words = r"obs\['feature_call'\] is missing in 30 of 500 cells .*feature_call.notna\(\)"
    with pytest.raises(argen.InputError, match=words):
        argen.read_perturbseq(outs, options)


def test_counts_of_guides_are_not_in_the_library_size(parts, outs, cell_table):
    options = argen.ReadOptions(target="guides", obs=cell_table, **OPTIONS)
    data = argen.read_perturbseq(outs, options)
    by_cell = dict(zip(parts[4].index, parts[0].sum(axis=1), strict=True))
    assert data.library_size.tolist() == [by_cell[cell] for cell in data.cells]


def test_cell_ranger_without_guides(parts, expected, tmp_path):
    """As for a screen whose guides were sequenced by themselves."""
    outs = write_cell_ranger(tmp_path / "outs", parts, guides=False)
    table = parts[4].assign(guide=called(parts))
    table[table["guide"] != ""].to_parquet(tmp_path / "cells")
    listed = parts[3]["target_gene_name"].to_dict()
    options = argen.ReadOptions(
        target="guide", obs=tmp_path / "cells", guides=listed, cells="guide.notna()", **OPTIONS
    )
    assert_same(argen.read_perturbseq(outs, options), expected)


def test_a_file_of_cell_ranger_is_read_in_blocks(expected, outs, cell_table, monkeypatch):
    from argen.read.stored import matrices

    monkeypatch.setattr(matrices, "MOST_ENTRIES_OF_A_BLOCK", 300)
    path = outs / "filtered_feature_bc_matrix.h5"
    options = argen.ReadOptions(target="guides", obs=cell_table, **OPTIONS)
    assert argen.read_perturbseq(path, options).sha256 == expected.sha256


@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz", "parquet"])
@pytest.mark.parametrize("cells_in_rows", [True, False])
def test_tables_of_counts(parts, expected, tmp_path, kind, cells_in_rows):
    counts, genes, _, guides, cells = parts
    symbols = [f"{s}.{k}" if s == "TWIN" else s for k, s in enumerate(genes["symbol"])]
    table = pd.DataFrame(counts, index=cells.index, columns=symbols)
    table = table if cells_in_rows else table.T
    path = tmp_path / f"counts.{kind}"
    if kind == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="\t" if kind == "tsv" else ",")
    known = cells.assign(guide=called(parts))
    known[known["guide"] != ""].to_csv(tmp_path / "cells.tsv", sep="\t")
    options = argen.ReadOptions(
        target="guide", guides=guides["target_gene_name"].to_dict(), cells="guide.notna()",
        obs=tmp_path / "cells.tsv", **OPTIONS,
    )  # fmt: skip
    data = argen.read_perturbseq(path, options)
    assert (data.nodes, data.n_measured) == (expected.nodes, expected.n_measured)
    # The panel has other names; all else is the same.
    assert (data.counts.to_csc() != expected.counts.to_csc()).nnz == 0
    np.testing.assert_array_equal(data.library_size, expected.library_size)
    assert data.guides.names == expected.guides.names
    assert (data.guides.carried != expected.guides.carried).nnz == 0


@pytest.mark.parametrize("kind", ["memory", "backed", "h5ad", "zarr"])
def test_anndata_with_a_table_of_cells(parts, expected, cell_table, tmp_path, kind):
    counts, genes, _, guides, cells = parts
    obs = pd.DataFrame({"guide": called(parts)}, index=cells.index)
    screen = AnnData(X=sparse.csr_matrix(counts), obs=obs, var=genes)
    given = screen
    if kind == "zarr":
        given = tmp_path / "screen"
        with quiet():
            screen.write_zarr(given)
    elif kind != "memory":
        given = tmp_path / "screen.h5ad"
        screen.write_h5ad(given)
        given = given if kind == "h5ad" else anndata.read_h5ad(given, backed="r")
    options = argen.ReadOptions(
        target="guide", guides=guides["target_gene_name"].to_dict(), gene_symbols="symbol",
        cells="guide != ''", obs=cell_table, **OPTIONS,
    )  # fmt: skip
    assert_same(argen.read_perturbseq(given, options), expected)
