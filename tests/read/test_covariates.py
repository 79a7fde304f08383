"""Covariates given by their names: types, codes, and what is refused."""

import numpy as np
import pandas as pd
import pytest

import argen


def regressors(data):
    return dict(zip(*[(block := data.regressors).names, block.matrix.T], strict=True))


def test_names_one_name_and_none(screen, read):
    one = read(screen, covariates="p_mito")
    assert one.covariates.columns.tolist() == ["p_mito"]
    assert one.formula is None
    for same in (["p_mito"], ("p_mito",), np.array(["p_mito"]), pd.Index(["p_mito"])):
        assert read(screen, covariates=same).sha256 == one.sha256
    assert read(screen).covariates.shape == (270, 0)
    assert read(screen, covariates=[]).sha256 == read(screen).sha256


def test_values_follow_the_cells(screen, read):
    data = read(screen, covariates=["p_mito", "lane"], cells="confident")
    expected = screen.obs.loc[data.cells, ["p_mito", "lane"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(data.covariates, expected)


@pytest.mark.parametrize(
    ("covariates", "words"),
    [
        (["p_mit"], r"no column 'p_mit' in obs for the covariates\. Did you mean 'p_mito'\?"),
        ("p_mit", r"no column 'p_mit' in obs for the covariates\. Did you mean 'p_mito'\?"),
        ("p_mito + lane", r"no column 'p_mito \+ lane' .* A formula .* begins with '~'"),
        ("", r"no column '' in obs for the covariates\. Columns: 'perturbation', 'total_umi'"),
        (["p_mito", "lane", "p_mito"], r"covariates names 'p_mito' more than once"),
        (["p_mito", 3], r"covariates must be text, but holds 3 \(int\)"),
        (None, r"covariates must be a name or a list of names, not None \(NoneType\)"),
        (["perturbation"], r"'perturbation\[STAT1\]', .* is collinear with the perturb"),
    ],
)
def test_names_that_are_refused(screen, read, covariates, words):
    with pytest.raises(argen.InputError, match=words):
        read(screen, covariates=covariates)


@pytest.mark.parametrize("value", [0, 0.1, 1e6, "L1", True, pd.Timestamp("2026-01-01")])
@pytest.mark.parametrize("form", ["{}", "~ {}", "~ p_mito + C({})"])
def test_constant(screen, read, value, form):
    screen.obs["batch"] = value
    words = "Covariate 'batch' is constant over the cells that are used. Leave it out"
    with pytest.raises(argen.InputError, match=words):
        read(screen, covariates=form.format("batch"))


def test_constant_over_the_cells_that_are_used(screen, read):
    screen.obs["batch"] = np.where(screen.obs["perturbation"] == "IRF1", "b2", "b1")
    with pytest.raises(argen.InputError, match="'batch' is constant over the cells that are used"):
        read(screen, covariates="batch")


@pytest.mark.parametrize(
    ("column", "dtype"),
    [("p_mito", float), ("total_umi", "Int64"), ("lane", object), ("lane", "category")],
)
@pytest.mark.parametrize("form", ["{}", "~ {}"])
def test_missing_values(screen, read, column, dtype, form):
    values = screen.obs[column].astype(object)
    cell = read(screen).cells[8]
    values[cell] = None
    screen.obs[column] = values.astype(dtype)
    words = rf"'{column}' is missing or infinite in 1 cells \(first: '{cell}'\)\. Leave those"
    with pytest.raises(argen.InputError, match=words):
        read(screen, covariates=form.format(column))
    assert read(screen, covariates=column, cells=f"{column}.notna()").n_cells == 269


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_values(screen, read, value):
    screen.obs.loc[read(screen).cells[8], "p_mito"] = value
    with pytest.raises(argen.InputError, match="'p_mito' is missing or infinite in 1 cells"):
        read(screen, covariates="p_mito")


def test_values_too_large_to_square(screen, read):
    screen.obs["huge"] = screen.obs["p_mito"] * 1e308
    with pytest.raises(argen.InputError, match=r"'huge' is too large to scale. Change its unit"):
        read(screen, covariates="huge")


def test_missing_values_of_cells_that_are_not_used_do_not_matter(screen, read):
    screen.obs.loc[screen.obs["perturbation"] == "IRF1", "p_mito"] = np.nan
    assert read(screen, covariates="p_mito").n_cells == 270


@pytest.mark.parametrize(
    "other",
    [
        lambda obs: obs["p_mito"],
        lambda obs: 100 - 3 * obs["p_mito"],
        lambda obs: obs["p_mito"] + 1e6 * obs["cycling"],
    ],
)
def test_collinear_with_another_covariate(screen, read, other):
    screen.obs["other"] = other(screen.obs)
    words = r"'other' is collinear with the covariates before it: .* or one of the others, out"
    with pytest.raises(argen.InputError, match=words):
        read(screen, covariates=["p_mito", "cycling", "other"])


def test_categories_nested_in_others(screen, read):
    screen.obs["site"] = screen.obs["lane"].map({"L1": "north", "L2": "south", "L3": "south"})
    with pytest.raises(argen.InputError, match=r"'site\[south\]' is collinear with the covariates"):
        read(screen, covariates=["lane", "site"])


@pytest.mark.parametrize("form", ["{}", "~ {}"])
@pytest.mark.parametrize("as_number", [False, True])
def test_collinear_with_the_perturbations(screen, read, as_number, form):
    batch = screen.obs["perturbation"].isin(["STAT1", "non-targeting"])
    screen.obs["batch"] = 2.5 * batch if as_number else np.where(batch, "b1", "b2")
    words = r"Covariate 'batch.*' is collinear with the perturbations: within each .* Leave it out"
    with pytest.raises(argen.InputError, match=words):
        read(screen, covariates=form.format("batch"))


def test_guides_are_collinear_with_their_targets(screen, read):
    rng = np.random.default_rng(4)
    labels = screen.obs["perturbation"].astype(str)
    screen.obs["guide"] = labels + rng.choice(["_g1", "_g2"], screen.n_obs)
    with pytest.raises(argen.InputError, match="is collinear with the perturbations"):
        read(screen, covariates=["guide"])


def test_numbers_close_to_a_large_mean_are_kept(screen, read):
    screen.obs["time"] = 1.7e9 + screen.obs["p_mito"] * 3600
    assert read(screen, covariates="time").n_cells == 270


@pytest.mark.parametrize("form", ["{}", "~ C({})"])
@pytest.mark.parametrize("as_text", [True, False])
def test_one_level_per_cell(screen, read, as_text, form):
    screen.obs["barcode"] = (
        screen.obs["p_mito"].astype(str) if as_text else pd.date_range("2026", periods=300)
    )
    words = r"'barcode' has 270 levels for 100 control cells: .* numbers, make them numeric"
    with pytest.raises(argen.InputError, match=words):
        read(screen, covariates=form.format("barcode"))


@pytest.mark.parametrize("values", [[[1], [2]], [{"a": 1}, {}], [1j, 2j]])
def test_neither_numbers_nor_categories(screen, read, values):
    screen.obs["odd"] = values * 150
    with pytest.raises(argen.InputError, match="'odd' holds neither numbers nor categories"):
        read(screen, covariates="odd")


@pytest.mark.parametrize("dtype", [bool, "boolean", object, "category"])
@pytest.mark.parametrize("form", ["{}", "~ {}"])
def test_booleans(screen, read, dtype, form):
    screen.obs["cycling"] = screen.obs["cycling"].astype(dtype)
    data = read(screen, covariates=form.format("cycling"))
    ((name, column),) = regressors(data).items()
    assert name.startswith("cycling")
    np.testing.assert_array_equal(column, screen.obs.loc[data.cells, "cycling"].astype(float))


@pytest.mark.parametrize("dtype", [object, "category", "string"])
@pytest.mark.parametrize("form", ["{}", "~ {}", "~ C({})"])
def test_categories(screen, read, dtype, form):
    screen.obs["lane"] = screen.obs["lane"].astype(dtype)
    data = read(screen, covariates=form.format("lane"))
    lanes = screen.obs.loc[data.cells, "lane"]
    coded = list(regressors(data).values())
    np.testing.assert_array_equal(coded, [lanes == "L2", lanes == "L3"])


@pytest.mark.parametrize("form", ["{}", "~ {}", "~ C({})"])
def test_unused_levels(screen, read, form):
    plain = regressors(read(screen, covariates=form.format("lane")))
    levels = ["L9", "L1", "L2", "L0", "L3"]
    screen.obs["lane"] = pd.Categorical(screen.obs["lane"], categories=levels)
    again = regressors(read(screen, covariates=form.format("lane")))
    assert list(again) == list(plain)
    np.testing.assert_array_equal(list(again.values()), list(plain.values()))


@pytest.mark.parametrize("dtype", ["int32", "float32", "Int64", "Float64"])
@pytest.mark.parametrize("form", ["{}", "~ {}"])
def test_numbers_are_standardised(screen, read, dtype, form):
    screen.obs["total_umi"] = screen.obs["total_umi"].astype(dtype)
    ((_, column),) = regressors(read(screen, covariates=form.format("total_umi"))).items()
    np.testing.assert_allclose([column.mean(), column.std()], [0.0, 1.0], atol=1e-12)
