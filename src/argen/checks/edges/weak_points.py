"""Weak points of edges that the screen and the parent tests show by themselves."""

from __future__ import annotations

import numpy as np

from argen.checks.findings import Tables, WeakPoint, edge_rows, time_course
from argen.errors import FitStatus
from argen.network import MOST_PARTNERS, CausalNetwork, loop_partners_of, unit_of
from argen.pvalues import p_of

# A p-value within that factor of its bar is near it.
NEAR = 10.0


def both_directions(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges whose target surely acts on the source too, or that rest on a near-tie."""
    feedback = tables["feedback"].query("sure")
    sure = {frozenset(pair) for pair in zip(feedback["first"], feedback["second"], strict=True)}
    points = []
    for row in tables["direction"].to_dict("records"):
        source, target = row["source"], row["target"]
        log10_p = float(row["reverse_log10_p"])
        if frozenset((source, target)) in sure:
            shows = (
                f"may run the other way too: perturbing {target} changes {source} by "
                f"{row['reverse_effect']:.2g} (natural log, {p_of(10.0**log10_p)})"
            )
        elif row["in_doubt"]:
            shows = (
                f"may point the other way: the screen speaks for both directions (|z| = "
                f"{row['z']:.1f}, and {row['reverse_z']:.1f} in reverse)"
            )
        else:
            continue
        settles = time_course(source, target)
        points.append(WeakPoint(source, target, 10.0**log10_p, shows, settles))
    return points


def loops(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges within a group of genes that surely all reach each other."""
    groups = tables["groups"].query("loop > 0")
    of_target = groups.set_index("gene")["loop"]
    return [
        WeakPoint(
            row["source"], row["target"], float(row["size"]),
            f"is within a group of {row['size']} genes that all reach each other in the screen, "
            "whose order the strongest pairs decide",
            time_course(row["source"], row["target"]),
        )
        for row in edge_rows(network, groups.rename(columns={"gene": "source"}))
        if of_target.get(row["target"]) == row["loop"]
    ]  # fmt: skip


def loop_partners(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges out of a sure loop whose target another gene of the loop may act on instead."""
    groups = tables["groups"].query("loop > 0")
    loop_of = dict(zip(groups["gene"], groups["loop"], strict=True))
    number = {gene: k for k, gene in enumerate(network.genes)}
    members = {
        loop: np.array([number[gene] for gene in genes], dtype=np.int64)
        for loop, genes in groups.groupby("loop")["gene"]
    }
    points = []
    for row in edge_rows(network, groups.rename(columns={"gene": "source"})):
        source, target = row["source"], row["target"]
        k, j = number[source], number[target]
        if loop_of.get(target) == row["loop"]:
            continue
        others = loop_partners_of(network.screen, members[row["loop"]], k, j)
        if not len(others):
            continue
        places = [k, *others[:MOST_PARTNERS].tolist()]
        names = [network.genes[m] for m in places]
        totals = [f"{network.screen.effect[m, j]:.2g} ({network.genes[m]})" for m in places]
        shows = (
            f"comes out of a loop: {_and(names)} act on each other beyond doubt; write "
            f"'{unit_of(network.screen, k, others)} -> {target}', as which of them acts on "
            f"{target} is open "
            f"(perturbing them changes it by {_and(totals)}, natural log)"
        )
        partners = _and(names[1:])
        stay = f"{partners} {'is' if len(names) == 2 else 'are'} active whatever {source} does"
        settles = f"the same in cells in which {stay}, or a time course "
        settles += f"after a fast perturbation, in which {target} moves before {partners},"
        value = float(network.screen.effect[others[0], j])
        points.append(WeakPoint(source, target, value, shows, settles))
    return points


def _and(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def opposing_totals(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges whose effect has not the sign of what perturbing the source does to the target."""
    number = {gene: k for k, gene in enumerate(network.genes)}
    own, total = network.screen.knockdown.effect, network.screen.effect
    points = []
    for row in network.edges.to_dict("records"):
        k, j = number[row["source"]], number[row["target"]]
        if row["effect"] * own[k] * total[k, j] < 0.0:
            shows = (
                f"opposes what perturbing {row['source']} does to {row['target']} "
                f"({total[k, j]:.2g}, natural log), and so rests on the other candidates"
            )
            settles = "the same edge in cells in which these candidates cannot respond"
            points.append(
                WeakPoint(row["source"], row["target"], float(total[k, j]), shows, settles)
            )
    return points


def unusual_fits(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges whose fit needed help."""
    return [
        WeakPoint(
            row["source"], row["target"], float(FitStatus[row["status"]]),
            f"rests on a fit that needed help ({row['status'].lower().replace('_', ' ')})",
            f"more cells with guides of {row['source']}, or deeper ones,",
        )
        for row in network.edges.to_dict("records")
        if row["status"] != FitStatus.OK.name
    ]  # fmt: skip


def near_bars(network: CausalNetwork, tables: Tables) -> list[WeakPoint]:
    """Edges whose p-value is within a factor of ten of what it had to be."""
    points = []
    for row in network.edges.to_dict("records"):
        adjusted = np.isfinite(row["p_adjusted"])
        p_value, bar = row["p_adjusted" if adjusted else "p_value"], row["level"]
        if not NEAR * p_value > bar > 0.0:
            continue
        shows = (
            f"passed narrowly ({'adjusted ' if adjusted else ''}{p_of(p_value)}, where "
            f"{bar:.2g} was needed)"
        )
        settles = "the same edge in a replicate of the screen"
        points.append(WeakPoint(row["source"], row["target"], p_value, shows, settles))
    return points
