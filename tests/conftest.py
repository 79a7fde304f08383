"""Fixtures shared by all tests, and how many cores tests in parallel take."""

import os

import numpy as np
import pytest

# Tests in parallel share the cores among their workers. Two threads each, and not one, since tests
# compare runs on one thread with runs on two. Libraries read this once, when they are imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "2")

import argen
from argen.machine import usable_cores

# The slowest files and what every worker loads leave nothing to more.
MOST_WORKERS = 8


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker for each core that a container grants, where pytest-xdist counts the machine's."""
    named = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS")
    return int(named) if named else min(usable_cores(), MOST_WORKERS)


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(20260101)


@pytest.fixture(scope="session")
def paper_screen() -> tuple[argen.PerturbSeqData, argen.Truth]:
    """The paper's screen with both common causes hidden."""
    return argen.simulate_paper_screen(rng=1, hidden=("X7", "X8"))


@pytest.fixture(scope="session")
def paper_network(paper_screen) -> argen.CausalNetwork:
    """The network of ``paper_screen``."""
    return argen.infer_network(paper_screen[0])


@pytest.fixture(scope="session")
def escaping_network() -> argen.CausalNetwork:
    """The network of a screen in which cells escape their guides."""
    model = argen.ScreenModel(n_nodes=15, penetrance=0.7, n_controls=1500, cells_per_node=200)
    return argen.infer_network(argen.simulate_screen(model, rng=2)[0])


@pytest.fixture(scope="session")
def program_screen() -> argen.PerturbSeqData:
    """A screen in which most perturbations set off a response around the network."""
    model = argen.ScreenModel(
        n_nodes=20, n_sinks=120, n_parents=0.7, n_programs=1, cells_per_node=100
    )
    return argen.simulate_screen(model, rng=1)[0]


@pytest.fixture(scope="session")
def program_network(program_screen) -> argen.CausalNetwork:
    """The network of ``program_screen``, which has one response program."""
    return argen.infer_network(program_screen)
