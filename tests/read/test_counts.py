"""The count matrix: which one is read, in which formats, and what is refused."""

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

import argen

in_every_format = pytest.mark.parametrize(
    "as_matrix", [sparse.csr_matrix, sparse.csc_matrix, np.asarray]
)


def with_matrix(screen, matrix, **others):
    return AnnData(X=matrix, obs=screen.obs, var=screen.var, **others)


def with_value(screen, value):
    counts = screen.X.toarray()
    counts[7, 2] = value
    return with_matrix(screen, counts)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, r"X holds values that are not integers in 1 entries \(first: 0.5 in cell 'cell7'"),
        (-1.0, r"X holds negative values in 1 entries \(first: -1 in cell 'cell7', gene 'JAK2'"),
        (np.nan, r"X holds NaN in 1 entries \(first: nan in cell 'cell7', gene 'JAK2'"),
        (np.inf, r"X holds infinite values in 1 entries \(first: inf in cell 'cell7'"),
        (-np.inf, r"X holds infinite values in 1 entries"),
    ],
)
@in_every_format
def test_values_that_are_no_counts(screen, read, value, words, as_matrix):
    bad = with_value(screen, value)
    bad.X = as_matrix(bad.X)
    with pytest.raises(argen.InputError, match=words):
        read(bad)


@pytest.mark.parametrize("bad", [0.5, -1.0, np.nan])
def test_bad_values_of_cells_that_are_filtered_do_not_matter(screen, read, bad):
    assert read(with_value(screen, bad), cells="index != 'cell7'").n_cells == 269


@pytest.mark.parametrize("transform", ["normalised", "log"])
def test_normalised_counts_name_the_raw_layer(screen, read, transform):
    counts = screen.X
    normalised = counts.multiply(100 / counts.sum(axis=1)).tocsr()
    screen.layers["counts"] = counts
    screen.layers["scaled"] = normalised.toarray() - 1
    screen.X = normalised if transform == "normalised" else normalised.log1p()
    words = r"not normalised or log-transformed.*look raw: layers\['counts'\] \(layer='counts'\)\.$"
    with pytest.raises(argen.InputError, match=words):
        read(screen)
    assert read(screen, layer="counts").n_cells == 270


def test_normalised_counts_name_raw(screen, read):
    raw = screen.copy()
    screen.X = screen.X.log1p()
    screen.raw = raw
    with pytest.raises(argen.InputError, match=r"These look raw: raw \(layer='raw'\)"):
        read(screen)


def test_a_normalised_layer_names_x(screen, read):
    screen.layers["log"] = screen.X.log1p()
    with pytest.raises(argen.InputError, match=r"layers\['log'\] holds.*raw: X \(layer=None\)"):
        read(screen, layer="log")


@pytest.mark.parametrize(
    ("value", "dtype", "shown"),
    [
        (2.0000003, np.float32, "2.000000238418579"),
        (2.0000003, np.float64, "2.0000003"),
        (2.001, np.float64, "2.001"),
        (2.0**32, np.float32, "4294967296"),
    ],
)
def test_a_value_is_shown_in_full(screen, read, value, dtype, shown):
    bad = with_matrix(screen, screen.X.toarray().astype(dtype))
    bad.X[7, 2] = value
    with pytest.raises(argen.InputError, match=rf"\(first: {shown} in cell 'cell7'"):
        read(bad)


@in_every_format
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_errors_are_rounded_when_told_and_counted(screen, read, as_matrix, dtype):
    dusty = screen.X.toarray().astype(dtype)
    dusty[3, :3] += 1
    dusty[7, 2] += 3e-7 if dtype == np.float64 else 5e-7
    dusty[3, :3] += [9e-4, -9e-4, 9e-4]
    dusty[8, 4] = 4e-4  # nothing was counted
    counts = screen.X.toarray()
    counts[3, :3] += 1
    counts[8, 4] = 0
    expected = read(with_matrix(screen, counts))
    dusty = with_matrix(screen, as_matrix(dusty))
    words = r"not integers in 5 entries .*within 0.001 of whole numbers, .*round=True \(--round\)"
    with pytest.raises(argen.InputError, match=words):
        read(dusty)
    data = read(dusty, round=True)
    np.testing.assert_array_equal(
        data.counts.to_csc().toarray(), expected.counts.to_csc().toarray()
    )
    np.testing.assert_array_equal(data.library_size, expected.library_size)
    assert data.left_out.iloc[0].to_dict() == {
        "kind": "counts",
        "name": "rounded",
        "n_cells": 0,
        "reason": "5 values within 0.001 of a whole number were made whole",
    }
    assert "counts: 5 values within 0.001 of a whole number were made whole" in data.summary()
    assert "rounded" not in read(screen, round=True).left_out["name"].tolist()


