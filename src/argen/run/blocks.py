"""Stages of the method, cut into blocks that can be computed anywhere, in any sequence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from argen.engine import Fitted
from argen.run.checkpoint import StageCheckpoint

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the tests done and the tests in all."""

Block = TypeVar("Block")


@dataclass(frozen=True, slots=True)
class Stage(Generic[Block]):
    """What is to be computed; no result depends on how a stage is cut into blocks."""

    name: str
    compute: Callable[[Block], Fitted]  # a method of an engine that has made its preparations
    blocks: Sequence[Block]
    n_tests: Sequence[int]  # (n_blocks,)


class Executor(Protocol):
    """Who computes the blocks of a stage."""

    def run(
        self, compute: Callable[[Block], Fitted], blocks: Sequence[Block]
    ) -> Iterator[tuple[int, Fitted]]:
        """Yield the number of each block and its result, as they are done."""


class SerialExecutor:
    """One block after another in this process; the engines use their threads within a block."""

    def run(
        self, compute: Callable[[Block], Fitted], blocks: Sequence[Block]
    ) -> Iterator[tuple[int, Fitted]]:
        """Yield the number of each block and its result, in sequence."""
        for number, block in enumerate(blocks):
            yield number, compute(block)


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
    blocks = [stage.blocks[number] for number in left]
    for place, result in (executor or SerialExecutor()).run(stage.compute, blocks):
        number = left[place]
        if kept is not None:
            kept.keep(number, result)
        results[number] = result
        done += stage.n_tests[number]
        if progress is not None:
            progress(stage.name, done, total)
    return [results[number] for number in range(len(stage.blocks))]


def sum_of_fits(results: Sequence[Fitted]) -> dict[str, int]:
    """How many fits were made in which way, over all blocks; ways not taken are left out."""
    total: Counter[str] = Counter()
    for result in results:
        total.update(result.fits)
    return {way: n_fits for way, n_fits in total.items() if n_fits}
