"""A screen that imitates another one."""

import numpy as np
import pytest
from scipy import sparse

import argen
from tests.screens import screen_of


@pytest.fixture(scope="module")
def real():
    """What is to be imitated: uneven groups, a covariate that goes with labels, dispersion."""
    model = argen.ScreenModel(
        n_nodes=12, n_sinks=8, group_size_sd=0.7, dispersion=1.5, n_batches=3, n_controls=4000,
        mean_count=3.0, assignment=1.0,
    )  # fmt: skip
    return argen.simulate_screen(model, rng=11)[0]


def test_levels_dispersions_groups_and_cells_are_those_of_the_other(real):
    model = argen.ScreenModel(n_nodes=12, n_sinks=8, n_parents=1, factor_effect=0.3, noise=0.2)
    data, _ = argen.simulate_screen(model, rng=1, profile=argen.like(real))
    assert sorted(data.n_perturbed) == sorted(real.n_perturbed)
    assert data.n_controls == real.n_controls
    assert set(data.library_size) <= set(real.library_size)
    assert list(data.covariates.columns) == list(real.covariates.columns)
    before, after = argen.like(real), argen.like(data)
    # Nodes lend to nodes, each once.
    rates = np.sort(before.rate[:12]), np.sort(after.rate[:12])
    np.testing.assert_allclose(*rates, rtol=0.15)
    assert np.median(after.dispersion) == pytest.approx(np.median(before.dispersion), rel=0.35)


def test_covariates_go_with_the_labels_of_the_other(real):
    model = argen.ScreenModel(n_nodes=12, n_parents=1)
    data, _ = argen.simulate_screen(model, rng=1, profile=argen.like(real))
    spread = [
        screen.covariates.groupby(screen.node_of_cell)["x1"].mean().std() for screen in (real, data)
    ]
    assert spread[1] == pytest.approx(spread[0], rel=0.2)


def test_dispersion_is_that_of_a_loop(real):
    profile, controls = argen.like(real), np.flatnonzero(real.node_of_cell < 0)
    counts = real.counts.dense(np.array([3]))[0]
    rate = sum(counts[i] for i in controls) / sum(real.library_size[i] for i in controls)
    mean = {i: rate * real.library_size[i] for i in controls}
    excess = sum((counts[i] - mean[i]) ** 2 - mean[i] for i in controls)
    assert profile.rate[3] == pytest.approx(rate)
    assert profile.dispersion[3] == pytest.approx(excess / sum(m**2 for m in mean.values()))


def test_cells_with_several_perturbations_are_refused():
    perturbed = sparse.csr_array(np.array([[1, 1], [0, 1], [1, 0], [0, 0]])).toarray()
    with pytest.raises(argen.InputError, match="at most one perturbation per cell"):
        argen.like(screen_of(np.ones((4, 2)), perturbed))
