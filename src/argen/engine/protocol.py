"""The seam between the steps of the method and the engines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from scipy.special import ndtri_exp

from argen.arrays import BoolArray, FloatArray, IntArray, StatusArray
from argen.config import InferenceConfig, ParentTest
from argen.data import PerturbSeqData
from argen.engine.corrections import Corrections
from argen.errors import FitStatus
from argen.pvalues import two_sided


@dataclass(frozen=True, slots=True)
class Effects:
    """Effects with their errors and tests; natural-log scale."""

    effect: FloatArray
    std_error: FloatArray
    p_value: FloatArray
    log10_p: FloatArray
    status: StatusArray

    @classmethod
    def joined(cls, parts: Sequence[Effects]) -> Effects:
        """Put the effects of several jobs one after another."""
        parts = [cls.missing(0), *parts]
        fields = ("effect", "std_error", "p_value", "log10_p", "status")
        return cls(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in fields})

    @classmethod
    def missing(cls, *shape: int, status: FitStatus = FitStatus.ZERO_COUNTS) -> Effects:
        """Nothing known of so many effects, or not yet."""
        effect, std_error, p_value, log10_p = (np.full(shape, np.nan) for _ in range(4))
        statuses = np.full(shape, status, dtype=np.int8)
        return cls(effect, std_error, p_value, log10_p, statuses)

    @classmethod
    def tested(
        cls, effect: FloatArray, errors: FloatArray, test: ParentTest, status: StatusArray
    ) -> Effects:
        """Find p-values of direct effects.

        ``errors`` (2, n) are standard errors, and the normal deviates under the null of each; with
        Wald's test the effects over their errors stand in for these.
        """
        z = effect / errors[0] if test == "wald" else errors[1]
        return cls(effect, errors[0], *two_sided(z), status)

    def filled(self, places: BoolArray, other: Effects) -> Effects:
        """Put other effects in some places."""
        filled = {f.name: getattr(self, f.name).copy() for f in fields(self)}
        for name, values in filled.items():
            values[places] = getattr(other, name)
        return Effects(**filled)

    def transposed(self) -> Effects:
        """Swap the axes; both views are of the same numbers."""
        estimates = self.effect.T, self.std_error.T
        return Effects(*estimates, self.p_value.T, self.log10_p.T, self.status.T)

    def less_sure(self, inflation: float) -> Effects:
        """Divide chi-square statistics, of whatever test, by ``inflation``."""
        if inflation == 1.0:
            return self
        z = -ndtri_exp(self.log10_p * np.log(10.0) - np.log(2.0))
        p_value, log10_p = two_sided(z / np.sqrt(inflation))
        std_error = self.std_error * np.sqrt(inflation)
        return Effects(self.effect, std_error, p_value, log10_p, self.status)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a block of fits gave, and how many of them were made in which way."""

    effects: Effects
    fits: dict[str, int]
    left: tuple[int, ...] = ()  # jobs of the block that could not be done where it was computed

    @classmethod
    def joined(cls, parts: Sequence[Fitted]) -> Fitted:
        """Join the pieces of a block."""
        if len(parts) == 1:
            return parts[0]
        return cls(Effects.joined([part.effects for part in parts]), sum_of_fits(parts))


def sum_of_fits(results: Sequence[Fitted]) -> dict[str, int]:
    """How many fits were made in which way, over all blocks; ways not taken are left out."""
    total: Counter[str] = Counter()
    for result in results:
        total.update(result.fits)
    return {way: n_fits for way, n_fits in total.items() if n_fits}


@dataclass(frozen=True, slots=True)
class ParentJob:
    """One target of the parent search and its candidates, as column numbers."""

    target: int
    candidates: IntArray  # (n_candidates,)


Block = TypeVar("Block", contravariant=True)


class Worker(Protocol[Block]):
    """An engine that has made its preparations for the blocks of a stage.

    It keeps no state between blocks, so that they can be computed anywhere, in any sequence. To
    compute one elsewhere, send ``bare()`` once, and for each block what it needs besides.
    """

    def bare(self) -> Self:
        """Return what all blocks share, without counts."""

    def pieces(self, block: Block) -> Sequence[Any]:
        """Cut a block into such parts, one after another, as are sent each for itself."""

    def packed(self, piece: Any) -> Any:
        """Return what a piece needs beside ``bare()``: numbers, counts and sums of its genes."""

    def unpacked(self, packed: Any) -> Self:
        """Be ready for the piece that something was packed for."""

    def completed(self, piece: Any, found: Fitted) -> Fitted:
        """Compute here what was left elsewhere."""


class Screener(Worker[IntArray], Protocol):
    """A worker of the descendant screen; its blocks are targets."""

    def total_effects(self, targets: IntArray) -> Fitted:
        """Effects of every perturbation on a block of targets: (n_nodes, n_targets) each."""


class ParentTester(Worker[Sequence[ParentJob]], Protocol):
    """A worker of the parent search; its blocks are jobs."""

    def direct_effects(self, jobs: Sequence[ParentJob]) -> Fitted:
        """Direct effects of all candidates on their targets, job after job, in one vector."""


class Engine(Protocol):
    """Answers the two questions of the method; the steps never loop over cells themselves."""

    def screen(
        self, data: PerturbSeqData, config: InferenceConfig, corrections: Corrections | None = None
    ) -> Screener:
        """Prepare to screen the targets of a screen, block by block."""

    def parents(
        self, data: PerturbSeqData, config: InferenceConfig, corrections: Corrections | None = None
    ) -> ParentTester:
        """Prepare to test the candidate parents of targets, block by block."""
