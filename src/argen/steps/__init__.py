"""The steps of the method: descendants, order, parents, and the rule that calls edges."""

from argen.steps.descendants import DescendantScreen, screen_descendants, screen_panel
from argen.steps.mediators import hold_mediators
from argen.steps.order import CausalOrder, causal_order, closure_of, transitive_closure
from argen.steps.parents import ParentTests, search_parents
from argen.steps.rule import ancestor_bar, call_edges, least_bar, order_genes

__all__ = [
    "CausalOrder",
    "DescendantScreen",
    "ParentTests",
    "ancestor_bar",
    "call_edges",
    "causal_order",
    "closure_of",
    "hold_mediators",
    "least_bar",
    "order_genes",
    "screen_descendants",
    "screen_panel",
    "search_parents",
    "transitive_closure",
]
