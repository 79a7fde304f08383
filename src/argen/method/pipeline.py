"""The whole method, one step a line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from argen.config import InferenceConfig
from argen.corrections import Estimated, estimate_corrections
from argen.data import PerturbSeqData, require_screen
from argen.engine import Engine
from argen.files import locked
from argen.network import CausalNetwork
from argen.pvalues import critical_value
from argen.run import Checkpoint, Executor, Progress
from argen.steps import (
    CausalOrder,
    DescendantScreen,
    ParentTests,
    call_edges,
    hold_mediators,
    order_genes,
    screen_descendants,
    search_parents,
)

ParentSearch = Callable[[PerturbSeqData, DescendantScreen, CausalOrder], ParentTests]
"""From data, screen and order to a test for each pair that can be an edge."""


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
    require_screen(data)
    config, clock = config or InferenceConfig(), _Clock()
    with _kept_blocks(checkpoint, data.sha256) as kept:
        with clock.time("screen"):
            screen = screen_descendants(
                data, config, engine=engine, executor=executor, checkpoint=kept, progress=progress
            )
        with clock.time("corrections"):
            estimated = estimate_corrections(
                data, screen, config,
                engine=engine, executor=executor, checkpoint=kept, progress=progress,
            )  # fmt: skip
            if estimated.corrections is not None:
                screen = screen_descendants(
                    data, config, corrections=estimated.corrections,
                    engine=engine, executor=executor, checkpoint=kept, progress=progress,
                )  # fmt: skip
        with clock.time("order"):
            order = order_genes(screen, config)
        with clock.time("parents"):
            if search is None:
                tests = search_parents(
                    data, order, config, corrections=estimated.corrections,
                    engine=engine, executor=executor, checkpoint=kept, progress=progress,
                )  # fmt: skip
                tests = hold_mediators(
                    data, tests, screen, order, config, corrections=estimated.corrections,
                    engine=engine, executor=executor, checkpoint=kept, progress=progress,
                )  # fmt: skip
            else:
                tests = search(data, screen, order)
        return select_edges(
            tests,
            screen,
            order,
            config,
            left_out=data.left_out,
            provenance=_provenance(data, clock.seconds, command),
            estimated=estimated,
        )


def select_edges(
    tests: ParentTests,
    screen: DescendantScreen,
    order: CausalOrder,
    config: InferenceConfig,
    *,
    left_out: pd.DataFrame,
    provenance: dict[str, Any],
    estimated: Estimated | None = None,
) -> CausalNetwork:
    """Apply the rule of the configuration to the parent tests, and assemble the network."""
    selection, can, batch = call_edges(tests, screen, order, config)
    table = tests.to_frame()
    margin = critical_value(config.confidence) * table["std_error"]
    table.insert(4, "ci_low", table["effect"] - margin)
    table.insert(5, "ci_high", table["effect"] + margin)
    table.insert(9, "p_adjusted", selection.p_adjusted)
    table.insert(10, "batch", batch + 1)
    table.insert(11, "level", selection.level)
    table.insert(12, "callable", can)
    table.insert(13, "p_held", np.nan if tests.p_held is None else tests.p_held)
    table.insert(14, "selected", selection.selected)
    table.insert(15, "sink", tests.target >= order.n_nodes)
    return CausalNetwork(
        candidates=table,
        screen=screen,
        causal_order=order,
        config=config,
        left_out=left_out,
        provenance=provenance | {"parent_fits": tests.fits},
        penetrance=None if estimated is None else estimated.penetrance,
        programs=None if estimated is None else estimated.programs,
    )


@contextmanager
def _kept_blocks(
    checkpoint: str | Path | Checkpoint | None, input_sha256: str
) -> Iterator[Checkpoint | None]:
    """Open a checkpoint given by its folder, and remove it when all has gone well."""
    if not isinstance(checkpoint, str | Path):
        yield checkpoint
        return
    kept = Checkpoint(Path(checkpoint), input_sha256)
    with locked(kept.folder):
        yield kept
        kept.remove()
    with suppress(OSError):  # there is more in it
        kept.folder.rmdir()


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
    data: PerturbSeqData, seconds: dict[str, float], command: str | None
) -> dict[str, Any]:
    packages = ("argen", "numpy", "scipy", "numba", "pandas")
    return {
        "method": "argen",
        "versions": {name: version(name) for name in packages},
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "source": data.source,
        "input_sha256": data.sha256,
        "n_cells": data.n_cells,
        "n_controls": data.n_controls,
        "n_nodes": len(data.nodes),
        "library_size": data.library_size_source,
        "covariates": data.formula or [str(name) for name in data.covariates.columns],
        "seconds": seconds,
    }
