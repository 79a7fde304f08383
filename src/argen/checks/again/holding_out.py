"""Held-out perturbations: what a network says of cells that it has never seen.

A perturbation is left out with its cells, the network of the rest is inferred, and its edges
predict what the perturbation did. An edge out of a gene can be estimated from that gene's own
perturbation alone; where the whole perturbation of a gene is left out, its gene is a sink, and the
prediction starts from what the perturbation did to other nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.checks.again.scores import score_findings, score_line, score_table
from argen.checks.findings import Diagnostics
from argen.checks.guides import FEWEST_CELLS, GroupEffects, group_effects
from argen.config import InferenceConfig
from argen.data import CONTROL, PerturbSeqData, only_cells, without_perturbation
from argen.errors import InputError, listed, nearest
from argen.method import infer_network
from argen.network import CausalNetwork, joint_errors, propagated
from argen.pvalues import adjust, critical_value, two_sided

# An effect of the held-out cells is taken for one when its p-value, by Holm's method over the
# nodes, is below.
AFFECTED_ALPHA = 0.05
_COLUMNS = [
    "held", "kind", "given", "entry", "target", "observed", "predicted", "std_error", "ci_low",
    "ci_high", "inside", "p_value", "affected", "mean",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Held:
    """Cells to leave out."""

    name: str
    kind: str  # "node", "label" or "guide"
    node: int  # CONTROL for a label
    cells: BoolArray  # (n_cells,)


def held_out(
    data: PerturbSeqData,
    config: InferenceConfig | None = None,
    *,
    held: Iterable[str] | None = None,
    labels: pd.Series | None = None,
    by_guide: bool = False,
    entry: str | None = None,
) -> Diagnostics:
    """Leave out perturbations one at a time, and predict their effects from the rest.

    Three kinds of predictions, all for cells that the network has not seen:

    - given ``"own gene"``, with ``by_guide``: one guide of a node is left out, and its effects on
      all other nodes are predicted from its effect on its own gene;
    - given ``"entry"``: a whole perturbation is left out, and its effects are predicted from
      its effect on one node, the most upstream in the causal order that it changes beyond
      doubt (Holm's method at 0.05);
    - given ``"parents"``: the same, each node from the observed effects on its own parents;
      nodes without parents are not predicted. A node that the perturbation acts on
      directly has to disagree.

    Table ``held_out`` has one row for each prediction: held, kind, given, entry, target,
    observed, predicted, std_error of their difference, ci_low and ci_high around the prediction,
    inside (whether they hold the observed effect), p_value of the difference, affected (whether
    there is an effect, as above), mean (of the other perturbations' effects on the target).
    Table ``held_out_scores`` has, for each perturbation and over all: n, n_affected,
    correlation, slope of the observed effect on the predicted, same_sign (share of the affected
    targets whose sign is predicted), inside, explained (1 - sum of squared errors over that of
    predicting no effect), and explained_by_mean, that of the mean of other perturbations.

    Held-out and other cells are compared with the same controls, of which intervals take no
    account beyond the comparison itself.

    Parameters
    ----------
    data
        The screen, with one perturbation a cell at most.
    config
        Options of each network.
    held
        Nodes, or labels of cells that ``data`` has among its controls, as where the perturbed
        gene is not measured; every node when None.
    labels
        Label of each cell, such as ``adata.obs["perturbation"]``, found by the cell's
        identifier; needed for labels that are no nodes. Their cells take no part in any fit.
    by_guide
        Leave out the guides of the nodes in place of their perturbations, one at a time.
    entry
        Node to begin from, in place of the most upstream that is changed.

    Raises
    ------
    InputError
        When cells carry several perturbations, guides are not known, a name is neither a node nor
        a label of controls, or nothing is left to fit.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=4000)
    >>> found = argen.checks.held_out(data, held=["X7"])
    >>> sorted(found.tables["held_out"]["given"].unique())
    ['entry', 'parents']
    """
    config = InferenceConfig() if config is None else config
    if not isinstance(config, InferenceConfig):
        raise InputError(
            f"Expected options, InferenceConfig(...), not {type(config).__name__!r}: the networks "
            "without what is left out are inferred here."
        )
    if entry is not None and entry not in data.nodes:
        raise InputError(f"entry {entry!r} is not a node.{nearest(entry, data.nodes)}")
    if not data.one_per_cell:
        raise InputError(
            "Perturbations cannot be held out where cells carry several: expected one in each cell "
            "at most."
        )
    chosen, too_few = _chosen(data, held, labels, by_guide=by_guide)
    unseen = np.zeros(data.n_cells, dtype=bool)
    for each in chosen:
        unseen |= each.cells & (each.kind == "label")
    rows, unaffected = [], []
    of_labels: CausalNetwork | None = None  # the same for all of them
    for each in chosen:
        network = of_labels if each.kind == "label" else None
        if network is None:
            network = infer_network(_rest(data, each, unseen), config)
        of_labels = network if each.kind == "label" else of_labels
        nodes = np.array([data.genes.index(gene) for gene in network.nodes], dtype=np.int64)
        effects = group_effects(data, _groups(data, each.cells, unseen), nodes)
        found = list(_predictions(each, network, effects, entry))
        rows += found
        if each.kind != "guide" and not any(row["given"] == "entry" for row in found):
            unaffected.append(each.name)
    table = pd.DataFrame(rows, columns=_COLUMNS)
    scores = score_table(table)
    measured = [score_line(row) for _, row in scores[scores["held"] == ""].iterrows()]
    if unaffected:
        measured.append(f"held out, without an effect to begin from: {listed(unaffected)}")
    if too_few:
        measured.append(
            f"guides not held out, as they or the other guides of their gene have fewer than "
            f"{FEWEST_CELLS} cells: {listed(too_few)}"
        )
    tables = {"held_out": table, "held_out_scores": scores}
    return Diagnostics.of(score_findings(table, scores), tables, measured)


def _chosen(
    data: PerturbSeqData,
    held: Iterable[str] | None,
    labels: pd.Series | None,
    *,
    by_guide: bool,
) -> tuple[list[_Held], list[str]]:
    """Find the cells of everything to be held out, and the guides that cannot be."""
    names = list(data.nodes) if held is None else [held] if isinstance(held, str) else list(held)
    if not names:
        raise InputError("There is nothing to hold out: name at least one node.")
    node_of_cell, chosen, too_few = data.node_of_cell, [], []
    of_cells = None
    if by_guide:
        if data.guides is None:
            raise InputError(
                "Guides cannot be held out, as those of the cells are not known: name their column "
                "as guide when the screen is read."
            )
        of_cells = data.guides.labels()
    for name in names:
        if name not in data.nodes:
            chosen.append(_of_label(data, name, labels))
            continue
        node = data.nodes.index(name)
        cells = node_of_cell == node
        if of_cells is None:
            chosen.append(_Held(name, "node", node, cells))
            continue
        for guide, n_cells in sorted(pd.Series(of_cells[cells]).value_counts().items(), key=str):
            own = cells & (of_cells == guide)
            if n_cells >= FEWEST_CELLS and int(cells.sum()) - n_cells >= FEWEST_CELLS:
                chosen.append(_Held(str(guide), "guide", node, own))
            else:
                too_few.append(str(guide))
    if not by_guide and any(each.kind == "node" for each in chosen) and data.n_nodes < 3:
        raise InputError("Of two nodes none can be left out: expected at least three.")
    return chosen, too_few


def _of_label(data: PerturbSeqData, name: str, labels: pd.Series | None) -> _Held:
    if labels is None:
        raise InputError(
            f"{name!r} is not a node.{nearest(name, data.nodes)} For cells that were read as "
            "controls, such as those of a gene that is not measured, give their labels too."
        )
    controls = data.node_of_cell == CONTROL
    cells = (labels.reindex(data.cells) == name).to_numpy(dtype=bool) & controls
    if cells.sum() < FEWEST_CELLS or (controls & ~cells).sum() < FEWEST_CELLS:
        raise InputError(
            f"{name!r} is neither a node nor a label of at least {FEWEST_CELLS} cells among the "
            f"controls, and not of them all.{nearest(name, [*data.nodes, *labels.unique()])} Read "
            "the screen with its label among those of the controls."
        )
    return _Held(name, "label", CONTROL, cells)


def _rest(data: PerturbSeqData, held: _Held, unseen: BoolArray) -> PerturbSeqData:
    seen = only_cells(
        data, np.flatnonzero(~(unseen | held.cells) if held.kind == "guide" else ~unseen)
    )
    return without_perturbation(seen, held.node) if held.kind == "node" else seen


def _groups(data: PerturbSeqData, cells: BoolArray, unseen: BoolArray) -> IntArray:
    """Code the held cells 0, the controls last, and every other perturbation between."""
    group = np.where(data.controls, data.n_nodes + 2, data.node_of_cell + 1)
    group[unseen] = data.n_nodes + 1
    group[cells] = 0
    return np.asarray(np.unique(group, return_inverse=True)[1], dtype=np.int64)


def _predictions(
    held: _Held, network: CausalNetwork, effects: GroupEffects, begin: str | None
) -> Iterator[dict[str, object]]:
    """Predict the effects on each node of a network; its nodes are the genes of ``effects``."""
    n_nodes, level = len(network.nodes), network.config.confidence
    observed = effects.effect[0]
    variance = np.diagonal(effects.cross[0] + effects.cross[-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        p_value = two_sided(observed / np.sqrt(variance))[0]
    affected = adjust(p_value, "holm") < AFFECTED_ALPHA
    means = _means(network, held.node if held.kind == "guide" else CONTROL)
    parts = []
    if held.kind == "guide":
        own = held.node  # no node was left out
        parts.append(("own gene", own, *_from_entry(network, effects, own)))
    else:
        first = network.causal_order.position[:n_nodes]
        entry = CONTROL
        if begin in network.nodes:
            entry = network.nodes.index(begin)
        elif affected.any():
            entry = int(np.flatnonzero(affected)[np.argmin(first[affected])])
        if entry != CONTROL:
            parts.append(("entry", entry, *_from_entry(network, effects, entry)))
        parts.append(("parents", CONTROL, *_from_parents(network, effects)))
    for given, entry, predicted, std_error in parts:
        margin = critical_value(level) * std_error
        p_off = two_sided((observed - predicted) / std_error)[0]
        for t in np.flatnonzero(np.isfinite(predicted) & np.isfinite(observed)).tolist():
            low, high = predicted[t] - margin[t], predicted[t] + margin[t]
            yield {
                "held": held.name, "kind": held.kind, "given": given,
                "entry": network.nodes[entry] if entry >= 0 else "", "target": network.nodes[t],
                "observed": observed[t], "predicted": predicted[t], "std_error": std_error[t],
                "ci_low": low, "ci_high": high, "inside": bool(low <= observed[t] <= high),
                "p_value": p_off[t], "affected": bool(affected[t]), "mean": means[t],
            }  # fmt: skip


def _means(network: CausalNetwork, but: int) -> FloatArray:
    """Mean effect on each node of the perturbations of others, but one: (n_nodes,)."""
    effect = network.screen.effect[:, : len(network.nodes)]
    kept = np.isfinite(effect) & (np.arange(len(effect)) != but)[:, None]
    return np.asarray(np.where(kept, effect, 0.0).sum(axis=0) / np.maximum(kept.sum(axis=0), 1))


def _from_entry(
    network: CausalNetwork, effects: GroupEffects, entry: int
) -> tuple[FloatArray, FloatArray]:
    """Predict from the effect on one node; errors are of predicted less observed effects.

    Both (n_nodes,); the entry itself is not predicted.
    """
    errors, start = joint_errors(network), effects.effect[0, entry]
    if not np.isfinite(start):
        return np.full(errors.n_nodes, np.nan), np.full(errors.n_nodes, np.nan)
    onward = errors.over_paths(errors.direct())[entry]
    node = np.array([entry], dtype=np.int64)
    _, of_edges = propagated(errors, node, np.array([start]), np.array([False]))
    predicted, std_error = start * onward[: errors.n_nodes] + 0.0, np.empty(errors.n_nodes)
    for t in range(errors.n_nodes):
        std_error[t] = np.hypot(of_edges[t], _observed_error(effects, t, node, onward[[t]]))
    predicted[entry] = np.nan
    return predicted, std_error


def _from_parents(network: CausalNetwork, effects: GroupEffects) -> tuple[FloatArray, FloatArray]:
    """Predict each node from the effects on its parents; as ``_from_entry``."""
    errors, observed = joint_errors(network), effects.effect[0]
    predicted, std_error = np.full((2, errors.n_nodes), np.nan)
    for t in np.unique(errors.target[errors.target < errors.n_nodes]).tolist():
        edges = np.flatnonzero(errors.target == t)
        parents, direct = errors.source[edges], errors.effect[edges]
        of_edges = observed[parents] @ errors.covariance(errors.rows[edges]) @ observed[parents]
        predicted[t] = observed[parents] @ direct
        std_error[t] = np.hypot(
            np.sqrt(max(of_edges, 0.0)), _observed_error(effects, t, parents, direct)
        )
    return predicted, std_error


def _observed_error(
    effects: GroupEffects, target: int, sources: IntArray, weights: FloatArray
) -> float:
    """Return the error that the observed effects bring: on the target, less that on others."""
    genes, combination = np.append(target, sources), np.append(1.0, -weights)
    return float(np.sqrt(effects.covariance(np.array([0]), genes, combination)[0, 0]))
