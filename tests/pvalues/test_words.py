"""P-values as text."""

from __future__ import annotations

import numpy as np
import pytest

from argen.pvalues import p_of, shown_p


def test_no_p_value_is_said_to_be_0():
    assert p_of(0.0) == "p < 1e-300"
    assert p_of(5e-324) == "p = 4.9e-324"
    assert p_of(0.0301) == "p = 0.03"
    assert p_of(0.0498) == "p = 0.0498"  # and not 0.05, in a list of those below it
    assert shown_p(np.log10(0.0504)) == "0.0504"
    assert p_of(float("nan")) == "p missing"


def test_p_values_as_text():
    assert shown_p(-0.30103) == "0.5"
    assert shown_p(-400.5) == "3.2e-401"
    assert shown_p(float("nan")) == "missing"
    assert shown_p(-np.inf) == "0"


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (1.0, "1"), (0.0996, "0.1"), (0.00101, "0.001"), (9.996e-4, "1.0e-3"),
        (9.94e-6, "9.9e-6"), (9.96e-6, "1.0e-5"), (9.99e-200, "1.0e-199"), (1e-5, "1.0e-5"),
    ],
)  # fmt: skip
def test_p_values_that_round_up_to_ten_get_the_next_power(p, shown):
    assert shown_p(np.log10(p)) == shown
