"""Dask: the bits of a serial run, also when workers die; and what is said when it cannot be."""

import os
import signal
import sys
from contextlib import nullcontext

import numpy as np
import pytest

import argen
from argen.run import dask as scale
from argen.run.blocks import Stage
from argen.run.dask import DaskExecutor
from tests.screens import assert_same_network, dense_screen

distributed = pytest.importorskip("distributed", reason="Dask is not installed")
pytestmark = pytest.mark.process


@pytest.fixture
def data(monkeypatch):
    """A small screen of ten blocks, and as many of its parent search."""
    monkeypatch.setattr("argen.steps.descendants.BLOCK_OF_TARGETS", 1)
    monkeypatch.setattr("argen.steps.parents.MOST_JOBS", 1)
    return dense_screen()


@pytest.fixture(scope="module")
def executor():
    """Two worker processes on this machine."""
    with DaskExecutor(n_workers=2) as executor:
        yield executor


@pytest.mark.parametrize("engine", [argen.engine.ExactEngine(), argen.engine.SharedEngine()])
def test_same_bits_as_a_serial_run(engine, executor, data):
    network = argen.infer_network(data, engine=engine, executor=executor)
    assert_same_network(network, argen.infer_network(data, engine=engine))


@pytest.mark.parametrize("n_killed", [1, 2], ids=["one", "all"])
def test_same_bits_when_workers_are_killed(n_killed, executor, data):
    """All workers take the state that was sent to them along; it must be sent again."""
    executor.client.wait_for_workers(2)
    computed = []

    def kill(stage, done, total):
        if stage == "screen" and done:
            computed.append(done)
        if len(computed) == 1:
            for pid in list(executor.client.run(os.getpid).values())[:n_killed]:
                os.kill(pid, signal.SIGKILL)
            computed.append(done)

    died = pytest.warns(argen.ArgenWarning, match="workers died before . of 10 blocks were done")
    with died if n_killed == 2 else nullcontext():
        network = argen.infer_network(data, executor=executor, progress=kill)
    assert len(computed) == 11
    assert_same_network(network, argen.infer_network(data))


class OddWorker:
    """A worker of arrays that do not fit into a message at multiples of eight bytes."""

    def __init__(self) -> None:
        self.arrays = [np.arange(n, dtype=t) for n in (3, 99_999) for t in (np.uint8, np.float64)]
        self.received = []

    def bare(self):
        return self

    def pieces(self, block):
        return [block]

    def packed(self, _):
        return OddWorker().arrays

    def unpacked(self, packed):
        self.received = packed
        return self

    def completed(self, _, found):
        return found


def stage_of(compute, blocks) -> Stage:
    return Stage("odd", OddWorker(), compute, blocks, [1] * len(blocks))


def are_aligned(worker, block):
    """Whether every array, of the state and of the block, is as numba expects it."""
    arrays = [*worker.arrays, *worker.received, *block]
    return all(array.flags.aligned and array.flags.writeable for array in arrays)


def test_arrays_arrive_in_memory_of_their_own(executor):
    stage = stage_of(are_aligned, [OddWorker().arrays])
    assert list(executor.run(stage, [0])) == [(0, True)]


def test_few_pieces_are_on_their_way(executor):
    """Of two workers, either may be given all of them."""
    stage = stage_of(on_their_way, list(range(40)))
    assert 1 <= max(n for _, n in executor.run(stage, range(40))) <= 2 * scale.PIECES_OF_A_WORKER


def on_their_way(_, __) -> int:
    """Count the pieces that this worker has been sent and not finished.

    What is done leaves a worker some time after its result is fetched, so it must not count.
    """
    tasks = list(distributed.get_worker().state.tasks.values())
    return sum(task.state in {"waiting", "fetch", "ready", "executing"} for task in tasks)


def end_worker(*_) -> argen.engine.Fitted:
    """Stands for a block that is too large for any worker."""
    os._exit(1)


def test_blocks_that_end_every_worker_end_the_run():
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        executor = DaskExecutor(n_workers=2)
    with executor, pytest.raises(argen.ArgenError, match=r"died again and again .* too little mem"):
        list(executor.run(stage_of(end_worker, [1]), [0]))


def fail(*_) -> argen.engine.Fitted:
    """Stands for a fault of the program."""
    raise ZeroDivisionError("in a block")


def test_what_a_block_raises_is_raised_here(executor):
    with pytest.raises(ZeroDivisionError, match="in a block"):
        list(executor.run(stage_of(fail, [1, 2]), [0, 1]))


def test_another_version_on_the_workers_is_refused(executor, data, monkeypatch):
    monkeypatch.setattr(scale, "version", lambda _: "9.0")
    with pytest.raises(argen.InputError, match=r"another version of argen than 9\.0, the one here"):
        argen.infer_network(data, executor=executor)


def test_an_existing_scheduler_is_used(executor, data):
    with DaskExecutor(scheduler=executor.client.scheduler.address) as second:
        assert_same_network(argen.infer_network(data, executor=second), argen.infer_network(data))
    assert len(executor.client.run(os.getpid)) > 0  # and is not ended with it


def test_a_scheduler_without_workers_is_refused(data):
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0") as cluster,
        DaskExecutor(scheduler=cluster, patience=0.1) as executor,
        pytest.raises(argen.InputError, match=r"No worker has joined .* within 0.1 s"),
    ):
        argen.infer_network(data, executor=executor)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scheduler": "tcp://127.0.0.1:1"}, "at 'tcp://127.0.0.1:1' cannot be reached"),
        ({"scheduler": "carrier-pigeon://here"}, "cannot be reached"),
        ({"n_workers": 0}, "n_workers must be a whole number from 1, not 0"),
        ({"n_workers": 1.5}, "n_workers must be a whole number from 1, not 1.5"),
        ({"threads_per_worker": True}, "threads_per_worker must be a whole number from 1"),
        ({"scheduler": "tcp://x:1", "n_workers": 2}, "workers of its own. Leave one of them out"),
    ],
)
def test_bad_options(options, words, monkeypatch):
    monkeypatch.setattr(scale, "SECONDS_TO_CONNECT", 0.5)
    with pytest.raises(argen.InputError, match=words):
        DaskExecutor(**options)


def test_without_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(argen.InputError, match=r"Install it with: pip install 'argen\[dask\]'"):
        DaskExecutor()


def test_the_cluster_of_this_machine_listens_to_it_alone(executor):
    import psutil

    executor.client.wait_for_workers(2)
    own = psutil.Process()
    listening = [
        connection.laddr.ip
        for process in (own, *own.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3  # the scheduler and two workers
    assert all(ip == "::1" or ip.startswith("127.") for ip in listening), listening
