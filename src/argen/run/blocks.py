"""Stages of the method, cut into blocks that can be computed anywhere, in any sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from argen.engine import Fitted, Worker
from argen.run.checkpoint import StageCheckpoint

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the tests done and the tests in all."""

Block = TypeVar("Block")


@dataclass(frozen=True, slots=True)
class Stage(Generic[Block]):
    """What is to be computed; no result depends on how a stage is cut into blocks."""

    name: str
    worker: Worker[Block]  # an engine that has made its preparations
    compute: Callable[[Any, Block], Fitted]  # called with the worker; a function of a module
    blocks: Sequence[Block]
    n_tests: Sequence[int]  # (n_blocks,)


class Executor(Protocol):
    """Who computes the blocks of a stage."""

    def run(self, stage: Stage[Block], numbers: Sequence[int]) -> Iterator[tuple[int, Fitted]]:
        """Yield the numbers of some blocks and their results, as they are done."""


class SerialExecutor:
    """One block after another in this process; the engines use their threads within a block."""

    def run(self, stage: Stage[Block], numbers: Sequence[int]) -> Iterator[tuple[int, Fitted]]:
        """Yield the numbers of some blocks and their results, in sequence."""
        for number in numbers:
            yield number, stage.compute(stage.worker, stage.blocks[number])


def run_stage(
    stage: Stage[Block],
    *,
    executor: Executor | None = None,
    kept: StageCheckpoint | None = None,
    progress: Progress | None = None,
) -> list[Fitted]:
    """Compute the blocks of a stage that are not kept yet, and keep them.

    Results are in the sequence of the blocks.
    """
    results = {} if kept is None else kept.finished(len(stage.blocks))
    done, total = sum(stage.n_tests[number] for number in results), sum(stage.n_tests)
    if progress is not None:
        progress(stage.name, done, total)
    left = [number for number in range(len(stage.blocks)) if number not in results]
    for number, result in (executor or SerialExecutor()).run(stage, left):
        if kept is not None:
            kept.keep(number, result)
        results[number] = result
        done += stage.n_tests[number]
        if progress is not None:
            progress(stage.name, done, total)
    return [results[number] for number in range(len(stage.blocks))]
