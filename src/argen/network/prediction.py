"""What a network says of interventions.

With B the direct effects, [source, target], and the edges into the genes intervened on left out
(the do-operator), genes that are set to log changes x move the others by::

    y = x (I - B)^-1

over all paths. Errors come from those of the direct effects, by the delta method.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from typing import Literal

import numpy as np
import pandas as pd
from scipy import sparse

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.errors import ArgenWarning, InputError, first_few, nearest
from argen.network.joint_errors import JointErrors, joint_errors
from argen.network.result import CausalNetwork
from argen.pvalues import critical_value

Change = float | Literal["measured", "knock-out"]
"""What becomes of a gene: a fold of its expression, or one of these."""

# What a knock-out leaves of a gene's expression. Nothing would be minus infinity on the log scale,
# on which effects are linear; below a hundredth the counts of most screens cannot tell.
KNOCK_OUT_REMAINS = 0.01
# Sinks are predicted so many at a time, with the edges into them.
BLOCK_OF_SINKS = 50


def predict(
    network: CausalNetwork,
    interventions: str | Iterable[str] | Mapping[str, Change],
    *,
    confidence: float | None = None,
) -> pd.DataFrame:
    """Predict the log fold change of every gene under an intervention on some nodes.

    With B the direct effects of the edges, less those into the nodes that are intervened on
    (the do-operator: what is set is not moved by others any more), and x the log changes
    of these nodes::

        y = x (I - B)^-1

    Returns one row a gene: gene, intervened, effect (natural log of the fold change),
    std_error, ci_low, ci_high, fold_change, sink. Genes that no path reaches have effect
    and error 0: that is what the network says of them, and no interval can say whether
    an edge is missing.

    Errors follow from those of the direct effects by the delta method, with the correlations
    of ``argen.network.joint_errors``, and from that of the knock-down where it is
    ``"measured"``. They do not cover the choice of edges.

    Parameters
    ----------
    interventions
        What becomes of which node: a fold of its expression (0.2: a fifth remains, 2: twice
        as much); ``"measured"``: what its own perturbation did to it in the screen;
        ``"knock-out"``: 1 % remains, since nothing would be minus infinity on the log scale,
        on which effects are linear. Names alone stand for ``"measured"``. A knock-out that
        destroys the protein may leave the transcript: to predict what the guides of such a
        screen do, use ``"measured"``.
    confidence
        Coverage of the intervals; that of the run when None.

    Raises
    ------
    InputError
        When a gene is no node, a fold is not above 0 or is 1, a knock-down was not measured,
        or the edges form a cycle.

    Warns
    -----
    ArgenWarning
        When a node is moved farther than the screen moved it, or the other way.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=4000)
    >>> network = argen.infer_network(data)
    >>> table = argen.predict(network, {"X1": 0.5}).set_index("gene")
    >>> sorted(table.index[table["effect"] != 0])
    ['X1', 'X2', 'X3', 'X6']
    """
    level = _checked_level(network.config.confidence if confidence is None else confidence)
    chosen = _chosen(network, interventions)
    nodes = np.array([network.nodes.index(gene) for gene in chosen], dtype=np.int64)
    shifts = np.array([_log_change(network, gene, change) for gene, change in chosen.items()])
    is_measured = np.array([change == "measured" for change in chosen.values()])
    _warn_of_extrapolation(network, list(chosen), shifts)
    effect, std_error = propagated(joint_errors(network), nodes, shifts, is_measured)
    margin = critical_value(level) * std_error
    return pd.DataFrame(
        {
            "gene": list(network.genes),
            "intervened": np.isin(np.arange(len(network.genes)), nodes),
            "effect": effect,
            "std_error": std_error,
            "ci_low": effect - margin,
            "ci_high": effect + margin,
            "fold_change": np.exp(effect),
            "sink": np.arange(len(network.genes)) >= len(network.nodes),
        }
    )


def propagated(
    errors: JointErrors, nodes: IntArray, shifts: FloatArray, is_measured: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Effects on every gene and their errors: (n_genes,) each.

    Parameters
    ----------
    nodes, shifts
        What is set, and its log change.
    is_measured
        The shifts that have the error of the perturbation's own effect; the others have none.
    """
    direct, n_nodes = errors.direct(), errors.n_nodes
    direct[:, nodes] = 0.0
    over_paths = errors.over_paths(direct)
    effect = shifts @ over_paths[nodes]
    std_error = np.zeros(errors.n_genes)
    free = ~np.isin(errors.target, nodes)
    measured = nodes[is_measured]
    for genes in _blocks(n_nodes, errors.n_genes):
        # Edges count when the change reaches their source and they are on the way to the block.
        on_way = free & ((errors.target < n_nodes) | np.isin(errors.target, genes))
        edges = np.flatnonzero(on_way & (effect[errors.source] != 0.0))
        onward = onward_of(over_paths, errors.target[edges], genes)
        gradient = np.vstack(
            [effect[errors.source[edges], None] * onward, over_paths[measured][:, genes]]
        )
        rows = sparse.vstack([errors.rows[edges], errors.own_effects(measured)], format="csr")
        std_error[genes] = std_error_of(gradient.T, errors.covariance(rows))
    return effect, std_error


