"""The whole method against the reference, from counts to edges."""

import numpy as np
import pandas as pd
import pytest

import argen
from tests.parity.reference import (
    EFFECT_TOLERANCE,
    SHARED,
    STD_ERROR_TOLERANCE,
    Case,
    assert_log10_p_close,
    every_case,
    every_engine,
    needs_reference,
)
from tests.screens import PUBLISHED

THP1 = SHARED / "data" / "papalexi2021_thp1_eccite.h5ad"
needs_thp1 = pytest.mark.skipif(
    not THP1.is_file(), reason="the THP-1 screen is not beside this checkout"
)


def assert_same_network(network: argen.CausalNetwork, case: Case) -> None:
    """Order, closure, candidates, estimates and edges are those of the reference."""
    assert network.order == case.table("causal_order")["gene"].tolist()
    screen = network.total_effects().merge(
        case.table("descendants"), on=["source", "target"], suffixes=("", "_reference")
    )
    assert len(screen) == len(network.nodes) * (len(network.nodes) - 1)
    np.testing.assert_array_equal(screen["descendant"], screen["descendant_reference"])
    np.testing.assert_array_equal(screen["possible"], screen["descendant_closure"])
    theirs = case.table("parents")
    both = network.candidates.merge(theirs, on=["source", "target"], suffixes=("", "_reference"))
    assert len(both) == len(network.candidates) == len(theirs)
    np.testing.assert_allclose(both["effect"], both["effect_reference"], atol=EFFECT_TOLERANCE)
    np.testing.assert_allclose(
        both["std_error"], both["std_error_reference"], rtol=STD_ERROR_TOLERANCE
    )
    assert_log10_p_close(both["log10_p"].to_numpy(), both["p_value_reference"].to_numpy())
    np.testing.assert_array_equal(both["selected"], both["selected_reference"])


@pytest.mark.whole
@needs_reference
@every_case
@every_engine
def test_network(case, engine):
    assert_same_network(argen.infer_network(case.data, case.config, engine=engine), case)


@needs_reference
@needs_thp1
def test_network_of_the_raw_thp1_file():
    options = argen.ReadOptions(
        target="perturbation",
        control="non-targeting",
        library_size="total_umi",
        covariates=["p_mito", "bio_rep"],
        cells="confident_single",
    )
    data = argen.read_perturbseq(THP1, options)
    network = argen.infer_network(data, PUBLISHED)
    case = Case("papalexi9", ("p_mito", "bio_rep"), "poisson")
    assert_same_network(network, case)
    assert len(network.nodes) == 9
    assert len(network.edges) == 10


@needs_thp1
def test_sinks_leave_the_thp1_network_as_it_is():
    """With the 290 genes that nobody perturbed as targets, the nine nodes keep every bit.

    But for what they say of the cells that escape, which are left out here.
    """
    columns = {
        "target": "perturbation",
        "control": "non-targeting",
        "library_size": "total_umi",
        "covariates": ["p_mito", "bio_rep"],
        "cells": "confident_single",
    }
    config = argen.InferenceConfig(penetrance="full")
    alone = argen.infer_network(argen.read_perturbseq(THP1, argen.ReadOptions(**columns)), config)
    more = argen.ReadOptions(sinks="all", **columns)
    whole = argen.infer_network(argen.read_perturbseq(THP1, more), config)
    assert len(whole.sinks) > 250
    assert whole.candidates["sink"].any()
    among_nodes = whole.candidates[~whole.candidates["sink"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(among_nodes, alone.candidates, check_exact=True)
