"""Counts computed back from logarithms of normalised ones."""

import numpy as np
import pytest

import argen
from argen.read import counts_of_normalised


def normalised(counts, depth, dtype=np.float32):
    return np.log1p(counts / depth[:, None] * np.median(depth)).astype(dtype)


def test_counts_and_ratios_of_depths_come_back(rng):
    depth = rng.lognormal(9, 0.4, size=300)
    counts = rng.poisson(np.outer(depth / np.median(depth), rng.lognormal(0, 2, size=60)))
    counts[:, 0] += 5_000  # more digits than single precision leaves for a part of one
    found, own = counts_of_normalised(normalised(counts, depth))
    np.testing.assert_array_equal(found.toarray(), counts)
    np.testing.assert_allclose(own / own[0], depth / depth[0], rtol=1e-4)


def test_a_cell_without_a_single_count_is_found_by_the_others():
    counts = np.array([[2, 3, 0], [4, 6, 9], [0, 0, 0]])
    found, depth = counts_of_normalised(normalised(counts, np.array([1e4, 2e4, 3e4])))
    np.testing.assert_array_equal(found.toarray(), counts)
    assert depth[1] / depth[0] == pytest.approx(2)
    assert np.isnan(depth[2])


def test_what_is_not_normalised_counts_is_refused(rng):
    with pytest.raises(argen.InputError, match="cell 0 are no multiples of one"):
        counts_of_normalised(rng.random((3, 40)))
    with pytest.raises(argen.InputError, match="negative, missing or infinite"):
        counts_of_normalised(rng.normal(size=(3, 40)))