def onward_of(over_paths: FloatArray, targets: IntArray, genes: IntArray) -> FloatArray:
    """Effect of the targets of edges, some of them sinks, on genes: (n_edges, n_chosen)."""
    n_nodes = len(over_paths)
    onward = np.equal.outer(targets, genes).astype(np.float64)
    inner = targets < n_nodes
    onward[inner] = over_paths[targets[inner]][:, genes]
    return np.asarray(onward)


def _blocks(n_nodes: int, n_genes: int) -> Iterator[IntArray]:
    yield np.arange(n_nodes)
    for start in range(n_nodes, n_genes, BLOCK_OF_SINKS):
        yield np.arange(start, min(start + BLOCK_OF_SINKS, n_genes))


def std_error_of(gradient: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return the standard error of each row of a gradient times estimates with this covariance."""
    unknown = np.isnan(np.diagonal(covariance))  # methods without errors
    known = np.where(unknown | unknown[:, None], 0.0, covariance)
    variance = np.maximum(np.einsum("ij,ij->i", gradient @ known, gradient), 0.0)
    return np.where(gradient[:, unknown].any(axis=1), np.nan, np.sqrt(variance))


def _chosen(
    network: CausalNetwork, interventions: str | Iterable[str] | Mapping[str, Change]
) -> dict[str, Change]:
    """Return what becomes of which node."""
    if isinstance(interventions, Mapping):
        chosen = dict(interventions)
    else:
        named = [interventions] if isinstance(interventions, str) else list(interventions)
        chosen = dict.fromkeys(named, "measured")
    if not chosen:
        raise InputError(
            "There is no intervention to predict: name at least one node, such as "
            f"{{{network.nodes[0]!r}: 0.2}}."
        )
    for gene in chosen:
        node_number(network, gene)
    return chosen


def node_number(network: CausalNetwork, gene: str) -> int:
    """Return the number of a node, or say why the gene is none."""
    if gene in network.sinks:
        raise InputError(
            f"{gene!r} is a sink of this network: nobody perturbed it, so that nothing is known of "
            f"what it acts on. Choose among the nodes: {first_few(network.nodes, 10)}."
        )
    if gene not in network.nodes:
        raise InputError(
            f"{gene!r} is not a node of this network.{nearest(gene, network.nodes)} Nodes: "
            f"{first_few(network.nodes, 10)}."
        )
    return network.nodes.index(gene)


def _log_change(network: CausalNetwork, gene: str, change: Change) -> float:
    if change == "measured":
        own = network.screen.knockdown
        node = network.nodes.index(gene)
        if not np.isfinite(own.effect[node]) or not np.isfinite(own.std_error[node]):
            raise InputError(
                f"The effect of the perturbation of {gene!r} on its own gene is "
                f"{own.effect[node]:g}, with standard error {own.std_error[node]:g}: it cannot be "
                f"used as it was measured. Say what remains, as in {{{gene!r}: 0.05}}."
            )
        return float(own.effect[node])
    if change == "knock-out":
        return float(np.log(KNOCK_OUT_REMAINS))
    real = isinstance(change, Real) and not isinstance(change, bool)
    if not real or not 0.0 < change < np.inf or change == 1.0:
        why = (
            " Nothing left is minus infinity on the log scale, on which effects are linear: write "
            f"'knock-out', which leaves {KNOCK_OUT_REMAINS:g}, or the fraction that remains."
            if real and change == 0.0
            else ""
        )
        raise InputError(
            f"{gene!r} cannot become {change!r}: expected a fold of its expression, above 0 and "
            f"not 1 (0.2: a fifth remains; 2: twice as much), 'measured' or 'knock-out'.{why}"
        )
    return float(np.log(change))


def _checked_level(confidence: float) -> float:
    real = isinstance(confidence, Real) and not isinstance(confidence, bool)
    if not real or not 0.0 < confidence < 1.0:
        raise InputError(f"confidence must be a number between 0 and 1, not {confidence!r}.")
    return float(confidence)


def _warn_of_extrapolation(network: CausalNetwork, genes: list[str], shifts: FloatArray) -> None:
    """Say which genes are moved farther than the screen has moved them, or the other way."""
    own = network.screen.knockdown.effect
    far = []
    for gene, shift in zip(genes, shifts.tolist(), strict=True):
        seen = own[network.nodes.index(gene)]
        if not (min(seen, 0.0) <= shift <= max(seen, 0.0)):
            far.append(
                f"{gene} to {np.exp(shift):.3g} of its expression (screen: {np.exp(seen):.3g})"
            )
    if far:
        warnings.warn(
            f"The prediction goes beyond what the screen has seen, along straight lines on the log "
            f"scale: {first_few(far)}.",
            ArgenWarning,
            stacklevel=4,
        )
