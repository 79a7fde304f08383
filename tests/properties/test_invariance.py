"""What must not change the answer: how cells and genes are laid out, and constant factors."""

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import sparse

import argen

# Sums over cells in another order differ in their last bits, and effects by what the
# conditioning of a regression makes of that.
ROUNDING = 1e-8
# A factor of a million moves log means by 14, which costs the errors another digit.
ROUNDING_OF_A_SHIFT = 1e-7

few = settings(max_examples=12, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def adata() -> anndata.AnnData:
    """The paper's screen with a batch, and with three genes that nobody perturbed."""
    data, truth = argen.simulate_paper_screen(rng=3, n_cells=4000, hidden=("X7", "X8"))
    adata = argen.simulated_anndata(data, truth)
    rng = np.random.default_rng(4)
    extra = sparse.csr_matrix(rng.poisson(2.0, size=(adata.n_obs, 3)))
    return anndata.AnnData(
        X=sparse.hstack([adata.X, extra]).tocsr(),
        obs=adata.obs.assign(batch=rng.choice(["b1", "b2", "b3"], adata.n_obs)),
        var=pd.DataFrame(index=[*adata.var_names, "extra1", "extra2", "extra3"]),
    )


def network_of(adata: anndata.AnnData, config: argen.InferenceConfig | None = None):
    """Read and infer with the options that all tests of this file share."""
    options = argen.ReadOptions(
        target="perturbation",
        control="non-targeting",
        library_size="library_size",
        covariates=["L", "batch"],
    )
    data = argen.read_perturbseq(adata, options)
    return argen.infer_network(data, config)


def assert_same(
    left: argen.CausalNetwork,
    right: argen.CausalNetwork,
    *,
    same_columns: bool = True,
    rounding: float = ROUNDING,
) -> None:
    """The same estimates, errors and edges, whatever the order of rows.

    Ties of the order follow the columns of the input, and the order decides in which sequence
    targets are tested; where columns moved, that sequence is not compared.
    """
    keys = ["source", "target"]
    sequence = [] if same_columns else ["batch", "level", "selected"]
    if same_columns:
        assert left.order == right.order
    for a, b in (
        (left.total_effects(), right.total_effects()),
        (left.candidates.drop(columns=sequence), right.candidates.drop(columns=sequence)),
    ):
        a = a.sort_values(keys).reset_index(drop=True)
        b = b.sort_values(keys).reset_index(drop=True)
        pd.testing.assert_frame_equal(a, b, rtol=rounding, atol=rounding)


@pytest.fixture(scope="module")
def expected(adata) -> argen.CausalNetwork:
    """The answer for the layout as simulated."""
    return network_of(adata)


@few
@given(seed=seeds)
def test_order_of_cells(adata, expected, seed):
    shuffled = np.random.default_rng(seed).permutation(adata.n_obs)
    assert_same(network_of(adata[shuffled].copy()), expected)


@few
@given(seed=seeds, layout=st.sampled_from(["csr", "csc", "dense"]))
def test_order_of_genes_and_layout_of_the_matrix(adata, expected, seed, layout):
    permuted = adata[:, np.random.default_rng(seed).permutation(adata.n_vars)].copy()
    if layout == "csc":
        permuted.X = sparse.csc_matrix(permuted.X)
    elif layout == "dense":
        permuted.X = permuted.X.toarray()
    assert_same(network_of(permuted), expected, same_columns=False)


@few
@given(factor=st.floats(1e-6, 1e6))
@example(factor=999_999.0)
def test_a_constant_factor_of_the_library_size(adata, expected, factor):
    rescaled = adata.copy()
    rescaled.obs["library_size"] *= factor
    assert_same(network_of(rescaled), expected, rounding=ROUNDING_OF_A_SHIFT)


@few
@given(slope=st.floats(0.001, 1000), shift=st.floats(-100, 100))
def test_units_of_a_covariate(adata, expected, slope, shift):
    changed = adata.copy()
    changed.obs["L"] = slope * changed.obs["L"] + shift
    assert_same(network_of(changed), expected)


@few
@given(seed=seeds)
def test_names_of_batches(adata, expected, seed):
    """Another reference level of a categorical covariate is another name for the same model."""
    names = np.random.default_rng(seed).permutation(["b1", "b2", "b3"])
    renamed = adata.copy()
    renamed.obs["batch"] = renamed.obs["batch"].map(
        dict(zip(["b1", "b2", "b3"], names, strict=True))
    )
    assert_same(network_of(renamed), expected)


@few
@given(seed=seeds, position=st.integers(0, 9))
def test_an_unperturbed_gene(adata, expected, seed, position):
    added = np.random.default_rng(seed).poisson(3.0, size=(adata.n_obs, 1))
    columns = [adata.X[:, :position], sparse.csr_matrix(added), adata.X[:, position:]]
    names = list(adata.var_names)
    extended = anndata.AnnData(
        X=sparse.hstack(columns).tocsr(),
        obs=adata.obs,
        var=pd.DataFrame(index=[*names[:position], "added", *names[position:]]),
    )
    assert_same(network_of(extended), expected)


def test_threads_do_not_change_a_bit(adata):
    one = network_of(adata, argen.InferenceConfig(threads=1))
    two = network_of(adata, argen.InferenceConfig(threads=2))
    pd.testing.assert_frame_equal(one.candidates, two.candidates, check_exact=True)
    pd.testing.assert_frame_equal(one.total_effects(), two.total_effects(), check_exact=True)
