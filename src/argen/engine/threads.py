"""How many cores the compiled loops use, and how work is shared among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import numba
from threadpoolctl import ThreadpoolController

from argen.machine import usable_cores

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """Limit the compiled loops to so many threads; all usable cores when None.

    BLAS gets one thread, since the last bits of its products depend on how many share them.
    """
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads or usable_cores(), before))
    try:
        with _controller().limit(limits=1, user_api="blas"):
            yield
    finally:
        numba.set_num_threads(before)


@cache
def _controller() -> ThreadpoolController:
    """Find the BLAS of NumPy and SciPy: 4 ms, which many small screens would pay again and again.

    The engine has imported both by then; a library that comes later has none of our products.
    """
    return ThreadpoolController()


def in_threads(function: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
    """Apply a function to every item, each in one thread, so that no bit depends on them."""
    n_threads = numba.get_num_threads()
    if n_threads == 1:  # handing over and back takes a hundredth of a screen
        return [function(item) for item in items]
    found: dict[int, Answer] = {}
    turns = iter(list(enumerate(items)))

    def work() -> None:
        for number, item in turns:  # whoever is free takes the next: a future for each costs more
            found[number] = function(item)

    with ThreadPoolExecutor(n_threads) as pool:
        try:
            for worker in as_completed([pool.submit(work) for _ in range(n_threads)]):
                worker.result()
        finally:
            list(turns)  # after an error or Ctrl-C nobody begins another
    return [found[number] for number in range(len(found))]
