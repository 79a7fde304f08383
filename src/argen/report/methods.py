"""The paragraph of a report that is made to be pasted into a methods section."""

from __future__ import annotations

import numpy as np

from argen.checks import Diagnostics
from argen.config import InferenceConfig
from argen.errors import counted, listed
from argen.network import CausalNetwork
from argen.pvalues import p_of
from argen.report.content import findings_shown

CITATION = (
    "Park and Li (2026). Causal network recovery in Perturb-seq experiments using proxy and "
    "instrumental variables. arXiv:2601.01830."
)

_ADJUSTMENTS = {
    "bh": "the method of Benjamini and Hochberg",
    "by": "the method of Benjamini and Yekutieli",
    "holm": "Holm's method",
    "bonferroni": "Bonferroni's method",
    "storey": "Storey's method",
    "batch_bh": "the online BatchBH rule, the targets being batches in reverse causal order",
}


def methods_of(network: CausalNetwork, diagnostics: Diagnostics | None = None) -> str:
    """Return a paragraph for the methods section: the settings, and what checks found."""
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
    percent = f"{100 * config.confidence:g} %"
    parts.append(f"Intervals aim at a coverage of {percent} where the assumptions hold.")
    parts += [*_feedback_sentence(network), _checks_sentence(network, diagnostics), CITATION]
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
    n, p_value = int(found.corrected.sum()), p_of(found.screen_p_value)
    if not n:
        return [f"{how}there was no sign that cells escape ({p_value})."]
    return [
        f"{how}cells escape ({p_value}), and effects of {counted(n, 'perturbation')} are corrected "
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
    looked = (
        f"Total effects on {counted(programs.n_other_genes, 'unperturbed gene')} were searched "
    )
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
            "Edges were called by the two-level rule of argen, which aims at a false discovery "
            f"rate of {level} from screen to edge where the assumptions hold: a source must be an "
            "ancestor by its own evidence or a path of certain effects, and its parent test must "
            "pass as well."
        )
    scope = " within each target" if config.edge_scope == "target" else ""
    how = _ADJUSTMENTS[config.edge_adjustment]
    return f"Edges were called by the published rule, {how}{scope}, at a level of {level}."


def _feedback_sentence(network: CausalNetwork) -> list[str]:
    """Name the pairs that act on each other both ways, of which a network has one way at most."""
    pairs = network.feedback_pairs()
    if not len(pairs):
        return []
    names = [f"{first} and {second}" for first, second in pairs.itertuples(index=False)]
    act = "pair of genes affects" if len(pairs) == 1 else "pairs of genes affect"
    return [
        f"{len(pairs):,} {act} each other both ways in the screen ({listed(names)}); the network "
        "keeps one direction at most."
    ]


def _checks_sentence(network: CausalNetwork, diagnostics: Diagnostics | None) -> str:
    """Name the assumptions that checks spoke against."""
    if diagnostics is None:
        return "The assumptions were not checked."
    said = []
    for severity, what in (("serious", "seriously against"), ("warning", "as a warning against")):
        names = [
            f.assumption for f in findings_shown(network, diagnostics) if f.severity == severity
        ]
        if names:
            said.append(f"{what}: {'; '.join(dict.fromkeys(names))}")
    if not said:
        return "Checks of the assumptions had no serious finding and no warning."
    return f"Checks of the assumptions spoke {', and '.join(said)}."
