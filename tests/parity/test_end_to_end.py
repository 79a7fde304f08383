"""The whole method against the reference, from counts to edges."""

import numpy as np
import pytest

import argen

from .reference import (
    EFFECT_TOLERANCE,
    SHARED,
    STD_ERROR_TOLERANCE,
    Case,
    assert_log10_p_close,
    every_case,
    needs_reference,
)

THP1 = SHARED / "data" / "papalexi2021_thp1_eccite.h5ad"


def assert_same_network(network: argen.CausalNetwork, case: Case) -> None:
    """Order, closure, candidates, estimates and edges are those of the reference."""
    assert network.order == case.table("causal_order")["gene"].tolist()
    screen = network.total_effects().merge(
        case.table("descendants"), on=["source", "target"], suffixes=("", "_reference")
    )
    assert len(screen) == len(network.nodes) * (len(network.nodes) - 1)
    np.testing.assert_array_equal(screen["descendant"], screen["descendant_reference"])
    np.testing.assert_array_equal(
        screen["descendant_closure"], screen["descendant_closure_reference"]
    )
    theirs = case.table("parents")
    both = network.candidates.merge(theirs, on=["source", "target"], suffixes=("", "_reference"))
    assert len(both) == len(network.candidates) == len(theirs)
    np.testing.assert_allclose(both["effect"], both["effect_reference"], atol=EFFECT_TOLERANCE)
    np.testing.assert_allclose(
        both["std_error"], both["std_error_reference"], rtol=STD_ERROR_TOLERANCE
    )
    assert_log10_p_close(both["log10_p"].to_numpy(), both["p_value_reference"].to_numpy())
    np.testing.assert_array_equal(both["selected"], both["selected_reference"])


@needs_reference
@every_case
def test_network(case):
    assert_same_network(argen.infer_network(case.data, case.config), case)


@needs_reference
@pytest.mark.skipif(not THP1.is_file(), reason="the THP-1 screen is not beside this checkout")
def test_network_of_the_raw_thp1_file():
    data = argen.read_perturbseq(
        THP1,
        target="perturbation",
        control="non-targeting",
        library_size="total_umi",
        covariates=["p_mito", "bio_rep"],
        cells="confident_single",
    )
    network = argen.infer_network(data)
    case = Case("papalexi9", ("p_mito", "bio_rep"), "poisson")
    assert_same_network(network, case)
    assert len(network.nodes) == 9
    assert len(network.edges) == 10