@pytest.mark.parametrize("value", [2.0011, 2.5, -0.9, 1.9989])
def test_what_misses_a_count_by_more_is_refused_all_the_same(screen, read, value):
    bad = with_matrix(screen, screen.X.toarray().astype(np.float64))
    bad.X[7, 2] = value
    with pytest.raises(argen.InputError, match=rf"in 1 entries \(first: {value} in cell 'cell7'"):
        read(bad, round=True)


def test_no_raw_matrix_anywhere(screen, read):
    screen.X = screen.X.log1p()
    with pytest.raises(argen.InputError, match="No other matrix of the object looks raw"):
        read(screen)


def test_a_layer_of_text_does_not_look_raw(screen, read):
    screen.layers["calls"] = screen.X.toarray().astype(str).astype(object)
    screen.X = screen.X.log1p()
    with pytest.raises(argen.InputError, match="No other matrix of the object looks raw"):
        read(screen)


def test_no_cells(screen, read):
    with pytest.raises(argen.InputError, match=r"X has 0 cells and 6 genes.*at least one of each"):
        read(screen[:0])


def test_no_genes(screen, read):
    with pytest.raises(argen.InputError, match="X has 300 cells and 0 genes"):
        read(screen[:, :0])


def test_no_matrix(screen, read):
    without = AnnData(obs=screen.obs, var=screen.var, layers={"counts": screen.X})
    with pytest.raises(argen.InputError, match=r"X is empty .* Name the layer with raw counts"):
        read(without)
    assert read(without, layer="counts").sha256 == read(screen).sha256


def test_unknown_layer(screen, read):
    screen.layers["counts"] = screen.X
    with pytest.raises(argen.InputError, match=r"no layer 'count'; .*'counts'. Did you mean"):
        read(screen, layer="count")
    with pytest.raises(argen.InputError, match="X is read when no layer is named"):
        read(screen, layer="X")
    with pytest.raises(argen.InputError, match="the AnnData object has no raw"):
        read(screen, layer="raw")


@pytest.mark.parametrize("dtype", [object, str, complex])
def test_values_of_another_type(screen, read, dtype):
    bad = with_matrix(screen, screen.X.toarray().astype(dtype))
    with pytest.raises(argen.InputError, match=r"X has values of type .*: expected raw counts"):
        read(bad)


def test_damaged_sparse_matrix(screen, read):
    screen.X.indices[10] = 999
    with pytest.raises(argen.InputError, match="X is not a valid sparse matrix"):
        read(screen)


@in_every_format
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64"])
def test_format_and_type_do_not_matter(screen, read, as_matrix, dtype):
    counts = as_matrix(screen.X.toarray().astype(dtype))
    again = read(with_matrix(screen, counts))
    assert again.sha256 == read(screen).sha256
    np.testing.assert_array_equal(
        again.counts.to_csc().toarray(), read(screen).counts.to_csc().toarray()
    )


@pytest.mark.parametrize("as_matrix", [sparse.csr_array, sparse.csc_array])
def test_sparse_arrays(screen, read, as_matrix):
    given = with_matrix(screen, as_matrix(screen.X))
    assert read(given).sha256 == read(screen).sha256


def test_half_precision(screen, read):
    counts = screen.X.toarray().astype(np.float16)
    assert read(with_matrix(screen, counts)).sha256 == read(screen).sha256


def test_small_integer_types_do_not_overflow_in_row_sums(screen, read):
    counts = np.full(screen.shape, 200, dtype=np.uint8)
    assert (read(with_matrix(screen, counts)).library_size == 1200).all()


