"""How many threads the compiled loops get."""

import os
import time

import numba
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from argen import machine
from argen.engine import in_threads, using_threads
from argen.machine import usable_cores

cores = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="this system has no affinity masks"
)


def blas_threads() -> set[int]:
    """Threads of every BLAS in this process."""
    np.ones((2, 2)) @ np.ones((2, 2))
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


def test_limits_hold_within_and_are_lifted_after():
    before = numba.get_num_threads(), blas_threads()
    with using_threads(1):
        assert numba.get_num_threads() == 1
        assert blas_threads() == {1}
    assert (numba.get_num_threads(), blas_threads()) == before


def test_more_threads_than_there_are_is_all_of_them():
    with using_threads(10_000):
        assert numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS


def test_answers_come_in_the_sequence_of_the_items(monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: 3)
    waits = [0.02, 0.0, 0.01, 0.0, 0.0]
    assert in_threads(lambda k: (time.sleep(waits[k]), k)[1], range(5)) == list(range(5))
    assert in_threads(str, []) == []


def test_an_error_is_raised_and_nothing_more_is_begun(monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    begun = []

    def fail_at_three(item):
        begun.append(item)
        time.sleep(0.005)
        if item == 3:
            raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        in_threads(fail_at_three, range(1000))
    assert len(begun) < 100


@cores
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 4),
        ({"cpu.max": "max 100000\n"}, 4),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "1000 100000\n"}, 1),
        ({"cpu.max": "900000 100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    ],
)
def test_affinity_and_quota_bound_the_cores(files, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 5, 7})
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert usable_cores() == expected
