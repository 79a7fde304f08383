"""Proxies that the data cannot tell apart: all of them are said to be, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from argen.errors import FitStatus
from argen.glm.two_stage import TwoStageDesign, TwoStageFit, fit_two_stage

# Another proxy in the design changes the order of the sums; proxies are less well conditioned
# than indicators.
SAME_FIT = 1e-9

OK, NOT_IDENTIFIED = FitStatus.OK, FitStatus.NOT_IDENTIFIED

# Four perturbed groups of 60 cells and 240 controls, of equal exposure.
GROUP = np.concatenate([np.full(240, -1), np.repeat(np.arange(4), 60)])
INSTRUMENTS = (GROUP[:, None] == np.arange(4)).astype(float)
OWN = (np.arange(len(GROUP)) % 20 == 0) & (GROUP < 0)


def with_means(control: int, *perturbed: int) -> np.ndarray:
    """Counts that alternate about the mean of each group, so that means are exact."""
    means = np.array([*perturbed, control])[GROUP]  # group -1 is the last
    return means + np.where(np.arange(len(GROUP)) % 2 == 0, 1.0, -1.0)


A, B, C, D = (
    with_means(4, 8, 4, 4, 4),
    with_means(4, 4, 8, 4, 4),
    with_means(4, 4, 4, 8, 4),
    with_means(4, 5, 3, 6, 2),
)
# log means: 2 on both perturbations, that is A + B
A_TIMES_B = with_means(4, 8, 8, 4, 4)
UNMOVED = with_means(4, 4, 4, 4, 4)


def fit_on(*endogenous: np.ndarray, exogenous: np.ndarray | None = None) -> TwoStageFit:
    rng = np.random.default_rng(0)
    y = rng.poisson(3.0 * np.exp(INSTRUMENTS @ [0.4, -0.3, 0.2, -0.6] - OWN)).astype(float)
    ones = np.ones((len(GROUP), 1))
    return fit_two_stage(
        y,
        np.array(endogenous),
        TwoStageDesign(
            instruments=INSTRUMENTS,
            exogenous=ones if exogenous is None else np.column_stack([ones, exogenous]),
            outcome_only=OWN[:, None].astype(float),
            offset=np.zeros(len(GROUP)),
            first_stage_offset=np.zeros(len(GROUP)),
            factors=np.empty((0, len(GROUP)), np.int64),
        ),
    )


def assert_same(found: TwoStageFit, members: list[int], expected: TwoStageFit, of: list[int]):
    """Effects and errors of some candidates are those that another fit gives to its own."""
    np.testing.assert_allclose(found.effect[members], expected.effect[of], rtol=0, atol=SAME_FIT)
    np.testing.assert_allclose(found.std_error[members], expected.std_error[of], rtol=SAME_FIT)
    assert found.status[members].tolist() == expected.status[of].tolist()
    assert np.isfinite(found.std_error[members]).all()


def assert_missing(found: TwoStageFit, members: list[int]) -> None:
    assert (found.status[members] == NOT_IDENTIFIED).all()
    assert np.isnan(found.effect[members]).all()
    assert np.isnan(found.std_error[members]).all()


def test_identified_candidates_are_all_fitted():
    assert fit_on(A, B, C, D).status.tolist() == [OK] * 4


@pytest.mark.parametrize("last", [False, True])
def test_twins_are_both_unidentified_and_the_others_unharmed(last):
    """What remains is the fit with one of the twins: together they are one regressor."""
    endogenous = [C, D, A, A] if last else [A, C, A, D]
    found = fit_on(*endogenous)
    twins, others = ([2, 3], [0, 1]) if last else ([0, 2], [1, 3])
    assert_missing(found, twins)
    assert_same(found, others, fit_on(A, C, D), [1, 2])


def test_three_way_collinearity_names_its_three_members():
    """S_AB = S_A + S_B: no two of them are alike, and yet none has an effect of its own."""
    found = fit_on(C, A, B, D, A_TIMES_B)
    assert_missing(found, [1, 2, 4])
    # The fit keeps the first two of the three.
    assert_same(found, [0, 3], fit_on(C, A, B, D), [0, 3])
    # Any two span the same, so the effects of C and D do not depend on which. Their errors do,
    # a little: Murphy and Topel's sum has the two that are kept, without their covariance.
    others = fit_on(C, B, D, A_TIMES_B)
    np.testing.assert_allclose(found.effect[[0, 3]], others.effect[[0, 2]], rtol=0, atol=SAME_FIT)
    np.testing.assert_allclose(found.std_error[[0, 3]], others.std_error[[0, 2]], rtol=1e-3)


def test_two_separate_collinearities():
    assert_missing(fit_on(A, A, C, C), [0, 1, 2, 3])
    found = fit_on(A, A, D, C, C)
    assert_missing(found, [0, 1, 3, 4])
    assert_same(found, [2], fit_on(A, D, C), [1])


def test_a_gene_that_no_instrument_moves_is_unidentified_alone():
    """Its proxy is the intercept; the other candidates do without it."""
    found = fit_on(A, UNMOVED, D)
    assert_missing(found, [1])
    assert_same(found, [0, 2], fit_on(A, D), [0, 1])
    assert_missing(fit_on(UNMOVED), [0])


def test_a_proxy_that_a_covariate_explains_is_unidentified():
    found = fit_on(A, B, D, exogenous=INSTRUMENTS[:, [1]])
    assert_missing(found, [1])
    assert found.status.tolist() == [OK, NOT_IDENTIFIED, OK]
    assert_same(found, [0, 2], fit_on(A, D, exogenous=INSTRUMENTS[:, [1]]), [0, 1])


def test_more_candidates_than_instruments():
    """Five proxies in a span of four: none can be told from the others, unless it stands apart."""
    rng = np.random.default_rng(1)
    entangled = rng.poisson(5.0, len(GROUP)).astype(float)
    found = fit_on(A, B, C, D, entangled)
    assert_missing(found, [0, 1, 2, 3, 4])


def test_a_candidate_without_counts_leaves_nothing_held_fixed():
    found = fit_on(A, np.zeros(len(GROUP)), D)
    assert found.status.tolist() == [NOT_IDENTIFIED, FitStatus.ZERO_COUNTS, NOT_IDENTIFIED]
    assert np.isnan(found.effect).all()
    nothing = fit_on(np.zeros(len(GROUP)))
    assert nothing.status.tolist() == [FitStatus.ZERO_COUNTS]
    assert np.isnan(nothing.effect).all()


def test_an_outcome_without_counts():
    found = fit_two_stage(
        np.zeros(len(GROUP)),
        np.array([A, B]),
        TwoStageDesign(
            instruments=INSTRUMENTS,
            exogenous=np.ones((len(GROUP), 1)),
            outcome_only=OWN[:, None].astype(float),
            offset=np.zeros(len(GROUP)),
            first_stage_offset=np.zeros(len(GROUP)),
            factors=np.empty((0, len(GROUP)), np.int64),
        ),
    )
    assert found.status.tolist() == [FitStatus.ZERO_COUNTS] * 2
    assert np.isnan(found.effect).all()
    assert np.isnan(found.std_error).all()
