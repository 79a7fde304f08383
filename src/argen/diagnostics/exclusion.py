"""Exclusion: whether the guides of a gene agree, as they must when they act through it alone.

Guides of one gene differ in strength; what they do to another gene must be in proportion to
what they do to their own. More guides than genes make the model over-identified.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from argen._arrays import IntArray
from argen.design import Design
from argen.diagnostics.findings import Finding, listed
from argen.diagnostics.group_effects import GroupEffects, group_effects, regress_effects
from argen.fdr import adjust
from argen.glm.wald import two_sided
from argen.network import CausalNetwork

# Guides of fewer cells have no part: their variances cannot be told.
FEWEST_CELLS = 10
DISAGREEMENT_ALPHA = 0.05
_THROUGH = "exclusion (guides act through their own gene alone)"


@dataclass(frozen=True, slots=True)
class GuideEffects:
    """Effects of every guide on every node."""

    guides: tuple[str, ...]  # (n_guides,)
    node: IntArray  # (n_guides,): whose guide it is
    n_cells: IntArray  # (n_guides,)
    effects: GroupEffects  # of guides on nodes, and last of the cells of guides without a part
    too_few: tuple[str, ...]  # guides of fewer than FEWEST_CELLS cells

    def of(self, nodes: IntArray) -> IntArray:
        """Guides of some nodes."""
        return np.flatnonzero(np.isin(self.node, nodes))


def guide_effects(design: Design, guides: pd.Series) -> GuideEffects:
    """Fit every node with an intercept for each guide: cells with one perturbation at most.

    Parameters
    ----------
    guides
        (n_cells,) label of the guide; those of controls are not looked at.
    """
    node = design.node_of_cell
    labels = guides.astype(str).to_numpy(dtype=object)
    pairs = pd.MultiIndex.from_arrays([node, labels])
    code, known = pd.factorize(pairs)
    sizes = np.bincount(code)
    named: list[tuple[int, str]] = list(known)
    found_node = np.array([pair[0] for pair in named], dtype=np.int64)
    enough = (found_node >= 0) & (sizes >= FEWEST_CELLS)
    by_name = sorted(range(len(named)), key=named.__getitem__)
    order = np.array([k for k in by_name if enough[k]], dtype=np.int64)
    few = np.flatnonzero((found_node >= 0) & (sizes < FEWEST_CELLS))
    place = np.full(len(named), len(order))
    place[order] = np.arange(len(order))
    n_groups = len(order) + (1 if len(few) else 0)
    group = np.where(node < 0, n_groups, place[code])
    return GuideEffects(
        guides=tuple(named[k][1] for k in order.tolist()),
        node=found_node[order],
        n_cells=sizes[order],
        effects=group_effects(design, group, np.arange(design.n_nodes)),
        too_few=tuple(f"{named[k][1]} ({sizes[k]} cells)" for k in few.tolist()),
    )


def guide_table(found: GuideEffects, nodes: tuple[str, ...]) -> pd.DataFrame:
    """Return one row for each guide and gene: the effects of the guides side by side."""
    n_guides, n_nodes = len(found.guides), len(nodes)
    own, base = found.effects.cross[:n_guides], found.effects.cross[-1]
    variance = np.diagonal(own, axis1=1, axis2=2) + np.diagonal(base)
    effect, std_error = found.effects.effect[:n_guides], np.sqrt(variance)
    names = np.array(nodes, dtype=object)
    return pd.DataFrame(
        {
            "source": np.repeat(names[found.node], n_nodes),
            "guide": np.repeat(np.array(found.guides, dtype=object), n_nodes),
            "n_cells": np.repeat(found.n_cells, n_nodes),
            "target": np.tile(names, n_guides),
            "effect": effect.reshape(-1),
            "std_error": std_error.reshape(-1),
            "p_value": two_sided(effect / std_error)[0].reshape(-1),
        }
    )


def agreement_table(found: GuideEffects, nodes: tuple[str, ...]) -> pd.DataFrame:
    """Return one row a pair of nodes: whether the source's guides agree on the target.

    ``effect`` is the total effect per unit of the source; the test that the guides' effects on
    the target are in proportion to those on the source has one degree of freedom for each guide
    but one. ``odd_guide`` is the guide without which the others agree best, where they disagree
    and are three or more.
    """
    rows, pairs = [], []
    for source, target in np.argwhere(~np.eye(len(nodes), dtype=bool)).tolist():
        own, genes = found.of(np.array([source])), np.array([source, target])
        if len(own) < 2 or not np.isfinite(found.effects.effect[np.ix_(own, genes)]).all():
            continue
        fit = regress_effects(found.effects, target, genes[:1], own)
        row = (nodes[source], nodes[target], len(own), fit.coefficients[0], fit.std_error[0])
        rows.append((*row, fit.statistic, fit.df, fit.p_value))
        pairs.append((source, target))
    columns = ["source", "target", "n_guides", "effect", "std_error", "statistic", "df", "p_value"]
    table = pd.DataFrame(rows, columns=columns)
    table["p_adjusted"] = adjust(table["p_value"].to_numpy(dtype=np.float64), "bh")
    table["disagree"] = table["p_adjusted"] < DISAGREEMENT_ALPHA
    table["odd_guide"] = [
        _odd_guide(found, *pair) if disagree else ""
        for pair, disagree in zip(pairs, table["disagree"], strict=True)
    ]
    return table


def _odd_guide(found: GuideEffects, source: int, target: int) -> str:
    own = found.of(np.array([source]))
    if len(own) < 3:
        return ""
    left = [
        regress_effects(found.effects, target, np.array([source]), own[own != g]).statistic
        for g in own.tolist()
    ]
    return found.guides[int(own[int(np.argmin(left))])]


def overidentification_table(found: GuideEffects, network: CausalNetwork) -> pd.DataFrame:
    """Return one row a target: whether its candidates explain what their guides do to it.

    The test that the effects of the guides on the target are the same combination of those on
    the candidates, with a degree of freedom for each guide more than candidates (Hansen 1982).
    """
    rows = []
    for target, name in enumerate(network.nodes):
        candidates = np.asarray(network.causal_order.candidates(target))
        guides = found.of(candidates)
        genes = np.append(candidates, target)
        known = np.isfinite(found.effects.effect[np.ix_(guides, genes)]).all()
        if not len(candidates) or len(guides) <= len(candidates) or not known:
            continue
        fit = regress_effects(found.effects, target, candidates, guides)
        rows.append((name, len(candidates), len(guides), fit.statistic, fit.df, fit.p_value))
    columns = ["target", "n_candidates", "n_guides", "statistic", "df", "p_value"]
    table = pd.DataFrame(rows, columns=columns)
    table["p_adjusted"] = adjust(table["p_value"].to_numpy(dtype=np.float64), "bh")
    table["rejected"] = table["p_adjusted"] < DISAGREEMENT_ALPHA
    return table


def leave_one_out_table(found: GuideEffects, network: CausalNetwork) -> pd.DataFrame:
    """Return one row for each edge and guide of its source: the edge without that guide.

    Estimates come from the guides of all candidates; the row without a guide left out (empty
    ``left_out``) has them all. Edges whose source has a single guide have no other row.
    """
    index = {name: k for k, name in enumerate(network.nodes)}
    rows = []
    for edge in network.edges.itertuples():
        if edge.target not in index:
            continue
        source, target = index[str(edge.source)], index[str(edge.target)]
        candidates = np.asarray(network.causal_order.candidates(target))
        guides = found.of(candidates)
        at = int(np.flatnonzero(candidates == source)[0])
        own = found.of(np.array([source]))
        genes = np.append(candidates, target)
        known = np.isfinite(found.effects.effect[np.ix_(guides, genes)]).all()
        if not known or not np.isin(candidates, found.node[guides]).all():
            continue
        for gone in [-1, *(own if len(own) > 1 else [])]:
            fit = regress_effects(found.effects, target, candidates, guides[guides != gone])
            effect, std_error = fit.coefficients[at], fit.std_error[at]
            name = "" if gone < 0 else found.guides[gone]
            p_value = float(two_sided(effect / std_error)[0])
            rows.append((edge.source, edge.target, name, effect, std_error, p_value))
    columns = ["source", "target", "left_out", "effect", "std_error", "p_value"]
    return pd.DataFrame(rows, columns=columns)


def exclusion_findings(
    agreement: pd.DataFrame, overidentification: pd.DataFrame, left_out: pd.DataFrame
) -> list[Finding]:
    """Name the pairs whose guides disagree, the targets unexplained, and edges of one guide."""
    findings = []
    odd = agreement[agreement["disagree"]].sort_values("p_value")
    if len(odd):
        shown = [
            f"{source} on {target} (p = {p:.2g}{', guide ' + guide if guide else ''})"
            for source, target, p, guide in zip(
                *(odd[name] for name in ("source", "target", "p_value", "odd_guide")), strict=True
            )
        ]
        findings.append(
            Finding(
                _THROUGH,
                f"In {len(odd)} of {len(agreement)} pairs the guides of the source disagree about "
                f"the target beyond their strength (adjusted p < {DISAGREEMENT_ALPHA:g}): "
                f"{listed(shown)}.",
                "One of the guides may act elsewhere, or change the protein without the transcript "
                "(as knock-outs do), so that its strength cannot be read from counts: compare them "
                "in table guides, leave the odd one out, and see which edges stay.",
                "warning",
            )
        )
    unexplained = overidentification[overidentification["rejected"]].sort_values("p_value")
    if len(unexplained):
        shown = [f"{r.target} (p = {r.p_value:.2g})" for r in unexplained.itertuples()]
        findings.append(
            Finding(
                _THROUGH,
                f"The candidates of {len(unexplained)} of {len(overidentification)} targets do not "
                f"explain what their guides do to it: {listed(shown)}.",
                "A guide acts elsewhere, a parent is missing among the candidates, or effects "
                "do not add up on the log scale: read the edges into these genes with care.",
                "warning",
            )
        )
    fragile = _fragile_edges(left_out)
    n_edges = int((left_out["left_out"] == "").sum())
    if fragile:
        findings.append(
            Finding(
                _THROUGH,
                f"{len(fragile)} of {n_edges} edges rest on a single guide, without which p is "
                f"above .05 or the sign turns: {listed(fragile)}.",
                "Confirm them with another guide.",
                "warning",
            )
        )
    return findings


def _fragile_edges(left_out: pd.DataFrame) -> list[str]:
    """Edges that are significant with all guides, and not without one of them."""
    fragile = []
    for (source, target), rows in left_out.groupby(["source", "target"], sort=False):
        whole, others = rows[rows["left_out"] == ""].iloc[0], rows[rows["left_out"] != ""]
        turns = np.sign(others["effect"]) != np.sign(whole["effect"])
        needed = others.loc[turns | (others["p_value"] > 0.05), "left_out"]
        if whole["p_value"] < 0.05 and len(needed):
            fragile.append(f"{source} to {target} (without {listed(needed)})")
    return fragile
