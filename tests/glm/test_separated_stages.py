"""Fits in which some coefficient has no finite estimate, seen from the steps that use them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from argen.data.counts import GeneCounts
from argen.data.covariates import encode_covariates
from argen.data.design import Design
from argen.data.perturbseq import perturbations_of
from argen.errors import FitStatus
from argen.glm.two_stage import TwoStageFit, fit_two_stage
from tests.screens import effects_of


def fit_one_candidate(y, candidate, instrument, covariates, offset, family) -> TwoStageFit:
    n_cells = len(y)
    return fit_two_stage(
        y,
        candidate[None],
        instruments=instrument[:, None],
        exogenous=np.column_stack([np.ones(n_cells), covariates]),
        outcome_only=np.empty((n_cells, 0)),
        offset=offset,
        first_stage_offset=np.zeros(n_cells),
        factors=np.empty((0, n_cells), np.int64),
        family=family,
    )


@pytest.mark.parametrize("seed", [184, 185, 793])
def test_an_outcome_that_covariates_separate_ends_with_a_status(seed):
    """One or two counts, at the edge of two covariates: no coefficient is finite."""
    rng = np.random.default_rng(seed)
    n_cells = 200
    covariates = rng.normal(size=(n_cells, 2))
    instrument = (np.arange(n_cells) < 60).astype(float)
    candidate = rng.poisson(3.0 * np.exp(-instrument)).astype(float)
    y = (rng.random(n_cells) < 0.01).astype(float)
    found = fit_one_candidate(y, candidate, instrument, covariates, np.zeros(n_cells), "poisson")
    assert found.status[0] >= FitStatus.NOT_CONVERGED
    assert np.isnan(found.effect[0])


def test_a_second_stage_that_did_not_converge_has_no_effect():
    """Scoring overshoots where the information expected is far from that observed."""
    rng = np.random.default_rng(35)
    n_cells = 120
    covariate = rng.normal(size=n_cells)
    instrument = (np.arange(n_cells) < 40).astype(float)
    offset = rng.normal(size=n_cells)
    candidate = rng.poisson(5.0 * np.exp(-instrument)).astype(float)
    mean = 30.0 * np.exp(covariate)
    y = rng.negative_binomial(0.08, 0.08 / (0.08 + mean)).astype(float)
    found = fit_one_candidate(y, candidate, instrument, covariate, offset, "nb")
    assert found.status[0] == FitStatus.NOT_CONVERGED
    assert np.isnan(found.effect[0])
    assert np.isnan(found.std_error[0])


def test_an_instrument_that_the_first_stage_cannot_tell_from_a_batch():
    """All cells of instrument 1 lie in batch 1, whose few controls have no count of gene 0.

    What instrument 1 does to gene 0 cannot be told from the batch. So the effect of gene 1,
    what the instrument does to y beyond gene 0, cannot be known.
    """
    rng = np.random.default_rng(0)
    group = np.repeat([0, -1, 1, -1], [400, 2000, 580, 20])
    batch = np.repeat([0, 1], [2400, 600])
    instruments = (group[:, None] == [0, 1]).astype(float)
    genes = np.array(
        [
            rng.poisson(0.1 * np.exp(instruments @ [-1.5, -0.5])) * (np.arange(3000) < 2980),
            rng.poisson(5.0 * np.exp(instruments @ [0.0, -1.5])),
        ]
    ).astype(float)
    y = rng.poisson(3.0 * np.exp(instruments @ [-1.5, -0.95])).astype(float)
    found = fit_two_stage(
        y,
        genes,
        instruments=instruments,
        exogenous=np.column_stack([np.ones(3000), batch]),
        outcome_only=np.empty((3000, 0)),
        offset=np.zeros(3000),
        first_stage_offset=np.zeros(3000),
        factors=batch[None],
    )
    assert np.isnan(found.first_stage.coefficients[0, -1])
    assert found.status[1] >= FitStatus.NOT_CONVERGED


def test_a_single_count_in_the_cell_with_the_largest_covariate():
    """One count proves nothing, wherever it is; here the covariate takes it all."""
    n_cells = 300
    counts = np.zeros((1, n_cells))
    counts[0, -1] = 1.0
    design = Design(
        genes=("gene",),
        n_nodes=1,
        counts=GeneCounts.from_matrix(counts.T),
        perturbations=perturbations_of(np.where(np.arange(n_cells) % 5 == 0, 0, -1), 1),
        offset=np.zeros(n_cells),
        covariates=encode_covariates(pd.DataFrame({"x": np.linspace(0.0, 1.0, n_cells)})),
    )
    found = effects_of(design, 0)
    assert found.status.tolist() == [FitStatus.NOT_CONVERGED]
    assert np.isnan(found.p_value[0])
