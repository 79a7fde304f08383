"""The rules that choose nodes, each by itself, at its bound, and where a number is missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import argen
from argen.qc.choice import knockdown_share, reasons_against

TABLE = pd.DataFrame(
    {
        "candidate": ["strong", "weak", "raised", "unknown", "gone"],
        "control_mean": [2.0, 0.5, 1.0, 1.0, 0.1],
        "effect": [np.log(0.5), np.log(0.9), np.log(2.0), np.nan, -np.inf],
        "p_adjusted": [1e-9, 0.05, 1e-4, np.nan, 1e-3],
        "log10_p": [-10.0, -2.0, -5.0, np.nan, -4.0],
        "n_descendants": [1, 0, 3, 2, 0],
    }
)


def refused(**rules) -> dict[str, str]:
    """Why candidates are out under rules of which all others are off."""
    among = rules.pop("among", {})
    choice = argen.NodeChoice(**{"max_p": 1.0, **rules})
    reasons = reasons_against(TABLE, choice, among)
    return {name: why for name, why in zip(TABLE["candidate"], reasons, strict=True) if why}


def test_without_rules_all_are_nodes():
    assert refused() == {}


def test_what_has_no_p_value_is_out_unless_any_will_do():
    assert refused(max_p=0.05) == {"unknown": "p above 0.05"}
    assert set(refused(max_p=0.01)) == {"weak", "unknown"}


def test_a_knockdown_is_the_share_that_is_lost_and_a_rise_the_share_that_was_won():
    """Half is lost, and twice is half the way back: both are 50 %."""
    share = knockdown_share(TABLE["effect"].to_numpy())
    np.testing.assert_allclose(share, [0.5, 0.1, 0.5, np.nan, 1.0])
    assert set(refused(min_knockdown=0.3)) == {"weak", "unknown"}
    assert refused(min_knockdown=0.6)["strong"] == "knock-down below 60 %"
    assert "gone" not in refused(min_knockdown=1.0)


def test_expression():
    assert refused(min_mean=1.0) == {"weak": "mean below 1", "gone": "mean below 1"}


def test_groups_are_all_to_be_kept():
    among = {"chromosome=1": ["strong", "weak"], "SET": {"weak", "gone"}}
    assert set(refused(among=among)) == {"strong", "raised", "unknown", "gone"}
    assert refused(among=among)["unknown"] == "not in chromosome=1; not in SET"


def test_the_top_are_taken_from_those_that_pass():
    top = refused(top=2)
    assert set(top) == {"weak", "unknown", "gone"}
    assert top["gone"] == "not in the top 2 by knockdown"
    assert set(refused(top=2, top_by="descendants")) == {"strong", "weak", "gone"}
    assert set(refused(top=2, min_mean=1.0, min_knockdown=0.1)) == {"weak", "gone", "unknown"}
    assert refused(top=5) == {}


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"max_p": 2}, r"max_p must be a number from 0 to 1, not 2\."),
        ({"max_p": True}, "max_p must be a number from 0 to 1, not True"),
        ({"min_knockdown": 30}, "min_knockdown must be a number from 0 to 1, not 30"),
        ({"min_mean": -1.0}, "min_mean must be a number from 0, not -1"),
        ({"min_mean": float("nan")}, "min_mean must be a number from 0, not nan"),
        ({"top": 1}, "top must be a whole number from 2, not 1"),
        ({"top": 2.5}, "top must be a whole number from 2, not 2.5"),
        ({"top_by": "size"}, "top_by must be one of 'knockdown', 'descendants', not 'size'"),
    ],
)
def test_rules_validate_themselves(rules, words):
    with pytest.raises(argen.InputError, match=words):
        argen.NodeChoice(**rules)
