"""What engines must agree on: infinite effects, failures, and what is said of them."""

import numpy as np
import pandas as pd
import pytest

import argen
from argen.engine import ExactEngine, SharedEngine
from argen.errors import FitStatus
from tests.screens import effects_of, screen_of

both_engines = pytest.mark.parametrize(
    "engine", [ExactEngine(), SharedEngine()], ids=["exact", "shared"]
)


@pytest.fixture
def sparse_screen(rng):
    """Four genes, 60 cells each and 600 controls, with groups that have no count of a gene."""
    node_of_cell = np.repeat([-1, 0, 1, 2, 3], [600, 60, 60, 60, 60])
    counts = rng.poisson(1.0, size=(840, 4))
    counts[node_of_cell == 0, 0] = 0  # knocked down to nothing
    counts[node_of_cell == 0, 1] = 0  # and its target with it
    counts[node_of_cell < 1, 3] = 0  # seen under the other perturbations alone
    return screen_of(counts, node_of_cell)


@both_engines
def test_no_counts_among_the_perturbed(sparse_screen, engine):
    effects = effects_of(sparse_screen, 0, engine)
    assert effects.effect[1] == -np.inf
    assert np.isnan(effects.std_error[1])
    assert effects.status[1] == FitStatus.ZERO_COUNTS_PERTURBED
    counts = sparse_screen.counts.dense([1])[0, sparse_screen.node_of_cell < 1]
    chance = 2 * (1 - 60 / 660) ** counts.sum()  # the plain binomial, before overdispersion
    assert chance * (1 - 1e-12) <= effects.p_value[1] < 1e-10


@both_engines
def test_no_counts_among_the_controls(sparse_screen, engine):
    data = sparse_screen
    effects = effects_of(data, 1, engine)
    assert effects.effect[3] == np.inf
    assert effects.status[3] == FitStatus.ZERO_COUNTS_CONTROL
    assert effects.p_value[3] < 1e-10
    nothing = effects_of(data, 0, engine)
    assert nothing.status[3] == FitStatus.ZERO_COUNTS
    assert np.isnan(nothing.p_value[3])


def test_missing_tests_are_counted_and_never_significant(sparse_screen):
    screen = argen.screen_descendants(sparse_screen)
    assert np.isnan(screen.p_adjusted[0, 3])
    assert not screen.is_descendant[0, 3]
    assert screen.is_descendant[0, 1]
    assert np.isfinite(screen.p_adjusted).sum() == 4 * 3 - 1


def test_a_complete_knock_out_keeps_its_edges(sparse_screen):
    network = argen.infer_network(sparse_screen)
    edge = network.candidates.query("source == 'g0' and target == 'g1'").iloc[0]
    assert edge["status"] == "HALF_COUNT"
    assert np.isfinite(edge["effect"])
    assert np.isfinite(edge["p_value"])
    unusual = network.unusual_fits()
    assert {"HALF_COUNT", "ZERO_COUNTS", "ZERO_COUNTS_PERTURBED"} <= set(unusual["status"])
    assert unusual["advice"].str.len().gt(20).all()
    assert "half a count" in network.summary()


@both_engines
def test_a_batch_without_counts_does_not_disturb(rng, engine):
    """Cells of a batch in which a gene was never seen say nothing about effects on it."""
    node_of_cell = np.tile([-1, -1, -1, 0, 1], 200)
    batch = rng.choice(["a", "b", "c"], 1000)
    counts = rng.poisson(2.0, size=(1000, 2))
    counts[batch == "a", 1] = 0
    everything = screen_of(counts, node_of_cell, pd.DataFrame({"batch": batch}))
    kept = batch != "a"
    without = screen_of(counts[kept], node_of_cell[kept], pd.DataFrame({"batch": batch[kept]}))
    left = effects_of(everything, 0, engine)
    right = effects_of(without, 0, engine)
    assert left.effect[1] == pytest.approx(right.effect[1], rel=1e-9)
    # The shared engine takes its last step on trust: see LAST_STEP.
    assert left.std_error[1] == pytest.approx(right.std_error[1], rel=1e-6)


@both_engines
def test_a_perturbation_of_one_batch_alone_is_not_identified(rng, engine):
    """All cells of one perturbation in a batch without controls."""
    node_of_cell = np.repeat([-1, 0, 1], [400, 100, 100])
    batch = np.repeat(["a", "b", "a"], [400, 100, 100])
    data = screen_of(rng.poisson(3.0, (600, 2)), node_of_cell, pd.DataFrame({"batch": batch}))
    effects = effects_of(data, 0, engine)
    assert (effects.status == FitStatus.NOT_IDENTIFIED).all()
    assert np.isnan(effects.p_value).all()
