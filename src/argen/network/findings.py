"""What is to be known before edges are trusted, and what a network says of that by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from argen.config import InferenceConfig
from argen.corrections import FEWEST_GENES, GuideStrengths, Penetrance, Programs, fewest_setting_off
from argen.data import NOT_MEASURED
from argen.errors import FitStatus, counted, listed
from argen.network.carriers import LARGEST_LIKENESS, program_carriers
from argen.pvalues import p_of
from argen.steps import DescendantScreen

Severity = Literal["serious", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know before an edge is trusted."""

    assumption: str
    """What the method assumes, in a few words."""
    evidence: str
    """What in the data speaks against it, with the numbers."""
    advice: str
    """What to do."""
    severity: Severity
    """"serious": p-values or edges are wrong; "warning": some are in doubt; "note": good to know,
    or a check that could not be done."""

    @property
    def title(self) -> str:
        """The assumption, and that it is in doubt where it is: nobody reads it as a fact."""
        return self.assumption if self.severity == "note" else f"in doubt: {self.assumption}"

    def __str__(self) -> str:
        return f"[{self.severity}] {self.title}: {self.evidence} {self.advice}"


# Assumptions that checks speak of as well.
WORKS = "relevance (each perturbation changes its own gene)"
STRONG = "strong instruments (each interval assumes that they are)"
_POWER = "power (there are cells enough to find edges)"
_FITTED = "fits (each converges, and every group has counts)"
_IN_ALL = "penetrance (a guide works in all cells that carry it)"
_AROUND = "exclusion (perturbations act on genes through the network alone)"
_USED = "input (all of it is used)"
_NODE = (
    f"If that fit names a node that is like the response (a likeness above {LARGEST_LIKENESS:g}), "
    "the response is probably what this node does: then its edges go with the response, and the "
    "fit without is the one to believe."
)


def edge_findings(candidates: pd.DataFrame) -> list[Finding]:
    """Say when there is no edge, and which edges have an interval that holds 0."""
    if not len(candidates):
        evidence = "Nothing could be tested: no perturbation was found to change another gene."
        advice = "More cells, or stronger guides, may find some."
        return [Finding(_POWER, evidence, advice, "warning")]
    edges = candidates[candidates["selected"]]
    if not len(edges):
        evidence = (
            f"No edge passed: none of {counted(len(candidates), 'candidate')} had enough evidence."
        )
        return [Finding(_POWER, evidence, "That does not say that there is no effect.", "warning")]
    held = edges[(edges["ci_low"] <= 0.0) & (edges["ci_high"] >= 0.0)]
    if not len(held):
        return []
    shown = [f"{row.source} -> {row.target}" for row in held.itertuples()]
    evidence = f"The intervals of {counted(len(held), 'edge')} hold 0, since the perturbation of"
    evidence += f" the source is weak, or works in a part of its cells alone: {listed(shown)}."
    advice = "The p-value asks whether there is an effect, and says yes; the interval asks how "
    advice += "large it is, which is uncertain here: argen check --every-edge has intervals that "
    advice += "hold for weak perturbations too."
    return [Finding(STRONG, evidence, advice, "note")]


def escape_findings(penetrance: Penetrance | None, nodes: tuple[str, ...]) -> list[Finding]:
    """Say in how many cells guides work, where some cells escape."""
    if penetrance is None or not penetrance.corrected.any():
        return []
    table = penetrance.to_frame().assign(node=list(nodes))
    escaped = table[table["escape_corrected"]].sort_values("penetrance", kind="stable")
    shown = [
        f"{row['node']} {100 * row['penetrance']:.0f} % "
        f"({100 * row['penetrance_low']:.0f} to {100 * row['penetrance_high']:.0f} %)"
        for row in escaped.to_dict("records")
    ]
    evidence = f"Cells escape in {len(escaped)} of {counted(len(table), 'perturbation')}"
    evidence += f"{_borrowed_said(escaped)}. The guide works in so many of the cells that carry "
    evidence += f"it: {listed(shown)}. Effects are those in cells where it works."
    advice = "A knock-down that differs from cell to cell looks like escape in part: fit again "
    return [Finding(_IN_ALL, evidence, advice + 'with penetrance="full" and compare.', "note")]


def _borrowed_said(escaped: pd.DataFrame) -> str:
    """Name the perturbations that escape only by what the others have; nothing where none."""
    borrowed = escaped.loc[escaped["penetrance_borrowed"], "node"]
    if not len(borrowed):
        return ""
    own = f": in {len(escaped) - len(borrowed)} by their own cells, in {len(borrowed)} only by "
    own += "what the others have, as the own cells do not contradict that the guide works in all "
    return f"{own}({listed(borrowed, 10)})"


