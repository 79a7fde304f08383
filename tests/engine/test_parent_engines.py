"""The parent search by group intercepts against the two stages on dense designs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import argen
from argen.engine import ExactEngine, ParentJob, SharedEngine
from argen.errors import FitStatus
from argen.steps.order import CausalOrder, transitive_closure
from tests.screens import screen_of


def make_data(rng, n_nodes=7, n_cells=4000, batches=4):
    """A chain with side effects, a hidden cause, one numeric and one categorical covariate."""
    node_of_cell = np.where(rng.random(n_cells) < 0.4, -1, rng.integers(0, n_nodes, n_cells))
    depth, batch = rng.normal(size=n_cells), rng.integers(0, batches, n_cells)
    hidden = rng.normal(size=n_cells)
    log_mean = np.zeros((n_cells, n_nodes))
    for gene in range(n_nodes):
        log_mean[:, gene] = 0.5 * hidden + 0.2 * depth + 0.1 * batch - 2.0 * (node_of_cell == gene)
        if gene:
            log_mean[:, gene] += 0.4 * log_mean[:, gene - 1]
    counts = rng.poisson(2.0 * np.exp(log_mean))
    covariates = pd.DataFrame({"depth": depth, "batch": batch.astype(str)})
    return counts, node_of_cell, covariates


def chain_order(n_nodes):
    """Genes touch all later ones; the second touches the last alone."""
    touches = np.triu(np.ones((n_nodes, n_nodes), dtype=bool), 1)
    touches[1, :-1] = touches[:-1, 1] = False
    closure = transitive_closure(touches)
    return CausalOrder(np.arange(n_nodes), closure, closure)


def both(data, order, **options):
    config = argen.InferenceConfig(rule="published", **options)
    jobs = [ParentJob(t, order.candidates(t)) for t in range(data.n_nodes)]
    jobs = [job for job in jobs if len(job.candidates)]
    engines = SharedEngine(), ExactEngine()
    return [engine.parents(data, config).direct_effects(jobs) for engine in engines]


def assert_same(fast, slow, rtol=1e-8):
    np.testing.assert_array_equal(fast.effects.status, slow.effects.status)
    np.testing.assert_allclose(fast.effects.effect, slow.effects.effect, rtol=0, atol=rtol)
    np.testing.assert_allclose(fast.effects.std_error, slow.effects.std_error, rtol=rtol)
    np.testing.assert_allclose(fast.effects.log10_p, slow.effects.log10_p, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("errors", ["robust", "shrunk"])
@pytest.mark.parametrize("parent_test", ["null-variance", "wald"])
def test_equals_the_two_stages_on_dense_designs(rng, errors, parent_test):
    data = screen_of(*make_data(rng))
    options = {"errors": errors, "parent_test": parent_test}
    fast, slow = both(data, chain_order(7), **options)
    assert fast.fits["exact"] == 0
    assert_same(fast, slow)


def test_knock_outs_without_counts(rng):
    counts, node_of_cell, covariates = make_data(rng)
    counts[node_of_cell == 2, 2] = 0  # a candidate's own
    counts[node_of_cell == 2, 4] = 0  # and what it does to a target
    counts[node_of_cell == 6, 6] = 0  # the target's own
    counts[covariates["batch"] == "1", 3] = 0
    data = screen_of(counts, node_of_cell, covariates)
    fast, slow = both(data, chain_order(7))
    assert fast.fits["exact"] == 0
    assert (fast.effects.status == FitStatus.HALF_COUNT).any()
    assert_same(fast, slow)


def test_what_group_intercepts_cannot_do_is_fitted_exactly(rng):
    """A perturbation seen in a batch of its own cannot be told from the batch."""
    counts, node_of_cell, covariates = make_data(rng)
    covariates["batch"] = np.where(node_of_cell == 3, "own", covariates["batch"])
    data = screen_of(counts, node_of_cell, covariates)
    fast, slow = both(data, chain_order(7))
    assert fast.fits["exact"] > 0
    assert_same(fast, slow)
    assert (fast.effects.status == FitStatus.NOT_IDENTIFIED).any()


def test_what_cannot_be_computed_elsewhere_is_completed_here(rng):
    counts, node_of_cell, covariates = make_data(rng, n_cells=8000)
    node_of_cell[4000:] = -1
    covariates["batch"] = np.where(node_of_cell == 3, "own", covariates["batch"])
    data = screen_of(counts, node_of_cell, covariates)
    order = chain_order(7)
    jobs = [ParentJob(t, order.candidates(t)) for t in (2, 5, 6)]
    tester = SharedEngine().parents(data, argen.InferenceConfig())
    whole = tester.direct_effects(jobs)
    packed = tester.packed(jobs)
    assert not packed.complete
    found = tester.bare().unpacked(packed).direct_effects(jobs)
    assert found.left == (1, 2)
    completed = tester.completed(jobs, found)
    assert completed.fits == whole.fits
    for name in ("effect", "std_error", "log10_p", "status"):
        expected = getattr(whole.effects, name)
        np.testing.assert_array_equal(getattr(completed.effects, name), expected)


def test_results_do_not_depend_on_the_block(rng):
    data = screen_of(*make_data(rng))
    order, config = chain_order(7), argen.InferenceConfig(rule="published")
    tester = SharedEngine().parents(data, config)
    jobs = [ParentJob(t, order.candidates(t)) for t in range(2, 7)]
    whole = tester.direct_effects(jobs).effects
    parts = [SharedEngine().parents(data, config).direct_effects([job]) for job in jobs]
    for name in ("effect", "std_error", "log10_p", "status"):
        apart = np.concatenate([getattr(part.effects, name) for part in parts])
        np.testing.assert_array_equal(getattr(whole, name), apart)


def test_cells_with_several_perturbations_are_fitted_exactly(rng):
    counts, node_of_cell, covariates = make_data(rng)
    second = rng.random((len(counts), 7)) < 0.05
    indicators = (node_of_cell[:, None] == np.arange(7)) | second
    data = screen_of(counts, indicators, covariates)
    shared, exact = both(data, chain_order(7))
    assert set(shared.fits) == {"exact"}
    np.testing.assert_array_equal(shared.effects.effect, exact.effects.effect)
    assert np.isfinite(exact.effects.std_error).all()
