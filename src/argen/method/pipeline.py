"""The whole method, one step a line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict

from argen.config import InferenceConfig
from argen.data.design import Design, build_design
from argen.data.perturbseq import PerturbSeqData
from argen.engine import Engine
from argen.network.result import CausalNetwork, select_edges
from argen.run.blocks import Executor, Progress
from argen.run.checkpoint import Checkpoint
from argen.steps.descendants import DescendantScreen, screen_descendants
from argen.steps.order import CausalOrder
from argen.steps.parents import ParentTests, search_parents
from argen.steps.rule import order_genes

ParentSearch = Callable[[Design, DescendantScreen, CausalOrder], ParentTests]
"""From design, screen and order to a test for each pair that can be an edge."""


def infer_network(
    data: PerturbSeqData,
    config: InferenceConfig | None = None,
    *,
    engine: Engine | None = None,
    search: ParentSearch | None = None,
    executor: Executor | None = None,
    checkpoint: str | Path | Checkpoint | None = None,
    progress: Progress | None = None,
    command: str | None = None,
) -> CausalNetwork:
    """Infer the causal network of a screen.

    Screen every ordered pair for a total effect; order the nodes causally by what the screen
    finds; test every candidate parent by two-stage regression on proxies that hidden
    confounders cannot reach; select edges under error control.

    Source: Park and Li (2026), ARGEN; for the default rule see ``argen.steps.rule``.

    Parameters
    ----------
    data
        From ``read_perturbseq`` or a simulator.
    config
        Options; ``InferenceConfig(rule="published")`` is the method of the paper.
    engine
        What computes the regressions; ``SharedEngine`` when None.
    search
        Step three; ``search_parents`` when None. Other methods put their own in its place.
    executor
        Where they are computed; in this process when None. No result depends on it.
    checkpoint
        Folder to keep finished blocks in. What an earlier run on the same input with the same
        options has left there is not computed again. The folder is removed at the end, unless
        it is given as a ``Checkpoint``, which the caller removes once the result is safe.
    progress
        Called with the name of a stage, the tests done, and the tests in all.
    command
        Recorded in the provenance.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=4000)
    >>> network = argen.infer_network(data)
    >>> network.edges[["source", "target", "effect"]].shape[1]
    3
    """
    config = config or InferenceConfig()
    clock = _Clock()
    with clock.time("design"):
        design = build_design(data)
    input_sha256 = data.checksum()
    with _kept_blocks(checkpoint, input_sha256) as kept:
        how = _How(engine=engine, executor=executor, checkpoint=kept, progress=progress)
        with clock.time("screen"):
            screen = screen_descendants(design, config, **how)
        with clock.time("order"):
            order = order_genes(screen, config)
        with clock.time("parents"):
            if search is None:
                tests = search_parents(design, order, config, **how)
            else:
                tests = search(design, screen, order)
        return select_edges(
            tests,
            screen,
            order,
            config,
            left_out=data.left_out,
            provenance=_provenance(data, input_sha256, clock.seconds, command),
        )


class _How(TypedDict):
    """What both steps are given and no result depends on."""

    engine: Engine | None
    executor: Executor | None
    checkpoint: Checkpoint | None
    progress: Progress | None


@contextmanager
def _kept_blocks(
    checkpoint: str | Path | Checkpoint | None, input_sha256: str
) -> Iterator[Checkpoint | None]:
    """Open a checkpoint given by its folder, and remove it when all has gone well."""
    if not isinstance(checkpoint, str | Path):
        yield checkpoint
        return
    kept = Checkpoint(Path(checkpoint), input_sha256)
    yield kept
    kept.remove()


class _Clock:
    """Wall time of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 3)


def _provenance(
    data: PerturbSeqData, input_sha256: str, seconds: dict[str, float], command: str | None
) -> dict[str, Any]:
    packages = ("argen", "numpy", "scipy", "numba", "pandas")
    return {
        "method": "argen",
        "versions": {name: version(name) for name in packages},
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "source": data.source,
        "input_sha256": input_sha256,
        "n_cells": data.n_cells,
        "n_controls": data.n_controls,
        "n_nodes": len(data.nodes),
        "library_size": data.library_size_source,
        "covariates": data.formula or [str(name) for name in data.covariates.columns],
        "seconds": seconds,
    }
