"""Each step against the reference, fed the reference's own results of the step before."""

import numpy as np
import pandas as pd

from argen.pvalues.adjustment import adjust, batch_bh
from argen.steps.descendants import screen_descendants
from argen.steps.order import CausalOrder, causal_order, transitive_closure
from argen.steps.parents import search_parents
from tests.parity.reference import (
    EFFECT_TOLERANCE,
    REFERENCE,
    STD_ERROR_TOLERANCE,
    assert_log10_p_close,
    every_case,
    every_engine,
    needs_reference,
)

pytestmark = needs_reference


@every_case
@every_engine
def test_screen(case, engine):
    screen = screen_descendants(case.data, case.config, engine=engine)
    off_diagonal = ~np.eye(len(case.data.nodes), dtype=bool)
    assert_log10_p_close(screen.log10_p[off_diagonal], case.matrix("p_value")[off_diagonal])
    np.testing.assert_array_equal(screen.is_descendant, case.flags("descendant"))


@every_case
def test_joint_adjustment_of_the_reference_p_values(case):
    table = case.table("descendants")
    adjusted = adjust(table["p_value"].to_numpy(), "bh")
    np.testing.assert_allclose(adjusted, table["p_adjusted"], rtol=1e-12)
    np.testing.assert_array_equal(adjusted < 0.05, table["descendant"])


@every_case
def test_closure_of_the_reference_descendants(case):
    np.testing.assert_array_equal(
        transitive_closure(case.flags("descendant")), case.flags("descendant_closure")
    )


@every_case
def test_order_from_the_reference_screen(case):
    order = causal_order(case.flags("descendant"), case.matrix("p_value"))
    names = [case.data.nodes[node] for node in order.order]
    assert names == case.table("causal_order")["gene"].tolist()


@every_case
@every_engine
def test_parents_from_the_reference_order(case, engine):
    nodes = list(case.data.nodes)
    order = CausalOrder(
        np.array([nodes.index(gene) for gene in case.table("causal_order")["gene"]]),
        case.flags("descendant_closure"),
        case.flags("descendant_closure"),
    )
    tests = search_parents(case.data, order, case.config, engine=engine).to_frame()
    theirs = case.table("parents")
    both = tests.merge(theirs, on=["source", "target"], suffixes=("", "_reference"))
    assert len(both) == len(tests) == len(theirs)
    np.testing.assert_allclose(both["effect"], both["effect_reference"], atol=EFFECT_TOLERANCE)
    np.testing.assert_allclose(
        both["std_error"], both["std_error_reference"], rtol=STD_ERROR_TOLERANCE
    )
    assert_log10_p_close(both["log10_p"].to_numpy(), both["p_value_reference"].to_numpy())
    assert (both["status"] == "OK").all()


@every_case
def test_selection_from_the_reference_p_values(case):
    theirs = case.table("parents")
    order = case.table("causal_order")["gene"].tolist()
    batch = np.array([-order.index(target) for target in theirs["target"]])
    selected = batch_bh(theirs["p_value"].to_numpy(), batch, 0.05).selected
    np.testing.assert_array_equal(selected, theirs["selected"])


def test_batch_bh_table():
    table = pd.read_csv(REFERENCE / "batch_bh.csv")
    for _, rows in table.groupby("case"):
        selection = batch_bh(
            rows["p_value"].to_numpy(), rows["batch"].to_numpy(), rows["alpha"].iloc[0]
        )
        np.testing.assert_array_equal(selection.selected, rows["rejected"].astype(bool))
        np.testing.assert_allclose(selection.level, rows["batch_level"], rtol=1e-9)
