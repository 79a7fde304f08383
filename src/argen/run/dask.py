"""Blocks on several processes or machines, by Dask; the only module that imports it."""

from __future__ import annotations

import logging
import pickle
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from itertools import islice
from numbers import Integral
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from argen.engine import Fitted, Worker, using_threads
from argen.errors import ArgenError, ArgenWarning, InputError, first_few
from argen.machine import usable_cores
from argen.run.blocks import Block, Stage

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster

Sent = TypeVar("Sent")

# A block that raises is computed again so often: storage on a network can fail for a moment.
RETRIES = 2
# So often the prepared state is sent anew, without a block done since, after all workers died.
MOST_ROUNDS = 3
SECONDS_TO_CONNECT = 10
LOOPBACK = "127.0.0.1"
# Pieces that are sent for each worker: the next is to be there when one is done.
PIECES_OF_A_WORKER = 2

# Blocks of a worker take turns, each with all its threads. The compiled loops are then never
# entered by two blocks at once, and BLAS keeps its one thread until the last of them is done.
_turn = threading.Lock()


class DaskExecutor:
    """Computes blocks on the workers of a Dask cluster, with the bits of a serial run.

    What all blocks of a stage share is sent to the workers once: of each cell its perturbation,
    covariates and size, and no counts. Each piece of a block is a task, sent with those counts
    that it needs, and few are on their way at any time, so that a worker holds little beside what
    all share. Pieces of a worker that dies are computed by the others.

    Parameters
    ----------
    scheduler
        Address of a scheduler that runs, as ``tcp://host:8786``, or a cluster object of a
        Dask package. None: a cluster of processes on this machine, until ``close``.
    n_workers
        Processes of the cluster on this machine; as many as fill the usable cores when None.
    threads_per_worker
        Threads of each of these processes.
    patience
        Seconds to wait for the first worker.

    Raises
    ------
    InputError
        When Dask is not installed, the scheduler does not answer, or options disagree.

    Examples
    --------
    In a script, the cluster on this machine must stand under ``if __name__ == "__main__":``,
    since every worker imports the script::

        with DaskExecutor(n_workers=4) as executor:
            network = argen.infer_network(data, executor=executor)
    """

    def __init__(
        self,
        *,
        scheduler: str | Cluster | None = None,
        n_workers: int | None = None,
        threads_per_worker: int = 1,
        patience: float = 600.0,
    ) -> None:
        distributed = _distributed()
        _check_sizes(scheduler, n_workers, threads_per_worker)
        self.patience = patience
        self._own_cluster: Cluster | None = None
        if scheduler is None:
            self._own_cluster = scheduler = distributed.LocalCluster(
                n_workers=n_workers or max(1, usable_cores() // threads_per_worker),
                threads_per_worker=threads_per_worker,
                processes=True,
                host=LOOPBACK,  # whoever reaches a scheduler or a worker can run code there
                dashboard_address=f"{LOOPBACK}:0",  # any free port
                memory_limit=0,  # nothing piles up on a worker, so there is nothing to spill
                silence_logs=logging.CRITICAL,  # a lost worker is made up for, and reported here
            )
        try:
            self.client: Client = distributed.Client(scheduler, timeout=SECONDS_TO_CONNECT)
        except (OSError, ValueError) as error:
            raise InputError(
                f"The Dask scheduler at {str(scheduler)!r} cannot be reached: {error}. Expected "
                "the address of one that runs, as tcp://host:8786."
            ) from error

    def run(self, stage: Stage[Block], numbers: Sequence[int]) -> Iterator[tuple[int, Fitted]]:
        """Yield the numbers of some blocks and their results, as they are done."""
        if numbers:
            self._check_workers()
        pieces = {n: stage.worker.pieces(stage.blocks[n]) for n in numbers}
        found: dict[int, dict[int, Fitted]] = {n: {} for n in numbers}
        waiting = [(n, place) for n in numbers for place in range(len(pieces[n]))]
        rounds = 0
        while waiting:
            rounds += 1
            for number, place, result in self._round(stage, pieces, waiting):
                rounds = 0
                piece = pieces[number][place]
                found[number][place] = stage.worker.completed(piece, result)
                if len(found[number]) == len(pieces[number]):
                    yield (
                        number,
                        Fitted.joined([part for _, part in sorted(found.pop(number).items())]),
                    )
            waiting = [at for at in waiting if at[0] in found and at[1] not in found[at[0]]]
            if rounds == MOST_ROUNDS:
                raise ArgenError(_WORKERS_DIED.format(len(found), len(numbers)))
            if waiting:
                warnings.warn(
                    f"All Dask workers died before {len(found)} of {len(numbers)} blocks were "
                    "done; these are given out once more.",
                    ArgenWarning,
                    stacklevel=2,
                )

    def _round(
        self,
        stage: Stage[Block],
        pieces: dict[int, Sequence[Any]],
        waiting: Sequence[tuple[int, int]],
    ) -> Iterator[tuple[int, int, Fitted]]:
        """Send what all share, and compute pieces, as far as nothing is lost on the way.

        Only so many pieces are on their way as keep the workers busy.
        """
        from distributed import CancelledError, KilledWorker, as_completed

        bare = _Aligned((stage.compute, stage.worker.bare()))
        state = self.client.scatter(bare, broadcast=True, hash=False)
        to_send, at_of = iter(waiting), {}

        def send(at: tuple[int, int]) -> Any:
            piece = pieces[at[0]][at[1]]
            sent = _Aligned((piece, stage.worker.packed(piece)))
            future = self.client.submit(_compute, state, sent, pure=False, retries=RETRIES)
            at_of[future] = at
            return future

        n_first = PIECES_OF_A_WORKER * max(len(self.client.nthreads()), 1)
        futures = as_completed([send(at) for at in islice(to_send, n_first)])
        try:
            for future in futures:
                at = at_of.pop(future)
                with suppress(CancelledError):  # the state is lost: the next round has this piece
                    yield *at, future.result()
                    futures.update(send(at) for at in islice(to_send, 1))
        except KilledWorker as error:
            n_left = len({n for n, _ in at_of.values()} | {n for n, _ in to_send} | {at[0]})
            raise ArgenError(_WORKERS_DIED.format(n_left, len(pieces))) from error
        finally:
            self.client.cancel(list(at_of))

    def _check_workers(self) -> None:
        """Wait for the first worker, and compare versions with those that are there."""
        try:
            self.client.wait_for_workers(1, timeout=self.patience)
        except TimeoutError as error:
            raise InputError(
                f"No worker has joined the Dask scheduler within {self.patience:g} s. Start "
                "workers, or give more patience."
            ) from error
        own = _version()
        try:
            found = self.client.run(_version)
        except ImportError as error:
            raise InputError(
                f"A Dask worker cannot import argen: {error}. Install argen {own} where the "
                "workers run."
            ) from error
        others = {address: other for address, other in found.items() if other != own}
        if others:
            raise InputError(
                f"Dask workers have another version of argen than {own}, the one here: "
                f"{first_few(f'{v} at {a}' for a, v in others.items())}. Install the same."
            )

    def close(self) -> None:
        """Leave the cluster; end it if it was started here."""
        self.client.close()
        if self._own_cluster is not None:
            self._own_cluster.close()

    def __enter__(self) -> DaskExecutor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_WORKERS_DIED = (
    "Dask workers died again and again on what they were given; {} of {} blocks are not done. Most "
    "often a worker has too little memory: give each more, or start fewer on a machine."
)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            "Dask is not installed. Install it with: pip install 'argen[dask]'"
        ) from error
    return distributed


