"""Guides with rates of their own: strengths, shares, weights, and no escape where they work."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

import argen
from argen.corrections import GuideStrengths, corrections_of, estimate_penetrance
from argen.corrections.by_guide import FEWEST_CELLS, GuideEquations, cells_by_guide
from argen.corrections.guides import (
    LEVEL_OF_UNEVEN,
    deviation_variance,
    strengths_of,
    uneven_guides,
)
from argen.corrections.mixture import MixtureEquations
from argen.data import Guides
from argen.simulate import ScreenModel
from argen.simulate.screen import planned
from argen.steps import CausalOrder, screen_descendants, search_parents
from tests.corrections.test_penetrance import LEFT, hidden_means, mixed_cells

WEAK = ScreenModel(
    n_nodes=20, knockdown=(0.6, 2.5), n_guides=3, guide_strength_sd=0.5, cells_per_node=200
)


def uneven_mixture(share: float, seed: int, strengths=(1.6, 1.0, 0.3)):
    """Cells of three guides, of one gene, and the places of each."""
    rng = np.random.default_rng(seed)
    guide = rng.integers(0, 3, 3000)
    left = LEFT ** np.array(strengths)[guide][:, None]
    works = rng.random((3000, 1)) < share
    counts = rng.poisson(hidden_means(3000, rng) * np.where(works, left, 1.0))
    cells = mixed_cells(counts, rng.poisson(hidden_means(3000, rng)))
    return cells, [place for _, place in cells_by_guide(guide)], works[:, 0]


@pytest.fixture(scope="module")
def weak() -> tuple[argen.PerturbSeqData, argen.CausalNetwork]:
    data, _ = argen.simulate_screen(WEAK, rng=3)
    return data, argen.infer_network(data)


def test_guides_of_few_cells_are_taken_together():
    codes = np.repeat([4, 1, 7, 9, -1], [40, 30, 8, 7, 6])
    found = cells_by_guide(np.random.default_rng(1).permutation(codes))
    assert [code for code, _ in found] == [1, 4, -1]
    assert [len(place) for _, place in found] == [30, 40, 21]
    # Too few even together: they go with another.
    found = cells_by_guide(np.repeat([1, 4, 7], [30, FEWEST_CELLS, 5]))
    assert [(code, len(place)) for code, place in found] == [(1, 30), (4, FEWEST_CELLS + 5)]
    assert [(code, len(place)) for code, place in cells_by_guide(np.array([3, 5]))] == [(-1, 2)]
    every = np.sort(np.concatenate([place for _, place in found]))
    np.testing.assert_array_equal(every, np.arange(30 + FEWEST_CELLS + 5))


def test_uneven_guides_that_work_look_like_escape_only_together():
    cells, places, _ = uneven_mixture(1.0, 1)
    pooled, by_guide = MixtureEquations(cells, 1), GuideEquations(cells, places, 1)
    together, apart = (each.solve(1.0, each.left) for each in (pooled, by_guide))
    assert together.misfit < -5.0 * together.std_error
    assert abs(apart.misfit) < 3.0 * apart.std_error


@pytest.mark.parametrize("share", [0.8, 0.5])
def test_equations_of_guides_hold_at_the_truth(share):
    cells, places, works = uneven_mixture(share, 2)
    equations = GuideEquations(cells, places, 2)
    at = equations.solve(share, equations.left, n_steps=3)
    assert abs(at.misfit) < 3.0 * at.std_error
    for strength, own in zip((1.6, 1.0, 0.3), at.guides, strict=True):
        error = np.sqrt(own.gene_variance + own.control_variance)
        assert (np.abs(own.log_left - strength * np.log(LEFT)) < 4.0 * error).all()
    mean = np.log(equations.parts @ np.stack([LEFT**s for s in (1.6, 1.0, 0.3)]))
    error = np.sqrt(at.gene_variance + at.control_variance)
    assert (np.abs(at.log_left - mean) < 4.0 * error).all()
    assert at.works[works].mean() > at.works[~works].mean() + 0.2


def test_equations_of_guides_are_those_of_each_added_up():
    cells, places, _ = uneven_mixture(0.7, 3)
    equations = GuideEquations(cells, places, 3)
    at = equations.solve(0.7, equations.left)
    misfit, variance, influence, controls = 0.0, 0.0, np.zeros(3000), np.zeros(3000)
    for part, place, own in zip(equations.parts, places, at.guides, strict=True):
        assert part == len(place) / 3000
        misfit += part * own.misfit
        variance += part**2 * own.own_variance
        influence[place] = part * own.influence
        controls += part * own.control_influence
    assert at.misfit == pytest.approx(misfit)
    assert at.own_variance == pytest.approx(variance)
    np.testing.assert_allclose(at.influence, influence)
    np.testing.assert_allclose(at.control_influence, controls)
    again = GuideEquations(cells, places, 3, equations.prepared).solve(0.7, equations.left)
    assert again.misfit == at.misfit


def test_strengths_are_slopes_and_their_errors_those_of_draws(rng):
    total, strength = np.array([-1.5, -0.4, -0.8]), np.array([1.4, 1.0, 0.6])
    parts = np.array([0.3, 0.4, 0.3])
    exact, _ = strengths_of(strength[:, None] * total, np.full((3, 3), 0.01), parts)
    np.testing.assert_allclose(exact, strength / (parts @ strength))
    # Where guides are alike, of one gene: the delta method.
    variance, draws = np.array([[0.01], [0.02], [0.03]]), []
    for _ in range(4000):
        noisy = total[:1] + rng.normal(0.0, np.sqrt(variance))
        found, unsure = strengths_of(noisy, variance, parts)
        draws.append(found - 1.0)
    expected = deviation_variance(variance[:, 0] / total[0] ** 2, parts)
    np.testing.assert_allclose(np.var(draws, axis=0), expected, rtol=0.15)
    assert unsure.shape == (3,)


def test_cells_count_as_guides_are_strong(weak):
    data, network = weak
    found = network.penetrance.guides
    assert found.uneven_p_value < LEVEL_OF_UNEVEN
    weighed = uneven_guides(data, found)
    labels, node = data.guides.labels(), data.node_of_cell
    np.testing.assert_array_equal(weighed.weight_of_cell[data.controls], 1.0)
    np.testing.assert_allclose(weighed.part.sum(axis=1), 1.0)
    np.testing.assert_allclose(np.sum(weighed.part * weighed.strength, axis=1), 1.0)
    for k in range(data.n_nodes):
        cells = np.flatnonzero(node == k)
        own = {
            g: s for g, n, s in zip(found.names, found.node, found.strength, strict=True) if n == k
        }
        weight, size = weighed.weight_of_cell[cells], data.library_size[cells]
        np.testing.assert_allclose(size @ weight, size @ weight**2)
        strength = np.array([own.get(label, 1.0) for label in labels[cells]])
        np.testing.assert_allclose(weight / weight[0], strength / strength[0])


def test_strengths_are_found(weak, monkeypatch):
    """Three guides of 1.5, 1 and .5 times the mean."""
    strength = np.ones((21, 3))
    strength[:-1] = [1.5, 1.0, 0.5]
    monkeypatch.setattr(
        "argen.simulate.equations._guides", lambda model, rng: (np.ones((21, 3)), strength)
    )
    data, _ = argen.simulate_screen(WEAK, rng=4)
    table = argen.infer_network(data).guide_strengths()
    known = table["own_strength_error"] < 0.3
    truth = table["guide"].str[-1].map({"1": 1.5, "2": 1.0, "3": 0.5})
    z = (table["own_strength"] - truth) / table["own_strength_error"]
    assert known.sum() > 30
    assert (z[known].abs() < 2.0).mean() > 0.85
    means = table[known].groupby(truth[known])["strength"].mean()
    np.testing.assert_allclose(means, [0.5, 1.0, 1.5], atol=0.15)
    assert not table["penetrance"].ne(1.0).any()


def test_guides_are_told_saved_and_said(weak, tmp_path):
    data, network = weak
    table, found = network.guide_strengths(), network.penetrance.guides
    assert set(table["node"]) <= set(network.nodes)
    assert len(table) == len(found.names) <= 60
    assert "guides of one gene differ in strength" in network.penetrance_line()
    again = argen.load(argen.save(network, tmp_path / "network")).penetrance.guides
    for field in fields(GuideStrengths):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(found, field.name))
    argen.write_results(network, tmp_path / "out")
    written = pd.read_csv(tmp_path / "out" / "guide_strengths.tsv", sep="\t")
    pd.testing.assert_frame_equal(written, table)
    checked = argen.check(network, data)
    pd.testing.assert_frame_equal(checked.tables["guide_strengths"], table)
    even = replace(
        network.penetrance,
        guides=replace(found, uneven_p_value=0.4, strength=np.ones(len(found.names))),
    )
    other = replace(network, penetrance=even)
    assert "guides of one gene are alike as far as can be seen (p = 0.4)" in other.penetrance_line()


def test_guides_that_are_not_known_or_alone_change_nothing(weak):
    """Not a bit: what was estimated without guides is estimated as before."""
    data, _ = weak
    screen = screen_descendants(data)
    plain = estimate_penetrance(replace(data, guides=None), screen)
    one_each = Guides.of_labels(
        np.where(data.controls, "", np.array(data.nodes, dtype=object)[data.node_of_cell]),
        data.node_of_cell,
    )
    alone = estimate_penetrance(replace(data, guides=one_each), screen)
    assert plain.guides is None
    assert alone.guides is None
    for name in ("share", "p_value", "ci_low", "ci_high", "screen_p_value"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(plain, name))


def test_guides_that_are_alike_change_nothing():
    """Strengths are 1 to the last bit, so that cells are not weighed."""
    data, _ = argen.simulate_screen(replace(WEAK, guide_strength_sd=0.0), rng=1)
    found, plain = (argen.infer_network(d) for d in (data, replace(data, guides=None)))
    assert found.penetrance.guides.uneven_p_value > LEVEL_OF_UNEVEN
    assert not found.penetrance.corrected.any()
    np.testing.assert_array_equal(found.penetrance.guides.strength, 1.0)
    pd.testing.assert_frame_equal(found.candidates, plain.candidates, check_exact=True)


def test_weak_guides_that_work_are_not_said_to_escape(weak):
    _, network = weak
    assert not network.penetrance.corrected.any()
    assert (network.penetrance.guides.ci_high == 1.0).mean() > 0.9


def test_where_cells_escape_shares_are_those_of_all_guides_together():
    """Strength and share of a guide are not told apart well enough to weigh its cells."""
    data, _ = argen.simulate_screen(replace(WEAK, n_nodes=12, penetrance=0.6), rng=4)
    screen = screen_descendants(data)
    found, plain = (estimate_penetrance(d, screen) for d in (data, replace(data, guides=None)))
    assert found.corrected.any()
    for name in ("share", "std_error", "realised_error", "ci_low", "ci_high", "p_value"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))
    guides = found.guides
    np.testing.assert_array_equal(guides.strength, 1.0)
    assert np.isnan(guides.uneven_p_value)
    assert corrections_of(data, found, None).guides is None
    assert (guides.penetrance < 1.0).mean() > 0.5
    told = guides.ci_high - guides.ci_low < 1.0
    inside = (guides.ci_low <= guides.penetrance) & (guides.penetrance <= guides.ci_high)
    assert inside[told].all()


@pytest.mark.rates
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_intervals_of_single_guides_hold_their_shares(spread):
    """Each from its own cells, also where guides of a gene differ in the cells they work in."""
    model = ScreenModel(
        n_nodes=30, dispersion=0.3, n_states=3, n_guides=3,
        penetrance=0.7, guide_penetrance_sd=spread,
    )  # fmt: skip
    holds = []
    for seed in range(4):
        data, _ = argen.simulate_screen(model, rng=seed)
        guides = estimate_penetrance(data, screen_descendants(data)).guides
        number = np.array([int(name.rsplit("_")[-1]) - 1 for name in guides.names])
        true = planned(model, seed, None, None).equations.penetrance[guides.node, number]
        holds.append((guides.ci_low <= true) & (true <= guides.ci_high))
    assert np.concatenate(holds).mean() > 0.92


@pytest.mark.rates
def test_uneven_guides_that_all_work_are_seldom_called_escape():
    called, p_values = [], []
    for seed in range(8):
        data, _ = argen.simulate_screen(WEAK, rng=seed + 40)
        found = estimate_penetrance(data, screen_descendants(data))
        called.append(found.corrected.any())
        p_values.append(found.p_value[found.told])
    p_value = np.concatenate(p_values)
    assert np.mean(called) <= 1 / 8
    assert np.mean(p_value < 0.05) < 0.05 + 3.0 * np.sqrt(0.05 * 0.95 / len(p_value))


@pytest.mark.rates
@pytest.mark.parametrize("options", [{}, {"dispersion": 0.5, "n_states": 3}])
def test_guides_that_are_alike_are_seldom_called_uneven(options):
    p_values = []
    for seed in range(6):
        model = replace(WEAK, guide_strength_sd=0.0, **options)
        data, _ = argen.simulate_screen(model, rng=seed + 60)
        p_values.append(estimate_penetrance(data, screen_descendants(data)).guides.uneven_p_value)
    assert min(p_values) > LEVEL_OF_UNEVEN
    assert np.mean(np.array(p_values) < 0.05) <= 0.5


@pytest.mark.rates
@pytest.mark.parametrize("options", [{}, {"dispersion": 0.5, "n_states": 3}])
def test_weights_that_cells_chose_bend_no_null(options):
    """Nothing acts on anything, but hidden causes do on all: every pair that can be is tested."""
    p_values = []
    for seed in range(10):
        model = replace(WEAK, n_parents=0.0, factor_effect=1.0, knockdown=(1.0, 2.5), **options)
        data, _ = argen.simulate_screen(model, rng=seed + 80)
        found = estimate_penetrance(data, screen_descendants(data))
        assert found.guides.uneven
        order = CausalOrder(
            np.arange(20), np.triu(np.ones((20, 20), dtype=bool), 1), np.eye(20, dtype=bool)
        )
        given = corrections_of(data, found, None)
        p_values.append(search_parents(data, order, corrections=given).effects.p_value)
    p_value = np.concatenate(p_values)
    assert np.mean(p_value < 0.05) < 0.05 + 4.0 * np.sqrt(0.05 * 0.95 / len(p_value))
    assert np.mean(p_value < 0.001) < 0.001 + 4.0 * np.sqrt(0.001 / len(p_value))