def test_entries_stored_twice_are_refused(screen, read):
    counts = screen.X
    halves = [sparse.coo_matrix(counts), sparse.coo_matrix((counts.data * 0 + 1, counts.nonzero()))]
    row = np.concatenate([half.row for half in halves])
    column = np.concatenate([half.col for half in halves])
    data = np.concatenate([half.data for half in halves])
    order = np.argsort(row, kind="stable")
    starts = np.searchsorted(row[order], np.arange(screen.n_obs + 1))
    twice = sparse.csr_matrix((data[order], column[order], starts), shape=screen.shape)
    assert twice.nnz == 2 * counts.nnz
    with pytest.raises(argen.InputError, match=r"entries twice: .*do so by X\.sum_duplicates\(\)"):
        read(with_matrix(screen, twice))


def test_an_entry_stored_twice_in_a_sparse_row_is_refused(screen, read):
    counts = screen.X.copy()
    first = np.flatnonzero(np.diff(counts.indptr) < counts.shape[1])[0]
    at = counts.indptr[first]
    counts.indices[at + 1] = counts.indices[at]
    with pytest.raises(argen.InputError, match=r"X has 1 entries twice"):
        read(with_matrix(screen, counts))


@pytest.mark.parametrize("as_path", [str, lambda path: path])
def test_file_and_object_agree(screen, read, tmp_path, as_path):
    path = tmp_path / "screen.h5ad"
    screen.write_h5ad(path)
    options = {"covariates": ["p_mito", "lane", "cycling"], "cells": "confident"}
    from_file = read(as_path(path), **options)
    assert from_file.sha256 == read(screen, **options).sha256
    assert from_file.source == str(path)


@in_every_format
def test_backed_objects(screen, read, tmp_path, as_matrix):
    import anndata

    path = tmp_path / "screen.h5ad"
    with_matrix(screen, as_matrix(screen.X.toarray())).write_h5ad(path)
    backed = anndata.read_h5ad(path, backed="r")
    assert read(backed, cells="confident").sha256 == read(screen, cells="confident").sha256
    backed.file.close()


def test_layer_and_raw_are_chosen(screen, read):
    expected = read(screen).sha256
    counts = screen.X.copy()
    screen.raw = screen.copy()
    screen.layers["counts"] = counts
    screen.X = 2 * counts
    assert read(screen).sha256 != expected
    assert read(screen, layer="counts").sha256 == expected
    assert read(screen, layer="raw").sha256 == expected


def test_raw_keeps_genes_that_x_has_lost(screen, read):
    screen.raw = screen.copy()
    without_jak2 = screen[:, ["STAT1", "STAT2", "ACTB"]].copy()
    assert read(without_jak2).nodes == ("STAT1", "STAT2")
    assert read(without_jak2, layer="raw").nodes == ("STAT1", "STAT2", "JAK2")


@in_every_format
def test_a_view_is_read_like_its_copy(screen, read, as_matrix):
    dense = with_matrix(screen, as_matrix(screen.X.toarray()))
    view = dense[:200]
    assert view.is_view
    assert read(view, covariates="lane").sha256 == (read(view.copy(), covariates="lane").sha256)
    assert view.is_view


@in_every_format
def test_the_input_is_never_modified(screen, read, as_matrix):
    given = with_matrix(screen, as_matrix(screen.X.toarray()))
    if sparse.issparse(given.X):
        given.X.has_sorted_indices = False
        given.X.indices[:2] = given.X.indices[:2][::-1]
        given.X.data[:2] = given.X.data[:2][::-1]
    before = given.copy()
    data = read(given, covariates="~ scale(p_mito) + lane", cells="confident")
    for tile in data.counts.tiles:
        tile.cell[:], tile.count[:] = 0, 9
    data.covariates.iloc[:, 0] = 0.0
    data.library_size[:] = 0
    if sparse.issparse(given.X):
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(given.X, part), getattr(before.X, part))
    else:
        np.testing.assert_array_equal(given.X, before.X)
    assert given.obs.equals(before.obs)
    assert given.var.equals(before.var)
    assert list(given.uns) == list(before.uns) == []
