"""The counts of a seed stay what they are: options that are off change no number."""

import hashlib

import numpy as np
import pytest

import argen

PLAIN = argen.ScreenModel()
# Two blocks, and everything that has long been there.
MIXED = argen.ScreenModel(
    n_nodes=8, n_hidden_genes=2, n_sinks=5, penetrance=0.6, failed=0.2, off_target=0.3,
    n_feedback=2, n_parents=1.5, n_batches=3, n_states=2, dispersion=0.2, n_controls=5000,
)  # fmt: skip


@pytest.mark.parametrize(
    ("model", "seed", "expected"),
    [
        (PLAIN, 1, "57dc31cd58e42a45"),
        (PLAIN, 2, "6c1cad70d5dca1b5"),
        (MIXED, 1, "3d99aefd4dc20102"),
        (MIXED, 2, "ac8da9f90480efc4"),
    ],
)  # fmt: skip
def test_counts_of_a_seed(model, seed, expected):
    data, _ = argen.simulate_screen(model, rng=seed)
    counts = data.counts.dense(np.arange(data.n_genes)).astype("<i8")
    assert hashlib.sha256(np.ascontiguousarray(counts).tobytes()).hexdigest()[:16] == expected
    assert data.guides is None
