"""The test of direct effects under their null, against its formula and by simulation."""

import numpy as np
import pytest

import argen
from argen.engine import Effects
from argen.errors import FitStatus
from argen.glm import errors_and_deviates
from argen.glm._direct_effects import null_variances


def effects_with_tests(effect, own, of_proxies, *, test, status):
    """Effects of one target, from the parts of their variances for each share of the model."""
    found = np.empty((2, len(effect)))
    errors_and_deviates(effect, own, of_proxies, effect, own[-1], *found)
    return Effects.tested(effect, found, test, status)


@pytest.fixture
def parts(rng):
    effect = np.array([0.6, -0.1, 0.0, 1.5])
    return effect, rng.uniform(0.01, 0.1, 4), rng.uniform(0.0, 0.2, (4, 4))


def test_null_variances_are_those_of_the_formula(parts):
    effect, own, of_proxies = parts
    variances = np.empty(4)
    null_variances(*parts, variances)
    for k, found in enumerate(variances):
        expected = own[k]
        for j in range(len(effect)):
            error = own[j] + sum(of_proxies[j, i] * effect[i] ** 2 for i in range(len(effect)))
            if j != k:
                expected += of_proxies[k, j] * effect[j] ** 4 / (effect[j] ** 2 + error)
        assert found == pytest.approx(expected, rel=1e-12)


def test_a_single_candidate_takes_nothing_from_its_own_proxy():
    """So its p-value is that of the perturbation's effect on the target."""
    found = np.empty(1)
    null_variances(np.array([2.0]), np.array([0.04]), np.array([[10.0]]), found)
    assert found == pytest.approx(0.04)


def test_a_candidate_that_nothing_moved_keeps_walds_test():
    """The error of its proxy is over half the effect: p-values from 0.05."""
    effect, own = np.array([1.0]), np.array([[1e-4]])
    p = [
        effects_with_tests(
            effect, own, np.array([[[strength**-2]]]),
            test="null-variance", status=np.zeros(1, dtype=np.int8),
        ).p_value[0]
        for strength in (1.95, 1.97)
    ]  # fmt: skip
    assert p[0] > 0.05
    assert p[1] < 1e-12


def test_errors_come_from_the_first_parts_and_tests_from_the_last(parts):
    effect, own, of_proxies = parts
    shares = np.array([own, 4.0 * own]), np.array([of_proxies, 4.0 * of_proxies])
    status = np.zeros(4, dtype=np.int8)
    alone, robust = (
        effects_with_tests(effect, s, v, test="null-variance", status=status)
        for s, v in ((own[None], of_proxies[None]), shares)
    )
    np.testing.assert_array_equal(robust.std_error, alone.std_error)
    assert (robust.p_value > alone.p_value).sum() == 3  # an effect of 0 has p-value 1 anyway
    assert robust.p_value[2] == alone.p_value[2] == 1.0
    wald = effects_with_tests(effect, *shares, test="wald", status=status)
    np.testing.assert_array_equal(wald.std_error, alone.std_error)
    assert wald.p_value[0] > alone.p_value[0]


def test_what_is_not_identified_leaves_the_others_alone(parts):
    effect, own, of_proxies = parts
    effect[2] = own[2] = np.nan
    of_proxies[2] = np.nan
    status = np.array([0, 0, FitStatus.NOT_IDENTIFIED, 0], dtype=np.int8)
    found = effects_with_tests(
        effect, own[None], of_proxies[None], test="null-variance", status=status
    )
    np.testing.assert_array_equal(np.isnan(found.p_value), [False, False, True, False])
    others = [0, 1, 3]
    among = np.ix_(others, others)
    smaller = effects_with_tests(
        effect[others], own[None, others], of_proxies[among][None],
        test="null-variance", status=status[others],
    )  # fmt: skip
    np.testing.assert_allclose(found.p_value[others], smaller.p_value, rtol=1e-12)


def p_values(model, test, n_screens, given):
    """Of the parent search of some screens, given the candidates: null ones, and true ones."""
    null, true = [], []
    for seed in range(n_screens):
        data, truth = argen.simulate_screen(model, rng=seed)
        candidates = truth.ancestors if given is None else given
        sequence = np.argsort(candidates.sum(axis=0), kind="stable")
        order = argen.CausalOrder(sequence, candidates, candidates)
        found = argen.search_parents(data, order, argen.InferenceConfig(parent_test=test))
        p, is_edge = found.effects.p_value, truth.direct[found.source, found.target] != 0
        null.append(p[~is_edge])
        true.append(p[is_edge])
    return np.concatenate(null), np.concatenate(true)


def noisy(**changes):
    return argen.ScreenModel(
        **{
            "n_nodes": 20, "cells_per_node": 200, "n_controls": 1000, "dispersion": 0.5,
            "n_factors": 2, "factor_effect": 0.7, "n_batches": 2,
        } | changes
    )  # fmt: skip


@pytest.mark.rates
def test_size_with_false_candidates_and_a_hidden_confounder():
    """4,080 null tests; see benchmarks/null_calibration.py for many more."""
    apart = np.arange(20) - np.arange(20)[:, None]
    five = (apart > 0) & (apart <= 5)
    p, _ = p_values(noisy(n_parents=0, mean_count=5.0), "null-variance", 48, five)
    assert len(p) == 48 * 85
    for level in (0.05, 0.01, 0.001):
        error = 3.5 * np.sqrt(level * (1.0 - level) / len(p))
        assert abs(np.mean(p < level) - level) < error


@pytest.mark.rates
def test_few_cells_hide_parents_from_wald_and_not_from_this_test():
    model = noisy(n_parents=2, cells_per_node=60, mean_count=1.0)
    found = {test: p_values(model, test, 12, None) for test in ("null-variance", "wald")}
    null, true = found["null-variance"]
    assert np.mean(null < 0.05) < 0.06
    assert np.mean(true < 0.001) > 1.5 * np.mean(found["wald"][1] < 0.001)
