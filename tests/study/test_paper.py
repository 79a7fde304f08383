"""The simulation of the paper: its numbers, and that they are the paper's."""

import numpy as np
import pandas as pd
import pytest

import argen
from argen.study.paper import (
    PUBLISHED_PROPORTIONS,
    PaperStudy,
    published_estimates,
    run_paper_study,
)

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def study() -> PaperStudy:
    return run_paper_study(n_replicates=20, seed=1, workers=2)


def test_agrees_with_the_published_table(study):
    """Means within four standard errors; spreads within the range that 20 draws allow."""
    table = study.table()
    assert len(table) == 24
    ours = table[table["method"] == "argen"]
    assert ours["z"].abs().max() < 4
    assert (ours["found"] == 1).sum() >= 11
    ratio = ours["sd"] / ours["published_sd"]
    assert ratio.between(0.5, 1.7).all()
    naive = table[table["method"] == "naive"]
    # Its mean depends on labels and covariate, which are drawn once and are not the paper's.
    np.testing.assert_allclose(naive["mean"], naive["published_mean"], atol=0.35)
    proportions = study.proportions().set_index(["method", "setting"])["mean"]
    assert (proportions["argen"] < 0.1).all()
    assert (proportions["naive"] > 0.25).all()


def test_both_settings_see_the_same_counts(study):
    effects = study.estimates.query("method == 'argen' and source == 'X1' and target == 'X2'")
    full, omitted = (effects[effects["setting"] == setting] for setting in ("full", "omitted"))
    assert full["replicate"].tolist() == omitted["replicate"].tolist()
    assert np.corrcoef(full["effect"], omitted["effect"])[0, 1] > 0.9


def test_the_tables_are_those_of_a_loop(study):
    table = study.table().set_index(["method", "setting", "source", "target"])
    row = table.loc[("naive", "omitted", "X3", "X6")]
    chosen = [
        e
        for e in study.estimates.itertuples()
        if (e.method, e.setting, e.source, e.target) == ("naive", "omitted", "X3", "X6")
    ]
    effects = [e.effect for e in chosen]
    assert len(chosen) == row["n"] == 20
    assert row["mean"] == pytest.approx(sum(effects) / 20)
    assert row["published_mean"] == -3.336
    error = np.sqrt(np.var(effects, ddof=1) / 20 + 0.201**2 / 100)
    assert row["z"] == pytest.approx((np.mean(effects) + 3.336) / error)
    shares = []
    for replicate in range(20):
        called = [
            e.true
            for e in study.estimates.itertuples()
            if (e.method, e.setting, e.replicate) == ("naive", "full", replicate) and e.selected
        ]
        shares.append(sum(true == 0 for true in called) / len(called))
    found = study.proportions().set_index(["method", "setting"]).loc[("naive", "full")]
    assert found["mean"] == pytest.approx(np.mean(shares))
    assert found["error"] == pytest.approx(np.std(shares, ddof=1) / np.sqrt(20))


def test_numbers_do_not_depend_on_workers_or_other_replicates(study):
    alone = run_paper_study(n_replicates=2, seed=1, workers=1).estimates
    first = study.estimates[study.estimates["replicate"] < 2]
    pd.testing.assert_frame_equal(alone, first, check_exact=True)
    other = run_paper_study(n_replicates=1, seed=2, workers=1).estimates
    assert not other["effect"].equals(alone["effect"][: len(other)])


def test_every_true_edge_has_a_row(study):
    true = study.estimates[study.estimates["true"] != 0]
    counts = true.groupby(["setting", "method", "replicate"]).size()
    assert len(counts) == 2 * 2 * 20
    assert set(counts["full"]) == {12}
    assert set(counts["omitted"]) == {6}


def test_written_and_said(study, tmp_path):
    study.write(tmp_path)
    estimates = pd.read_csv(tmp_path / "estimates.tsv", sep="\t")
    assert len(estimates) == len(study.estimates)
    assert len(pd.read_csv(tmp_path / "table.tsv", sep="\t")) == 24
    summary = study.summary()
    assert "argen, omitted\n  X1 -> X2 (+0.5)" in summary
    assert "[-3.336 (0.201)]" in summary
    assert "[0.398]" in summary


def test_published_numbers():
    table = published_estimates().set_index(["method", "setting", "source", "target"])
    assert len(table) == 24
    assert tuple(table.loc[("argen", "full", "X1", "X2")]) == (0.499, 0.039)
    assert tuple(table.loc[("naive", "full", "X5", "X6")]) == (-1.625, 0.460)
    assert set(PUBLISHED_PROPORTIONS) == set(table.index.droplevel([2, 3]))


def test_bad_number_of_replicates():
    with pytest.raises(argen.InputError, match="n_replicates must be a whole number from 1"):
        run_paper_study(n_replicates=0)
