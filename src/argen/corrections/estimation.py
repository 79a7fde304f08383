"""From the first look of the screen to what is taken out of everything after it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from argen.config import InferenceConfig
from argen.corrections.programs import Programs, find_programs
from argen.data import PerturbSeqData
from argen.engine import CORRECTIONS_NEED, Corrections, Engine
from argen.errors import InputError
from argen.run import Checkpoint, Executor, Progress
from argen.steps import DescendantScreen, screen_panel


@dataclass(frozen=True, slots=True, eq=False)
class Estimated:
    """What was looked for, and what was found; None: not looked for."""

    programs: Programs | None = None

    def corrections(self, n_nodes: int, n_genes: int) -> Corrections | None:
        """Return what engines need; None when there is nothing to correct."""
        if self.programs is None or not self.programs.n_programs:
            return None
        return replace(
            Corrections.none(n_nodes, n_genes),
            scores=self.programs.scores,
            score_variance=self.programs.score_error**2,
            loadings=self.programs.loadings[:n_genes],  # not of the panel
            loading_variance=self.programs.loading_error[:n_genes] ** 2,
        )


def estimate_corrections(
    data: PerturbSeqData,
    screen: DescendantScreen,
    config: InferenceConfig,
    *,
    engine: Engine | None = None,
    executor: Executor | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> Estimated:
    """Look for response programs in the total effects of a screen, and of its panel.

    The genes of the panel are screened here, as ``screen`` has nodes and sinks. Where cells carry
    several perturbations, or the family is negative-binomial, nothing is looked for. Raises
    InputError when that was asked for by number.
    """
    wanted = config.wanted_programs
    if wanted == 0:
        return Estimated()
    if not data.one_per_cell or config.family != "poisson":
        if wanted != "auto":
            raise InputError(f"programs={wanted!r} is not possible here. {CORRECTIONS_NEED}")
        return Estimated()
    effect, std_error = screen.effect, screen.std_error
    if data.panel is not None:
        of_panel = screen_panel(
            data, config, engine=engine, executor=executor, checkpoint=checkpoint,
            progress=progress,
        )  # fmt: skip
        effect, std_error = np.hstack([effect, of_panel[0]]), np.hstack([std_error, of_panel[1]])
    return Estimated(
        find_programs(
            data.with_panel_as_sinks(),
            effect,
            std_error,
            n_programs=None if wanted == "auto" else wanted,
            rng=np.random.default_rng(1),
        )
    )
