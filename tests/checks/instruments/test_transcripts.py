"""Perturbations that act without lowering their transcript: named, and no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

import argen
from argen.checks.instruments.transcripts import FEWEST_MOVED_MORE, n_moved_more
from tests.networks import made_up_network
from tests.screens import screen_of

MODEL = argen.ScreenModel(
    n_nodes=25, n_sinks=25, n_parents=1, cells_per_node=100, mean_count=3.0, dispersion=0.2
)


def knocked_out(data: argen.PerturbSeqData, nodes: list[int], left: float) -> argen.PerturbSeqData:
    """Leave a share of their own transcript in the cells of some nodes, and all else as it is."""
    rng = np.random.default_rng(1)
    counts, controls = data.counts.to_csc().toarray(), np.flatnonzero(data.controls)
    for node in nodes:
        cells = np.flatnonzero(data.node_of_cell == node)
        whole = counts[rng.choice(controls, len(cells)), node].astype(int)
        counts[cells, node] = rng.binomial(whole, left)
    return screen_of(
        counts, data.node_of_cell, data.covariates, data.library_size, n_nodes=data.n_nodes
    )


@pytest.mark.rates
@pytest.mark.parametrize(
    "options",
    [{}, {"effect": (0.7, 0.9), "positive": 1.0}, {"knockdown": (0.2, 0.4)},
     {"penetrance": 0.6}, {"failed": 0.3}],
)  # fmt: skip
def test_no_knock_down_is_named(options):
    n_named = 0
    for seed in range(4):
        data, _ = argen.simulate_screen(replace(MODEL, **options), rng=seed)
        moved = n_moved_more(argen.infer_network(data).screen)
        n_named += int((moved >= FEWEST_MOVED_MORE).sum())
    assert n_named <= 1  # of 100


@pytest.mark.rates
def test_knock_outs_of_genes_with_several_targets_are_named():
    named = {0.9: [], 0.25: []}
    for seed in range(6):
        data, _ = argen.simulate_screen(MODEL, rng=seed)
        n_targets = argen.screen_descendants(data).is_descendant.sum(axis=1)
        nodes = list(range(0, 25, 2))
        hubs = [node for node in nodes if n_targets[node] >= 4]
        for left, found in named.items():
            moved = n_moved_more(argen.infer_network(knocked_out(data, nodes, left)).screen)
            found += (moved[hubs] >= FEWEST_MOVED_MORE).tolist()
            assert (moved[1::2] < FEWEST_MOVED_MORE).all()
    assert len(named[0.9]) > 20
    assert np.mean(named[0.9]) > 0.5
    assert np.mean(named[0.25]) < 0.2


def test_says_which_and_quality_control_says_it_too():
    rng = np.random.default_rng(4)
    node = np.repeat([-1, 0, 1, 2, 3, 4], [800, *[150] * 5])
    log_mean = -1.5 * (node[:, None] == np.arange(5))
    log_mean[node == 0, 0] = np.log(0.85)  # a knock-out that leaves its transcript
    log_mean[node == 0, 1:] -= 1.0
    data = screen_of(rng.poisson(6.0 * np.exp(log_mean)), node)
    network = argen.infer_network(data, argen.InferenceConfig(penetrance="full"))
    found = argen.check(network, data, n_null_tests=0)
    (warning,) = [f for f in found.findings if f.assumption.startswith("size (")]
    assert warning.evidence.startswith(
        "1 of 5 perturbations moves other genes by more than its own gene"
    )
    assert "g0 (8" in warning.evidence
    assert "% left; 4 genes)" in warning.evidence
    assert "are too large" in warning.advice
    assert warning.severity == "warning"
    assert found.tables["knockdown"]["n_moved_more"].tolist() == [4, 0, 0, 0, 0]
    assert warning in argen.check(network).findings  # cells are not needed
    points = found.tables["weak_points"]
    doubted = (points["weak_point"] + ", " + points["also"]).str.contains("transcript stays")
    assert doubted.equals(points["source"] == "g0")
    assert doubted.any()
    quality = argen.quality_control(data, config=argen.InferenceConfig(penetrance="full"))
    assert warning.assumption in {f.assumption for f in quality.diagnostics.findings}


def test_counts_are_those_of_a_plain_loop():
    network = made_up_network(30, 60, seed=3)
    rng = np.random.default_rng(2)
    effect = rng.normal(0.0, 1.0, (30, 30))
    effect[3, 5], effect[4, 7] = -np.inf, np.nan
    std_error = np.where(np.isfinite(effect), rng.uniform(0.05, 0.3, (30, 30)), np.nan)
    np.fill_diagonal(effect, np.nan)
    screen = replace(network.screen, effect=effect, std_error=std_error)
    own = screen.knockdown
    found = n_moved_more(screen)
    for k in range(30):
        p = []
        for j in range(30):
            gap = abs(effect[k, j]) - abs(own.effect[k])
            if j != k and np.isfinite(gap):
                p.append(norm.sf(gap / np.hypot(std_error[k, j], own.std_error[k])))
        n = 0
        for rank, value in enumerate(sorted(p)):
            if value * (len(p) - rank) >= 0.05:
                break
            n += 1
        assert found[k] == n
    assert found.max() > 3
