"""Effects of guides and perturbations where cells carry several."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

import argen
from argen.checks.guides.by_guide import joint_guide_effects, permuted_among_carriers
from argen.checks.guides.group_effects import regress_effects
from argen.checks.guides.joint_effects import JointFits
from argen.checks.instruments.strength import effective_cells
from argen.data import Guides
from tests.screens import screen_of

MODEL = argen.ScreenModel(
    n_nodes=6, n_parents=1, cells_per_node=2, n_controls=2500, more_per_cell=1.5, mean_count=4.0,
    n_guides=3, guide_strength_sd=0.3, dispersion=0.2,
)  # fmt: skip


@pytest.fixture(scope="module")
def guided_screen():
    return argen.simulate_screen(MODEL, rng=1)[0]


def test_effects_and_covariances_are_those_of_stacked_regressions(monkeypatch, guided_screen):
    """Influence functions of two genes on one dense design, multiplied cell by cell."""
    monkeypatch.setattr("argen.checks.guides.joint_effects.POOLED", 0.0)
    data, genes, groups = guided_screen, np.array([0, 3]), np.array([1, 2, 5])
    found = JointFits(data, data.perturbations).among(groups, genes)
    design = np.column_stack([data.perturbations.toarray(), data.intercept_and_covariates()])
    influence = []
    for g, gene in enumerate(genes.tolist()):
        y = data.counts.dense(np.array([gene]))[0]
        fit = sm.GLM(y, design, family=sm.families.Poisson(), offset=data.offset).fit(tol=1e-13)
        np.testing.assert_allclose(found.effect[:, g], fit.params[groups], atol=1e-6)
        information = (design.T * fit.mu) @ design
        influence.append((design * (y - fit.mu)[:, None]) @ np.linalg.inv(information)[:, groups])
    for g in range(2):
        for h in range(2):
            expected = influence[g].T @ influence[h]
            np.testing.assert_allclose(found.covariances[g, h], expected, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(found.std_error[:, 0] ** 2, np.diag(influence[0].T @ influence[0]))
    combined = found.covariance(np.array([0, 2]), np.array([0, 1]), np.array([1.0, -0.5]))
    difference = (influence[0] - 0.5 * influence[1])[:, [0, 2]]
    np.testing.assert_allclose(combined, difference.T @ difference, rtol=1e-5)
    part = found.part(np.array([0, 2]), np.array([1]))
    np.testing.assert_array_equal(part.std_error[:, 0], found.std_error[[0, 2], 1])


def test_a_group_without_a_count_has_half_a_one():
    rng = np.random.default_rng(2)
    carries = rng.random((800, 3)) < 0.3
    counts = rng.poisson(2.0, (800, 3))
    counts[carries[:, 0], 1] = 0
    data = screen_of(counts, carries)
    found = JointFits(data, data.perturbations).among(np.arange(3), np.arange(3))
    assert found.effect[0, 1] == pytest.approx(np.log(0.5 / (2.0 * carries[:, 0].sum())), abs=0.1)
    assert found.std_error[0, 1] == pytest.approx(np.sqrt(2.0), abs=0.05)


def test_cells_are_worth_less_the_more_others_explain():
    rng = np.random.default_rng(3)
    carries = rng.random((4000, 3)) < 0.25
    carries[:, 1] = np.where(rng.random(4000) < 0.9, carries[:, 0], carries[:, 1])
    cells = effective_cells(screen_of(rng.poisson(2.0, (4000, 3)), carries))
    assert cells[2] == pytest.approx(4000 * 0.25 * 0.75, rel=0.05)
    assert (cells[:2] < 0.3 * cells[2]).all()


def test_strength_tells_candidates_apart():
    """The guides of g1 lower g0 as much as its own do, in proportion: g1 is weak given g0."""
    rng = np.random.default_rng(4)
    carries = rng.random((6000, 3)) < 0.2
    log_mean = np.full((6000, 3), 1.5)
    log_mean[:, 0] -= 1.5 * carries[:, 0] + 0.75 * carries[:, 1]
    log_mean[:, 1] -= 1.0 * carries[:, 0] + 0.5 * carries[:, 1]
    log_mean[:, 2] += 0.6 * (log_mean[:, 0] - 1.5) + 0.6 * (log_mean[:, 1] - 1.5)
    data = screen_of(rng.poisson(np.exp(log_mean)), carries)
    network = argen.infer_network(data)
    found = argen.check(network, data, n_null_tests=0, every_edge=True)
    table = found.tables["strength"]
    both = table[(table["target"] == "g2") & (table["n_candidates"] == 2)]
    assert len(both) == 2
    assert both["weak"].all()
    assert any("weak given the others" in f.evidence for f in found.findings)
    assert not found.tables["weak_instruments"].empty


def test_all_checks_of_such_a_screen(guided_screen):
    network = argen.infer_network(guided_screen)
    found = argen.check(network, guided_screen, n_null_tests=0, every_edge=True)
    assert not found.tables["strength"]["weak"].any()
    assert found.tables["weak_instruments"]["one_sign"].all()
    assert np.isfinite(found.tables["off_target_needed"]["needed"]).all()
    assert len(found.tables["guide_agreement"]) == 30
    assert not found.tables["guide_agreement"]["disagree"].any()
    assert not found.tables["overidentification"]["rejected"].any()
    whole = found.tables["leave_one_guide_out"].query("left_out == ''")
    assert len(whole) == len(network.edges)
    assert not found.tables["balance"]["unbalanced"].any()
    assert "18 guides of 6 nodes" in found.summary()


def test_a_guide_that_acts_elsewhere_is_named(guided_screen):
    """Counts of g6 are halved wherever the first guide of g1 is."""
    data = guided_screen
    names, counts = data.guides.names, data.counts.dense(np.arange(6)).T.astype(int)
    cells = data.guides.cells_of(names.index("g1_1"))
    counts[cells, 5] = np.random.default_rng(5).binomial(counts[cells, 5], 0.3)
    changed = screen_of(counts, data.perturbations.toarray(), data.covariates, data.library_size)
    object.__setattr__(changed, "guides", data.guides)
    table = argen.check(argen.infer_network(changed), changed, n_null_tests=0).tables[
        "guide_agreement"
    ]
    row = table.set_index(["source", "target"]).loc[("g0", "g5")]
    assert row["disagree"]
    assert row["odd_guide"] == "g1_1"


def test_guides_of_few_cells_and_several_of_a_node():
    """Cells with two guides of a node, and guides of few cells, count for none of them."""
    rng = np.random.default_rng(6)
    carried = rng.random((2000, 6)) < 0.08
    carried[:, 5] = False
    carried[:4, 5] = True
    guides = Guides(
        tuple("abcdef"), np.array([0, 0, 1, 1, 2, 2]), screen_of(carried * 1, carried).perturbations
    )
    nodes = np.column_stack([carried[:, k : k + 2].any(axis=1) for k in (0, 2, 4)])
    data = screen_of(rng.poisson(3.0, (2000, 3)), nodes)
    found = joint_guide_effects(data, guides)
    assert found.guides == ("a", "b", "c", "d", "e")
    assert found.too_few == (f"f ({int((carried[:, 5] & ~carried[:, 4]).sum())} cells)",)
    assert found.n_cells[0] == (carried[:, 0] & ~carried[:, 1]).sum()
    permuted = permuted_among_carriers(guides, 3, rng)
    again = joint_guide_effects(data, permuted)
    np.testing.assert_array_equal(again.n_cells, found.n_cells)
    assert (permuted.carried != guides.carried).nnz > 0


@pytest.mark.rates
def test_nominal_rate_where_effects_are_in_proportion():
    """g1 moves in proportion to g0 under all three perturbations: two degrees of freedom."""
    p, estimates = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        carries = rng.random((1500, 3)) < 0.3
        hidden = rng.gamma(4.0, 0.25, (1500, 1))
        fall = carries @ np.array([1.0, 0.5, 0.0])
        counts = rng.poisson(np.exp(1.5 - np.outer(fall, [1.0, 0.6, 0.0])) * hidden)
        data = screen_of(counts, carries)
        every = np.arange(3)
        effects = JointFits(data, data.perturbations).among(every, every)
        fit = regress_effects(effects, 1, np.array([0]), every)
        p.append(fit.p_value)
        estimates.append((fit.coefficients[0] - 0.6) / fit.std_error[0])
    assert abs(np.mean(np.array(p) < 0.05) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / len(p))
    assert abs(np.mean(estimates)) < 4 / np.sqrt(len(p))
    assert 0.85 < np.std(estimates) < 1.15