def _check_sizes(scheduler: object, n_workers: int | None, threads_per_worker: int) -> None:
    for name, value in (("n_workers", n_workers), ("threads_per_worker", threads_per_worker)):
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if value is not None and (not whole or value < 1):
            raise InputError(f"{name} must be a whole number from 1, not {value!r}.")
    if scheduler is not None and n_workers is not None:
        raise InputError(
            f"n_workers is {n_workers}, but a scheduler is given too, which has workers of its "
            "own. Leave one of them out."
        )


def _version() -> str:
    return version("argen")


class _Aligned(Generic[Sent]):
    """Whatever is sent, so that its arrays arrive in memory of their own.

    Dask leaves arrays where they stand in its messages, at any byte. For such arrays numba
    compiles other loops, which may add in another sequence and so differ in the last bits.
    """

    def __init__(self, value: Sent) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        import cloudpickle

        # Protocol 4 copies arrays; later ones hand them to Dask's messages.
        return _arrived, (cloudpickle.dumps(self.value, protocol=4),)


def _arrived(sent: bytes) -> _Aligned[Any]:
    return _Aligned(pickle.loads(sent))  # noqa: S301, own state, over Dask's own connection


def _compute(shared: _Aligned[tuple[Any, Worker[Any]]], sent: _Aligned[tuple[Any, Any]]) -> Fitted:
    """Compute a piece on a worker, with the threads that the worker has."""
    from distributed import get_worker

    (compute, worker), (piece, packed) = shared.value, sent.value
    with _turn, using_threads(get_worker().state.nthreads):
        found: Fitted = compute(worker.unpacked(packed), piece)
        return found
