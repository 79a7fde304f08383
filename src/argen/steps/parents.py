"""Step three: which candidates act directly on a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from argen.arrays import FloatArray, IntArray
from argen.config import InferenceConfig
from argen.data import PerturbSeqData, require_screen
from argen.engine import (
    Corrections,
    Effects,
    Engine,
    Fitted,
    ParentJob,
    ParentTester,
    SharedEngine,
    sum_of_fits,
    using_threads,
)
from argen.errors import FitStatus
from argen.run import Checkpoint, Executor, Progress, Stage, run_stage
from argen.steps.order import CausalOrder

# A block of the parent search is full when it has so many jobs, or when the squares of the numbers
# of candidates, of each set of them once, add up to so much: engines share work between the jobs
# of a block, and keep 24 bytes for each, or 56 where cells escape.
MOST_JOBS, MOST_PAIRS_OF_CANDIDATES, MOST_PAIRS_WHERE_CELLS_ESCAPE = 2048, 8_000_000, 4_000_000


@dataclass(frozen=True, slots=True)
class ParentTests:
    """One test per candidate edge, in long form: (n_candidates,) each."""

    genes: tuple[str, ...]
    source: IntArray
    target: IntArray
    effects: Effects
    fits: dict[str, int]
    """How many tests were computed in which way."""
    p_held: FloatArray | None = None
    """P-values with genes held fixed that may lie between (see ``hold_mediators``); NaN where none
    may."""

    def to_frame(self) -> pd.DataFrame:
        """Return source, target, effect, std_error, z, p_value, log10_p, status."""
        names = np.array(self.genes, dtype=object)
        effects = self.effects
        with np.errstate(invalid="ignore", divide="ignore"):
            z = effects.effect / effects.std_error
        return pd.DataFrame(
            {
                "source": names[self.source],
                "target": names[self.target],
                "effect": effects.effect,
                "std_error": effects.std_error,
                "z": z,
                "p_value": effects.p_value,
                "log10_p": effects.log10_p,
                "status": [FitStatus(s).name for s in effects.status],
            }
        )


def search_parents(
    data: PerturbSeqData,
    order: CausalOrder,
    config: InferenceConfig | None = None,
    *,
    corrections: Corrections | None = None,
    engine: Engine | None = None,
    executor: Executor | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> ParentTests:
    """Estimate and test the direct effect of every candidate on its target.

    For a target t with candidates A, on all cells, in two stages::

        log E[Y_k] = log C + [1, D_A, X] pi_k,   proxy S_k = [1, D_A, X] pi_k,   k in A
        log E[Y_t] = log C + [1, D_t, S_A, X] beta,   theta_tk = coefficient of S_k

    theta_tk is the change in the log mean of t per unit of log mean of k, the other
    candidates held fixed. Standard errors are Murphy and Topel's, on sandwich covariances. P-values
    are two-sided normal, of the effect over its standard error, or over that which it would have
    if it were none (see ``argen.glm._direct_effects``), as ``config.test_of_parents`` says.

    With ``corrections`` both stages are of total effects over the network (see
    ``argen.engine.corrections`` and ``argen.engine.grouped``).

    Source: Park and Li (2026), step three of ARGEN.

    Differs from the R reference in:

    1. the design has full rank, so no ridge is added to it;
    2. a candidate that the data cannot tell from others is reported as not identified, and
       the remaining candidates of the target keep their tests;
    3. a perturbed group without counts gets half a count (see ``FitStatus.HALF_COUNT``).
    """
    require_screen(data)
    jobs = [ParentJob(int(t), order.candidates(int(t))) for t in order.order]
    return tested_jobs(
        "parents", [job for job in jobs if len(job.candidates)], data, config or InferenceConfig(),
        corrections=corrections,
        engine=engine, executor=executor, checkpoint=checkpoint, progress=progress,
    )  # fmt: skip


def tested_jobs(
    stage_name: str,
    jobs: Sequence[ParentJob],
    data: PerturbSeqData,
    config: InferenceConfig,
    *,
    corrections: Corrections | None,
    engine: Engine | None,
    executor: Executor | None,
    checkpoint: Checkpoint | None,
    progress: Progress | None,
) -> ParentTests:
    """Test the candidates of jobs, block by block, as a stage of the run."""
    engine = engine or SharedEngine()
    mixes = corrections is not None and corrections.mixes
    blocks = blocks_of_jobs(
        jobs, MOST_PAIRS_WHERE_CELLS_ESCAPE if mixes else MOST_PAIRS_OF_CANDIDATES
    )
    numbers = [_numbers(block) for block in blocks]
    known = [] if corrections is None else corrections.bits()
    kept = checkpoint.stage(stage_name, config, engine, [*numbers, *known]) if checkpoint else None
    with using_threads(config.threads):
        tester = engine.parents(data, config, corrections)
        n_tests = [sum(len(job.candidates) for job in block) for block in blocks]
        stage = Stage(stage_name, tester, _direct_effects, blocks, n_tests)
        results = run_stage(stage, executor=executor, kept=kept, progress=progress)
    no_index = np.empty(0, dtype=np.int64)
    targets = [np.full(len(job.candidates), job.target) for job in jobs]
    return ParentTests(
        genes=data.genes,
        source=np.concatenate([no_index, *(job.candidates for job in jobs)]),
        target=np.concatenate([no_index, *targets]),
        effects=Effects.joined([r.effects for r in results]).less_sure(config.inflation),
        fits=sum_of_fits(results),
    )


def _direct_effects(tester: ParentTester, jobs: Sequence[ParentJob]) -> Fitted:
    return tester.direct_effects(jobs)


def blocks_of_jobs(jobs: Sequence[ParentJob], most_pairs: int) -> list[list[ParentJob]]:
    """Cut the jobs into blocks; the cuts depend on nothing but the jobs."""
    blocks: list[list[ParentJob]] = []
    sets: set[bytes] = set()
    n_pairs = 0
    for job in jobs:
        if not blocks or n_pairs >= most_pairs or len(blocks[-1]) == MOST_JOBS:
            blocks.append([])
            sets, n_pairs = set(), 0
        blocks[-1].append(job)
        if job.candidates.tobytes() not in sets:
            sets.add(job.candidates.tobytes())
            n_pairs += len(job.candidates) ** 2
    return blocks


def _numbers(block: Sequence[ParentJob]) -> IntArray:
    """Write a block as one vector: target, number of candidates, and candidates of each job."""
    return np.concatenate(
        [np.array([job.target, len(job.candidates), *job.candidates]) for job in block]
    )
