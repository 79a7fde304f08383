"""Total effects in working cells: closed form, derivatives, and the floor."""

from __future__ import annotations

import numpy as np

from argen.engine.demixing import LEAST_LEFT, demixed

SHARES = np.array([[0.4], [0.7], [0.95]])
TOTALS = np.array([-2.5, -0.4, 0.0, 1.3])


def mixed(total, share):
    return np.log(1.0 - share + share * np.exp(total))


def test_takes_out_what_was_mixed_in():
    found = demixed(mixed(TOTALS, SHARES), SHARES)
    np.testing.assert_allclose(found.total, np.broadcast_to(TOTALS, (3, 4)), atol=1e-12)
    assert not found.at_floor.any()


def test_derivatives():
    effect, step = mixed(TOTALS, SHARES), 1e-6
    found = demixed(effect, SHARES)
    by_effect = demixed(effect + step, SHARES).total - demixed(effect - step, SHARES).total
    by_share = demixed(effect, SHARES + step).total - demixed(effect, SHARES - step).total
    np.testing.assert_allclose(found.by_effect, by_effect / (2 * step), rtol=1e-5)
    np.testing.assert_allclose(found.by_share, by_share / (2 * step), rtol=1e-5, atol=1e-8)


def test_where_all_work_nothing_changes():
    effect = np.array([-3.0, 0.123456789, np.nan])
    found = demixed(effect, np.ones(3))
    np.testing.assert_array_equal(found.total, effect)
    np.testing.assert_array_equal(found.by_effect[:2], 1.0)
    error = found.std_error(np.full(3, 0.2), np.zeros(3), np.zeros(3))
    np.testing.assert_allclose(error[:2], 0.2, rtol=1e-15)


def test_fewer_counts_than_escaping_cells_have():
    """The effect is that of the floor, and hardly known: its error is finite and large."""
    found = demixed(np.log(np.array([0.25])), np.array([0.7]))
    assert found.at_floor.all()
    np.testing.assert_allclose(found.total, np.log(LEAST_LEFT))
    assert 5.0 < found.std_error(np.array([0.1]), np.array([0.05]), np.array([0.0]))[0] < 50.0


def test_errors_that_go_together_cancel():
    """More escaping cells than expected raise the mean, and lower the share that is found."""
    found = demixed(np.array([-0.8]), np.array([0.7]))
    alone, together = (
        found.std_error(np.array([0.1]), np.array([0.05]), np.array([covariance]))[0]
        for covariance in (0.0, -0.8 * 0.1 * 0.05)
    )
    assert found.by_share[0] > 0.0
    assert together < 0.8 * alone
