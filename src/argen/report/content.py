"""What a report says: findings, a summary in plain words, methods, and where all came from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from argen.checks import Diagnostics, Finding, check_knockdowns, undisputed, weak_points
from argen.config import InferenceConfig
from argen.corrections import Programs
from argen.network import LARGEST_LIKENESS, CausalNetwork, program_carriers
from argen.plot import shown_p

CITATION = (
    "Park and Li (2026). Causal network recovery in Perturb-seq experiments using proxy and "
    "instrumental variables. arXiv:2601.01830."
)

_PAIR = ["source", "target"]
_ADJUSTMENTS = {
    "bh": "the method of Benjamini and Hochberg",
    "by": "the method of Benjamini and Yekutieli",
    "holm": "Holm's method",
    "bonferroni": "Bonferroni's method",
    "storey": "Storey's method",
    "batch_bh": "the online BatchBH rule, the targets being batches in reverse causal order",
}


_DIRECT = (
    "Direct means: not through a change in the transcript amount of another gene of the network, "
    "and not because of a hidden common cause. What passes through the activity of a protein, such "
    "as phosphorylation or a complex, counts as direct, and so does what passes through genes that "
    "are not in the network."
)

_A_PROGRAM = (
    "A response program is what many perturbations set off around the network, such as stress, an "
    "arrest of growth or an interferon response. It moves many genes together, and would look like "
    "edges from each of these perturbations to each of these genes."
)

_ESCAPE = (
    "Not every cell that carries a guide is perturbed by it: some escape, and look like controls. "
    "They dilute what the perturbation does, to its own gene and to others alike, but not in "
    "proportion: a strong knock-down is diluted most, so that edges out of it would seem too large."
)

_NOT_CHECKED = Finding(
    "Assumptions were not checked",
    "This report has no checks of balance, off-target guides or calibration.",
    "argen check makes them.",
    "note",
)


def findings_shown(
    network: CausalNetwork, diagnostics: Diagnostics | None = None
) -> tuple[Finding, ...]:
    """Return what to know before the edges are read, the most severe first.

    That is what was checked, and what the network says by itself, each once.
    """
    checked = [_NOT_CHECKED] if diagnostics is None else diagnostics.findings
    alone = check_knockdowns(network).findings
    more = [finding for finding in alone if finding not in checked]
    return Diagnostics.of([*checked, *more], {}, []).findings


def summary_of(network: CausalNetwork, points: pd.DataFrame | None = None) -> list[str]:
    """Return what was found, in sentences that need no statistics.

    Parameters
    ----------
    points
        The weakest point of each edge, of all that was checked; of the network alone when None.
    """
    edges, run = network.edges, network.provenance
    n_pairs = int(network.screen.pairs.sum())
    n_descendants = int(network.screen.is_descendant.sum())
    sinks = f" and {_many(len(network.sinks), 'sink')} (not perturbed)" if network.sinks else ""
    said = [
        f"{_many(len(edges), 'edge')} among {_many(len(network.nodes), 'perturbed gene')}{sinks}. "
        "An edge says that the source acts on the target directly, if the assumptions hold.",
        _DIRECT,
        f"{run['n_cells']:,} cells, of which {run['n_controls']:,} carry no perturbation. Of "
        f"{n_pairs:,} ordered pairs of genes, {n_descendants:,} showed an effect of perturbing "
        f"one on the other; {_many(len(network.candidates), 'pair')} could be direct and "
        f"{'was' if len(network.candidates) == 1 else 'were'} tested.",
    ]
    if len(edges):
        n_raise = int((edges["effect"] > 0).sum())
        said += [
            f"In {n_raise:,} of the edges the source raises the target; in "
            f"{len(edges) - n_raise:,} it lowers it.",
            *_strongest(edges, weak_points(network) if points is None else points),
        ]
    return said


def _strongest(edges: pd.DataFrame, points: pd.DataFrame) -> list[str]:
    """Return what the strongest edge says that nothing contradicts, and what speaks against it."""
    edges = edges.merge(points[[*_PAIR, "rank", "weak_point", "sentence", "also"]], "left", _PAIR)
    sound = edges[undisputed(edges)]
    best = (sound if len(sound) else edges).sort_values("log10_p").iloc[0]
    source, target = best["source"], best["target"]
    which = (
        "Of the edges that no check contradicts, and that are in no loop, the strongest evidence is"
        if len(sound)
        else "Every edge is contradicted by a check or is one direction of a loop; the strongest "
        "evidence is"
    )
    return [
        f"{which} for {source} and {target}: if the expression of {source} doubled and nothing else"
        f" changed, that of {target} would be multiplied by {2 ** float(best['effect']):.2f} "
        f"(effect {best['effect']:.2f}, p = {shown_p(float(best['log10_p']))}).",
        f"What speaks most against it: {best['sentence']}",
    ]


def penetrance_of(network: CausalNetwork) -> list[str]:
    """Return in what share of their cells guides work, and what that means; nothing if not asked.

    Shares are of cells that carry the guide.
    """
    found = network.penetrance
    if found is None:
        return []
    if not found.corrected.any():
        return [f"Cells in which guides work: {network.penetrance_line()}."]
    return [
        _ESCAPE,
        f"Guides work in {network.penetrance_line()}. Knock-downs and effects in this page are "
        "those in the cells where the guide works.",
    ]


def programs_of(network: CausalNetwork) -> list[str]:
    """Return what response programs are, and what was done about them."""
    line = network.programs_line()
    if network.programs is None or not network.programs.n_programs:
        return [f"{line[0].upper()}{line[1:]}. {_A_PROGRAM}"]
    n = network.programs.n_programs
    what = f"{n} response program{'s' if n > 1 else ''}"
    return [
        f"{_A_PROGRAM} {what[0].upper()}{what[1:]} {'were' if n > 1 else 'was'} found, and taken "
        "out of all effects: edges are what is left.",
        "A perturbation with a positive score raises the genes with a positive loading, and lowers "
        "those with a negative one; a negative score does the reverse. A loading is the log fold "
        "change of a gene at a score of 1, that of a typical perturbation.",
        "Where these genes are the network itself, such as the targets of one regulator, rather "
        "than a response around it, fit again with programs=0 and compare.",
    ]


def program_test(network: CausalNetwork, programs: Programs, number: int) -> str:
    """Return why a program is taken for one, and which node it is most like."""
    said = ""
    if number <= len(programs.strength):
        row = programs.to_frame().iloc[number - 1]
        said = (
            f"Strength {row['strength']:.1f}, {row['needed']:.1f} needed; set off by "
            f"{row['n_setting_off']:.0f} perturbations, {row['needed_setting_off']} needed. "
        )
    likeness = program_carriers(programs, network.screen)
    row = likeness[likeness["program"] == number].iloc[0]
    return (
        f"{said}Of what single nodes do, it is most like {row['node']} ({row['likeness']:.2f}; "
        f"above {LARGEST_LIKENESS:g} it may be the network itself)."
    )


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
    parts += _penetrance_sentence(network) + _programs_sentence(network)
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


def _penetrance_sentence(network: CausalNetwork) -> list[str]:
    """Say whether cells that escape were taken out; nothing where nothing can be known."""
    found = network.penetrance
    if found is None or not found.told.any():
        return []
    how = "The share of cells in which each guide works was estimated from controls whose counts "
    how += "are thinned like those of the genes that the perturbation lowers; "
    n, p_value = int(found.corrected.sum()), f"p = {found.screen_p_value:.2g}"
    if not n:
        return [f"{how}there was no sign that cells escape ({p_value})."]
    return [
        f"{how}cells escape ({p_value}), and effects of {_many(n, 'perturbation')} are corrected "
        f"for it (median share {100 * np.median(found.share[found.corrected]):.0f} %)."
    ]


def _programs_sentence(network: CausalNetwork) -> list[str]:
    """Say what was taken out of total effects; nothing where nothing was looked for."""
    programs = network.programs
    if programs is None or not (programs.n_programs or len(programs.strength)):
        return []
    n = programs.n_programs
    how = (
        " (singular values of the effects against those of random groups of control cells)"
        if len(programs.strength)
        else ", a number that was given"
    )
    looked = f"Total effects on {_many(programs.n_other_genes, 'unperturbed gene')} were searched "
    looked += f"for responses that many perturbations have in common{how}; "
    if not n and programs.n_setting_off[-1] > 0:
        line = network.programs_line()
        return [f"{looked}{line}; the response was taken for effects of the network."]
    if not n:
        return [f"{looked}none stood out from chance."]
    shares = " and ".join(f"{100 * share:.0f} %" for share in programs.share)
    return [f"{looked}{n} ({shares} of their variance) {'was' if n == 1 else 'were'} taken out."]


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
        "effect, one that does not pass through the transcript amounts of other candidates, by "
        f"two-stage {family} regression: the perturbations are instruments, the first "
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


def _many(number: int, what: str) -> str:
    return f"{number:,} {what if number == 1 else f'{what}s'}"
