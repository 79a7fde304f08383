"""The rule that leads from tests to edges: who may act on whom, and which candidates are called.

``"two-level"``, the default, spends ``alpha`` in three parts, and keeps the false discovery rate
of edges under it also where hidden confounders, many genes or few cells defeat the published rule:

1. what the screen finds at ``screen_alpha`` is a candidate, and stays in the regressions of its
   targets, whether it can be called or not;
2. a source can be called when it is surely an ancestor (by a path of pairs significant by Holm's
   method at the first part), or when its own evidence in the screen passes the second;
3. it is called when its parent test passes the third (see ``argen.pvalues.adjustment.two_level``);
   not if genes that may lie between, held fixed, take the evidence away (see ``hold_mediators``).

``"published"`` is the rule of Park and Li (2026): descendants, their closure, and BatchBH.
"""

from __future__ import annotations

import numpy as np

from argen.arrays import BoolArray, IntArray
from argen.config import InferenceConfig
from argen.pvalues import Selection, adjust, select, two_level
from argen.steps.descendants import DescendantScreen
from argen.steps.order import CausalOrder, causal_order, ranked_order
from argen.steps.parents import ParentTests

# Parts of alpha: for ancestors by paths, for ancestors by their own evidence, for parents.
PATH_SHARE, ANCESTOR_SHARE, PARENT_SHARE = 0.1, 0.1, 0.8


def order_genes(screen: DescendantScreen, config: InferenceConfig) -> CausalOrder:
    """Order the genes causally, and say who may act on whom."""
    if config.rule == "published":
        return causal_order(screen.is_descendant, screen.p_value)
    n_nodes = len(screen.nodes)
    families = np.split(screen.p_value, [n_nodes], axis=1)  # nodes and sinks
    strict = np.hstack([adjust(family, "holm") for family in families])
    certain = strict < PATH_SHARE * config.level_of_edges
    return ranked_order(screen.is_descendant, certain, screen.log10_p)


def least_bar(config: InferenceConfig) -> float:
    """Return the largest p-value with which any candidate can be called by the default rule."""
    return PARENT_SHARE * config.level_of_edges


def ancestor_bar(level: float, n_callable: int, n_pairs: int, config: InferenceConfig) -> float:
    """Return what the p-value of a total effect had to be for its source to be an ancestor.

    The bar of R rejections, by the default rule, where no path of sure pairs makes it one;
    R follows from the bar of the parents.

    Parameters
    ----------
    level
        Bar of the parent tests of a family.
    n_callable, n_pairs
        Candidates of the family that could be called, and its pairs with a p-value.
    """
    n_rejected = round(level * n_callable / least_bar(config))
    return ANCESTOR_SHARE * config.level_of_edges * n_rejected / n_pairs


def call_edges(
    tests: ParentTests, screen: DescendantScreen, order: CausalOrder, config: InferenceConfig
) -> tuple[Selection, BoolArray, IntArray]:
    """Select among the candidates; returns which could be called, and their batches, too.

    Targets are taken in the order in which they were placed, the last of the causal order
    first; the tests of one target are one batch. Sinks come after all nodes, and are a family
    of their own, so that they change no edge between nodes.
    """
    position, n_nodes = order.position[tests.target], order.n_nodes
    is_sink = position >= n_nodes
    _, batch = np.unique(np.where(is_sink, position, n_nodes - 1 - position), return_inverse=True)
    p_values = tests.effects.p_value
    if config.rule == "published":
        selection = select(
            p_values,
            batch,
            family=is_sink,
            method=config.edge_adjustment,
            scope=config.edge_scope,
            alpha=config.level_of_edges,
        )
        return selection, np.isfinite(p_values), batch
    selected, level = np.zeros(len(p_values), dtype=bool), np.full(len(p_values), np.nan)
    can = np.zeros(len(p_values), dtype=bool)
    ancestor_p = screen.p_value[tests.source, tests.target]
    sure = order.sure[tests.source, tests.target]
    n_pairs = np.isfinite(screen.p_value)
    for family, screened in ((~is_sink, n_pairs[:, :n_nodes]), (is_sink, n_pairs[:, n_nodes:])):
        found, can[family] = two_level(
            p_values[family],
            ancestor_p[family],
            sure[family],
            n_pairs=int(screened.sum()),
            ancestor_alpha=ANCESTOR_SHARE * config.level_of_edges,
            parent_alpha=least_bar(config),
        )
        selected[family], level[family] = found.selected, found.level
    if tests.p_held is not None:
        selected &= ~(tests.p_held > config.level_of_edges)
    return Selection(selected, np.full(len(p_values), np.nan), level), can, batch
