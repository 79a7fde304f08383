"""Weak points of edges that lie in the perturbation of their source."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from argen.checks.findings import Tables, WeakPoint, edge_rows
from argen.checks.instruments.strength import WEAK_F
from argen.checks.instruments.transcripts import FEWEST_MOVED_MORE
from argen.errors import counted
from argen.network import LARGEST_LIKENESS, CausalNetwork, program_carriers
from argen.pvalues import p_of

# Fewer effective cells than that leave tests in which single cells decide; the null screens of
# docs/trust.md begin with 60 cells.
FEWEST_EFFECTIVE_CELLS = 30.0
# A guide that changes the target by itself by less would let the interval reach 0.
SMALLEST_HIDDEN_EFFECT = float(np.log(1.1))
# A knock-down that leaves more is small: effects per unit of the source are extrapolated from it.
MOST_PERCENT_LEFT = 75.0
_SHARE = ["penetrance", "penetrance_low", "penetrance_high"]


def unseen_knockdowns(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges out of genes that their own perturbation is not seen to change."""
    return [
        WeakPoint(
            row["source"], row["target"], row["p_adjusted"],
            f"starts from a perturbation that is not seen to change {row['source']} itself "
            f"({row['percent_remaining']:.0f} % left, adjusted {p_of(row['p_adjusted'])})",
            f"the same edge from guides that are seen to lower {row['source']}",
        )
        for row in _of_sources(network, tables)
        if row["failed"]
    ]  # fmt: skip


def _of_sources(network: CausalNetwork, tables: Tables) -> list[dict[str, Any]]:
    """Return what is known of the perturbation of each edge's source."""
    return edge_rows(network, tables["knockdown"].rename(columns={"node": "source"}))


