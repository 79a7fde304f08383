"""Why one gene is, or is not, a direct cause of another in a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from argen.errors import FitStatus, InputError, listed, printable, shown
from argen.network.loops import beyond_doubt, loop_partners_of, loops_of, unit_of
from argen.network.result import CausalNetwork
from argen.network.views import to_networkx
from argen.pvalues import NEAR_TIE, adjust, deviates, p_of, shown_p, two_sided
from argen.steps import ancestor_bar, least_bar

# A perturbation failed when its effect on its own gene, adjusted over the nodes by Benjamini and
# Hochberg, has such a p-value or a larger one.
KNOCKDOWN_ALPHA = 0.05
_LABEL = 18
# Decades by which p may differ from that of the interval unexplained, and where it matters.
TELLING, FAR = 0.3, -4.0
_OF_P_AND_INTERVAL = (
    "p is by the error that the effect would have if it were none, and asks whether there is one; "
    "the interval is by the error of the estimate, and asks how large it is"
)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two genes, and what the network says of either as a direct cause of the other."""

    table: pd.DataFrame
    """One row a direction, the one that was asked for first: source, target, edge, because (""
    for an edge), and what that rests on; see ``argen.pair``."""
    facts: tuple[tuple[tuple[str, str], ...], ...]
    """The same in words, for each direction: what it is about, and what is known."""
    loops: tuple[str, ...]
    """What genes that act on each other beyond doubt leave open, a sentence each."""

    def summary(self) -> str:
        """Return what is known of both directions, and why there is an edge or none."""
        lines, ends = [], []
        for row, facts in zip(self.table.to_dict("records"), self.facts, strict=True):
            name = f"{shown(row['source'])} -> {shown(row['target'])}"
            lines += [name, *(f"  {label:<{_LABEL}}{text}" for label, text in facts), ""]
            ends.append(f"{name}: {_conclusion(row)}")
        return printable("\n".join([*lines, "; ".join(ends) + ".", *self.loops]))

    def __str__(self) -> str:
        return self.summary()


def pair(network: CausalNetwork, source: str, target: str) -> Pair:
    """Say why one gene is a direct cause of another in the network, or why it is not.

    Both directions are looked at: the knock-down of the source, its total effect on the target,
    whether the order allows an edge, and its direct effect beside what its p-value had to be.
    ``table`` has the numbers: ``before`` (the source is upstream in the order), ``possible`` and
    ``candidate`` (it was tested), columns ``total_*`` of the screen, those of ``candidates``, and
    ``ancestor_bar``, what the p-value of the total effect had to be at most where no path of sure
    pairs leads from source to target. What was not computed is missing.

    Raises
    ------
    InputError
        When a name is no gene of the network, or both are the same.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=4000)
    >>> found = argen.pair(argen.infer_network(data), "X8", "X1")
    >>> found.table["edge"].tolist()
    [False, False]
    """
    numbers = network.number_of(source), network.number_of(target)
    if numbers[0] == numbers[1]:
        raise InputError(f"Source and target are both {source!r}: expected two genes.")
    rows = [_row(network, *numbers), _row(network, *numbers[::-1])]
    facts = tuple(tuple(_facts(network, row)) for row in rows)
    loops = tuple(_loop_sentences(network, rows))
    return Pair(pd.DataFrame(rows).drop(columns=["s", "t"]), facts, loops)


