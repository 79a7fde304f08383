"""What a report says: warnings, a summary in plain words, methods, and where all came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from argen.checks import Diagnostics, feedback_pairs
from argen.config import InferenceConfig
from argen.errors import FitStatus
from argen.network import CausalNetwork
from argen.plot import knockdown_table, shown_p

Severity = Literal["serious", "warning", "note"]
CITATION = (
    "Park and Li (2026). Causal network recovery in Perturb-seq experiments using proxy and "
    "instrumental variables. arXiv:2601.01830."
)
# Names in a sentence; the tables have the others.
MOST_NAMES = 8

_ADJUSTMENTS = {
    "bh": "the method of Benjamini and Hochberg",
    "by": "the method of Benjamini and Yekutieli",
    "holm": "Holm's method",
    "bonferroni": "Bonferroni's method",
    "storey": "Storey's method",
    "batch_bh": "the online BatchBH rule, the targets being batches in reverse causal order",
}


@dataclass(frozen=True, slots=True)
class Warned:
    """One thing to know before the edges are read."""

    severity: Severity
    title: str
    text: str


def warnings_of(network: CausalNetwork, diagnostics: Diagnostics | None = None) -> list[Warned]:
    """Return what to know before the edges are read, the most severe first."""
    found = [*_findings(diagnostics), *_of_edges(network)]
    left_out = network.left_out
    if diagnostics is None:  # which speak of these too
        found += [*_of_perturbations(network), *_of_feedback(network)]
    else:
        left_out = left_out[~left_out["kind"].isin(["node", "target"])]
    found += [*_of_fits(network), *_of_what_is_left_out(left_out)]
    severities = ("serious", "warning", "note")
    return sorted(found, key=lambda warned: severities.index(warned.severity))


def _findings(diagnostics: Diagnostics | None) -> Iterable[Warned]:
    if diagnostics is None:
        yield Warned(
            "note",
            "Assumptions were not checked",
            "This report has no checks of balance, off-target guides or calibration. argen check "
            "makes them.",
        )
        return
    for finding in diagnostics.findings:
        text = f"{finding.evidence} {finding.advice}"
        yield Warned(finding.severity, finding.assumption, text)


def _of_edges(network: CausalNetwork) -> Iterable[Warned]:
    if not len(network.candidates):
        yield Warned(
            "warning",
            "Nothing could be tested",
            "The screen found no perturbation that changes another gene, so that no pair was a "
            "candidate. More cells, or stronger guides, may find some.",
        )
    elif not len(network.edges):
        yield Warned(
            "warning",
            "No edge passed",
            f"{_many(len(network.candidates), 'candidate')} tested, and none had enough evidence. "
            "That does not say that there is no effect.",
        )


def _of_perturbations(network: CausalNetwork) -> Iterable[Warned]:
    table = knockdown_table(network)
    finite = np.isfinite(table["effect"])
    weak = table.loc[finite & ~(table["ci_high"] < 0), "node"]
    if len(weak):
        yield Warned(
            "warning",
            f"{_many(len(weak), 'perturbation')} may not work",
            f"The own expression of {names_of(weak)} is not surely lowered by its perturbation. "
            "Edges out of such a gene have little to stand on.",
        )
    unknown = table.loc[table["effect"].isna(), "node"]
    if len(unknown):
        yield Warned(
            "warning",
            f"{_many(len(unknown), 'knock-down')} unknown",
            f"The effect of the perturbation on its own gene could not be estimated for "
            f"{names_of(unknown)}.",
        )


def _of_feedback(network: CausalNetwork) -> Iterable[Warned]:
    pairs = feedback_pairs(network)
    if len(pairs):
        shown = [f"{a} and {b}" for a, b in pairs.itertuples(index=False)]
        yield Warned(
            "warning",
            f"{_many(len(pairs), 'pair')} of genes with effects both ways",
            f"{names_of(shown)}. That is feedback, or one direction is a false positive. The "
            "network has no cycles, and keeps at most one of the two.",
        )


def _of_fits(network: CausalNetwork) -> Iterable[Warned]:
    edges = set(network.edges[["source", "target"]].itertuples(index=False, name=None))
    unusual = network.unusual_fits()
    for (stage, name), rows in unusual.groupby(["stage", "status"], sort=False):
        status = FitStatus[str(name)]
        pairs = rows[["source", "target"]].itertuples(index=False, name=None)
        n_edges = sum(pair in edges for pair in pairs) if stage == "parent search" else 0
        touched = f" {_many(n_edges, 'edge')} among them." if n_edges else ""
        yield Warned(
            "warning" if n_edges else "note",
            f"{_many(len(rows), 'fit')} of the {stage}: {status.name}",
            f"{status.advice}{touched}",
        )


def _of_what_is_left_out(left_out: pd.DataFrame) -> Iterable[Warned]:
    for reason, rows in left_out[left_out["kind"] == "node"].groupby("reason", sort=False):
        names = names_of(rows["name"])
        yield Warned("note", f"{_many(len(rows), 'gene')} dropped", f"{names}: {reason}.")
    for kind in ("target", "sink", "cells"):
        rows = left_out[left_out["kind"] == kind]
        if len(rows):
            n_cells = int(rows["n_cells"].sum())
            cells = f", {_many(n_cells, 'cell')}" if n_cells else ""
            what = {"target": "label", "sink": "sink", "cells": "filter of cells"}[kind]
            reasons = "; ".join(sorted(set(rows["reason"])))
            yield Warned("note", f"{_many(len(rows), what)} left out{cells}", f"{reasons}.")


def summary_of(network: CausalNetwork) -> list[str]:
    """Return what was found, in sentences that need no statistics."""
    edges, run = network.edges, network.provenance
    n_pairs = int(network.screen.pairs.sum())
    n_descendants = int(network.screen.is_descendant.sum())
    sinks = f" and {_many(len(network.sinks), 'sink')} (not perturbed)" if network.sinks else ""
    said = [
        f"{_many(len(edges), 'edge')} among {_many(len(network.nodes), 'perturbed gene')}{sinks}. "
        "An edge says that the source acts on the target directly: not through another gene of "
        "the network, and not because of a common cause that was hidden.",
        f"{run['n_cells']:,} cells, of which {run['n_controls']:,} carry no perturbation. Of "
        f"{n_pairs:,} ordered pairs of genes, {n_descendants:,} showed an effect of perturbing "
        f"one on the other; {_many(len(network.candidates), 'pair')} could be direct and "
        f"{'was' if len(network.candidates) == 1 else 'were'} tested.",
    ]
    if len(edges):
        n_raise = int((edges["effect"] > 0).sum())
        best = edges.sort_values("log10_p").iloc[0]
        fold = 2 ** float(best["effect"])
        said += [
            f"In {n_raise:,} of them the source raises the target; in {len(edges) - n_raise:,} it "
            "lowers it.",
            f"The strongest evidence is for {best['source']} and {best['target']}: if the "
            f"expression of {best['source']} doubled and nothing else changed, that of "
            f"{best['target']} would be multiplied by {fold:.2f} (effect {best['effect']:.2f}, "
            f"p = {shown_p(float(best['log10_p']))}).",
        ]
    return said


def methods_of(network: CausalNetwork) -> str:
    """Return a paragraph for the methods section, with the settings that were used."""
    run, config = network.provenance, network.config
    method = run.get("method", "argen")
    covariates = run["covariates"]
    adjusted = covariates if isinstance(covariates, str) else ", ".join(covariates)
    sinks = f", and {len(network.sinks)} further genes as targets only" if network.sinks else ""
    version = run["versions"]["argen"]
    head = (
        f"Causal effects between {len(network.nodes)} perturbed genes{sinks} were inferred from "
        f"{run['n_cells']:,} cells, of which {run['n_controls']:,} controls, with argen {version}"
    )
    head += "." if method == "argen" else f" by the method {method!r}, which is not ARGEN."
    model = (
        f"Raw counts were modelled with the library size ({run['library_size']}) as an offset"
        + (f" and {adjusted} as covariates." if adjusted else " and without covariates.")
    )
    parts = [head, model, _screen_sentence(config)]
    if method == "argen":
        parts += [_parents_sentence(config), _selection_sentence(config)]
    if config.inflation > 1.0:
        parts.append(
            f"Test statistics were divided by {config.inflation:g}, as null screens asked for."
        )
    parts += [f"Intervals have a coverage of {100 * config.confidence:g} %.", CITATION]
    return " ".join(parts)


def _screen_sentence(config: InferenceConfig) -> str:
    test = {
        "saddlepoint": "a saddlepoint approximation to the distribution of residuals",
        "wald": "Wald tests with heteroscedasticity-robust errors",
    }[config.test_of_screen]
    return (
        "Every ordered pair of genes was screened for a total effect of perturbing one on the "
        f"other by Poisson regression on perturbed and control cells; p-values, by {test}, were "
        f"adjusted by {_ADJUSTMENTS[config.screen_adjustment]} at a level of "
        f"{config.level_of_screen:g}."
    )


def _parents_sentence(config: InferenceConfig) -> str:
    family = {"poisson": "Poisson", "nb": "negative-binomial"}[config.family]
    shrunk = "; half of each squared residual gave way to its expectation under one overdispersion"
    test = {
        "null-variance": "P-values are of effects against the error that they would have if there "
        "were none.",
        "wald": "P-values are Wald's.",
    }[config.test_of_parents]
    order = {
        "published": "the transitive closure of these effects, peeled from its leaves",
        "two-level": "these effects, locked in by rank of their evidence",
    }[config.rule]
    return (
        f"Genes were ordered causally by {order}. Each candidate parent was tested for a direct "
        f"effect by two-stage {family} regression: the perturbations are instruments, the first "
        "stage predicts the expression of the candidates, and the second regresses the target on "
        "these proxies, with Murphy-Topel standard errors"
        f"{shrunk if config.errors == 'shrunk' else ''}. {test}"
    )


def _selection_sentence(config: InferenceConfig) -> str:
    level = f"{config.level_of_edges:g}"
    if config.rule == "two-level":
        return (
            "Edges were called by the two-level rule of argen, which controls the false discovery "
            f"rate from screen to edge at {level}: a source must be an ancestor by its own "
            "evidence or a path of certain effects, and its parent test must pass as well."
        )
    scope = " within each target" if config.edge_scope == "target" else ""
    how = _ADJUSTMENTS[config.edge_adjustment]
    return f"Edges were called by the published rule, {how}{scope}, at a level of {level}."


def provenance_of(network: CausalNetwork) -> list[tuple[str, str]]:
    """Return names and values of the record of the run, then of its options."""
    rows = [(name.replace("_", " "), _as_text(v)) for name, v in network.provenance.items()]
    options = network.config.to_dict()
    return rows + [(f"option {name}", _as_text(value)) for name, value in options.items()]


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_as_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "not given" if value is None else str(value)


def names_of(names: Iterable[object]) -> str:
    """Return the first names of many, and how many more there are."""
    listed = [str(name) for name in names]
    more = len(listed) - MOST_NAMES
    shown = ", ".join(listed[:MOST_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown


def _many(number: int, what: str) -> str:
    plural = what.replace("filter of", "filters of") if " of " in what else f"{what}s"
    return f"{number:,} {what if number == 1 else plural}"
