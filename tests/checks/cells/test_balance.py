"""Exogeneity: at its nominal rate where chance assigns, and speaking where a covariate does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

import argen
from argen.checks.cells.balance import (
    balance_findings,
    balance_quantiles,
    balance_table,
    logistic_tests,
)


def table_of(seed: int, assignment: float, *, hide: bool) -> pd.DataFrame:
    """Balance of a numeric covariate and of four batches, both in the design or both left out."""
    model = argen.ScreenModel(
        n_nodes=20, n_parents=0, n_batches=4, assignment=assignment, n_controls=600
    )
    data, _ = argen.simulate_screen(model, rng=seed)
    nothing = pd.DataFrame(index=data.cells)
    columns = data.covariates.set_index(data.cells)
    data = replace(data, covariates=nothing if hide else columns)
    return balance_table(data, columns if hide else nothing)


@pytest.mark.rates
def test_nominal_rate_where_chance_assigns():
    for hide in (True, False):
        table = pd.concat([table_of(seed, 0.0, hide=hide) for seed in range(6)])
        for column in ("p_value", "wald_p_value"):
            p = table[column].dropna()
            assert len(p) == 360
            assert abs((p < 0.05).mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / len(p))
            assert stats.kstest(p, "uniform").pvalue > 0.001
        points = balance_quantiles(table)
        assert set(points["test"]) == {"likelihood ratio", "Wald"}
        # Screens by role: each has a false finding in one of twenty.
        assert (table["unbalanced"]).sum() <= 4


def test_speaks_where_a_column_decides():
    hidden = table_of(1, 0.7, hide=True)
    assert hidden.loc[hidden["role"] == "other", "unbalanced"].mean() > 0.5
    findings = balance_findings(hidden)
    assert findings[0].severity == "warning"
    assert "Add these columns" in findings[0].advice
    known = table_of(1, 0.7, hide=False)
    (finding,) = balance_findings(known)
    assert finding.severity == "note"
    assert "which the fits adjust for" in finding.evidence


def test_library_size():
    data, _ = argen.simulate_screen(argen.ScreenModel(n_nodes=5, assignment=0.0), rng=2)
    perturbed = data.perturbations[:, [1]].toarray()[:, 0] == 1
    data = replace(data, library_size=data.library_size * np.where(perturbed, 0.7, 1.0))
    table = balance_table(data, pd.DataFrame(index=data.cells))
    sizes = table[table["role"] == "library size"]
    assert sizes.loc[sizes["unbalanced"], "node"].tolist() == [data.nodes[1]]
    assert any("library size" in f.evidence for f in balance_findings(table))


def test_statistics_are_those_of_a_logistic_regression():
    rng = np.random.default_rng(3)
    base = np.column_stack([np.ones(300), rng.normal(size=300)])
    added = rng.normal(size=(300, 2))
    carries = (rng.random(300) < 0.2 + 0.2 * (added[:, 0] > 0)).astype(float)
    small, large = (
        sm.GLM(carries, x, family=sm.families.Binomial()).fit(tol=1e-12)
        for x in (base, np.column_stack([base, added]))
    )
    statistic, wald, df = logistic_tests(carries, base, np.column_stack([added, base[:, 1]]))
    assert statistic == pytest.approx(2 * (large.llf - small.llf), rel=1e-6)
    expected = large.wald_test(np.eye(4)[2:], scalar=True).statistic
    assert wald == pytest.approx(float(expected), rel=1e-4)
    assert df == 2


def test_a_level_without_perturbed_cells():
    """The limit of a separated level: the G-test of the table."""
    carries = np.repeat([0.0, 1.0], [200, 50])
    level = np.zeros((250, 1))
    level[:100] = 1.0
    statistic, _, df = logistic_tests(carries, np.ones((250, 1)), level)
    expected = stats.chi2_contingency(
        [[100, 100], [0, 50]], correction=False, lambda_="log-likelihood"
    )
    assert statistic == pytest.approx(expected.statistic, rel=1e-5)
    assert df == 1


def test_columns_of_cells_that_are_not_there():
    data, _ = argen.simulate_paper_screen(rng=1, n_cells=2000)
    others = pd.DataFrame({"lane": ["a", "b"]}, index=["no", "cell"])
    with pytest.raises(argen.InputError, match="2,000 cells have no row"):
        argen.check(argen.infer_network(data), data, others=others, n_null_tests=0)
    others = pd.DataFrame({"lane": np.nan}, index=data.cells)
    with pytest.raises(argen.InputError, match="'lane' to check is missing in 2,000 cells"):
        argen.check(argen.infer_network(data), data, others=others, n_null_tests=0)


def test_covariates_that_a_perturbation_moves_are_told_from_those_that_chance_leaves():
    model = argen.ScreenModel(n_nodes=4, n_parents=0, n_batches=3, assignment=0.0)
    data, _ = argen.simulate_screen(model, rng=3)
    moved = np.random.default_rng(1).normal(size=data.n_cells) + 0.5 * data.perturbed(1)
    for name, consequence in (
        ("percent_mito", True), ("p_mito", True), ("pct_counts_mt", True), ("S_score", True),
        ("G2M.Score", True), ("phase", True), ("doublet_score", True), ("n_genes", True),
        ("total_counts", True), ("leiden", True), ("day", False), ("cms", False), ("lane", False),
        ("smth", False), ("batch_size", False),
    ):  # fmt: skip
        named = replace(data, covariates=data.covariates.assign(**{name: moved}))
        table = balance_table(named, pd.DataFrame(index=data.cells))
        rows = table[table["column"] == name]
        assert set(rows["role"]) == {"consequence" if consequence else "covariate"}, name
        assert rows.loc[rows["unbalanced"], "node"].tolist() == ["g2"]
        (finding,) = balance_findings(table)
        assert finding.severity == ("warning" if consequence else "note")
        assert f"{name} in g2" in finding.evidence
        assert ("Leave them out" in finding.advice) == consequence


def test_a_consequence_is_tested_given_the_other_covariates():
    """A batch that differs between perturbations, and moves a score, is no effect of these."""
    model = argen.ScreenModel(n_nodes=4, n_parents=0, n_batches=3, n_numeric=0, assignment=1.0)
    data, _ = argen.simulate_screen(model, rng=3)
    of_batch = data.covariates["batch"].cat.codes.to_numpy()
    score = np.random.default_rng(1).normal(size=data.n_cells) + of_batch
    named = replace(data, covariates=data.covariates.assign(s_score=score))
    table = balance_table(named, pd.DataFrame(index=data.cells)).set_index("column")
    assert table.loc["batch", "unbalanced"].any()
    assert not table.loc["s_score", "unbalanced"].any()


def test_columns_have_the_role_that_they_came_in_whatever_they_are_called():
    """Names of covariates that are numbers, and another column of the same name."""
    model = argen.ScreenModel(n_nodes=4, n_parents=0, n_numeric=2, assignment=0.0)
    data, _ = argen.simulate_screen(model, rng=3)
    numbered = replace(data, covariates=data.covariates.set_axis([0, 1], axis=1))
    other = pd.DataFrame({"0": data.covariates["x1"].to_numpy()}, index=data.cells)
    table = balance_table(numbered, other)
    assert table.groupby("role", sort=False)["column"].unique().map(list).to_dict() == {
        "covariate": ["0", "1"],
        "library size": ["log library size"],
        "other": ["0"],
    }
    # Given all covariates, one of which it is, the other column has nothing to add.
    assert (table.loc[table["role"] == "other", "df"] == 0).all()
    assert (table.loc[table["role"] == "covariate", "df"] == 1).all()