def _loop_sentences(network: CausalNetwork, rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what the order decides about genes that surely act on each other."""
    sure = beyond_doubt(network.screen, network.config)
    loops = [[network.nodes[k] for k in loop] for loop in loops_of(sure)]
    loop_of = {gene: loop for loop in loops for gene in loop}
    first, second = rows[0]["source"], rows[0]["target"]
    if second in loop_of.get(first, []):
        one, other = rows[0]["s"], rows[0]["t"]
        if sure[one, other] and sure[other, one]:
            yield (
                f"{shown(first)} and {shown(second)} act on each other beyond doubt: read them as "
                "one unit, whichever edge the order keeps."
            )
        else:
            yield (
                f"{shown(first)} and {shown(second)} are in one loop ({listed(loop_of[first], 10)})"
                ": chains of effects beyond doubt lead from each to the other, though these two do "
                "not surely act on each other. Read the loop as one unit."
            )
        return
    edges = set(zip(network.edges["source"], network.edges["target"], strict=True))
    for row in rows:
        loop = loop_of.get(row["source"], [])
        of_which = [row["source"]] if row["edge"] else loop
        for gene in of_which:
            if gene in loop and (gene, row["target"]) in edges:
                yield from _loop_of_edge(network, row, gene, loop)


def _loop_of_edge(
    network: CausalNetwork, row: dict[str, Any], gene: str, loop: list[str]
) -> Iterator[str]:
    """Yield what is open about an edge of a gene to the target of a row, the gene in a loop."""
    k, target = network.number_of(gene), shown(row["target"])
    members = np.array([network.number_of(other) for other in loop])
    partners = loop_partners_of(network.screen, members, k, row["t"])
    if len(partners):
        which = "The edge" if row["edge"] else f"{shown(gene)} has the edge, which"
        yield (
            f"{which} comes out of a loop of genes that act on each other beyond doubt: write "
            f"'{unit_of(network.screen, k, partners)} -> {target}', as which of them acts on "
            f"{target} is open."
        )
    elif not row["edge"]:
        yield (
            f"{shown(gene)} has the edge, in a loop with {shown(row['source'])}: read the loop as "
            "one unit."
        )


def _conclusion(row: dict[Any, Any]) -> str:
    return "an edge" if row["edge"] else f"no edge, because {row['because']}"


def _row(network: CausalNetwork, s: int, t: int) -> dict[str, Any]:
    """Return all numbers about one direction; ``s`` and ``t`` are those of the genes."""
    order, names = network.causal_order, network.genes
    row: dict[str, Any] = {"source": names[s], "target": names[t], "edge": False, "because": ""}
    row |= {"s": s, "t": t, "perturbed": s < len(network.nodes)}
    row["before"] = row["perturbed"] and bool(order.position[s] < order.position[t])
    row["possible"] = row["perturbed"] and bool(order.possible[s, t])
    if row["perturbed"]:
        own, screen = network.screen.knockdown, network.screen
        row |= {"own_effect": own.effect[s], "own_log10_p": own.log10_p[s]}
        row["own_p_adjusted"] = adjust(own.p_value, "bh")[s]
        row["failed"] = not row["own_p_adjusted"] < KNOCKDOWN_ALPHA
        for name in ("effect", "std_error", "p_value", "log10_p", "p_adjusted"):
            row[f"total_{name}"] = getattr(screen, name)[s, t]
        row["descendant"] = bool(screen.is_descendant[s, t])
        row["total_status"] = FitStatus(screen.status[s, t]).name
    table = network.candidates
    tested = table[(table["source"] == names[s]) & (table["target"] == names[t])]
    row["candidate"] = len(tested) > 0
    if row["candidate"]:
        of_test = tested.iloc[0].drop(["source", "target", "batch", "sink"])
        row |= {str(name): value for name, value in of_test.items()}
        row["edge"] = bool(row.pop("selected"))
        row["ancestor_bar"] = _ancestor_bar(network, tested.iloc[0])
    row["because"] = "" if row["edge"] else _because(network, row)
    return row


def _ancestor_bar(network: CausalNetwork, tested: pd.Series) -> float:
    """Return what the total effect's p-value had to be at most; NaN where that was not asked."""
    if network.config.rule != "two-level":
        return np.nan
    same = network.candidates[network.candidates["sink"] == tested["sink"]]
    n_nodes = len(network.nodes)
    family = slice(n_nodes, None) if tested["sink"] else slice(n_nodes)
    n_pairs = int(np.isfinite(network.screen.p_value[:, family]).sum())
    n_callable = int(same["callable"].sum())
    return ancestor_bar(tested["level"], n_callable, n_pairs, network.config)


def _because(network: CausalNetwork, row: dict[str, Any]) -> str:
    """Return the reason of a direction that is no edge: continues "no edge, because"."""
    source, target = shown(row["source"]), shown(row["target"])
    if not row["perturbed"]:
        return f"nobody perturbed {source}, so that nothing is known of what it does"
    if row["candidate"]:
        return _not_called(network, row) + _besides(row)
    if not np.isfinite(row["total_p_value"]) and not row["possible"]:
        return (
            f"it could not have been seen: the effect of perturbing {source} on {target} could not "
            f"be estimated ({row['total_status']})"
        )
    if row["possible"]:
        return _not_tested(network, row) + _besides(row)
    if row["failed"]:
        return (
            f"nothing can be said: perturbing {source} is not seen to change {source} itself "
            f"(adjusted {p_of(row['own_p_adjusted'])}), nor {target}"
        )
    return (
        f"perturbing {source} is not seen to change {target} (total effect "
        f"{row['total_effect']:.2g}, {_adjusted(network, row)})"
    )


def _besides(row: dict[str, Any]) -> str:
    """Add to a reason that the source's perturbation is not seen to work."""
    if not row["failed"]:
        return ""
    return f", and perturbing {shown(row['source'])} is not seen to change that gene itself"


def _not_tested(network: CausalNetwork, row: dict[str, Any]) -> str:
    """Return why a pair with an effect was no candidate."""
    source, target = shown(row["source"]), shown(row["target"])
    if row["before"]:
        return f"the method did not take {source} as a candidate of {target}"
    back, there = network.screen.log10_p[row["t"], row["s"]], row["total_log10_p"]
    said = f"{target} comes before {source} in the causal order, "
    if back < there and network.screen.is_descendant[row["t"], row["s"]]:
        p_values = f"p = {shown_p(back)}, against {shown_p(there)}"
        if there > np.log10(network.config.level_of_screen):
            p_values = f"p = {shown_p(back)}, and the reverse is not seen"
        said += f"as what perturbing {target} does to {source} is surer ({p_values}"
        is_near = deviates(back) - deviates(there) < NEAR_TIE
        return said + (", a near-tie that may as well be the other way)" if is_near else ")")
    return said + f"as surer effects lead from {target} to {source}"


def _not_called(network: CausalNetwork, row: dict[str, Any]) -> str:
    """Return why a candidate was not called."""
    config, target = network.config, shown(row["target"])
    if not np.isfinite(row["p_value"]):
        return f"its direct effect could not be estimated ({row['status']})"
    said = f"its direct effect, {_effect(row)}, has p = {shown_p(row['log10_p'])}"
    if config.rule == "published" and not np.isnan(row["p_adjusted"]):
        return f"{said}, adjusted {row['p_adjusted']:.2g}, which had to be below {row['level']:.2g}"
    if row["p_value"] > row["level"]:
        others = [n for n in network.ancestors(row["target"]) if n != row["source"]]
        held = f" with {listed(others)} held fixed" if others else ""
        return f"{said}{held}, and p had to be at most {_bar(network, row)}"
    if not row["callable"]:
        said = f"{shown(row['source'])} is not surely an ancestor of {target}: the total effect has"
        said += f" p = {shown_p(row['total_log10_p'])}"
        return f"{said}, which had to be at most {row['ancestor_bar']:.2g}"
    if row["p_held"] > config.level_of_edges:
        said = "genes that may lie between, held fixed, take the evidence away (p = "
        return f"{said}{row['p_held']:.2g}, which had to be at most {config.level_of_edges:g})"
    return f"{said}, too large for the level {row['level']:.2g} of the tests of {target}"


def _effect(row: dict[str, Any]) -> str:
    return f"{row['effect']:.3g} ({row['ci_low']:.3g} to {row['ci_high']:.3g})"


def _bar(network: CausalNetwork, row: dict[str, Any]) -> str:
    """Return what the p-value of a candidate had to be at most."""
    if row["level"] == 0.0 and network.config.rule == "two-level":
        return f"{least_bar(network.config):g}, were it the only candidate"
    return f"{row['level']:.2g}"


def _adjusted(network: CausalNetwork, row: dict[str, Any]) -> str:
    p_value, level = shown_p(row["total_log10_p"]), network.config.level_of_screen
    return f"p = {p_value}; adjusted {p_of(row['total_p_adjusted'])}, below {level:g} needed"


def _facts(network: CausalNetwork, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is known of one direction, a line each."""
    if not row["perturbed"]:
        yield "knock-down", f"none: {shown(row['source'])} is a sink, measured and not perturbed"
        return
    failed = f": not seen to work (adjusted {p_of(row['own_p_adjusted'])})" if row["failed"] else ""
    left = f"{100 * np.exp(row['own_effect']):.3g} % of {shown(row['source'])} left"
    yield "knock-down", f"{left}, p = {shown_p(row['own_log10_p'])}{failed}"
    yield from _total_facts(network, row)
    n, position = len(network.genes), network.causal_order.position
    place = f"{position[row['s']] + 1} and {position[row['t']] + 1} of {n}"
    yield "order", f"{'before' if row['before'] else 'after'} {shown(row['target'])} ({place})"
    yield from _direct_facts(network, row)
    path = _shortest_path(network, row["s"], row["t"])
    none = "none" + (", so that the edges leave the total effect unexplained" * row["descendant"])
    yield "path of edges", " > ".join(map(shown, path)) or none


def _total_facts(network: CausalNetwork, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    status = FitStatus[row["total_status"]]
    if np.isfinite(row["total_p_value"]):
        called = "a descendant" if row["descendant"] else "no descendant"
        yield (
            "total effect",
            (
                f"{row['total_effect']:.3g} (standard error {row['total_std_error']:.2g}), "
                f"{_adjusted(network, row)}: {called}"
            ),
        )
    if status != FitStatus.OK:
        yield "its fit", f"{status.name}. {status.advice}"
    if row["possible"] and not row["descendant"]:
        yield "by a path", "surer effects lead there, through others"


def _direct_facts(network: CausalNetwork, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if not row["candidate"]:
        yield "candidate", "no"
        return
    others = [n for n in network.ancestors(row["target"]) if n != row["source"]]
    yield "candidate", "yes" + (f", beside {listed(others)}" if others else "")
    if np.isfinite(row["p_value"]):
        error, p_value = f"standard error {row['std_error']:.2g}", shown_p(row["log10_p"])
        yield "direct effect", f"{_effect(row)}, {error}, p = {p_value}"
        yield "its bar", f"p at most {_bar(network, row)}"
        of_interval = float(two_sided(row["effect"] / row["std_error"])[1])
        if abs(of_interval - row["log10_p"]) > TELLING and min(of_interval, row["log10_p"]) > FAR:
            yield "p or interval", _OF_P_AND_INTERVAL
    if np.isfinite(row["ancestor_bar"]):
        yield (
            "ancestor",
            (
                "sure enough"
                if row["callable"]
                else f"not sure enough: p of the total effect at most {row['ancestor_bar']:.2g}"
            ),
        )
    if np.isfinite(row["p_held"]):
        yield (
            "with others held",
            (
                f"p = {row['p_held']:.2g} with genes held fixed that may lie between, at most "
                f"{network.config.level_of_edges:g}"
            ),
        )
    if (status := FitStatus[row["status"]]) != FitStatus.OK:
        yield "its fit", f"{status.name}. {status.advice}"


def _shortest_path(network: CausalNetwork, s: int, t: int) -> list[str]:
    """Return the genes of a path of edges with the fewest steps; empty where there is none."""
    import networkx

    from_source = networkx.single_source_shortest_path(to_networkx(network), network.genes[s])
    return list(from_source.get(network.genes[t], []))
