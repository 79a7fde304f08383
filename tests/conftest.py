"""Fixtures shared by all tests."""

import numpy as np
import pytest

import argen


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
