"""Null screens with guides that work: what they are made of, and what direct effects do there."""

from __future__ import annotations

import numpy as np
import pytest

import argen
from argen.checks.null.calibration import calibration_findings, calibration_table, null_screens
from argen.checks.null.thinning import N_CANDIDATES, false_candidates, thinned
from tests.screens import screen_of


def heavy_tailed(**changes) -> argen.PerturbSeqData:
    """Many true effects, hidden confounders and heavy-tailed counts."""
    model = argen.ScreenModel(
        **{
            "n_nodes": 20, "n_sinks": 10, "cells_per_node": 100, "n_controls": 1500,
            "mean_count": 5.0, "dispersion": 0.5, "n_factors": 2, "factor_effect": 0.7,
            "n_batches": 2,
        } | changes
    )  # fmt: skip
    return argen.simulate_screen(model, rng=1)[0]


def test_only_the_own_gene_of_a_perturbation_loses_counts():
    data, left = heavy_tailed(), np.linspace(0.0, 1.2, 20)
    found = thinned(data, left, np.random.default_rng(1))
    before, after = (d.counts.to_csc().toarray() for d in (data, found))
    for k, share in enumerate(np.minimum(left, 1.0)):
        own = data.node_of_cell == k
        np.testing.assert_array_equal(before[~own, k], after[~own, k])
        assert (after[own, k] <= before[own, k]).all()
        n = before[own, k].sum()
        assert abs(after[own, k].sum() - n * share) <= 4 * np.sqrt(n * share * (1 - share))
    np.testing.assert_array_equal(before[:, 20:], after[:, 20:])


def test_cells_with_several_perturbations_lose_counts_of_each():
    data, _ = argen.simulate_screen(argen.ScreenModel(n_nodes=3, n_parents=0), rng=1)
    both = data.perturbations.toarray()
    both[:50] = 1
    data = screen_of(data.counts.to_csc().toarray()[:, :3], both)
    found = thinned(data, np.zeros(3), np.random.default_rng(1)).counts.to_csc().toarray()
    np.testing.assert_array_equal(found, data.counts.to_csc().toarray() * (1 - both))


@pytest.mark.parametrize(("n_nodes", "n_genes"), [(1, 1), (1, 4), (7, 7), (20, 35)])
def test_candidates_are_few_and_have_no_other_candidates(n_nodes, n_genes):
    order = false_candidates(n_nodes, n_genes, np.random.default_rng(3))
    for target in range(n_genes):
        candidates = order.candidates(target)
        assert len(candidates) <= N_CANDIDATES
        assert target not in candidates
        for k in candidates:
            assert set(order.candidates(k)) <= set(candidates)
    if n_genes > n_nodes:
        assert min(len(order.candidates(k)) for k in range(n_nodes, n_genes)) >= 1


def direct(config: argen.InferenceConfig):
    """Null screens of the test of direct effects alone."""
    data, rng = heavy_tailed(), np.random.default_rng(1)
    left = np.exp(argen.screen_descendants(data).knockdown.effect)
    return null_screens(data, config, n_tests=8000, rng=rng, left=left)[-1:]


@pytest.mark.rates
def test_quiet_with_the_default_test_of_direct_effects():
    config = argen.InferenceConfig()
    screens = direct(config)
    row = calibration_table(screens).iloc[0]
    assert (row["kind"], row["tests"]) == ("permuted labels, thinned", "direct effects")
    assert row["n_tests"] >= 8000
    # Of this very screen: see the docs for the size over many.
    assert abs(row["share_below_0.05"] - 0.05) < 0.01
    assert row["share_below_0.001"] < 0.0025
    assert row["screens_with_any"] <= 0.1
    assert not calibration_findings(screens, config)


@pytest.mark.rates
def test_speaks_of_walds_test_of_direct_effects():
    config = argen.InferenceConfig(parent_test="wald")
    (finding,) = calibration_findings(direct(config), config)
    assert "(permuted labels, thinned; " in finding.evidence
    assert "tests of direct effects)" in finding.evidence
    assert "parent_test='null-variance'" in finding.advice


def test_a_share_that_is_not_known_is_taken_as_a_guide_that_does_nothing():
    data = heavy_tailed(n_nodes=5, n_parents=1.0, n_sinks=0, n_controls=300)
    left, rng = np.full(5, np.nan), np.random.default_rng(2)
    *_, found = null_screens(data, argen.InferenceConfig(), n_tests=1, rng=rng, left=left)
    assert found.tests == "direct effects"
    assert np.mean(np.concatenate(found.p_values) < 0.05) < 0.1
