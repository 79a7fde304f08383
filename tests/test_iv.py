"""The two-stage regression as a function of plain arrays."""

import numpy as np
import pandas as pd
import pytest

import argen
from argen.errors import FitStatus


def draw(rng, n=30_000, effect=0.5):
    """One instrument, one cause, one outcome, and a confounder of both."""
    hidden = rng.normal(size=n)
    guide = rng.integers(0, 2, n)
    covariate = rng.normal(size=n)
    log_cause = 1.0 - 1.5 * guide + 0.3 * covariate + 0.7 * hidden
    cause = rng.poisson(np.exp(log_cause))
    outcome = rng.poisson(np.exp(0.5 + effect * log_cause - 0.2 * covariate - 0.7 * hidden))
    return outcome, cause, guide, covariate


def test_recovers_the_effect_that_confounding_hides(rng):
    outcome, cause, guide, covariate = draw(rng)
    fit = argen.iv_poisson(outcome, cause, guide, covariate)
    estimate = fit.to_frame().loc["endogenous"]
    assert estimate["ci_low"] < 0.5 < estimate["ci_high"]
    assert estimate["std_error"] < 0.05
    naive = np.polyfit(np.log1p(cause), np.log1p(outcome), 1)[0]
    assert abs(naive - 0.5) > 0.2


def test_is_what_the_parent_search_computes(paper_screen):
    data, _ = paper_screen
    network = argen.infer_network(data)
    candidates = network.candidates.query("target == 'X6'")
    counts = pd.DataFrame(data.counts.to_csc().toarray(), columns=list(data.nodes))
    perturbed = pd.get_dummies(data.node_of_cell).drop(columns=-1).set_axis(data.nodes, axis=1)
    sources = list(candidates["source"])
    fit = argen.iv_poisson(
        counts["X6"],
        counts[sources],
        perturbed[sources],
        data.covariates,
        outcome_exogenous=perturbed["X6"],
        offset=np.log(data.library_size),
    )
    estimates = fit.to_frame().loc[sources]
    np.testing.assert_allclose(estimates["effect"], candidates["effect"], rtol=1e-7)
    np.testing.assert_allclose(estimates["std_error"], candidates["std_error"], rtol=1e-7)


@pytest.mark.rates
def test_coverage_of_the_interval(rng):
    """Of 200 intervals at 95 % between 180 and 199 hold the truth (4 standard errors)."""
    covered = 0
    for _ in range(200):
        outcome, cause, guide, covariate = draw(rng, n=2000)
        estimate = argen.iv_poisson(outcome, cause, guide, covariate).to_frame().loc["endogenous"]
        covered += estimate["ci_low"] < 0.5 < estimate["ci_high"]
    assert 178 <= covered <= 200


def test_more_instruments_than_causes(rng):
    outcome, cause, guide, covariate = draw(rng)
    weak = guide * rng.integers(0, 2, len(guide))
    fit = argen.iv_poisson(outcome, cause, np.column_stack([guide, weak]), covariate)
    assert abs(fit.to_frame().loc["endogenous", "effect"] - 0.5) < 0.1
    assert fit.first_stage.shape == (1, 4)


def test_negative_binomial_family(rng):
    outcome, cause, guide, covariate = draw(rng)
    fit = argen.iv_poisson(outcome, cause, guide, covariate, family="nb")
    assert fit.dispersion > 0.1
    assert abs(fit.to_frame().loc["endogenous", "effect"] - 0.5) < 0.15


def test_offset_shifts_the_intercept_alone(rng):
    outcome, cause, guide, covariate = draw(rng, n=3000)
    plain = argen.iv_poisson(outcome, cause, guide, covariate).to_frame()
    shifted = argen.iv_poisson(
        outcome,
        cause,
        guide,
        covariate,
        offset=np.full(3000, 1.5),
        first_stage_offset=np.zeros(3000),
    ).to_frame()
    assert shifted.loc["intercept", "effect"] == pytest.approx(
        plain.loc["intercept", "effect"] - 1.5
    )
    assert shifted.loc["endogenous", "effect"] == pytest.approx(plain.loc["endogenous", "effect"])


def test_names_come_from_pandas(rng):
    outcome, cause, guide, covariate = draw(rng, n=2000)
    fit = argen.iv_poisson(
        pd.Series(outcome, name="y"),
        pd.DataFrame({"STAT1": cause}),
        pd.Series(guide, name="STAT1_guide"),
        pd.Series(covariate, name="p_mito"),
    )
    assert fit.names == ("intercept", "p_mito", "STAT1")
    assert list(fit.first_stage.columns) == ["intercept", "p_mito", "STAT1_guide"]
    assert "STAT1" in fit.summary()


def test_two_equal_causes_are_not_identified(rng):
    outcome, cause, guide, covariate = draw(rng, n=2000)
    fit = argen.iv_poisson(
        outcome, np.column_stack([cause, cause]), np.column_stack([guide, covariate > 0])
    )
    assert (fit.status == FitStatus.NOT_IDENTIFIED).all()
    assert "collinear" in fit.summary()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": [[1, 2], [3, 4]]}, "y must be one column, not 2"),
        ({"y": np.array([1.0, -1.0] * 50)}, r"y is negative in 50 rows \(first: '1', '3', '5'"),
        ({"endogenous": np.full(100, np.nan)}, "endogenous holds NaN or infinite values in 100"),
        ({"instruments": np.ones(99)}, "instruments has 99 rows, but y has 100"),
        ({"instruments": np.empty((100, 0))}, "0 instruments for 1 endogenous"),
        ({"exogenous": np.ones((100, 2, 2))}, "exogenous must have one or two dimensions, not 3"),
        ({"exogenous": np.ones((100, 99))}, "100 rows for about 101 coefficients"),
    ],
)
def test_bad_input(change, words):
    good = {"y": np.ones(100), "endogenous": np.ones(100), "instruments": np.ones(100)}
    with pytest.raises(argen.InputError, match=words):
        argen.iv_poisson(**(good | change))