def penetrance_line(penetrance: Penetrance | None, config: InferenceConfig) -> str:
    """Say in a few words in how many cells guides work, or why that is not known."""
    if penetrance is None:
        if config.wanted_penetrance == "full":
            return "not looked for, as the options say"
        if config.family != "poisson":
            return "not looked for: the family is not 'poisson'"
        return "not looked for: cells carry several perturbations, or the method has none"
    if not penetrance.told.any():
        return "not known: too few genes are lowered, or too few controls are like perturbed cells"
    if not penetrance.corrected.any():
        said = f"all cells (no sign of escape, {p_of(penetrance.screen_p_value)})"
    else:
        share = 100.0 * penetrance.share[penetrance.corrected]
        said = (
            f"{np.median(share):.0f} % of the cells (median; {share.min():.0f} to "
            f"{share.max():.0f} %), corrected in {len(share)} of "
            f"{counted(len(penetrance.share), 'perturbation')}"
        )
        if n_borrowed := int(penetrance.borrowed.sum()):
            said += f", {n_borrowed} of them only by what the others have"
    return said + _guides_said(penetrance.guides)


def _guides_said(guides: GuideStrengths | None) -> str:
    """Say whether the guides of a gene differ in strength; nothing where that is not known."""
    if guides is None or np.isnan(guides.uneven_p_value):
        return ""
    p_value = p_of(guides.uneven_p_value)
    if not guides.uneven:
        return f"; guides of one gene are alike as far as can be seen ({p_value})"
    return (
        f"; guides of one gene differ in strength, and cells of strong ones count for more "
        f"({p_value}; {guides.strength.min():.2f} to {guides.strength.max():.2f} times the mean)"
    )


def program_findings(programs: Programs | None, screen: DescendantScreen) -> list[Finding]:
    """Say which response programs were taken out, or why they could not be looked for."""
    if programs is None:
        return []
    if not programs.n_programs:
        if len(programs.strength):
            return _few_set_it_off(programs)
        n = programs.n_other_genes
        can = f"Only {counted(n, 'gene')} that are no nodes can" if n else "No gene but nodes can"
        evidence = f"{can} be used to see response programs; {FEWEST_GENES} are needed."
        advice = "A response that many perturbations set off makes edges where there are none: "
        return [Finding(_AROUND, evidence, advice + "read more genes, as a panel.", "note")]
    scores, loadings = programs.scores_frame(), programs.loadings_frame()
    found = []
    for number, share in enumerate(programs.share, start=1):
        by = scores.loc[scores["program"] == number, "node"].head(5)
        on = loadings.loc[loadings["program"] == number, "gene"].head(5)
        evidence = f"Response program {number} has {100 * share:.0f} % of the variance of total "
        evidence += f"effects; {', '.join(by)} set it off most, and {', '.join(on)} move most."
        advice = "It was taken out. Where these genes are the network itself, rather than a "
        advice += "response around it, its edges went with it: fit again with programs=0, compare, "
        advice += "and believe only edges that both have."
        found.append(Finding(_AROUND, evidence, advice, "note"))
    return [*found, *_carrier_findings(programs, screen)]


def _carrier_findings(programs: Programs, screen: DescendantScreen) -> list[Finding]:
    """Say which programs may be what one node does, and so the network itself."""
    found, advice = [], "If it acts on most genes, its edges went with the program, and those to "
    advice += "it too: fit again with programs=0 and compare."
    most_alike = program_carriers(programs, screen).groupby("program").head(1)
    for row in most_alike.to_dict("records"):
        node, likeness = row["node"], row["likeness"]
        if likeness > LARGEST_LIKENESS:
            evidence = f"Perturbations set response program {row['program']} off as strongly as "
            evidence += f"they change {node} (cosine {likeness:.2f}, its own perturbation "
            evidence += f"included): it may be what {node} does, and no response around the "
            found.append(Finding(_AROUND, evidence + "network.", advice, "warning"))
    return found


def programs_line(programs: Programs | None, config: InferenceConfig) -> str:
    """Say in a few words how many response programs there are, or why none is known."""
    if programs is None:
        if config.wanted_programs == 0:
            return "not looked for, as the options say"
        if config.family != "poisson":
            return "not looked for: the family is not 'poisson'"
        return "not looked for: cells carry several perturbations, or the method has none"
    if n := programs.n_programs:
        shares = " and ".join(f"{100 * share:.0f} %" for share in programs.share)
        return f"{n} taken out, {shares} of the variance of total effects"
    if not len(programs.strength):
        return f"not looked for: {programs.n_other_genes} other genes, {FEWEST_GENES} needed"
    test = programs.to_frame().iloc[-1]
    if test["strength"] < test["needed"]:
        return f"none found (strength {test['strength']:.1f}, needed {test['needed']:.1f})"
    n, needed = int(test["n_setting_off"]), int(test["needed_setting_off"])
    return f"none taken out ({_set_off(n, len(programs.nodes))}; {_too_few(needed, programs)})"


