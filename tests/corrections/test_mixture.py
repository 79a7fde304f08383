"""Compiled equations of a mixture, thinning, and what is expected of controls."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from argen.corrections.lowered import LogLinear
from argen.corrections.mixture import CountedCells, MixedCells, MixtureEquations
from argen.glm._thinning import thin
from tests.corrections import plain_mixture as plain

LEFT = np.array([0.15, 0.5, 0.7])
# Newton steps and least squares end a little apart.
CLOSE = {"rtol": 1e-6, "atol": 1e-9}


def some_cells(rng: np.random.Generator, n: int, left: np.ndarray, n_levels: int) -> CountedCells:
    level = rng.integers(0, n_levels, n)
    columns = rng.normal(size=(2, n))
    mean = np.exp(0.3 * columns[0] + 0.1 * level) * np.array([[3.0], [1.0], [4.0]])
    counts = rng.poisson(mean * left * rng.gamma(2.0, 0.5, (3, n)))
    return CountedCells(counts.astype(np.float64), mean, columns, level)


@pytest.mark.parametrize("n_controls", [2500, 500], ids=["once", "four times"])
@pytest.mark.parametrize("share", [1.0, 0.95, 0.6])
def test_compiled_equations_are_the_plain_ones(share, n_controls):
    """Weights, evidence, rates, misfit, and the parts of cells in its error."""
    rng = np.random.default_rng(8)
    left = np.where(rng.random((1, 160)) < share, LEFT[:, None], 1.0)
    cells = MixedCells(
        some_cells(rng, 160, left, 4),
        some_cells(rng, n_controls, np.ones((3, 1)), 4),
        dispersion=np.array([0.4, 0.6, 0.5]),
        n_levels=4,
    )
    equations = MixtureEquations(cells, 3, all_genes=True)
    weights = plain.weights_of(cells)
    np.testing.assert_allclose(equations.prepared[0].weights, weights, **CLOSE)
    n_copies = round(2000 / n_controls) or 1
    uniform = np.random.default_rng(3).random((3, n_controls * n_copies))
    many = MixedCells(cells.perturbed, cells.controls.repeated(n_copies), cells.dispersion, 4)
    weights = np.tile(weights, n_copies) / n_copies
    start = np.clip(cells.perturbed.counts.mean(axis=1) / (many.controls.counts @ weights), 0, 0.97)
    np.testing.assert_allclose(equations.left, start, **CLOSE)
    b = plain.slope_of_evidence(many, start, weights, uniform)
    assert 0.3 < b < 1.5
    np.testing.assert_allclose(equations.prepared[0].b, b, **CLOSE)
    found = equations.solve(share, equations.left)
    wanted = plain.solved(many, weights, b, uniform, start, share, start)
    np.testing.assert_allclose(found.misfit, wanted["misfit"], **CLOSE)
    np.testing.assert_allclose(found.log_left, wanted["log_left"], **CLOSE)
    np.testing.assert_allclose(found.own_variance, wanted["variance"][0], **CLOSE)
    np.testing.assert_allclose(found.gene_variance, wanted["variance"][1:], **CLOSE)
    np.testing.assert_allclose(found.influence, wanted["influence"], **CLOSE)
    of_controls = wanted["of_controls"].reshape(4, n_copies, n_controls).sum(axis=1)
    np.testing.assert_allclose(found.control_influence, of_controls[0], **CLOSE)
    np.testing.assert_allclose(
        found.control_variance, np.sum(of_controls[1:] ** 2, axis=1), **CLOSE
    )


@pytest.mark.parametrize("count", [1, 7, 60, 61, 400, 9000])
@pytest.mark.parametrize("left", [0.01, 0.3, 0.97])
def test_molecules_are_kept_with_the_probability_that_is_asked_for(count, left):
    """Against the binomial distribution, by its quantiles."""
    uniform = np.random.default_rng(count).random((1, 20_000))
    thinned = np.empty_like(uniform)
    thin(np.full_like(uniform, count), np.array([left]), uniform, thinned)
    if count <= 60:
        np.testing.assert_array_equal(thinned, stats.binom.ppf(uniform, count, left))
    law = stats.binom(count, left)
    edges = np.unique(law.ppf(np.linspace(0.02, 0.98, 15)))
    seen = np.histogram(thinned, [-1.0, *(edges + 0.5), count + 1.0])[0]
    expected = np.diff([0.0, *law.cdf(edges), 1.0]) * uniform.size
    assert stats.chisquare(seen[expected > 5], expected[expected > 5] * seen[expected > 5].sum()
                           / expected[expected > 5].sum()).pvalue > 1e-3  # fmt: skip
    assert thinned.min() >= 0
    assert thinned.max() <= count


def batches(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Controls in 40 batches that do nothing: counts, columns, and batches."""
    rng = np.random.default_rng(seed)
    columns = np.vstack([rng.normal(0.0, 0.3, 1200), rng.normal(size=1200)])
    return rng.poisson(2.0 * np.exp(columns[0]), (60, 1200)), columns, rng.integers(0, 40, 1200)


def test_what_is_expected_of_a_control_is_that_without_it():
    counts, columns, batch = batches(1)
    counts = counts.astype(np.float64)
    fit = LogLinear(counts, columns, batch, 40)
    found = fit.without_the_cell(counts, fit.means(slice(None), columns, batch))
    for cell in range(0, 1200, 150):
        others = np.delete(np.arange(1200), cell)
        again = LogLinear(counts[:, others], columns[:, others], batch[others], 40)
        wanted = again.means(slice(None), columns[:, [cell]], batch[[cell]])[:, 0]
        as_it_is = fit.means(slice(None), columns[:, [cell]], batch[[cell]])[:, 0]
        off, before = np.abs(np.log(found[:, cell] / wanted)), np.abs(np.log(as_it_is / wanted))
        assert off.mean() < 0.25 * before.mean()


def test_what_is_expected_of_a_control_does_not_follow_from_its_count():
    """Batches that do nothing leave no relation: with it, working guides seemed to escape."""
    following, without = [], []
    for seed in range(5):
        counts, columns, batch = batches(seed)
        fit = LogLinear(counts.astype(np.float64), columns, batch, 40)
        mean = fit.means(slice(None), columns, batch)
        off = counts - 2.0 * np.exp(columns[0])
        following.append(np.mean(off * np.log(mean), axis=1))
        without.append(np.mean(off * np.log(fit.without_the_cell(counts, mean)), axis=1))
    following, without = np.concatenate(following), np.concatenate(without)
    error = without.std() / len(without) ** 0.5
    assert following.mean() > 10.0 * error
    assert abs(without.mean()) < 3.0 * error
