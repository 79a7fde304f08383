"""Relevance: whether each perturbation changes its gene, and candidates can be told apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from argen.arrays import FloatArray, IntArray
from argen.checks.guides import (
    EffectsOfGroups,
    FitsOfGroups,
    GroupFits,
    JointFits,
    regress_effects,
)
from argen.checks.instruments.transcripts import n_moved_more
from argen.checks.instruments.two_stages import MOST_CANDIDATES, MOST_TOGETHER
from argen.corrections import Penetrance
from argen.data import PerturbSeqData
from argen.engine import joint_design
from argen.errors import counted, listed
from argen.network import KNOCKDOWN_ALPHA, WORKS, CausalNetwork, Finding
from argen.pvalues import adjust, critical_value, p_of
from argen.steps import DescendantScreen

# A candidate with a conditional F below it is weak. The bound is that of a single first stage
# (Staiger and Stock 1997); Sanderson and Windmeijer (2016) use such bounds for one of several
# regressors.
WEAK_F = 10.0
# Beyond it the strength of every candidate would cost too much: its cube for each.
MOST_NODES = 100
_COLUMNS = [
    "source", "target", "n_candidates", "smallest_singular_value", "conditional_f", "weak",
]  # fmt: skip

_APART = "relevance given the other candidates"


def knockdown_table(
    screen: DescendantScreen, *, confidence: float, penetrance: Penetrance | None = None
) -> pd.DataFrame:
    """Return one row a node: its perturbation's effect on its own gene.

    The interval is Wald's on the log scale, in percent of the expression in the controls;
    ``first_stage_f`` is the squared ratio of effect and standard error; ``failed`` says that the
    effect is not significant, its p-value adjusted over the nodes; ``n_moved_more`` counts the
    genes that it moves by more than its own, beyond doubt. Where it was looked for, the share of
    cells in which the guide works stands beside it.
    """
    own = screen.knockdown
    margin = critical_value(confidence) * own.std_error
    p_adjusted = adjust(own.p_value, "bh")
    table = pd.DataFrame(
        {
            "node": list(screen.nodes),
            "effect": own.effect,
            "ci_low": own.effect - margin,
            "ci_high": own.effect + margin,
            "percent_remaining": 100.0 * np.exp(own.effect),
            "percent_low": 100.0 * np.exp(own.effect - margin),
            "percent_high": 100.0 * np.exp(own.effect + margin),
            "first_stage_f": (own.effect / own.std_error) ** 2,
            "p_value": own.p_value,
            "p_adjusted": p_adjusted,
            "failed": ~(p_adjusted < KNOCKDOWN_ALPHA),
            "n_moved_more": n_moved_more(screen),
        }
    )
    return table if penetrance is None else pd.concat([table, penetrance.to_frame()], axis=1)


def effective_cells(data: PerturbSeqData) -> FloatArray:
    """How many cells each perturbation's are worth, next to as many controls as one likes.

    What is left of the perturbation's indicator, over its cells and the controls, when intercept
    and covariates have explained what they can of it, squared and summed. It is ``1 / (1 / n_1 +
    1 / n_0)`` for n_1 cells and n_0 controls whose covariates are alike, and less the more the
    covariates tell them apart. Where cells carry several perturbations the others explain too, and
    all cells without it are those that it is next to.
    """
    if not data.one_per_cell:
        inverse, identified = joint_design(data, data.perturbations).gram
        return np.where(identified, 1.0 / np.diagonal(inverse), 0.0)[: data.n_nodes]
    regressors, found = data.intercept_and_covariates(), np.zeros(data.n_nodes)
    for node in range(data.n_nodes):
        carries = data.perturbed(node)
        cells = carries | data.controls
        own = carries[cells].astype(np.float64)
        fitted = np.linalg.lstsq(regressors[cells], own, rcond=None)[0]
        found[node] = np.sum((own - regressors[cells] @ fitted) ** 2)
    return found


def knockdown_findings(table: pd.DataFrame) -> list[Finding]:
    """Name the perturbations that do nothing to their gene, and those that raise it."""
    findings = []
    failed = table[table["failed"]]
    if len(failed):
        shown = [
            f"{row['node']} ({row['percent_remaining']:.0f} % left, {p_of(row['p_value'])})"
            for row in failed.to_dict("records")
        ]
        findings.append(
            Finding(
                WORKS,
                f"{len(failed)} of {len(table)} perturbations do not change their own gene "
                f"(adjusted p >= {KNOCKDOWN_ALPHA:g}): {listed(shown)}.",
                "Effects of these genes rest on nothing: leave them out of the nodes, or check "
                "that the guides work and that the gene is expressed.",
                "warning",
            )
        )
    raised = table[~table["failed"] & (table["effect"] > 0)]
    if len(raised):
        findings.append(
            Finding(
                WORKS,
                f"{counted(len(raised), 'perturbation')} "
                f"{'raises its' if len(raised) == 1 else 'raise their'} own gene: "
                f"{listed(raised['node'])}.",
                "Expected of activation; otherwise check the labels.",
                "note",
            )
        )
    return findings


def strength_table(network: CausalNetwork, data: PerturbSeqData) -> pd.DataFrame:
    """Return how well the perturbations tell candidates from the others of the same target.

    One row a candidate up to ``MOST_NODES`` nodes, or ``MOST_TOGETHER`` where cells carry
    several perturbations; beyond, one a source of an edge. With the
    effects of the candidates' perturbations on the candidates, ``conditional_f`` is the least
    distance of a candidate's column from the combinations of the others, squared and in units of
    its error: chi-square with one degree of freedom when the others explain it. Effects on
    different genes come from the same cells, and have the covariances that go with that.
    ``smallest_singular_value`` is that of the matrix itself, natural-log units. Missing where an
    effect could not be estimated, or beyond ``most_candidates``.

    Parameters
    ----------
    data
        Of the cells that the network was inferred from.

    Source: after Sanderson and Windmeijer (2016), whose model is linear and homoscedastic.
    """
    nodes, most = np.arange(data.n_nodes), most_candidates(data)
    is_small = data.n_nodes <= min(MOST_NODES, most)
    fits = node_fits(data)
    whole = fits.among(nodes, nodes) if is_small else None
    # Targets often share their candidates.
    known: dict[tuple[bytes, bytes], tuple[list[float], float]] = {}
    rows, names = [], network.nodes
    for target, sources in _asked(network, every_candidate=is_small):
        candidates = np.sort(network.causal_order.candidates(target))
        key = candidates.tobytes(), sources.tobytes()
        if key not in known and len(candidates) > most:
            known[key] = [np.nan] * len(sources), np.nan
        elif key not in known:
            effects = (whole.part if whole else fits.among)(candidates, candidates)
            known[key] = _strengths(effects, candidates, sources)
        each, smallest = known[key]
        about = network.genes[target], len(candidates), smallest
        for source, strength in zip(sources.tolist(), each, strict=True):
            rows.append((names[source], *about, strength, strength < WEAK_F))
    return pd.DataFrame(rows, columns=_COLUMNS)


def most_candidates(data: PerturbSeqData) -> int:
    """How many candidates of a target are compared at most."""
    return MOST_CANDIDATES if data.one_per_cell else MOST_TOGETHER


def node_fits(data: PerturbSeqData) -> FitsOfGroups:
    """Regressions of genes on every perturbation."""
    if not data.one_per_cell:
        return JointFits(data, data.perturbations)
    return GroupFits(data, np.where(data.controls, data.n_nodes, data.node_of_cell))


def _asked(network: CausalNetwork, *, every_candidate: bool) -> Iterator[tuple[int, IntArray]]:
    """Yield targets, and of which nodes the strength is asked for."""
    if every_candidate:
        for target in range(len(network.genes)):
            yield target, network.causal_order.candidates(target)
        return
    number = {gene: i for i, gene in enumerate(network.genes)}
    for name, edges in network.edges.groupby("target", sort=False):
        yield number[str(name)], np.array([number[s] for s in edges["source"]], dtype=np.int64)


def _strengths(
    effects: EffectsOfGroups, candidates: IntArray, sources: IntArray
) -> tuple[list[float], float]:
    """Return the strength of each source given the other candidates, and of their matrix."""
    if not len(candidates) or not np.isfinite(effects.effect).all():
        return [np.nan] * len(sources), np.nan
    every, found = np.arange(len(candidates)), []
    for source in sources.tolist():
        own = candidates == source
        # Other methods call pairs that are no candidates in the order.
        fit = (
            regress_effects(effects, int(np.argmax(own)), every[~own], every) if own.any() else None
        )
        found.append(fit.statistic if fit else np.nan)
    return found, float(np.linalg.svd(effects.effect, compute_uv=False)[-1])


def strength_findings(table: pd.DataFrame, failed: set[str]) -> list[Finding]:
    """Name the candidates that the others all but explain; failed ones are known already."""
    weak = table[table["weak"] & ~table["source"].isin(failed)]
    if not len(weak):
        return []
    least = weak.groupby("source", sort=False)["conditional_f"].min().sort_values()
    shown = [f"{name} (F = {value:.1f})" for name, value in least.items()]
    return [
        Finding(
            _APART,
            f"{len(weak)} of {len(table)} candidates are weak given the others (conditional F "
            f"< {WEAK_F:g}): {listed(shown)}.",
            "Their direct effects, and those of the genes that they go with, may be biased and "
            "their intervals too short: read table strength, add cells or guides, or leave a "
            "gene out.",
            "warning",
        )
    ]
