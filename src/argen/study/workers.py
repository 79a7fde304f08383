"""Independent tasks on several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from numbers import Integral
from typing import TypeVar

from argen.errors import InputError
from argen.machine import usable_cores

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_tasks(
    compute: Callable[[Task], Result], tasks: Sequence[Task], *, workers: int | None = None
) -> Iterator[tuple[int, Result]]:
    """Yield the number of each task and its result, as they are done.

    Parameters
    ----------
    compute
        A function of a module, so that other processes find it; what it gives must depend on
        the task alone.
    workers
        Processes; when None, one for each core that this process may use. One: this process.
    """
    if workers is not None and (not isinstance(workers, Integral) or workers < 1):
        raise InputError(f"workers must be a whole number from 1, not {workers!r}.")
    workers = min(workers or usable_cores(), len(tasks))
    if workers <= 1:
        yield from ((number, compute(task)) for number, task in enumerate(tasks))
        return
    # A forked process would inherit threads that it cannot use.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        number_of = {pool.submit(compute, task): n for n, task in enumerate(tasks)}
        try:
            for future in as_completed(number_of):
                yield number_of[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def check_replicates(n_replicates: object) -> None:
    """Refuse what is not a number of replicates."""
    if not isinstance(n_replicates, Integral) or n_replicates < 1:
        raise InputError(f"n_replicates must be a whole number from 1, not {n_replicates!r}.")
