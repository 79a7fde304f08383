"""From the first look of the screen to what is taken out of everything after it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from argen.arrays import FloatArray
from argen.config import InferenceConfig, WantedPrograms
from argen.corrections.guides import uneven_guides
from argen.corrections.penetrance import LoweredGenes, Penetrance, estimate_penetrance
from argen.corrections.programs import FEWEST_GENES, Programs, find_programs
from argen.data import PerturbSeqData
from argen.engine import CORRECTIONS_NEED, Corrections, Engine, LoweredRates, using_threads
from argen.errors import InputError
from argen.run import Checkpoint, Executor, Progress
from argen.steps import DescendantScreen, screen_panel


@dataclass(frozen=True, slots=True, eq=False)
class Estimated:
    """What was looked for, and what was found; None: not looked for."""

    penetrance: Penetrance | None = None
    programs: Programs | None = None
    corrections: Corrections | None = None
    """What engines need; None where there is nothing to correct."""


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
    """Estimate in how many cells guides work, and look for response programs.

    Programs are looked for in total effects without the cells that escape, also of the genes of the
    panel, which are screened here. Where cells carry several perturbations, or the family is
    negative-binomial, nothing is looked for. Raises InputError when programs were asked for by
    number there.
    """
    wanted, escape = config.wanted_programs, config.wanted_penetrance == "auto"
    if not data.one_per_cell or config.family != "poisson":
        if wanted not in ("auto", 0):
            raise InputError(f"programs={wanted!r} is not possible here. {CORRECTIONS_NEED}")
        return Estimated()
    penetrance = programs = None
    if escape:
        with using_threads(config.threads):
            penetrance = estimate_penetrance(data, screen)
    of_all = data.with_panel_as_sinks()
    n_others = of_all.n_genes - data.n_nodes
    if wanted == "auto" and n_others < FEWEST_GENES:
        programs = Programs.none(of_all.genes, data.n_nodes, n_others)
    elif wanted != 0:
        effect, std_error = screen.with_own
        if data.panel is not None:
            of_panel = screen_panel(
                data, config,
                engine=engine, executor=executor, checkpoint=checkpoint, progress=progress,
            )  # fmt: skip
            effect = np.hstack([effect, of_panel[0]])
            std_error = np.hstack([std_error, of_panel[1]])
        with using_threads(config.threads):
            programs = _programs(of_all, effect, std_error, penetrance, wanted)
    return Estimated(penetrance, programs, corrections_of(data, penetrance, programs))


def corrections_of(
    data: PerturbSeqData, penetrance: Penetrance | None, programs: Programs | None
) -> Corrections | None:
    """Return what engines need to correct for what was found; None where that is nothing."""
    corrections = Corrections.none(data.n_nodes, data.n_genes)
    if penetrance is not None:
        guides = uneven_guides(data, penetrance.guides)
        corrections = _for_escape(replace(corrections, guides=guides), data, penetrance)
    if programs is not None:
        corrections = replace(
            corrections,
            scores=programs.scores,
            score_variance=programs.score_error**2,
            loadings=programs.loadings[: data.n_genes],  # not of the panel
            loading_variance=programs.loading_error[: data.n_genes] ** 2,
        )
    needed = corrections.mixes or corrections.scores.shape[1] > 0
    return corrections if needed else None


def _programs(
    data: PerturbSeqData,
    effect: FloatArray,
    std_error: FloatArray,
    penetrance: Penetrance | None,
    wanted: WantedPrograms,
) -> Programs:
    """Look for programs in effects as the screen has them, the cells that escape taken out."""
    none = Corrections.none(data.n_nodes, data.n_genes)
    corrections = corrections_of(data, penetrance, None) or none
    nodes, genes = np.arange(data.n_nodes), np.arange(data.n_genes)
    found = corrections.corrected(effect, nodes, genes)
    variance = corrections.variance(found, std_error**2, nodes, genes)
    n_programs = None if wanted == "auto" else int(wanted)
    return find_programs(data, found.effect, np.sqrt(variance), n_programs=n_programs)


def _for_escape(
    corrections: Corrections, data: PerturbSeqData, penetrance: Penetrance
) -> Corrections:
    """Correct for the cells of the perturbations that are called to escape."""
    if not penetrance.corrected.any():
        return corrections
    return replace(
        corrections,
        penetrance=penetrance.share,
        penetrance_variance=penetrance.realised_error**2,
        realised_variance=penetrance.share * (1.0 - penetrance.share) / data.n_perturbed,
        lowered=lowered_rates(penetrance.lowered, data.n_genes),
    )


def lowered_rates(lowered: list[LoweredGenes | None], n_genes: int) -> LoweredRates:
    """Lay the genes that perturbations lower out by pairs."""
    place, n_pairs = np.full((len(lowered), n_genes), -1, dtype=np.int32), 0
    known = [(k, own) for k, own in enumerate(lowered) if own is not None]
    for k, own in known:
        place[k, own.genes] = n_pairs + np.arange(len(own.genes))
        n_pairs += len(own.genes)
    return LoweredRates(
        place,
        *(
            np.concatenate([getattr(own, name) for _, own in known])
            for name in ("effect", "variance", "by_share")
        ),
    )
