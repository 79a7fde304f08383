"""Blocks read at the same time, each in one thread, and handed on in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from argen.read.counts.scratch import TileStore

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class AtOnce:
    """How many blocks may be on their way: by the threads, and by the memory that is left."""

    threads: int
    stores: tuple[TileStore, ...]  # whose tiles take of the memory, each for itself
    bytes_of_a_block: int

    def number(self) -> int:
        """One at least; and one more for each thread, so that none waits for the oldest."""
        room = min(store.room for store in self.stores)
        return max(1, min(2 * self.threads, room // self.bytes_of_a_block))


@contextmanager
def read_at_once(
    function: Callable[[Item], Answer], items: Iterable[Item], at_once: AtOnce
) -> Iterator[Iterator[Answer]]:
    """Apply a function to every item; the answers come in the order of the items.

    So does an error: it is that of the first item which has one. No thread goes on after the end.
    """
    if at_once.threads == 1:
        yield map(function, items)
        return
    pool = ThreadPoolExecutor(at_once.threads)
    try:
        yield _in_order(pool, function, items, at_once)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ThreadPoolExecutor,
    function: Callable[[Item], Answer],
    items: Iterable[Item],
    at_once: AtOnce,
) -> Iterator[Answer]:
    begun: deque[Future[Answer]] = deque()
    for item in items:
        while len(begun) >= at_once.number():
            yield begun.popleft().result()
        begun.append(pool.submit(function, item))
    while begun:
        yield begun.popleft().result()
