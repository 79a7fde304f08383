"""What a report says: findings, a summary in plain words, and where all came from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from argen.checks import (
    Diagnostics,
    Finding,
    check_knockdowns,
    put_in_doubt,
    undisputed,
    weak_points,
)
from argen.corrections import Programs
from argen.errors import counted, listed
from argen.network import LARGEST_LIKENESS, CausalNetwork, program_carriers
from argen.pvalues import shown_p

_PAIR = ["source", "target"]
MOST_DOUBTED = 12  # edges that are named
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
    "proportion: what falls furthest is diluted most. So edges seem too large where the target "
    "falls less than the source itself, and too small where it falls further."
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
    sinks = f" and {counted(len(network.sinks), 'sink')} (not perturbed)" if network.sinks else ""
    said = [
        f"{counted(len(edges), 'edge')} among "
        f"{counted(len(network.nodes), 'perturbed gene')}{sinks}. "
        "An edge says that the source acts on the target directly, if the assumptions hold.",
        _DIRECT,
        f"{run['n_cells']:,} cells, of which {run['n_controls']:,} are controls. Of "
        f"{n_pairs:,} ordered pairs of genes, {n_descendants:,} showed an effect of perturbing "
        f"one on the other; {counted(len(network.candidates), 'pair')} could be direct and "
        f"{'was' if len(network.candidates) == 1 else 'were'} tested.",
        _power(network),
    ]
    if len(edges):
        n_raise = int((edges["effect"] > 0).sum())
        said += [
            f"In {n_raise:,} of the edges the source raises the target; in "
            f"{len(edges) - n_raise:,} it lowers it.",
            *_strongest(edges, weak_points(network) if points is None else points),
        ]
    return said


def _power(network: CausalNetwork) -> str:
    """Say what the screen can see."""
    fall = network.screen.median_detectable(network.config.level_of_screen)
    said = "What this screen can see: in half of the pairs, "
    if not np.isfinite(fall):
        return f"{said}no fall of a gene, however deep. There are too few counts, or cells."
    return (
        f"{said}a fall of a gene to {100 * np.exp(-fall):.0f} % of what it is in controls, or "
        "less, would have been seen four times of five. Smaller changes are mostly missed, so an "
        "edge that is not there was not shown to be absent; direct effects ask for more. Four "
        "times as many cells, controls among them, would about halve that change, on the log scale."
    )


def _strongest(edges: pd.DataFrame, points: pd.DataFrame) -> list[str]:
    """Return what the strongest edge free of doubt says, and what speaks against it."""
    edges = edges.merge(points[[*_PAIR, "rank", "weak_point", "sentence", "also"]], "left", _PAIR)
    ways = [
        (
            edges[undisputed(edges)],
            "Of the edges that no check puts in doubt, and that no loop blurs,",
        ),
        (
            edges[~put_in_doubt(edges)],
            "No edge stands by itself. Of those that no check puts in doubt,",
        ),
        (edges, "Every edge is put in doubt by a check or blurred by a loop;"),
    ]
    if points["looked_at"].str.contains("without cells").all():
        # Next to nothing was looked at, so that an edge without a doubt has only escaped notice.
        unchecked = "By the network alone, before argen check has looked at cells and guides,"
        ways = [(some, unchecked) for some, _ in ways[1:]]
    some, which = next(way for way in ways if len(way[0]))
    best = some.sort_values("log10_p").iloc[0]
    source, target = best["source"], best["target"]
    return [
        f"{which} the strongest evidence is for {source} and {target}: if the expression of "
        f"{source} doubled and nothing else changed, that of {target} would be multiplied by "
        f"{2 ** float(best['effect']):.2f} "
        f"(effect {best['effect']:.2f}, p = {shown_p(float(best['log10_p']))}).",
        f"What speaks most against it: {best['sentence']}",
        *_doubted(edges[put_in_doubt(edges)], len(edges)),
    ]


def _doubted(edges: pd.DataFrame, n_edges: int) -> list[str]:
    """Name the edges that a check puts in doubt, and by what; nothing where there are none."""
    if not len(edges):
        return []
    named = [
        f"{row['source']} -> {row['target']} ({row['weak_point']})"
        for row in edges.sort_values(["rank", "log10_p"]).to_dict("records")
    ]
    are = "is" if len(named) == 1 else "are"
    return [
        f"{len(named):,} of {counted(n_edges, 'edge')} {are} put in doubt by a check, so do not "
        f"take {'it' if len(named) == 1 else 'them'} as shown: {listed(named, MOST_DOUBTED)}."
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


def provenance_of(network: CausalNetwork) -> list[tuple[str, str]]:
    """Return names and values of the record of the run, then of the options that it used."""
    rows = [(name.replace("_", " "), _as_text(v)) for name, v in network.provenance.items()]
    options, unused = network.config.to_dict(), network.config.unused
    used = [(name, value) for name, value in options.items() if name not in unused]
    return rows + [(f"option {name}", _as_text(value)) for name, value in used]


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_as_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "not given" if value is None else str(value)