def weak_perturbations(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges of which nothing is left when the errors of the first stage are allowed for."""
    points, looked_at = [], set()
    strength = _strengths(tables)
    for row in tables.get("weak_instruments", pd.DataFrame()).to_dict("records"):
        source, target = row["source"], row["target"]
        looked_at.add((source, target))
        if not row["one_sign"] and row["shape"] != "not computed":
            f_value = strength.get((source, target), np.nan)
            beyond = " and values beyond" if row["shape"] == "gap" else ""
            shows = (
                f"is undone when the weakness of the perturbation of {source} is allowed for "
                f"(conditional F = {f_value:.1f}; interval {_interval(row)}{beyond})"
            )
            points.append(WeakPoint(source, target, f_value, shows, _stronger(source)))
    points += [
        WeakPoint(
            row["source"], row["target"], row["z"],
            f"has an interval that holds 0 ({row['ci_low']:.2g} to {row['ci_high']:.2g}), as the "
            f"perturbation of {row['source']} is weak",
            _stronger(row["source"]),
        )
        for row in _intervals_with_0(network)
        if (row["source"], row["target"]) not in looked_at and not _is_strong(tables, row)
    ]  # fmt: skip
    return points


def _intervals_with_0(network: CausalNetwork) -> list[dict[str, Any]]:
    """Return the edges whose interval holds 0, although their p-value speaks for an effect.

    A p-value is of an effect against the error that it would have if it were none. That at the
    estimate has, besides, the error of the source's own perturbation, and is larger for what
    cells that escape dilute.
    """
    if network.config.test_of_parents == "wald":  # whose p-values say the same as intervals
        return []
    held = network.edges.query("ci_low <= 0 <= ci_high")
    return edge_rows(network, held[["source", "target", "ci_low", "ci_high", "z", "p_value"]])


def _is_strong(tables: Tables, edge: dict[str, Any]) -> bool:
    """Whether it is no weak perturbation that lets an interval hold 0, as far as is known."""
    known = tables.get("strength", pd.DataFrame(columns=["source", "target", "conditional_f"]))
    at = (known["source"] == edge["source"]) & (known["target"] == edge["target"])
    if (known.loc[at, "conditional_f"] >= WEAK_F).any():  # NaN: not known
        return True
    return _escape(tables, edge["source"]) != ""


def _escape(tables: Tables, source: str) -> str:
    """Say in what share of its cells a guide works; nothing where that is not corrected for."""
    for row in tables["knockdown"].query("node == @source").to_dict("records"):
        if row.get("escape_corrected", False):
            percent = [100 * row[name] for name in _SHARE]
            return f"{percent[0]:.0f} %, {percent[1]:.0f} to {percent[2]:.0f} %"
    return ""


def uncertain_sizes(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges of which the data say that they are there, and hardly how large they are."""
    strength = _strengths(tables)
    points = [
        WeakPoint(
            row["source"], row["target"], f_value,
            "has a size that is hardly known, as the perturbations tell its source and the other "
            f"candidates hardly apart (conditional F = {f_value:.1f}; interval {_interval(row)})",
            _stronger(row["source"]),
        )
        for row in tables.get("weak_instruments", pd.DataFrame()).to_dict("records")
        for f_value in [strength.get((row["source"], row["target"]), np.inf)]
        if row["one_sign"] and f_value < np.inf
    ]  # fmt: skip
    for row in _intervals_with_0(network):
        if _is_strong(tables, row):
            source, escape = row["source"], _escape(tables, row["source"])
            why = f"how far the perturbation changes {source} is uncertain"
            if escape:
                why = f"the guide of {source} works in a part of its cells alone ({escape})"
            shows = (
                f"has a size that is hardly known (interval {row['ci_low']:.2g} to "
                f"{row['ci_high']:.2g}, although {p_of(row['p_value'])} speaks against 0), as {why}"
            )
            points.append(WeakPoint(source, row["target"], row["z"], shows, _stronger(source)))
    return points


def _strengths(tables: Tables) -> dict[tuple[str, str], float]:
    """Conditional F of weak candidates."""
    if "strength" not in tables:
        return {}
    weak = tables["strength"][tables["strength"]["weak"].astype(bool)]
    return dict(
        zip(zip(weak["source"], weak["target"], strict=True), weak["conditional_f"], strict=True)
    )


def _interval(row: dict[Any, Any]) -> str:
    low, high = row["ar_low"], row["ar_high"]
    if np.isinf(low) and np.isinf(high):
        return "without ends"
    if np.isinf(low) or np.isinf(high):
        return f"all below {high:.2g}" if np.isinf(low) else f"all above {low:.2g}"
    return f"{low:.2g} to {high:.2g}"


def _stronger(source: str) -> str:
    return f"stronger guides of {source}, or more cells that carry them,"


def at_carriers(network: CausalNetwork, _: Tables) -> list[WeakPoint]:
    """Edges at a node whose own effects may have been taken out as a response program."""
    if network.programs is None:
        return []
    most = program_carriers(network.programs, network.screen).groupby("program").head(1)
    edges = network.edges
    carriers = most[most["likeness"] > LARGEST_LIKENESS].to_dict("records")
    return [
        WeakPoint(
            source, target, row["likeness"],
            f"is at {row['node']}, whose own effects look like response program {row['program']}, "
            f"which was taken out (cosine {row['likeness']:.2f})",
            "the same edge with programs left in (programs=0)",
            unless="without programs",
        )
        for row in carriers
        for source, target in zip(edges["source"], edges["target"], strict=True)
        if row["node"] in (source, target)
    ]  # fmt: skip


def mostly_program(network: CausalNetwork, _: Tables) -> list[WeakPoint]:
    """Edges of whose total effect response programs were the larger part."""
    programs = network.programs
    if programs is None or not programs.n_programs:
        return []
    number = {gene: k for k, gene in enumerate(network.genes)}
    points = []
    edges = network.edges
    for source, target in zip(edges["source"], edges["target"], strict=True):
        k, j = number[source], number[target]
        taken = float(programs.scores[k] @ programs.loadings[j])
        left = float(network.screen.effect[k, j])
        if abs(taken) > abs(left):
            shows = (
                "is what was left when response programs were taken out of what perturbing "
                f"{source} does to {target} ({left:.2g}; {left + taken:.2g} with them, natural log)"
            )
            settles = "the same edge with programs left in (programs=0)"
            points.append(
                WeakPoint(source, target, taken, shows, settles, unless="without programs")
            )
    return points


def hidden_effects(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges that a small effect of the guides past their own gene would explain."""
    agree = set()
    if "guide_agreement" in tables:  # different guides hardly share an effect elsewhere
        same = tables["guide_agreement"].query("not disagree")
        agree = set(zip(same["source"], same["target"], strict=True))
    return [
        WeakPoint(
            source, target, row["needed_for_interval_percent"],
            f"would be explained by a guide that changes {target} past {source} by "
            f"{abs(row['needed_for_interval_percent']):.2g} %, as its interval would reach 0",
            f"a second, independent guide of {source} that does the same",
        )
        for row in tables["off_target_needed"].to_dict("records")
        for source, target in [(row["source"], row["target"])]
        if abs(row["needed_for_interval"]) < SMALLEST_HIDDEN_EFFECT
        and (source, target) not in agree
    ]  # fmt: skip


def transcripts_that_stay(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges whose source's perturbation moves several genes by more than the source itself."""
    return [
        WeakPoint(
            row["source"], row["target"], float(row["n_moved_more"]),
            f"has a size that means little: perturbing {row['source']} leaves "
            f"{row['percent_remaining']:.0f} % of it and moves "
            f"{counted(row['n_moved_more'], 'other gene')} further, as a knock-out does that "
            "takes the protein and leaves the transcript",
            f"for its size, a perturbation that takes the transcript of {row['source']}",
        )
        for row in _of_sources(network, tables)
        if row.get("n_moved_more", 0) >= FEWEST_MOVED_MORE
    ]  # fmt: skip


def few_cells(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges whose source few cells carry, or that are compared with few controls."""
    return [
        WeakPoint(
            row["source"], row["target"], row["effective_cells"],
            f"rests on few cells (those that carry {row['source']}, and the controls like them, "
            f"are worth {row['effective_cells']:.0f})",
            f"more cells that carry {row['source']}, or more controls,",
        )
        for row in _of_sources(network, tables)
        if row.get("effective_cells", np.inf) < FEWEST_EFFECTIVE_CELLS
    ]  # fmt: skip


def small_knockdowns(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges whose source its perturbation changes, but by little."""
    return [
        WeakPoint(
            row["source"], row["target"], row["percent_remaining"],
            f"is extrapolated from a small knock-down ({row['percent_remaining']:.0f} % of "
            f"{row['source']} left)",
            f"guides that lower {row['source']} further",
        )
        for row in _of_sources(network, tables)
        if MOST_PERCENT_LEFT < row["percent_remaining"] < 100.0**2 / MOST_PERCENT_LEFT
        and not row["failed"]
    ]  # fmt: skip


def escaping_cells(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges whose size was corrected for cells in which the guide does nothing."""
    return [
        WeakPoint(
            row["source"], row["target"], row["penetrance"],
            "has a size that rests on the share of cells in which the guide of "
            f"{row['source']} works ({_escape(tables, row['source'])})",
            f"a guide of {row['source']} that works in every cell, or the same edge with full "
            "penetrance,",
        )
        for row in _of_sources(network, tables)
        if row.get("escape_corrected", False)
    ]  # fmt: skip
