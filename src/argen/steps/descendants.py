"""Step one: the descendant screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import lambertw

from argen.arrays import BoolArray, FloatArray, IntArray, StatusArray
from argen.config import InferenceConfig
from argen.data import PerturbSeqData, require_screen
from argen.engine import (
    Corrections,
    Effects,
    Engine,
    Fitted,
    Screener,
    SharedEngine,
    sum_of_fits,
    using_threads,
)
from argen.errors import FitStatus
from argen.pvalues import adjust, critical_value, deviates
from argen.run import Checkpoint, Executor, Progress, Stage, run_stage

# Targets of a block, of which the threads of a worker take one each.
BLOCK_OF_TARGETS = 64


@dataclass(frozen=True, slots=True)
class DescendantScreen:
    """Total effect of every perturbation on every other gene.

    Matrices are (n_nodes, n_genes), indexed [source, target], the nodes before the sinks, genes
    that are measured and not perturbed; effects are natural-log rate ratios of perturbed
    against control cells. The diagonal is NaN: the effect of a perturbation on its own gene is
    in ``knockdown``, each array (n_nodes,).
    """

    genes: tuple[str, ...]
    effect: FloatArray
    std_error: FloatArray
    p_value: FloatArray
    log10_p: FloatArray
    p_adjusted: FloatArray
    is_descendant: BoolArray
    status: StatusArray
    knockdown: Effects
    fits: dict[str, int]
    """How many effects were found in which way: from the fit of the controls, by fits of pairs with
    series or with sums over controls taken afresh, without a count to fit, or one by one."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Genes of the network: (n_nodes,)."""
        return self.genes[: len(self.effect)]

    @property
    def pairs(self) -> BoolArray:
        """Pairs of different genes: (n_nodes, n_genes)."""
        different = np.ones(self.effect.shape, dtype=bool)
        np.fill_diagonal(different, False)
        return different

    @property
    def with_own(self) -> tuple[FloatArray, FloatArray]:
        """Effects and errors, those on own genes on the diagonal: (n_nodes, n_genes) each."""
        effect, std_error = self.effect.copy(), self.std_error.copy()
        np.fill_diagonal(effect, self.knockdown.effect)
        np.fill_diagonal(std_error, self.knockdown.std_error)
        return effect, std_error

    def detectable(self, level: float, power: float = 0.8) -> FloatArray:
        """Return how large a fall is that would be called so often: (n_nodes, n_genes).

        It is d, in natural log, at which the likelihood ratio of a count that falls from E to
        ``E exp(-d)`` is what a call asks for, 1 / E being the variance of an effect of 0::

            2 (1 - (1 + d) exp(-d)) = (z_called + z_power)^2 std_error^2 exp(effect)

        z_called belongs to the largest p-value that was called among the nodes, or among the sinks,
        or to ``level`` over the number of tests, if that is larger: d is for one effect more.
        It is infinite where no fall would do, or nothing could be estimated. A rise may be smaller.
        """
        return _fall_for(self._asked(level, power))

    def median_detectable(self, level: float, power: float = 0.8) -> float:
        """Return what is ``detectable`` in the pair in the middle, of nodes and sinks alike."""
        asked = self._asked(level, power)[self.pairs]
        return float(_fall_for(np.median(asked))) if len(asked) else np.inf

    def _asked(self, level: float, power: float) -> FloatArray:
        """Return the right-hand side of ``detectable``: (n_nodes, n_genes)."""
        asked = []
        for part in (slice(len(self.effect)), slice(len(self.effect), None)):
            p_value, called = self.p_value[:, part], self.is_descendant[:, part]
            n_tests = max(int(np.isfinite(p_value).sum()), 1)
            bar = max(float(p_value[called].max(initial=0.0)), level / n_tests)
            z = float(deviates(np.log10(bar))) + critical_value(2.0 * power - 1.0)
            variance = self.std_error[:, part] ** 2 * np.exp(self.effect[:, part])
            asked.append(z**2 * variance)
        return np.nan_to_num(np.hstack(asked), nan=np.inf)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per ordered pair: source, target, effect, std_error, p_value, ..."""
        pairs = self.pairs
        source, target = np.nonzero(pairs)
        names = np.array(self.genes, dtype=object)
        return pd.DataFrame(
            {
                "source": names[source],
                "target": names[target],
                "effect": self.effect[pairs],
                "std_error": self.std_error[pairs],
                "p_value": self.p_value[pairs],
                "log10_p": self.log10_p[pairs],
                "p_adjusted": self.p_adjusted[pairs],
                "descendant": self.is_descendant[pairs],
                "sink": target >= len(self.effect),
                "status": [FitStatus(s).name for s in self.status[pairs]],
            }
        )

    def knockdown_frame(self) -> pd.DataFrame:
        """Return one row per node: the effect of its perturbation on its own expression."""
        own = self.knockdown
        return pd.DataFrame(
            {
                "node": list(self.nodes),
                "effect": own.effect,
                "std_error": own.std_error,
                "p_value": own.p_value,
                "log10_p": own.log10_p,
                "status": [FitStatus(s).name for s in own.status],
            }
        )


def _fall_for(asked: ArrayLike) -> FloatArray:
    """Solve ``2 (1 - (1 + d) exp(-d)) = asked`` for d, which is infinite from 2 on."""
    left = np.maximum(1.0 - 0.5 * np.asarray(asked, dtype=np.float64), 0.0)
    return np.where(left > 0.0, -1.0 - lambertw(-left / np.e, -1).real, np.inf)


def screen_descendants(
    data: PerturbSeqData,
    config: InferenceConfig | None = None,
    *,
    corrections: Corrections | None = None,
    engine: Engine | None = None,
    executor: Executor | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> DescendantScreen:
    """Test every ordered pair of nodes for a total effect.

    For a pair (j, k), on the cells that carry the perturbation of j and the controls::

        log E[Y_k] = log C + a + d D_j + gamma' X

    Errors are those of the HC0 sandwich. d = 0 is tested, two-sided, by the saddlepoint test of
    ``argen.engine.saddlepoint``, or by Wald, as ``config.test_of_screen`` says; k is a descendant
    of j when the p-value, adjusted jointly over all pairs of nodes, is below the level. Pairs of
    a node and a sink are adjusted jointly by themselves, so that sinks change nothing between
    nodes. A test that cannot be computed is missing, has a status, and is never significant.

    The saddlepoint test needs the fit of the controls alone. Where these are many, d and its error
    come from it too, with T_j and E_j the count and the expected count of the cells of j, mu_i what
    the fit expects of a cell, m_j the mean of its covariates over these cells, weighted by mu, and
    H and V the information and the sandwich of the fit::

        d = log(T_j / E_j) - m_j' H^-1 sum_j (y_i - T_j / E_j mu_i) x_i
        Var(d) = sum_j (y_i - e^d mu_i)^2 / T_j^2 + m_j' V m_j

    This is a step of Newton's method towards the fit of the pair, which stands where the step, or
    what the controls add to the variance, is not small: effects differ from those of pair fits by
    about a hundredth of a standard error at most. With Wald's test every pair is fitted.

    With ``corrections`` effects are those over the network (see ``argen.engine.corrections``), and
    the regression has the offset that there is without one.

    Source: Park and Li (2026), step one of ARGEN, which has Wald's test.

    Differs from the R reference, with Wald's test, in:

    1. a gene without counts in the perturbed or the control cells is tested by the
       conditional binomial test, where the reference gives a meaningless Wald p;
    2. a level of a categorical covariate without counts is taken to its limit exactly.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=2000)
    >>> screen = argen.screen_descendants(data)
    >>> screen.effect.shape
    (8, 8)
    """
    config, engine = config or InferenceConfig(), engine or SharedEngine()
    require_screen(data)
    blocks = _blocks_of_targets(0, data.n_genes)
    name = "screen" if corrections is None else "corrected"
    known = [] if corrections is None else corrections.bits()
    kept = checkpoint.stage(name, config, engine, [*blocks, *known]) if checkpoint else None
    with using_threads(config.threads):
        stage = _stage(name, engine.screen(data, config, corrections), blocks, data.n_nodes)
        results = run_stage(stage, executor=executor, kept=kept, progress=progress)
    return assemble_screen(data.genes, results, config)


def screen_panel(
    data: PerturbSeqData,
    config: InferenceConfig,
    *,
    engine: Engine | None = None,
    executor: Executor | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return total effects on the genes of the panel, and errors: (n_nodes, n_panel) each.

    They are those that ``screen_descendants`` has when these genes are sinks.
    """
    engine, with_panel = engine or SharedEngine(), data.with_panel_as_sinks()
    blocks = _blocks_of_targets(data.n_genes, with_panel.n_genes)
    kept = checkpoint.stage("panel", config, engine, blocks) if checkpoint else None
    with using_threads(config.threads):
        stage = _stage("panel", engine.screen(with_panel, config), blocks, data.n_nodes)
        results = run_stage(stage, executor=executor, kept=kept, progress=progress)
    effects = [block.effects.less_sure(config.inflation) for block in results]
    return (
        np.hstack([part.effect for part in effects]),
        np.hstack([part.std_error for part in effects]),
    )


