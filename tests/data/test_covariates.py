"""Coded covariates against dense columns."""

import numpy as np
import pandas as pd
import pytest

from argen.data.covariates import encode_covariates, explained_columns

# Differences of sums over some hundred cells.
ROUNDING = 1e-9


@pytest.fixture
def table(rng) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "lane": rng.choice(list("abcd"), 300),
            "x": rng.normal(size=300),
            "flag": rng.integers(0, 2, 300),
            "replicate": rng.choice(["r1", "r2", "r3"], 300),
            "y": rng.normal(size=300),
        }
    )


@pytest.mark.parametrize("formula", [None, "~ x + lane + flag + y:flag + replicate"])
def test_matrix_has_the_columns_that_the_names_say(table, formula):
    block = encode_covariates(table, formula)
    columns = dict(zip(block.names, block.matrix.T, strict=True))
    level, one = ("lane[c]", "flag") if formula is None else ("lane[T.c]", "flag")
    np.testing.assert_array_equal(columns[level], table["lane"] == "c")
    np.testing.assert_array_equal(columns[one], table["flag"])
    standardised = (table["x"] - table["x"].mean()) / table["x"].std(ddof=0)
    np.testing.assert_allclose(columns["x"], standardised, atol=ROUNDING)


def explained_by_least_squares(columns: np.ndarray, groups: np.ndarray) -> list[int]:
    """Regress each column on the groups and on the columns before it."""
    dummies = np.eye(groups.max() + 1)[groups]
    explained = []
    for c, column in enumerate(columns.T):
        before = np.column_stack([dummies, columns[:, :c]])
        left = column - before @ np.linalg.lstsq(before, column, rcond=None)[0]
        if left @ left <= ROUNDING * np.sum((column - column.mean()) ** 2):
            explained.append(c)
    return explained


@pytest.mark.parametrize("formula", [None, "~ y + replicate + x + lane"])
@pytest.mark.parametrize("seed", range(5))
def test_explained_columns(table, formula, seed):
    """Groups nested in lanes explain these; a group of one cell, and an empty one, explain none."""
    block = encode_covariates(table, formula)
    lane = pd.Categorical(table["lane"]).codes.astype(np.int64)
    groups = 3 * lane + np.random.default_rng(seed).integers(0, 2, len(lane))
    groups[0] = 20
    expected = explained_by_least_squares(block.matrix, groups)
    assert explained_columns(block, groups) == expected
    assert sum(block.names[c].startswith("lane") for c in expected) >= 2
    assert explained_columns(block, np.zeros_like(groups)) == []
