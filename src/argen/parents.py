"""Step three: which candidates act directly on a target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from argen._arrays import IntArray
from argen.config import InferenceConfig
from argen.descendants import Progress, sum_of_fits
from argen.design import Design, build_design
from argen.engine import Effects, Engine, ParentJob, SharedEngine, using_threads
from argen.errors import FitStatus
from argen.order import CausalOrder
from argen.perturbseq import PerturbSeqData


@dataclass(frozen=True, slots=True)
class ParentTests:
    """One test per candidate edge, in long form: (n_candidates,) each."""

    nodes: tuple[str, ...]
    source: IntArray
    target: IntArray
    effects: Effects
    fits: dict[str, int]
    """How many tests were computed in which way."""

    def to_frame(self) -> pd.DataFrame:
        """Return source, target, effect, std_error, z, p_value, log10_p, status."""
        names = np.array(self.nodes, dtype=object)
        effects = self.effects
        return pd.DataFrame(
            {
                "source": names[self.source],
                "target": names[self.target],
                "effect": effects.effect,
                "std_error": effects.std_error,
                "z": effects.effect / effects.std_error,
                "p_value": effects.p_value,
                "log10_p": effects.log10_p,
                "status": [FitStatus(s).name for s in effects.status],
            }
        )


def search_parents(
    data: PerturbSeqData | Design,
    order: CausalOrder,
    config: InferenceConfig | None = None,
    *,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> ParentTests:
    """Estimate and test the direct effect of every candidate on its target.

    For a target t with candidates A, on all cells, in two stages::

        log E[Y_k] = log C + [1, D_A, X] pi_k,   proxy S_k = [1, D_A, X] pi_k,   k in A
        log E[Y_t] = log C + [1, D_t, S_A, X] beta,   theta_tk = coefficient of S_k

    theta_tk is the change in the log mean of t per unit of log mean of k, the other
    candidates held fixed. Standard errors are Murphy and Topel's, on sandwich covariances;
    p-values are two-sided normal.

    Source: Park and Li (2026), step three of ARGEN.

    Differs from the R reference in:

    1. the design has full rank, so no ridge is added to it;
    2. a candidate that the data cannot tell from others is reported as not identified, and
       the remaining candidates of the target keep their tests;
    3. a perturbed group without counts gets half a count (see ``FitStatus.HALF_COUNT``).
    """
    config = config or InferenceConfig()
    design = data if isinstance(data, Design) else build_design(data)
    jobs = [ParentJob(int(t), order.candidates(int(t))) for t in order.order]
    jobs = [job for job in jobs if len(job.candidates)]
    blocks = []
    with using_threads(config.threads):
        tester = (engine or SharedEngine()).parents(design, config)
        for done, job in enumerate(jobs, start=1):
            blocks.append(tester.direct_effects([job]))
            if progress is not None:
                progress("parents", done, len(jobs))
    no_index = np.empty(0, dtype=np.int64)
    targets = [np.full(len(job.candidates), job.target) for job in jobs]
    return ParentTests(
        nodes=design.nodes,
        source=np.concatenate([no_index, *(job.candidates for job in jobs)]),
        target=np.concatenate([no_index, *targets]),
        effects=Effects.joined([block.effects for block in blocks]),
        fits=sum_of_fits(blocks),
    )
