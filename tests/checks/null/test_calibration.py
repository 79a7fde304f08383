"""Calibration: quiet with a test that holds its size, and said first with one that does not."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import argen
from argen.checks.null import calibration
from argen.checks.null.calibration import (
    MOST_GENES,
    TOTAL,
    NullScreens,
    calibration_findings,
    calibration_table,
    null_screens,
)
from tests.screens import guided, screen_of


def sparse_screen(seed: int) -> argen.PerturbSeqData:
    """Few overdispersed counts, hidden confounders, and true effects that null screens undo."""
    model = argen.ScreenModel(
        n_nodes=30, cells_per_node=50, n_controls=900, mean_count=0.3, dispersion=1.0,
        n_factors=2, factor_effect=0.7, n_batches=2,
    )  # fmt: skip
    return argen.simulate_screen(model, rng=seed)[0]


@pytest.mark.rates
def test_quiet_with_the_default_test():
    config = argen.InferenceConfig()
    screens = null_screens(sparse_screen(1), config, n_tests=20_000, rng=np.random.default_rng(1))
    table = calibration_table(screens)
    assert (table["n_tests"] >= 15_000).all()
    assert not calibration_findings(screens, config)
    error = table["error_below_0.05"]
    assert (error < 0.006).all()
    assert (np.abs(table["share_below_0.05"] - 0.05) < 4 * error).all()
    assert (table["share_below_0.001"] < 0.002).all()
    assert (np.abs(table["inflation"] - 1.0) < 0.1).all()


@pytest.mark.rates
def test_speaks_first_with_a_test_of_wrong_size():
    config = argen.InferenceConfig(screen_test="wald")
    data = sparse_screen(1)
    network = argen.infer_network(data, config)
    found = argen.check(network, data, n_null_tests=8000)
    first = found.summary().splitlines()[0]
    assert first.startswith("[serious] in doubt: p-values hold")
    assert "P-VALUES ARE INFLATED" in first
    assert "screen_test='saddlepoint'" in first
    assert (found.tables["calibration"]["share_below_0.001"] > 0.002).any()
    kinds = {"controls", "permuted labels", "permuted labels, thinned"}
    assert set(found.tables["calibration_qq"]["kind"]) == kinds


@pytest.mark.parametrize(
    ("n_small", "verdict"),
    [
        ([1] * 40, "p-values hold"),
        ([0, 0, 0, 6], "more small p-values than expected, but no more than chance may bring"),
        ([3] * 40, "p-values are too small"),
    ],
)
def test_the_verdict_is_in_words(n_small, verdict):
    """Of 20 p-values of each screen so many are below .05."""
    p_values = [np.repeat([0.02, 0.5], [n, 20 - n]) for n in n_small]
    screens = NullScreens("controls", TOTAL, p_values, [0] * len(n_small))
    (row,) = calibration_table([screens]).to_dict("records")
    assert row["verdict"] == verdict
    assert bool(calibration_findings([screens], argen.InferenceConfig())) == (
        verdict == "p-values are too small"
    )


@pytest.mark.whole
def test_null_screens_without_n_tests_or_with_many_genes():
    rng = np.random.default_rng(5)
    node = np.repeat(np.arange(-1, 3), [200, 30, 30, 30])
    counts = rng.poisson(2.0, (len(node), MOST_GENES + 20))
    covariates = pd.DataFrame(
        {"lane": np.where(node == -1, "a", rng.choice(["a", "b"], len(node)))}
    )
    data = screen_of(counts, node, covariates, n_nodes=3)
    screens = null_screens(data, argen.InferenceConfig(), n_tests=1, rng=rng)
    assert [len(each.p_values) for each in screens] == [20, 20]
    # Three groups of thirty fit into half of the controls, whose lane is constant.
    assert all(len(p) == 3 * MOST_GENES for each in screens for p in each.p_values)


@pytest.mark.whole
def test_the_same_seed_gives_the_same_null_screens(monkeypatch):
    monkeypatch.setattr(calibration, "FEWEST_SCREENS", 3)
    data = sparse_screen(2)
    network = argen.infer_network(data)
    tables = [argen.check(network, data, n_null_tests=1, rng=4).tables for _ in range(2)]
    pd.testing.assert_frame_equal(tables[0]["calibration"], tables[1]["calibration"])


def test_covariates_that_fail_in_the_controls_are_said():
    data, _ = argen.simulate_screen(argen.ScreenModel(n_nodes=3, n_parents=0), rng=1)
    data.covariates["b"] = np.where(data.perturbations.sum(axis=1) == 0, data.covariates["x1"], 1.0)
    found = argen.check(argen.infer_network(data), data, n_null_tests=1)
    assert "null screens: not computed: Covariate 'b' is collinear" in found.summary()


@pytest.mark.parametrize("seed", range(3))
def test_labels_are_permuted_within_batches(seed):
    from argen.checks.null.calibration import _permuted, _strata

    data = sparse_screen(seed)
    strata = _strata(data.covariates)
    permuted = _permuted(data, strata, np.random.default_rng(seed))
    for stratum in np.unique(strata):
        before, after = (d.perturbations.toarray()[strata == stratum] for d in (data, permuted))
        np.testing.assert_array_equal(before.sum(axis=0), after.sum(axis=0))
        assert (before != after).any()


def jackpots(seed: int) -> tuple[argen.PerturbSeqData, pd.Series]:
    """Cells of one guide share shifts that no perturbation explains, as clones do; no effects."""
    rng = np.random.default_rng(seed)
    guide = np.repeat(np.arange(42), 50)  # twelve of the controls, three of each of ten nodes
    node = np.where(guide < 12, -1, (guide - 12) // 3)
    shift = 0.12 * rng.normal(size=(42, 80))
    counts = rng.poisson(5.0 * np.exp(shift[guide]))
    data = screen_of(counts, node, pd.DataFrame(index=range(len(node))), n_nodes=10)
    labels = pd.Series([f"g{k}" for k in guide], index=data.cells)
    return guided(data, labels), labels


@pytest.mark.rates
def test_cells_of_a_guide_that_go_together():
    """Guides that pose as perturbations show it, and the inflation that they ask for mends it."""
    data, _ = jackpots(1)
    network = argen.infer_network(data)
    found = argen.check(network, data, n_null_tests=2000)
    table = found.tables["calibration"].set_index("kind")
    posing = table.loc["non-targeting guides"]
    assert posing["n_screens"] == 12
    assert posing["n_tests"] == 12 * 80
    assert posing["share_below_0.05"] > 0.2
    assert (table["share_below_0.05"].drop("non-targeting guides") < 0.07).all()
    first = found.summary().splitlines()[0]
    assert "P-VALUES ARE INFLATED: in null screens (non-targeting guides" in first
    inflation = float(re.search(r"--inflation ([\d.]+)\)", first)[1])
    assert inflation > 2.0
    shares = {1.0: [], inflation: []}
    for seed in range(2, 8):  # other screens of the same kind
        data, _ = jackpots(seed)
        for divided_by, found_shares in shares.items():
            config = argen.InferenceConfig(inflation=divided_by)
            screen = argen.screen_descendants(data, config)
            found_shares.append(np.mean(screen.p_value[screen.pairs] < 0.05))
    assert np.mean(shares[1.0]) > 0.2
    assert np.mean(shares[inflation]) < 0.06
    again = argen.infer_network(data, argen.InferenceConfig(inflation=inflation))
    checked = argen.check(again, data, n_null_tests=2000)
    assert not any("INFLATED" in f.evidence for f in checked.findings)


@pytest.mark.whole
def test_guides_of_the_controls_are_three_or_none():
    data, guides = jackpots(1)
    named = guides.where(~guides.isin([f"g{k}" for k in range(2, 12)]), "others")
    config, rng = argen.InferenceConfig(), np.random.default_rng(1)
    three = null_screens(guided(data, named), config, n_tests=1, rng=rng)
    assert [each.kind for each in three][2:] == ["non-targeting guides"]
    assert len(three[2].p_values) == 3
    two = null_screens(guided(data, named.replace("g0", "g1")), config, n_tests=1, rng=rng)
    assert len(two) == 2


@pytest.mark.whole
def test_guides_where_genes_are_many():
    """The cells of genes that have no part in null screens are left out, and their guides."""
    node = np.repeat(np.arange(-1, MOST_GENES + 5), [200, *[12] * (MOST_GENES + 5)])
    rng = np.random.default_rng(2)
    data = screen_of(rng.poisson(2.0, (len(node), MOST_GENES + 5)), node)
    data = guided(data, [f"g{k % 3}" for k in range(len(node))])
    screens = null_screens(data, argen.InferenceConfig(), n_tests=1, rng=rng)
    assert [each.kind for each in screens][2:] == ["non-targeting guides"]
    assert [len(p) for p in screens[2].p_values] == 3 * [MOST_GENES]


def test_inflation_divides_the_statistics_of_both_steps():
    data, _ = argen.simulate_paper_screen(rng=1, n_cells=2000)
    plain, divided = (
        argen.infer_network(data, argen.InferenceConfig(inflation=k, screen_alpha=0.2))
        for k in (1.0, 4.0)
    )
    off = plain.screen.pairs
    z = [norm.isf(network.screen.p_value[off] / 2) for network in (plain, divided)]
    some = z[0] < 7
    np.testing.assert_allclose(z[1][some], z[0][some] / 2, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(divided.screen.std_error, 2 * plain.screen.std_error)
    both = plain.candidates.merge(divided.candidates, on=["source", "target"])
    np.testing.assert_allclose(both["effect_x"], both["effect_y"])
    assert (both["log10_p_y"] >= both["log10_p_x"]).all()
    with pytest.raises(argen.InputError, match=r"inflation must be a number from 1, not 0.5"):
        argen.InferenceConfig(inflation=0.5)
