"""Stability: frequencies by hand, the same for any threads, and what is said of feedback."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import argen
from argen.checks.again.stability import Drawing, stability
from argen.plot import draw_stability
from tests.networks import HOSTILE
from tests.screens import screen_of

MODEL = argen.ScreenModel(n_nodes=8, n_parents=1, cells_per_node=120, n_controls=600, n_batches=2)


@pytest.fixture(scope="module")
def screen():
    """A small screen, with names that are hard to write."""
    data, _ = argen.simulate_screen(MODEL, rng=2)
    return replace(data, genes=HOSTILE[:8])


def test_counts_what_each_resample_finds(screen):
    """One resample after the other, inferred by hand from the very same cells."""
    config = argen.InferenceConfig(threads=1)
    network = argen.infer_network(screen, config)
    found = stability(network, screen, n_resamples=5, rng=7)
    table = found.tables["stability"].set_index(["source", "target"])
    rng, drawing = np.random.default_rng(7), Drawing(screen, "subsample", 0.5)
    edges, tested = [], []
    for _ in range(5):
        cells = drawing.draw(rng)
        counts = screen.counts.to_csc().toarray()[cells]
        again = argen.infer_network(
            replace(
                screen_of(counts, screen.node_of_cell[cells], screen.covariates.iloc[cells],
                          screen.library_size[cells]),
                genes=screen.genes,
            ),
            config,
        )  # fmt: skip
        edges += list(again.edges[["source", "target"]].itertuples(index=False, name=None))
        tested.append(again.candidates.set_index(["source", "target"])["effect"])
    share = pd.Series(edges).value_counts() / 5
    known = set(network.edges[["source", "target"]].itertuples(index=False, name=None))
    assert set(table.index) == set(share.index) | known
    for pair, row in table.iterrows():
        assert row["frequency"] == pytest.approx(share.get(pair, 0.0))
        assert row["reverse_frequency"] == pytest.approx(share.get(pair[::-1], 0.0))
        assert row["edge"] == (pair in known)
        effects = [effect[pair] for effect in tested if pair in effect]
        assert row["candidate_frequency"] == pytest.approx(len(effects) / 5)
        if effects:
            assert row["mean_effect"] == pytest.approx(np.mean(effects), rel=1e-9)
            assert row["sd_effect"] == pytest.approx(np.std(effects), abs=1e-6)
    lines = draw_stability(network, found.tables["stability"], ax=Figure().add_subplot()).lines
    for marker, rows in (("o", table["edge"]), ("x", ~table["edge"])):
        drawn = [line.get_ydata() for line in lines if line.get_marker() == marker]
        shares = np.concatenate(drawn) if drawn else []
        assert sorted(shares) == sorted(table.loc[rows, "frequency"])


def test_the_same_for_a_seed_and_any_threads(screen):
    found = [
        stability(
            argen.infer_network(screen, argen.InferenceConfig(threads=threads)),
            screen,
            n_resamples=4,
            scheme="bootstrap",
        ).tables["stability"]
        for threads in (1, 2)
    ]
    pd.testing.assert_frame_equal(*found)


def test_draws_within_perturbations(screen):
    rng = np.random.default_rng(1)
    cells = Drawing(screen, "subsample", 0.25).draw(rng)
    assert len(set(cells.tolist())) == len(cells)
    sizes = np.bincount(screen.node_of_cell + 1)
    np.testing.assert_array_equal(
        np.bincount(screen.node_of_cell[cells] + 1), np.round(sizes * 0.25)
    )
    again = Drawing(screen, "bootstrap", 0.5).draw(rng)
    np.testing.assert_array_equal(np.bincount(screen.node_of_cell[again] + 1), sizes)
    assert len(set(again.tolist())) < len(again)


@pytest.mark.rates
def test_strong_edges_come_back_and_feedback_turns_round():
    strong = argen.ScreenModel(
        n_nodes=8, n_parents=1, cells_per_node=400, mean_count=10.0, effect=(0.6, 0.9)
    )
    data, truth = argen.simulate_screen(strong, rng=1)
    found = stability(argen.infer_network(data), data, n_resamples=10)
    table = found.tables["stability"].query("edge")
    assert len(table) >= 0.8 * np.sum(truth.direct != 0)
    assert table["frequency"].median() == 1.0
    assert not [f for f in found.findings if "keep their direction" in f.evidence]
    # Two genes that drive each other alike: which is the source is anybody's guess.
    rng = np.random.default_rng(2)
    node = np.repeat([-1, 0, 1], [1500, 300, 300])
    own = -1.5 * (node[:, None] == [0, 1])
    log_mean = own + 0.7 * own[:, ::-1]
    counts = rng.poisson(6.0 * np.exp(log_mean))
    turning = screen_of(counts, node, pd.DataFrame(index=range(len(node))))
    found = stability(argen.infer_network(turning), turning, n_resamples=30)
    row = found.tables["stability"].iloc[0]
    assert row["frequency"] + row["reverse_frequency"] > 0.9
    assert 0.1 < row["direction_frequency"] < 0.9
    assert [f for f in found.findings if "keep their direction" in f.evidence]


def test_bad_options_are_refused(screen):
    network = argen.infer_network(screen)
    with pytest.raises(argen.InputError, match="n_resamples must be 1 or more, not 0"):
        stability(network, screen, n_resamples=0)
    with pytest.raises(argen.InputError, match=r"scheme must be one of .*Did you mean 'bootstrap'"):
        stability(network, screen, scheme="bootstap")
    with pytest.raises(argen.InputError, match=r"fraction must be between 0 and 1, not 1\.5"):
        stability(network, screen, fraction=1.5)


def test_resamples_that_cannot_be_inferred_are_counted(screen, monkeypatch):
    module = importlib.import_module("argen.checks.again.stability")
    network, calls = argen.infer_network(screen), []

    def infer(data, config):
        calls.append(data)
        if len(calls) == 2:
            raise argen.InputError("Column 'lane' is constant.")
        return argen.infer_network(data, config)

    monkeypatch.setattr(module, "method_of", lambda _: infer)
    found = stability(network, screen, n_resamples=4)
    assert len(found.tables["resamples"]) == 3
    (note,) = [f for f in found.findings if f.severity == "note"]
    assert note.evidence.startswith("1 resample could not be inferred")
    assert "'lane' is constant" in note.evidence
    frequencies = 3 * found.tables["stability"]["frequency"]
    np.testing.assert_allclose(frequencies, frequencies.round())
