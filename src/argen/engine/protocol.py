"""The seam between the steps of the method and the engines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numba
import numpy as np

from argen._arrays import FloatArray, IntArray, StatusArray
from argen.config import Family
from argen.design import Design
from argen.errors import FitStatus


@dataclass(frozen=True, slots=True)
class Effects:
    """Effects with their errors and tests; natural-log scale."""

    effect: FloatArray
    std_error: FloatArray
    p_value: FloatArray
    log10_p: FloatArray
    status: StatusArray

    @classmethod
    def missing(cls, *shape: int) -> Effects:
        """Nothing known yet of so many effects."""
        effect, std_error, p_value, log10_p = (np.full(shape, np.nan) for _ in range(4))
        status = np.full(shape, FitStatus.ZERO_COUNTS, dtype=np.int8)
        return cls(effect, std_error, p_value, log10_p, status)


class Screener(Protocol):
    """An engine that has made its preparations for one design."""

    fits: Counter[str]
    """How many of the fits so far were made in which way."""

    def total_effects(self, targets: IntArray) -> Effects:
        """Effects of every perturbation on a block of targets: (n_nodes, n_targets) each."""


class Engine(Protocol):
    """Answers the two questions of the method; the steps never loop over cells themselves."""

    def screen(self, design: Design) -> Screener:
        """Prepare to screen the targets of a design, block by block."""

    def direct_effects(
        self, design: Design, target: int, candidates: IntArray, *, family: Family
    ) -> Effects:
        """Direct effects of the candidates on ``target``: (n_candidates,) each."""


@contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """Limit the compiled loops to so many threads; all cores when None."""
    before = numba.get_num_threads()
    if threads is not None:
        numba.set_num_threads(min(threads, before))
    try:
        yield
    finally:
        numba.set_num_threads(before)