def _blocks_of_targets(first: int, last: int) -> list[IntArray]:
    starts = range(first, last, BLOCK_OF_TARGETS)
    return [np.arange(start, min(start + BLOCK_OF_TARGETS, last)) for start in starts]


def _stage(name: str, screener: Screener, blocks: list[IntArray], n_nodes: int) -> Stage[IntArray]:
    n_tests = [n_nodes * len(targets) for targets in blocks]
    return Stage(name, screener, _total_effects, blocks, n_tests)


def _total_effects(screener: Screener, targets: IntArray) -> Fitted:
    return screener.total_effects(targets)


def assemble_screen(
    genes: tuple[str, ...],
    blocks: list[Fitted],
    config: InferenceConfig,
) -> DescendantScreen:
    """Join blocks of targets, adjust their p-values jointly, and call descendants."""
    fields = ("effect", "std_error", "p_value", "log10_p", "status")
    effects = [block.effects.less_sure(config.inflation) for block in blocks]
    stacked = {name: np.hstack([getattr(part, name) for part in effects]) for name in fields}
    knockdown = Effects(**{name: np.diagonal(stacked[name]).copy() for name in fields})
    for name in fields[:-1]:
        np.fill_diagonal(stacked[name], np.nan)
    np.fill_diagonal(stacked["status"], FitStatus.OK)
    families = np.split(stacked["p_value"], [len(knockdown.effect)], axis=1)  # nodes and sinks
    p_adjusted = np.hstack([adjust(family, config.screen_adjustment) for family in families])
    return DescendantScreen(
        genes=genes,
        p_adjusted=p_adjusted,
        is_descendant=p_adjusted < config.level_of_screen,
        knockdown=knockdown,
        fits=sum_of_fits(blocks),
        **stacked,
    )
