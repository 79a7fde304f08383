"""Relevance: whether each perturbation changes its gene, and candidates can be told apart."""

from __future__ import annotations

import numpy as np
import pandas as pd

from argen.arrays import FloatArray, IntArray
from argen.checks.findings import Finding, listed
from argen.checks.guides import GroupEffects, group_effects, regress_effects
from argen.data import NOT_MEASURED, PerturbSeqData
from argen.network import CausalNetwork
from argen.pvalues import adjust, critical_value

# A first-stage F below it is weak (Staiger and Stock 1997); Sanderson and Windmeijer (2016)
# compare the conditional F of one of several regressors with such bounds.
WEAK_F = 10.0
# Of the knock-downs, adjusted over the nodes by Benjamini and Hochberg.
KNOCKDOWN_ALPHA = 0.05
# Conditional strengths cost the cube of it for every candidate.
MOST_NODES = 100
STRENGTH_COLUMNS = [
    "source", "target", "n_candidates", "smallest_singular_value", "conditional_f", "weak",
]  # fmt: skip

_WORKS = "relevance (each perturbation changes its own gene)"
_APART = "relevance given the other candidates"


def knockdown_table(network: CausalNetwork) -> pd.DataFrame:
    """Return one row a node: its perturbation's effect on its own gene.

    The interval is Wald's on the log scale, in percent of the expression in the controls;
    ``first_stage_f`` is the squared ratio of effect and standard error; ``failed`` says that the
    effect is not significant, its p-value adjusted over the nodes.
    """
    own = network.screen.knockdown
    margin = critical_value(network.config.confidence) * own.std_error
    p_adjusted = adjust(own.p_value, "bh")
    return pd.DataFrame(
        {
            "node": list(network.nodes),
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
        }
    )


def effective_cells(data: PerturbSeqData) -> FloatArray:
    """How many cells each perturbation's are worth, next to as many controls as one likes.

    What is left of the perturbation's indicator, over its cells and the controls, when intercept
    and covariates have explained what they can of it, squared and summed. It is ``1 / (1 / n_1 +
    1 / n_0)`` for n_1 cells and n_0 controls whose covariates are alike, and less the more the
    covariates tell them apart.
    """
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
            f"{row.node} ({row.percent_remaining:.0f} % left, p = {row.p_value:.2g})"
            for row in failed.itertuples()
        ]
        findings.append(
            Finding(
                _WORKS,
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
                _WORKS,
                f"{len(raised)} perturbations raise their own gene: {listed(raised['node'])}.",
                "Expected of activation; otherwise check the labels.",
                "note",
            )
        )
    return findings


def left_out_findings(left_out: pd.DataFrame) -> list[Finding]:
    """Name the perturbed genes that could not be nodes, and those that are not measured."""
    findings = []
    dead = left_out[left_out["kind"] == "node"]
    if len(dead):
        shown = [f"{row.name} ({row.reason})" for row in dead.itertuples(index=False)]
        findings.append(
            Finding(
                _WORKS,
                f"{len(dead)} perturbed genes are no nodes: {listed(shown)}.",
                "Nothing can be said of them, and what they pass on counts as direct effects of "
                "others: choose genes that are expressed, or sequence deeper.",
                "warning",
            )
        )
    labels = left_out[left_out["kind"] == "target"]
    for reason, rows in labels[labels["reason"] != NOT_MEASURED].groupby("reason", sort=False):
        findings.append(
            Finding(
                _WORKS,
                f"{len(rows)} labels are no nodes, and their {int(rows['n_cells'].sum()):,} cells "
                f"were left out: {listed(rows['name'])} ({reason}).",
                "Nothing to do, unless they were meant to be used.",
                "note",
            )
        )
    unmeasured = labels[labels["reason"] == NOT_MEASURED]
    if len(unmeasured):
        findings.append(
            Finding(
                _WORKS,
                f"{len(unmeasured)} perturbations are not of measured genes: "
                f"{listed(unmeasured['name'])}.",
                "What they pass on counts as direct effects of others. Their cells can test the "
                "network: argen check --held-out predicts them.",
                "note",
            )
        )
    return findings


def node_effects(data: PerturbSeqData) -> GroupEffects:
    """Effects of every perturbation on every node: cells with one perturbation at most."""
    group = np.where(data.controls, data.n_nodes, data.node_of_cell)
    return group_effects(data, group, np.arange(data.n_nodes))


def strength_table(network: CausalNetwork, effects: GroupEffects) -> pd.DataFrame:
    """Return one row a candidate: how well the perturbations tell it from the other candidates.

    With the effects of the candidates' perturbations on the candidates, ``conditional_f`` is
    the least distance of a candidate's column from the combinations of the others, squared and
    in units of its error: chi-square with one degree of freedom when the others explain it.
    ``smallest_singular_value`` is that of the matrix itself, natural-log units. The same set of
    candidates is computed once, whatever the target; all comparisons are with the controls.

    Source: after Sanderson and Windmeijer (2016), whose model is linear and homoscedastic.
    """
    strengths: dict[bytes, tuple[list[float], float]] = {}
    rows = []
    order = network.causal_order
    for target in range(len(network.genes)):
        candidates = np.asarray(order.candidates(target))
        key = candidates.tobytes()
        if key not in strengths:
            strengths[key] = _strengths(effects, candidates)
        each, smallest = strengths[key]
        names = network.genes[target], len(candidates), smallest
        for candidate, strength in zip(candidates.tolist(), each, strict=True):
            rows.append((network.nodes[candidate], *names, strength, strength < WEAK_F))
    return pd.DataFrame(rows, columns=STRENGTH_COLUMNS)


def _strengths(effects: GroupEffects, candidates: IntArray) -> tuple[list[float], float]:
    matrix = effects.effect[np.ix_(candidates, candidates)]
    if not len(candidates) or not np.isfinite(matrix).all():
        return [np.nan] * len(candidates), np.nan
    each = [
        regress_effects(effects, k, candidates[candidates != k], candidates).statistic
        for k in candidates.tolist()
    ]
    return each, float(np.linalg.svd(matrix, compute_uv=False)[-1])


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