def _set_off(n: int, of: int) -> str:
    """Say how many perturbations share a response."""
    set_off = "sets" if n == 1 else "set"
    return f"{n} of {counted(of, 'perturbation')} {set_off} off a response in common"


def _too_few(needed: int, programs: Programs) -> str:
    """Say why so many are too few; in a small screen no number would be enough."""
    if needed > len(programs.nodes):
        return f"fewer than {needed} perturbations cannot show that it is around the network"
    return f"{needed} would show that it is around the network"


def _few_set_it_off(programs: Programs) -> list[Finding]:
    """Say that some perturbations have more in common than chance, and why it is no program."""
    n, needed = int(programs.n_setting_off[-1]), fewest_setting_off(len(programs.nodes))
    if not 0 < n < needed:
        return []
    evidence = f"{_set_off(n, len(programs.nodes))}; {_too_few(needed, programs)}, and not a part "
    evidence += "of it. It was taken for effects of the network."
    advice = "Fit again with programs=1 and compare: edges that both have stand either way. "
    advice += _NODE
    return [Finding(_AROUND, evidence, advice, "note")]


def fit_findings(unusual: pd.DataFrame, edges: pd.DataFrame) -> list[Finding]:
    """Say how many fits failed or needed help, and how many edges rest on them."""
    known = set(zip(edges["source"], edges["target"], strict=True))
    found = []
    for (stage, status), rows in unusual.groupby(["stage", "status"], sort=False):
        pairs = zip(rows["source"], rows["target"], strict=True)
        n_edges = sum(pair in known for pair in pairs) if stage == "parent search" else 0
        touched = f", {counted(n_edges, 'edge')} among them" if n_edges else ""
        evidence = f"{counted(len(rows), 'fit')} of the {stage} ended as {status}{touched}."
        severity: Severity = "warning" if n_edges else "note"
        found.append(Finding(_FITTED, evidence, FitStatus[str(status)].advice, severity))
    return found


def left_out_findings(left_out: pd.DataFrame) -> list[Finding]:
    """Name the perturbed genes that could not be nodes, and what else was not used."""
    findings = []
    dead = left_out[left_out["kind"] == "node"]
    if len(dead):
        shown = [f"{row.name} ({row.reason})" for row in dead.itertuples(index=False)]
        advice = "Nothing can be said of them, and what they pass on counts as direct effects of "
        advice += "other genes: choose genes that are expressed, or sequence deeper."
        was = "gene was" if len(dead) == 1 else "genes were"
        evidence = f"{len(dead)} perturbed {was} dropped: {listed(shown)}."
        findings.append(Finding(WORKS, evidence, advice, "warning"))
    labels = left_out[left_out["kind"] == "target"]
    for reason, rows in labels[labels["reason"] != NOT_MEASURED].groupby("reason", sort=False):
        evidence = (
            f"{counted(len(rows), 'label')} left out, {_cells(rows)}: {listed(rows['name'])} "
        )
        advice = "Nothing to do, unless they were meant to be used."
        findings.append(Finding(_USED, f"{evidence}({reason}).", advice, "note"))
    unmeasured = labels[labels["reason"] == NOT_MEASURED]
    if len(unmeasured):
        of = "perturbation is" if len(unmeasured) == 1 else "perturbations are"
        evidence = f"{len(unmeasured)} {of} not of measured genes: {listed(unmeasured['name'])}."
        advice = "What acts through their genes is drawn as a direct edge. Their cells can test "
        advice += "the network: argen check --held-out predicts them."
        findings.append(Finding(WORKS, evidence, advice, "note"))
    for kind, what in (("sink", "sink"), ("cells", "filter")):
        rows = left_out[left_out["kind"] == kind]
        if len(rows):
            cells = f" of cells left out {_cells(rows)}" if kind == "cells" else " left out"
            evidence = f"{counted(len(rows), what)}{cells}: {listed(rows['name'])}"
            advice = "Nothing to do, unless they were meant to be used."
            reasons = "; ".join(sorted({reason for reason in rows["reason"] if reason != "-"}))
            evidence += f" ({reasons})." if reasons else "."
            findings.append(Finding(_USED, evidence, advice, "note"))
    return findings


def _cells(rows: pd.DataFrame) -> str:
    return counted(int(rows["n_cells"].sum()), "cell")
