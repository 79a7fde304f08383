"""Random networks."""

from __future__ import annotations

import numpy as np

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.simulate.model import ScreenModel
from argen.steps import transitive_closure

N_LAYERS = 5
# Feedback is weakened until effects round a cycle die out at least so fast.
LARGEST_ECHO = 0.8


def random_effects(model: ScreenModel, rng: np.random.Generator) -> FloatArray:
    """Direct effects of nodes and hidden genes on these and the sinks, [source, target].

    Returns
    -------
    FloatArray
        (n_nodes + n_hidden_genes, n_nodes + n_hidden_genes + n_sinks); the genes that act come
        in a random sequence, so that the sequence of columns says nothing about the order.
    """
    n_acting = model.n_nodes + model.n_hidden_genes
    edges = _random_edges(model, n_acting, rng)
    size = rng.uniform(*model.effect, edges.shape)
    signed = np.where(rng.random(edges.shape) < model.positive, size, -size)
    effects = np.where(edges, signed, 0.0)
    effects += _feedback(model, effects, rng)
    column = rng.permutation(n_acting)
    return np.hstack([effects[np.ix_(column, column)], effects[column, n_acting:]])


def _random_edges(model: ScreenModel, n_acting: int, rng: np.random.Generator) -> BoolArray:
    """Edges with the genes that act in causal order, and the sinks behind them."""
    edges = np.zeros((n_acting, n_acting + model.n_sinks), dtype=bool)
    if model.graph == "erdos-renyi":
        share = 2 * model.n_parents / (n_acting - 1)
        edges[:, :n_acting] = np.triu(rng.random((n_acting, n_acting)) < share, 1)
    layer = np.sort(rng.integers(0, N_LAYERS, n_acting))
    # All layers but the first have parents.
    n_parents = model.n_parents * (N_LAYERS / (N_LAYERS - 1) if model.graph == "layered" else 1)
    begin = n_acting if model.graph == "erdos-renyi" else 1
    for target in range(begin, n_acting + model.n_sinks):
        weight = np.zeros(n_acting)
        weight[:target] = 1.0
        if model.graph == "scale-free":
            weight[:target] += edges[:target].sum(axis=1)
        elif model.graph == "layered" and target < n_acting:
            weight[layer != layer[target] - 1] = 0.0
        edges[_drawn_parents(weight, n_parents, rng), target] = True
    return edges


def _drawn_parents(weight: FloatArray, n_parents: float, rng: np.random.Generator) -> IntArray:
    n_drawn = min(int(rng.poisson(n_parents)), int(np.count_nonzero(weight)))
    if n_drawn == 0:
        return np.empty(0, dtype=np.int64)
    share = weight / weight.sum()
    return np.asarray(rng.choice(len(weight), size=n_drawn, replace=False, p=share))


def _feedback(model: ScreenModel, effects: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Effects from descendants back to ancestors, weak enough for effects to die out."""
    feedback = np.zeros_like(effects)
    between = effects[:, : len(effects)]
    ancestor, descendant = np.nonzero(transitive_closure(between != 0))
    chosen = rng.permutation(len(ancestor))[: model.n_feedback]
    size = rng.uniform(*model.effect, len(chosen))
    sign = np.where(rng.random(len(chosen)) < model.positive, 1.0, -1.0)
    feedback[descendant[chosen], ancestor[chosen]] = sign * size
    while len(chosen) and _echo(between + feedback[:, : len(effects)]) > LARGEST_ECHO:
        feedback *= 0.8
    return feedback


def _echo(between: FloatArray) -> float:
    """By how much an effect that runs round the network is multiplied: the spectral radius."""
    return float(np.abs(np.linalg.eigvals(between)).max())
