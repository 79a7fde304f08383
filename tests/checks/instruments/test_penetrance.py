"""In how many cells guides work, among checks."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

import argen


def test_a_check_has_the_share_beside_the_knock_down(escaping_network):
    found = argen.check(escaping_network)
    shares = escaping_network.penetrance.to_frame()
    table = found.tables["knockdown"]
    pd.testing.assert_frame_equal(table[list(shares)], shares)
    assert f"penetrance: {escaping_network.penetrance_line()}" in found.measured
    said = [f.evidence for f in found.findings if f.assumption.startswith("penetrance")]
    assert len(said) == 1


def test_where_nothing_was_looked_for_that_is_said(escaping_network):
    config = argen.InferenceConfig(penetrance="full")
    found = argen.check(replace(escaping_network, penetrance=None, config=config))
    assert "penetrance" not in found.tables["knockdown"]
    assert "penetrance: not looked for, as the options say" in found.measured
