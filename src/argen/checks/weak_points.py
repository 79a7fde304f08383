"""The weakest point of each edge: what would convince somebody who doubts it.

Every doubt reads the tables of one check. They stand in one order, by which they are ranked: first
what a check puts in doubt, then what holds narrowly, then what makes only the size uncertain.
Within each, a doubt that would leave nothing of the edge comes before one about its direction, and
that before one about whether it is direct.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from argen.checks import again, cells, edges, guides, instruments, null
from argen.checks.edges import check_direction
from argen.checks.findings import Diagnostics, Tables, WeakPoint
from argen.checks.instruments import check_knockdowns
from argen.network import CausalNetwork
from argen.pvalues import p_of

_COLUMNS = ["source", "target", "rank", "weak_point", "value", "sentence", "also", "looked_at"]
NONE, IN_A_LOOP, OUT_OF_A_LOOP = "none found", "in a loop", "loop partner"


class Doubt(NamedTuple):
    """A way in which edges can be weak."""

    name: str
    points: Callable[[CausalNetwork, Tables], list[WeakPoint]]
    needs: tuple[str, ...] = ()
    """Tables without which nothing can be said."""


# A check puts in doubt what the edge rests on.
_IN_DOUBT = (
    Doubt("knock-down not seen", instruments.unseen_knockdowns, ("knockdown",)),
    Doubt("weak perturbation", instruments.weak_perturbations),
    Doubt("one guide", guides.needed_guide_points, ("leave_one_guide_out",)),
    Doubt("lost in all cells", guides.lost_in_all_cells, ("leave_one_guide_out",)),
    Doubt("guides disagree", guides.disagreeing_guides, ("guide_agreement",)),
    Doubt("inflated p-values", null.inflated_edges, ("calibration",)),
    Doubt("both directions", edges.both_directions, ("feedback", "direction")),
    Doubt("turns round", again.turning_edges, ("stability",)),
    Doubt("response program", instruments.at_carriers),
    Doubt("library size", cells.lent_effects, ("composition",)),
    Doubt("unbalanced cells", cells.moved_columns, ("balance",)),
    Doubt("held-out guide", again.unforeseen_guides, ("held_out",)),
    Doubt("target unexplained", guides.unexplained_targets, ("overidentification",)),
)
# It holds narrowly.
_NARROW = (
    Doubt("lost by other choices", again.frail_edges, ("survival",)),
    Doubt("unstable", again.unstable_edges, ("stability",)),
    Doubt("near its bar", edges.near_bars),
    Doubt("small knock-down", instruments.small_knockdowns, ("knockdown",)),
    Doubt("few cells", instruments.few_cells, ("knockdown",)),
    Doubt("small hidden effect", instruments.hidden_effects, ("off_target_needed",)),
    Doubt(IN_A_LOOP, edges.loops, ("groups",)),
    Doubt(OUT_OF_A_LOOP, edges.loop_partners, ("groups",)),
    Doubt("opposes the total", edges.opposing_totals),
    Doubt("program taken out", instruments.mostly_program),
)
# Its size is uncertain.
_OF_SIZE = (
    Doubt("transcript stays", instruments.transcripts_that_stay, ("knockdown",)),
    Doubt("uncertain size", instruments.uncertain_sizes),
    Doubt("unusual fit", edges.unusual_fits),
    Doubt("cells escape", instruments.escaping_cells, ("knockdown",)),
)
# What doubts are found in, besides the network itself: a table by which it is known to have been
# looked at, its name, and where it is to be had.
_EVIDENCE = (
    ("balance", "cells", "cells, with guides, balance and null screens (argen check)"),
    ("stability", "resampled cells", "resampled cells (argen stability)"),
    ("survival", "other choices", "other choices (argen check --sensitivity)"),
    ("held_out", "held-out perturbations", "held-out perturbations (argen check --held-out)"),
)
DOUBTS = (*_IN_DOUBT, *_NARROW, *_OF_SIZE)


def weak_points(network: CausalNetwork, diagnostics: Diagnostics | None = None) -> pd.DataFrame:
    """Return the weakest point of each edge in one sentence: what it is, and what would settle it.

    One row for each edge, in the sequence of ``network.edges``: ``weak_point``, the first of the
    doubts, in the order of docs/trust.md, that the checks raise about it; ``rank``, its place in
    that order; ``value``, the number that shows it; ``sentence``, which ends with what would
    convince; and ``also``, the other doubts. Where there is none, ``weak_point`` is "none found",
    the rank is the last, and the sentence says what was looked at and what is still missing.
    ``looked_at`` says what the whole table rests on, and that it is provisional without cells.

    Parameters
    ----------
    diagnostics
        Of ``check``, joined with those of ``sensitivity``, ``stability`` or ``held_out`` where they
        were made. Knock-downs and directions, which need no cells, are looked at without.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=6000)
    >>> argen.checks.weak_points(argen.infer_network(data)).columns[:4].tolist()
    ['source', 'target', 'rank', 'weak_point']
    """
    tables = _tables_of(network, diagnostics)
    found: dict[tuple[str, str], list[tuple[int, WeakPoint]]] = {}
    for rank, doubt in enumerate(DOUBTS, start=1):
        if all(name in tables for name in doubt.needs):
            for point in doubt.points(network, tables):
                found.setdefault((point.source, point.target), []).append((rank, point))
    survived = _survived(tables)
    rows = []
    for pair in network.edges[["source", "target"]].itertuples(index=False, name=None):
        points = [
            (rank, point)
            for rank, point in found.get(pair, [])
            if (*pair, point.unless) not in survived
        ]
        rows.append(_row(pair, points, tables))
    return pd.DataFrame(rows, columns=_COLUMNS[:-1]).assign(looked_at=_looked_at(tables))


def _looked_at(tables: Tables) -> str:
    also = [name for table, name, _ in _EVIDENCE if table in tables]
    provisional = "" if "balance" in tables else "; provisional, without cells"
    return ", ".join(["network", *also]) + provisional


def not_looked_at(tables: Tables) -> str:
    """Say which evidence the weakest points do not rest on yet, and which command has it."""
    missing = [where for table, _, where in _EVIDENCE if table not in tables]
    return "; ".join(missing)


def undisputed(points: pd.DataFrame) -> pd.Series:
    """Return whether no check puts an edge in doubt and no loop blurs it, by ``weak_points``."""
    doubts = points["weak_point"] + ", " + points["also"]
    looped = doubts.str.contains(f"{IN_A_LOOP}|{OUT_OF_A_LOOP}")
    return ~put_in_doubt(points) & ~looped


def put_in_doubt(points: pd.DataFrame) -> pd.Series:
    """Return whether a check puts in doubt what an edge rests on, by ``weak_points``."""
    return points["rank"] <= len(_IN_DOUBT)


def _tables_of(network: CausalNetwork, diagnostics: Diagnostics | None) -> Tables:
    """Tables of the checks, with those that need no cells."""
    tables = dict(diagnostics.tables) if diagnostics else {}
    if "knockdown" not in tables:
        tables = check_knockdowns(network).tables | tables
    if "direction" not in tables:
        tables |= check_direction(network).tables
    return tables


def _survived(tables: Tables) -> set[tuple[str, str, str]]:
    """Edges, and the scenarios of ``sensitivity`` that have them too."""
    if "sensitivity" not in tables:
        return set()
    called = tables["sensitivity"].query("called")[["source", "target", "scenario"]]
    return set(called.itertuples(index=False, name=None))


def _row(
    pair: tuple[str, str], points: list[tuple[int, WeakPoint]], tables: Tables
) -> tuple[object, ...]:
    edge = f"{pair[0]} -> {pair[1]}"
    if not points:
        sentence = f"{edge}: {_nothing_found(*pair, tables)} would convince."
        return (*pair, len(DOUBTS) + 1, NONE, float("nan"), sentence, "")
    rank, first = points[0]
    names = dict.fromkeys(DOUBTS[other - 1].name for other, _ in points[1:])
    names.pop(DOUBTS[rank - 1].name, None)
    sentence = f"{edge} {first.shows}: {first.settles} would convince."
    return (*pair, rank, DOUBTS[rank - 1].name, first.value, sentence, ", ".join(names))


def _nothing_found(source: str, target: str, tables: Tables) -> str:
    """Say what was looked at, and what would be more."""
    another = f"a second, independent guide of {source} that does the same"
    if "guide_agreement" in tables:
        rows = tables["guide_agreement"]
        rows = rows[(rows["source"] == source) & (rows["target"] == target)]
        for row in rows.to_dict("records"):
            return (
                f"no check speaks against it, and the {row['n_guides']} guides of {source} agree "
                f"({p_of(row['p_value'])}); the same edge in a replicate of the screen"
            )
    if "strength" in tables:
        return f"no check speaks against it, but no guides could be compared; {another}"
    return (
        "nothing speaks against it in the network itself, but guides, balance and null screens "
        f"were not looked at (argen check); {another}"
    )
