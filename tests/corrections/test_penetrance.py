"""Shares of cells in which guides work: what the equations rest on, recovery, and the null."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

import argen
from argen.corrections import LoweredGenes, Penetrance, estimate_penetrance
from argen.corrections.mixture import SHARES, CountedCells, MixedCells, MixtureEquations
from argen.corrections.penetrance import _own_gene, with_pooled_knockdowns
from argen.corrections.shares import (
    LEAST_SPREAD,
    interval,
    normal_by_moments,
    p_value_of_escape,
    pooled_shares,
)
from argen.glm import LEAST_LEFT, balance
from argen.simulate import ScreenModel
from argen.steps import screen_descendants

HARD = ScreenModel(n_nodes=30, dispersion=0.3, n_states=3)
ESCAPING = replace(HARD, penetrance=0.7)


def estimated(model: ScreenModel, seed: int) -> tuple[argen.PerturbSeqData, Penetrance]:
    data, _ = argen.simulate_screen(model, rng=seed)
    return data, estimate_penetrance(data, screen_descendants(data))


@pytest.fixture(scope="module")
def escaping() -> tuple[argen.PerturbSeqData, argen.DescendantScreen, Penetrance]:
    data, _ = argen.simulate_screen(ESCAPING, rng=2)
    screen = screen_descendants(data)
    return data, screen, estimate_penetrance(data, screen)


def hidden_means(n_cells: int, rng: np.random.Generator) -> np.ndarray:
    """Means of four genes that go up and down together, with heavy tails and two states."""
    together = rng.normal(0.0, 0.6, (n_cells, 1)) + 0.8 * (rng.random((n_cells, 1)) < 0.3)
    return np.array([3.0, 1.0, 6.0, 2.0]) * np.exp(together) * rng.gamma(2.0, 0.5, (n_cells, 4))


LEFT = np.array([0.1, 0.6, 0.3, 0.5])


def mixed_cells(counts: np.ndarray, controls: np.ndarray) -> MixedCells:
    """Cells without covariates, of a working model that is wrong."""
    expected = controls.mean(axis=0)
    perturbed, others = (
        CountedCells(
            counts=np.ascontiguousarray(own.T, dtype=np.float64),
            expected=np.repeat(expected[:, None], len(own), axis=1),
            columns=np.empty((0, len(own))),
            level=np.zeros(len(own), dtype=np.int64),
        )
        for own in (counts, controls)
    )
    return MixedCells(perturbed, others, dispersion=np.full(4, 1.0), n_levels=1)


def mixture(share: float, n_perturbed: int, seed: int) -> MixtureEquations:
    """Equations of cells in a share of which LEFT is left of four genes."""
    rng = np.random.default_rng(seed)
    controls = rng.poisson(hidden_means(3000, rng))
    works = rng.random((n_perturbed, 1)) < share
    counts = rng.poisson(hidden_means(n_perturbed, rng) * np.where(works, LEFT, 1.0))
    return MixtureEquations(mixed_cells(counts, controls), seed)


def test_a_thinned_control_is_a_cell_in_which_the_guide_works():
    """Any function of counts has the same mean, though genes go together and tails are heavy."""
    rng = np.random.default_rng(5)
    n_cells = 200_000
    thinned = rng.binomial(rng.poisson(hidden_means(n_cells, rng)), LEFT)
    works = rng.poisson(hidden_means(n_cells, rng) * LEFT)
    for function in (
        lambda y: y.sum(axis=1) == 0,
        lambda y: np.minimum(y[:, 0] * y[:, 2], 5),
        lambda y: np.tanh(y @ [1.0, -0.5, 0.2, 0.4]),
        lambda y: y.max(axis=1) > 6,
    ):
        a, b = function(thinned).astype(float), function(works).astype(float)
        assert abs(a.mean() - b.mean()) < 4.0 * np.sqrt((a.var() + b.var()) / n_cells)


@pytest.mark.parametrize("share", [1.0, 0.8, 0.5])
def test_equations_hold_at_the_truth(share):
    """The dispersion of the working model is wrong, and it has no factors: it makes no bias."""
    at = mixture(share, 4000, 1).solve(share, LEFT, n_steps=3)
    assert abs(at.misfit) < 3.0 * at.std_error
    error = np.sqrt(at.gene_variance + at.control_variance)
    assert (np.abs(at.log_left - np.log(LEFT)) < 3.5 * error).all()
    assert (error < 0.15).all()


def test_equations_contradict_other_shares():
    profile = mixture(0.6, 2000, 2).profile()
    z = [at.misfit / at.std_error for at in profile]
    assert z[0] < -4.0
    assert z[-1] > 4.0
    low, high = interval(np.pad(z, (0, len(SHARES) - len(z)), mode="edge"), 1.96)
    assert 0.5 < low < 0.6 < high < 0.7


def test_weights_balance_covariates():
    rng = np.random.default_rng(3)
    columns, target = rng.normal(size=(3, 2000)), np.array([0.5, -0.3, 0.0])
    weights = balance(columns, np.zeros(2000, dtype=np.int64), target, np.ones(1))
    np.testing.assert_allclose(columns @ weights, target, atol=1e-7)
    assert (weights > 0.0).all()
    # A shift of normal covariates has these odds exactly.
    tilt = np.exp(target @ columns)
    np.testing.assert_allclose(weights, tilt / tilt.sum(), rtol=0.6, atol=3e-4)


def test_weights_balance_levels_and_covariates():
    """Entropy is largest: log weights are linear in covariates and levels, and nothing else."""
    rng = np.random.default_rng(13)
    level, part = rng.integers(0, 5, 1500), np.array([0.4, 0.1, 0.0, 0.3, 0.2])
    columns = rng.normal(size=(2, 1500)) + 0.3 * level
    target = np.array([0.6, 0.9])
    weights = balance(columns, level, target, part)
    np.testing.assert_allclose(columns @ weights, target, atol=1e-7)
    np.testing.assert_allclose(np.bincount(level, weights), part, atol=1e-12)
    used = weights > 0.0
    np.testing.assert_array_equal(used, level != 2)
    design = np.column_stack([level[used][:, None] == [0, 1, 3, 4], columns[:, used].T])
    fitted = design @ np.linalg.lstsq(design, np.log(weights[used]), rcond=None)[0]
    np.testing.assert_allclose(np.log(weights[used]), fitted, atol=1e-9)


def test_a_level_without_controls_keeps_nothing_else_from_being_balanced():
    rng = np.random.default_rng(14)
    level, columns = rng.integers(0, 3, 900), rng.normal(size=(1, 900))
    weights = balance(columns, level, np.array([0.4]), np.array([0.2, 0.2, 0.1, 0.5]))
    np.testing.assert_allclose(columns @ weights, 0.4, atol=1e-7)
    np.testing.assert_allclose(np.bincount(level, weights), [0.4, 0.4, 0.2], atol=1e-12)
    nothing = balance(columns, level, np.array([0.4]), np.array([0.0, 0.0, 0.0, 1.0]))
    assert not nothing.any()


def test_weights_at_an_end_are_of_the_cells_there():
    """Of an indicator of which all perturbed cells are 1, no control that is 0 counts."""
    rng = np.random.default_rng(15)
    columns = np.array([rng.random(400) < 0.3, rng.normal(size=400)], dtype=np.float64)
    target = np.array([1.0, 0.2])
    weights = balance(columns, np.zeros(400, dtype=np.int64), target, np.ones(1))
    np.testing.assert_array_equal(weights > 0.0, columns[0] == 1.0)
    np.testing.assert_allclose(columns @ weights, target, atol=1e-7)


def test_recovers_the_share(escaping):
    _, _, found = escaping
    assert found.screen_p_value < 1e-3
    assert found.corrected.mean() > 0.8
    assert abs(found.share[found.corrected].mean() - 0.7) < 0.06
    assert (np.abs(found.share - 0.7) < 3.0 * found.std_error)[found.corrected].all()
    assert ((found.ci_low <= 0.7) & (found.ci_high >= 0.7)).mean() > 0.85


def test_what_is_not_called_is_left_alone(escaping):
    _, _, found = escaping
    alone = ~found.corrected
    np.testing.assert_array_equal(found.share[alone], 1.0)
    np.testing.assert_array_equal(found.std_error[alone], 0.0)
    np.testing.assert_array_equal(found.realised_error[alone], 0.0)
    assert all(lowered is None for lowered in np.array(found.lowered, dtype=object)[alone])


def test_knock_downs_are_better_known_with_the_share_than_after_it(escaping):
    """Knock-downs are of 2 to 3; the rate without cells that escape often leaves nothing at all."""
    _, screen, found = escaping
    working = np.exp(screen.knockdown.effect) - (1.0 - found.share)
    after = np.log(np.maximum(working, LEAST_LEFT * found.share) / found.share)
    together = {
        k: low.effect[low.genes == k][0]
        for k, low in enumerate(found.lowered)
        if low is not None and k in low.genes
    }
    own = np.array(list(together))
    assert len(own) > 20
    off = np.array(list(together.values())) + 2.5
    assert abs(np.median(off)) < 0.4
    assert np.median(np.abs(off)) < 0.6 * np.median(np.abs(after[own] + 2.5))


def test_the_share_at_hand_is_a_draw(escaping):
    """Its error has that of the share of all such cells, and what chance does to those at hand."""
    data, _, found = escaping
    by_chance = found.share * (1.0 - found.share) / data.n_perturbed
    most = np.sqrt(found.std_error**2 + by_chance)
    assert (found.realised_error <= most + 1e-12).all()
    # Cells say in which of them the guide works.
    assert (found.realised_error < 0.98 * most)[found.corrected & found.told].any()


def test_a_perturbation_of_which_nothing_is_told_has_what_the_others_have(escaping):
    data, screen, _ = escaping
    silent = [3, 7]
    p_adjusted, own = screen.p_adjusted.copy(), screen.knockdown.p_value.copy()
    p_adjusted[silent], own[silent] = 1.0, 1.0
    knockdown = replace(screen.knockdown, p_value=own)
    found = estimate_penetrance(data, replace(screen, p_adjusted=p_adjusted, knockdown=knockdown))
    others = found.told & found.corrected
    assert not found.told[silent].any()
    assert found.corrected[silent].all()
    assert found.share[3] == found.share[7]
    assert found.share[others].min() < found.share[3] < found.share[others].max()
    assert (found.std_error[silent] > 0.0).all()
    assert all(found.lowered[k] is None for k in silent)
    table = found.to_frame()
    assert table.loc[3, "n_telling_genes"] == 0
    assert table.loc[silent, "penetrance_borrowed"].all()
    ruled_out = found.p_value < 0.02  # one-sided; an interval of 95 % leaves .025 above it
    assert not table.loc[ruled_out, "penetrance_borrowed"].any()
    assert ruled_out.any()
    assert np.isnan(table.loc[3, "penetrance_p_value"])
    assert table.loc[3, "penetrance_low"] < found.share[3] < table.loc[3, "penetrance_high"]


def test_the_mean_of_a_gene_without_the_cells_that_escape(escaping):
    """Where the cells of a perturbation say nothing: the rate of its own gene, and derivatives."""
    _, screen, _ = escaping
    effect, error, share, step = -1.0, 0.1, 0.8, 1e-6
    own = replace(
        screen.knockdown,
        effect=np.full(30, effect), std_error=np.full(30, error), p_value=np.full(30, 1e-9),
    )  # fmt: skip

    def left(rate: float, share: float) -> float:
        return float(np.log((np.exp(rate) - 1.0 + share) / share))

    found = _own_gene(replace(screen, knockdown=own), 4, share)
    slope = (left(effect + step, share) - left(effect - step, share)) / (2.0 * step)
    by_share = (left(effect, share + step) - left(effect, share - step)) / (2.0 * step)
    np.testing.assert_array_equal(found.genes, [4])
    np.testing.assert_allclose(found.effect, left(effect, share))
    np.testing.assert_allclose(found.variance, (slope * error) ** 2, rtol=1e-6)
    np.testing.assert_allclose(found.by_share, by_share, rtol=1e-6)
    raised = replace(own, effect=np.full(30, 0.2))
    assert _own_gene(replace(screen, knockdown=raised), 4, share) is None


def test_knock_downs_inform_each_other():
    """Each becomes the mean of a normal posterior, and other genes are left alone."""
    rng = np.random.default_rng(6)
    n, share_error = 40, rng.uniform(0.02, 0.06, 40)
    variance, by_share = rng.uniform(0.05, 0.6, n), rng.uniform(-3.0, 0.0, n)
    of_all = variance + (by_share * share_error) ** 2
    estimates = -2.0 + rng.normal(0.0, np.sqrt(0.3 + of_all))
    lowered = [
        LoweredGenes(
            genes=np.array([n + 1, k]), effect=np.array([-0.5, estimates[k]]),
            variance=np.array([0.01, variance[k]]), by_share=np.array([0.1, by_share[k]]),
        )
        for k in range(n)
    ]  # fmt: skip
    mean, spread = normal_by_moments(estimates, of_all)
    assert abs(mean + 2.0) < 0.4
    assert 0.05 < spread < 0.8
    pooled = with_pooled_knockdowns([*lowered, None], np.append(share_error, 0.0))
    assert pooled[n] is None
    for k in range(n):
        precision = 1.0 / spread + 1.0 / of_all[k]
        own, v = pooled[k], of_all[k]
        posterior = (mean / spread + estimates[k] / v) / precision
        np.testing.assert_allclose(own.effect, [-0.5, posterior])
        total = own.variance[1] + (own.by_share[1] * share_error[k]) ** 2
        np.testing.assert_allclose(total, 1.0 / precision)
        np.testing.assert_array_equal(own.variance[0], 0.01)
        np.testing.assert_array_equal(own.by_share[0], 0.1)


def test_a_few_knock_downs_do_not_inform_each_other():
    few = [
        LoweredGenes(np.array([k]), np.array([-2.0 - k]), np.array([0.2]), np.array([-1.0]))
        for k in range(4)
    ]
    assert with_pooled_knockdowns(few, np.zeros(4)) is few


def test_moments_do_not_say_that_all_are_alike():
    """Estimates that differ by their errors alone still leave a little between them."""
    rng = np.random.default_rng(7)
    variance = np.full(200, 0.25)
    mean, spread = normal_by_moments(rng.normal(-1.5, 0.5, 200), variance)
    assert abs(mean + 1.5) < 0.15
    assert spread < 0.08
    assert normal_by_moments(np.full(9, -1.0), np.ones(9)) == (-1.0, LEAST_SPREAD)


def test_the_sequence_of_cells_says_nothing(escaping):
    data, screen, found = escaping
    shuffled = data.take(np.arange(data.n_cells))
    sequence = np.random.default_rng(1).permutation(data.n_cells)
    counts = argen.GeneCounts.from_matrix(data.counts.to_csc().toarray()[sequence])
    perturbations = data.perturbations.tocsr()[sequence].tocsc()
    perturbations.sort_indices()
    shuffled = replace(
        data,
        counts=counts,
        cells=data.cells[sequence],
        perturbations=perturbations,
        library_size=data.library_size[sequence],
        covariates=data.covariates.iloc[sequence].reset_index(drop=True),
    )
    again = estimate_penetrance(shuffled, screen)
    np.testing.assert_array_equal(again.corrected, found.corrected)
    np.testing.assert_allclose(again.share, found.share, rtol=1e-5)
    np.testing.assert_allclose(again.p_value, found.p_value, rtol=1e-4)


def test_a_seed_gives_the_same_numbers(escaping):
    data, screen, found = escaping
    again = estimate_penetrance(data, screen, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(again.share, found.share)
    np.testing.assert_array_equal(again.p_value, found.p_value)
    other = estimate_penetrance(data, screen, rng=1)
    assert (other.share != found.share).any()
    assert np.abs(other.share - found.share)[found.corrected & other.corrected].max() < 0.1


def test_shares_of_a_screen_inform_each_other():
    """Equations linear in the share, with an error of .15 each: pooled, it is far smaller."""
    rng = np.random.default_rng(4)
    error = 0.15
    estimates = 0.6 + rng.normal(0.0, error, 80)
    z = (estimates[:, None] - SHARES) / error
    alike = pooled_shares(z)
    assert np.abs(alike.mean - 0.6).max() < 0.1
    assert alike.works.max() < 0.5
    half = np.where(np.arange(80) < 40, estimates, 1.0 + rng.normal(0.0, 0.05, 80))
    two = pooled_shares(
        (half[:, None] - SHARES) / np.where(np.arange(80) < 40, error, 0.05)[:, None]
    )
    assert (two.works[:40] < 0.5).mean() > 0.8
    assert (two.works[40:] > 0.5).mean() > 0.9


def test_controls_that_are_shared_do_not_count_twice():
    misfit, own = np.full(50, -0.5), np.full(50, 0.5)
    shared = np.full((50, 10), np.sqrt(0.05))
    alone = np.zeros((50, 10))
    assert p_value_of_escape(misfit, shared, own) > 0.3
    assert p_value_of_escape(misfit, alone, own) < 1e-4


def test_cells_with_several_perturbations_are_left_alone():
    data, _ = argen.simulate_screen(ScreenModel(n_nodes=5, n_parents=1), rng=1)
    both = data.perturbations.tolil()
    both[data.cells_of(0)[:30], 1] = 1
    several = replace(data, perturbations=both.tocsc())
    found = estimate_penetrance(several, screen_descendants(several))
    assert not found.corrected.any()
    np.testing.assert_array_equal(found.share, 1.0)
    assert np.isnan(found.p_value).all()


HIDDEN = {
    "as it is": {},
    "strong factors": {"factor_effect": 1.5},
    "heavy tails": {"dispersion": 1.0},
    "weak guides": {"knockdown": (0.5, 1.5)},
    "batches": {"n_batches": 5, "assignment": 1.0},
    "few controls": {"n_controls": 300},
    "many counts": {"mean_count": 10.0},
}


@pytest.mark.rates
@pytest.mark.parametrize("options", HIDDEN.values(), ids=HIDDEN.keys())
def test_where_all_guides_work_nothing_is_corrected(options):
    p_values, n_corrected, holds = [], 0, []
    for seed in range(6):
        _, found = estimated(replace(HARD, **options), seed + 500)
        told = np.isfinite(found.p_value)
        p_values.append(found.p_value[told])
        holds.append(found.ci_high[told] == 1.0)
        n_corrected += int(found.corrected.sum())
    p_value = np.concatenate(p_values)
    # Three standard errors above .05, with 100 tests at least.
    assert np.mean(p_value < 0.05) < 0.05 + 3.0 * np.sqrt(0.05 * 0.95 / len(p_value))
    assert np.concatenate(holds).mean() > 0.93
    assert n_corrected == 0


@pytest.mark.rates
def test_many_batches_do_not_look_like_escape():
    """Their means are fitted to some forty controls each, which then seemed to be less like others.

    The standardized equations at share 1 had a mean of -.25, and of 400 working guides together it
    seemed sure that cells escape.
    """
    model = ScreenModel(n_nodes=100, n_controls=2000, n_batches=48, dispersion=0.3)
    p_values = [estimated(model, seed)[1].p_value for seed in range(3)]
    z = ndtri(np.concatenate(p_values))
    assert np.isfinite(z).mean() > 0.95
    assert np.nanmean(z) > -3.0 / np.sqrt(len(z))


@pytest.mark.rates
@pytest.mark.parametrize("penetrance", [0.6, 0.7, 0.85])
def test_escape_is_found_and_measured(penetrance):
    shares, called, covered = [], [], []
    for seed in range(6):
        _, found = estimated(replace(HARD, penetrance=penetrance, cells_per_node=200), seed)
        told = np.isfinite(found.p_value)
        called.append(found.corrected[told].mean())
        shares.append(found.share[found.corrected])
        covered.append(((found.ci_low <= penetrance) & (penetrance <= found.ci_high))[told])
    assert np.mean(called) > 0.7
    assert abs(np.concatenate(shares).mean() - penetrance) < 0.05
    assert np.concatenate(covered).mean() > 0.9


def ratios_to_truth(network: argen.CausalNetwork, truth: argen.Truth) -> np.ndarray:
    """Estimates of true edges over what they are."""
    true = truth.to_frame().rename(columns={"effect": "true"})
    merged = network.candidates.merge(true, on=["source", "target"])
    return (merged["effect"] / merged["true"]).to_numpy()


@pytest.mark.rates
def test_direct_effects_are_those_of_working_cells():
    """Cells that escape make edges too large, as they dilute strong knock-downs most."""
    corrected, plain = [], []
    for seed in range(10):
        data, truth = argen.simulate_screen(replace(ESCAPING, cells_per_node=200), rng=seed)
        for ratios, penetrance in ((corrected, "auto"), (plain, "full")):
            config = argen.InferenceConfig(penetrance=penetrance)
            ratios.append(ratios_to_truth(argen.infer_network(data, config), truth))
    assert abs(np.median(np.concatenate(corrected)) - 1.0) < 0.1
    assert np.median(np.concatenate(plain)) > 1.3


@pytest.mark.rates
def test_where_guides_work_networks_stay_as_they_are():
    for seed in range(6):
        data, _ = argen.simulate_screen(replace(HARD, cells_per_node=200), rng=seed)
        network = argen.infer_network(data)
        np.testing.assert_array_equal(network.penetrance.share, 1.0)
        plain = argen.infer_network(data, argen.InferenceConfig(penetrance="full"))
        pd.testing.assert_frame_equal(network.candidates, plain.candidates, check_exact=True)
