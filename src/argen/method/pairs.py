"""Pairs of genes as edges, without a parent search: what the screen found, and chance."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

import numpy as np

from argen.arrays import BoolArray
from argen.config import InferenceConfig
from argen.corrections import Estimated
from argen.data import PerturbSeqData
from argen.engine import Effects
from argen.errors import InputError
from argen.method.pipeline import infer_network, select_edges
from argen.method.running import HowToRun, named
from argen.network import CausalNetwork
from argen.steps import CausalOrder, DescendantScreen, ParentTests


def infer_screen_only(
    data: PerturbSeqData, config: InferenceConfig | None = None, **how: Unpack[HowToRun]
) -> CausalNetwork:
    """Take every descendant of the screen for a direct effect.

    The effect of an edge is the total effect over the knock-down of the source itself, so that
    it is per unit of log mean of the source; p-values are those of the screen.

    Parameters
    ----------
    how
        ``executor``, ``checkpoint``, ``progress`` and ``command``, as for ``infer_network``.
    """
    network = infer_network(data, config, search=_descendants_as_edges, **how)
    return _all_selected(network, "screen", "every descendant of the screen")


def infer_random(
    data: PerturbSeqData,
    config: InferenceConfig | None = None,
    *,
    n_edges: int | None = None,
    seed: int = 0,
    **how: Unpack[HowToRun],
) -> CausalNetwork:
    """Draw pairs of genes at random, whatever the data say.

    Effects and p-values are as in ``infer_screen_only``.

    Parameters
    ----------
    n_edges
        How many; as many as ``infer_network`` selects when None.
    seed
        Of the random numbers.
    how
        ``executor``, ``checkpoint``, ``progress`` and ``command``, as for ``infer_network``.
    """
    search = None if n_edges is None else _descendants_as_edges
    network = infer_network(data, config, search=search, **how)
    n_edges = len(network.edges) if n_edges is None else n_edges
    places = np.flatnonzero(network.screen.pairs)
    if not 0 <= n_edges <= len(places):
        raise InputError(
            f"n_edges must be from 0 to {len(places)}, the number of pairs, not {n_edges!r}."
        )
    drawn = np.zeros(network.screen.effect.shape, dtype=bool)
    drawn.flat[np.random.default_rng(seed).choice(places, n_edges, replace=False)] = True
    network = select_edges(
        tests_of_pairs(network.screen, drawn),
        network.screen,
        network.causal_order,
        network.config,
        left_out=network.left_out,
        provenance=network.provenance,
        estimated=Estimated(network.penetrance, network.programs),
    )
    return _all_selected(network, "random", f"{n_edges} random pairs, seed {seed}")


def tests_of_pairs(screen: DescendantScreen, pairs: BoolArray) -> ParentTests:
    """Lay out total effects per unit of the source as tests of direct ones.

    Parameters
    ----------
    pairs
        (n_nodes, n_genes), which to take.
    """
    target, source = np.nonzero(pairs.T)
    total, own = screen.effect[source, target], screen.knockdown.effect[source]
    with np.errstate(invalid="ignore", divide="ignore"):
        effect = total / own
        own_error = effect * screen.knockdown.std_error[source]
        std_error = np.hypot(screen.std_error[source, target], own_error) / np.abs(own)
    effects = Effects(
        effect=effect,
        std_error=std_error,
        p_value=screen.p_value[source, target],
        log10_p=screen.log10_p[source, target],
        status=screen.status[source, target],
    )
    return ParentTests(screen.genes, source, target, effects, {"of the screen": len(source)})


def _descendants_as_edges(
    _: PerturbSeqData, screen: DescendantScreen, __: CausalOrder
) -> ParentTests:
    return tests_of_pairs(screen, screen.is_descendant)


def _all_selected(network: CausalNetwork, method: str, selection: str) -> CausalNetwork:
    """Select every candidate; their levels say nothing, and p is adjusted as in the screen."""
    place = {gene: number for number, gene in enumerate(network.genes)}
    source, target = (network.candidates[end].map(place) for end in ("source", "target"))
    table = network.candidates.assign(
        selected=True,
        level=np.nan,
        p_adjusted=network.screen.p_adjusted[source.to_numpy(int), target.to_numpy(int)],
    )
    return named(replace(network, candidates=table), method, selection=selection)
