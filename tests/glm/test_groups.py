"""Regressions by group intercepts against the same regressions on dense indicators."""

from __future__ import annotations

import numpy as np
import pytest

from argen.errors import FitStatus
from argen.glm.groups import GroupedGene, group_layout
from argen.glm.regression import fit_regressions, prepare_responses

N_CELLS, N_NODES = 5000, 12


def make_screen(rng, n_factors, n_numeric):
    """A third of the cells are controls; effects of groups 3 and 5, of batches and covariates."""
    group = np.where(rng.random(N_CELLS) < 0.35, N_NODES, rng.integers(0, N_NODES, N_CELLS))
    factors = np.array([rng.integers(0, n, N_CELLS) for n in (6, 3)[:n_factors]], dtype=np.int64)
    factors = factors.reshape(n_factors, N_CELLS)
    numeric = rng.normal(size=(N_CELLS, n_numeric))
    offset = rng.normal(0.0, 0.4, N_CELLS)
    log_mean = offset - 0.5 + 0.5 * (group == 3) - 0.8 * (group == 5)
    log_mean += 0.2 * numeric.sum(axis=1) + 0.1 * factors.sum(axis=0)
    counts = rng.poisson(np.exp(log_mean) * rng.gamma(2.0, 0.5, N_CELLS)).astype(np.float64)
    return group, factors, numeric, offset, counts


def dense_fit(group, factors, numeric, offset, counts, own, halved, model_share):
    """The dense twin: coefficients of the first ``halved`` groups and their covariance."""
    levels = [codes == level for codes in factors for level in range(1, codes.max() + 1)]
    indicators = np.column_stack([group == g for g in own]).astype(np.float64)
    left_out = indicators[:, halved:].T.astype(np.int64)
    responses = prepare_responses(
        counts[None],
        offset=offset,
        factors=np.vstack([factors, left_out]),
        groups=indicators[:, :halved],
    )
    design = np.column_stack([np.ones(N_CELLS), *levels, numeric, indicators])
    fit = fit_regressions(responses, design, offset, model_share=model_share)
    at = slice(design.shape[1] - len(own), design.shape[1] - len(own) + halved)
    return fit.coefficients[0, at], fit.covariance[0, at, at], fit.status[0]


def assert_like_dense(screen, own, halved, rtol=1e-9, model_share=0.0):
    group, factors, numeric, offset, counts = screen
    layout, cells = group_layout(group, N_NODES + 1, offset, factors, numeric)
    gene = GroupedGene(layout, counts[cells])
    fit = gene.fit(np.array(own), halved=halved)
    expected, covariance, status = dense_fit(*screen, own, halved, model_share)
    np.testing.assert_allclose(fit.coefficients[:halved], expected, rtol=0, atol=1e-9)
    found = gene.covariance(fit, model_share=model_share)[:halved, :halved]
    np.testing.assert_allclose(found, covariance, rtol=0, atol=rtol * np.abs(covariance).max())
    assert fit.is_half.any() == (status == FitStatus.HALF_COUNT)


@pytest.mark.parametrize("n_factors", [0, 1, 2])
@pytest.mark.parametrize("n_numeric", [0, 1, 3, 5])
@pytest.mark.parametrize(
    ("own", "halved"),
    [([3, 5], 2), ([0, 3, 8], 2), (list(range(N_NODES)), N_NODES)],
    ids=["few groups", "the last for its cells alone", "most cells"],
)
@pytest.mark.parametrize("model_share", [0.0, 0.5])
def test_equals_the_dense_regression(rng, n_factors, n_numeric, own, halved, model_share):
    screen = make_screen(rng, n_factors, n_numeric)
    assert_like_dense(screen, own, halved, model_share=model_share)


@pytest.mark.parametrize("model_share", [0.0, 0.5])
@pytest.mark.parametrize(("own", "halved"), [([3, 7, 5], 3), ([3, 5, 7], 2)])
def test_groups_and_levels_without_counts(rng, own, halved, model_share):
    """Half a count for a group of interest; other groups and levels drop out with their cells."""
    group, factors, numeric, offset, counts = make_screen(rng, 2, 1)
    counts[group == 7] = 0.0
    counts[factors[0] == 0] = 0.0
    counts[factors[1] == 2] = 0.0
    screen = group, factors, numeric, offset, counts
    assert_like_dense(screen, own, halved, model_share=model_share)


def test_far_from_where_the_series_begins(rng):
    """Groups that sit at other values of a covariate move its slope beyond the series."""
    group, factors, numeric, offset, counts = make_screen(rng, 1, 1)
    numeric[group == 3] += 2.5
    counts[group == 3] = rng.poisson(6.0, np.sum(group == 3))
    for own in ([3], [5], [1]):
        assert_like_dense((group, factors, numeric, offset, counts), own, 1)


def test_a_covariate_that_a_group_explains_is_confounded(rng):
    group, factors, numeric, offset, counts = make_screen(rng, 1, 1)
    factors[0] = np.where(group == 3, 5, np.minimum(factors[0], 4))
    layout, cells = group_layout(group, N_NODES + 1, offset, factors, numeric)
    gene = GroupedGene(layout, counts[cells])
    assert gene.fit(np.array([3, 5]), halved=2).status == FitStatus.NOT_IDENTIFIED
    assert gene.fit(np.array([5]), halved=1).status == FitStatus.OK


def test_no_count_in_the_baseline(rng):
    group, factors, numeric, offset, counts = make_screen(rng, 1, 1)
    counts[group != 3] = 0.0
    layout, cells = group_layout(group, N_NODES + 1, offset, factors, numeric)
    gene = GroupedGene(layout, counts[cells])
    assert gene.fit(np.array([3]), halved=1).status == FitStatus.NOT_IDENTIFIED
