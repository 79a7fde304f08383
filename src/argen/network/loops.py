"""Genes that act on each other, whose order a network without cycles cannot know."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

from argen.arrays import BoolArray, IntArray
from argen.config import InferenceConfig
from argen.errors import counted, listed, shown
from argen.network.findings import Finding
from argen.pvalues import adjust, shown_p
from argen.steps import DescendantScreen

ACYCLIC = "no feedback (no two genes act on each other)"
_ONE_UNIT = (
    "A network without cycles keeps one direction at most, and its effect is a mixture of both: "
    "read such a pair as one unit, and do not interpret the missing direction. A guide "
    "that hits both genes looks the same: table guide_agreement, of argen check, has whether the "
    "guides of either agree."
)
# A gene of a loop that does less of what the source does to the target is hardly the source.
LEAST_OF_PARTNER = 0.5
MOST_PARTNERS = 3  # that are named
MOST_OF_A_GROUP = 10  # genes that are named
_OR_FALSE = "That is feedback, or a false positive; the network keeps one direction at most."


def beyond_doubt(screen: DescendantScreen, config: InferenceConfig) -> BoolArray:
    """Pairs of nodes significant by Holm's method, at the level of the screen: (n_nodes, n_nodes).

    ``[source, target]``, as everywhere.
    """
    p_value = screen.p_value[:, : len(screen.nodes)]
    return np.asarray(adjust(p_value, "holm") < config.level_of_screen)


def loops_of(acts_on: BoolArray) -> list[list[int]]:
    """Strongly connected components of two nodes or more, the largest first."""
    _, component = connected_components(acts_on, connection="strong")
    found = [np.flatnonzero(component == k).tolist() for k in np.unique(component)]
    return sorted((group for group in found if len(group) > 1), key=lambda g: (-len(g), g))


def loop_partners_of(
    screen: DescendantScreen, loop: IntArray, source: int, target: int
) -> IntArray:
    """Return the others of a loop that may be the source as well, those that do the most first.

    They change the target, half as much as the source does or more, in the direction that what the
    source does to them asks for.
    """
    others = loop[loop != source]
    total, of_source = screen.effect[others, target], screen.effect[source, target]
    signs = np.sign([screen.effect[source, others], screen.knockdown.effect[others], total])
    alike = (signs.prod(axis=0) == np.sign(of_source)) & screen.is_descendant[others, target]
    alike &= np.abs(total) >= LEAST_OF_PARTNER * np.abs(of_source)
    found = others[alike]
    return np.asarray(found[np.argsort(-np.abs(total[alike]), kind="stable")])


def unit_of(screen: DescendantScreen, source: int, partners: IntArray) -> str:
    """Name a source and its partners as the one unit that they are."""
    names = [screen.nodes[k] for k in (source, *partners[:MOST_PARTNERS].tolist())]
    return "/".join(map(shown, names)) + "/..." * (len(partners) > MOST_PARTNERS)


def feedback_findings(
    pairs: pd.DataFrame, screen: DescendantScreen, config: InferenceConfig
) -> list[Finding]:
    """Name the genes that act on each other in the screen: the only finding about them.

    Parameters
    ----------
    pairs
        ``first`` and ``second``, significant both ways.
    """
    groups = [g for g in loops_of(screen.is_descendant[:, : len(screen.nodes)]) if len(g) > 2]
    if not len(pairs) and not groups:
        return []
    evidence, advice, doubtless = [], [], beyond_doubt(screen, config)
    number = {name: k for k, name in enumerate(screen.nodes)}
    places = [(number[a], number[b]) for a, b in pairs.itertuples(index=False)]
    sure = [pair for pair in places if doubtless[pair] and doubtless[pair[::-1]]]
    if places:
        evidence.append(_pairs_said(screen, places, sure))
        advice.append(_ONE_UNIT if sure else _OR_FALSE)
    if groups:
        names = [listed([screen.nodes[k] for k in g], MOST_OF_A_GROUP) for g in groups]
        of_all = [f"{len(g)} genes ({said})" for g, said in zip(groups, names, strict=True)]
        evidence.append(
            f"In {counted(len(groups), 'group')} of three or more, genes reach each other both "
            f"ways in the screen: {listed(of_all, 3)}."
        )
        advice.append(
            "Within a group the strongest pairs decide the order, and one false descendant may "
            "close the loop: lower screen_alpha to see which groups remain."
        )
    return [Finding(ACYCLIC, " ".join(evidence), " ".join(advice), "warning" if sure else "note")]


def _pairs_said(
    screen: DescendantScreen, places: list[tuple[int, int]], sure: list[tuple[int, int]]
) -> str:
    """Name the pairs, those that are sure with their effects."""
    surely, said = set(sure), f"{counted(len(places), 'pair')} of genes affect each other both ways"
    others = [" and ".join(screen.nodes[k] for k in pair) for pair in places if pair not in surely]
    if not sure:
        return f"{said}: {listed(others)}."
    named = [_both_ways(screen, pair) for pair in sorted(sure, key=lambda p: screen.log10_p[p])]
    said += f", {len(sure)} of them beyond doubt (by Holm's method): {listed(named)}."
    return said + f" Less sure: {listed(others)}." * bool(others)


def _both_ways(screen: DescendantScreen, pair: tuple[int, int]) -> str:
    there, back = (
        f"{screen.effect[at]:.2g}, p = {shown_p(screen.log10_p[at])}" for at in (pair, pair[::-1])
    )
    return f"{screen.nodes[pair[0]]} and {screen.nodes[pair[1]]} (effects {there}, and {back})"
