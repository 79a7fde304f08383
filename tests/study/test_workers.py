"""Tasks on processes."""

import os

import pytest

import argen
from argen.study.workers import run_tasks


def with_process(task: int) -> tuple[int, int]:
    return task**2, os.getpid()


@pytest.mark.process
@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_comes_back_with_its_number(workers):
    found = dict(run_tasks(with_process, [3, 1, 2], workers=workers))
    assert {number: square for number, (square, _) in found.items()} == {0: 9, 1: 1, 2: 4}
    assert all((process == os.getpid()) == (workers == 1) for _, process in found.values())


def test_no_tasks():
    assert list(run_tasks(with_process, [])) == []


@pytest.mark.parametrize("workers", [0, 1.5])
def test_bad_number_of_workers(workers):
    with pytest.raises(argen.InputError, match="workers must be a whole number from 1"):
        list(run_tasks(with_process, [1], workers=workers))
