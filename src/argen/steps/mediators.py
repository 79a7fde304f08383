"""Edges tested again, with genes held fixed that may lie between their ends.

What reaches a target through a gene that is no candidate of it looks like a direct effect. A gene
whose perturbation is weak, so that the screen misses what it does, is such a gene: where guides are
uneven, or fail in many cells, most false edges lead around one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from argen.arrays import BoolArray, IntArray
from argen.config import InferenceConfig
from argen.data import PerturbSeqData
from argen.engine import Corrections, Engine, ParentJob
from argen.run import Checkpoint, Executor, Progress
from argen.steps.descendants import DescendantScreen
from argen.steps.order import CausalOrder
from argen.steps.parents import ParentTests, tested_jobs
from argen.steps.rule import call_edges

# A gene may act on a target that is no descendant of it when the p-value of the screen is below.
MAY_ACT = 0.1
# It tells something when its own perturbation has an effect on it, at this level. Of one that has
# none the regression says nothing, so that every edge to a descendant's child would be in doubt.
LEVEL_OF_OWN = 0.05
# A perturbation is weak when the log mean of its own gene moves by less. Strong ones leave little
# unseen, and to hold their genes fixed would cost true edges.
WEAK = 1.5


def hold_mediators(
    data: PerturbSeqData,
    tests: ParentTests,
    screen: DescendantScreen,
    order: CausalOrder,
    config: InferenceConfig,
    *,
    corrections: Corrections | None = None,
    engine: Engine | None = None,
    executor: Executor | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> ParentTests:
    """Test the edges that would be called with genes held fixed that may lie between.

    Gene m may lie between source k and target t when k may act on it, t may not, and, although it
    is no candidate of t, its total effect on t has ``p < .1`` and its own perturbation works
    (p < .05) but is weak (an effect below 1.5). All such genes of the sources of t join its
    candidates in one more regression, from which the edges that they may lie on have the p-value
    ``p_held``. The rule calls no edge of which that is above the level of edges. The weaker the
    perturbations of these genes, the less is known of what passes through them, and the larger is
    the error of what does not.

    Nothing is done under the published rule.
    """
    if config.rule == "published":
        return tests
    called = np.flatnonzero(call_edges(tests, screen, order, config)[0].selected)
    acts, may_act = _acts_and_may_act(screen, order)
    between = [
        np.flatnonzero(acts[source] & may_act[:, target])
        for source, target in zip(tests.source[called], tests.target[called], strict=True)
    ]
    of_target: dict[int, list[IntArray]] = {}
    for target, mediators in zip(tests.target[called].tolist(), between, strict=True):
        of_target.setdefault(target, []).append(mediators)
    jobs = [
        ParentJob(target, np.append(order.candidates(target), np.unique(np.concatenate(some))))
        for target, some in of_target.items()
        if any(map(len, some))
    ]
    again = tested_jobs(
        "mediators", jobs, data, config, corrections=corrections,
        engine=engine, executor=executor, checkpoint=checkpoint, progress=progress,
    )  # fmt: skip
    found = np.full(order.possible.shape, np.nan)
    found[again.source, again.target] = again.effects.p_value
    p_held, doubtful = np.full(len(tests.source), np.nan), called[[len(m) > 0 for m in between]]
    p_held[doubtful] = found[tests.source[doubtful], tests.target[doubtful]]
    return replace(tests, p_held=p_held)


def _acts_and_may_act(screen: DescendantScreen, order: CausalOrder) -> tuple[BoolArray, BoolArray]:
    """Say which nodes are candidates of which, and which may act on a gene unseen.

    The first is (n_nodes, n_nodes), the second (n_nodes, n_genes).
    """
    n_nodes, position = order.n_nodes, order.position
    candidate = order.possible & (position[:n_nodes, None] < position)
    acts = candidate[:, :n_nodes]
    known = candidate.copy()
    known[:, :n_nodes] |= acts.T
    own = screen.knockdown
    works_weakly = (own.p_value < LEVEL_OF_OWN) & (np.abs(own.effect) < WEAK)
    return acts, ~known & (screen.p_value < MAY_ACT) & works_weakly[:, None]
