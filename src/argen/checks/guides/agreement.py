"""Exclusion: whether the guides of a gene agree, as they must when they act through it alone.

Guides of one gene differ in strength; what they do to another gene must be in proportion to
what they do to their own. More guides than genes make the model over-identified.

A guide has few cells, whose counts have heavy tails, so that chi-square statistics come out too
large. How much too large, guides without a difference tell: the labels of guides are permuted
among the cells of each gene, and statistics are divided by what these ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.checks.guides.by_guide import GuideEffects
from argen.checks.guides.group_effects import EffectRegression, EffectsOfGroups, regress_effects
from argen.errors import listed
from argen.network import CausalNetwork, Finding
from argen.pvalues import adjust, inflation_needed, less_inflated, p_of, two_sided

DISAGREEMENT_ALPHA = 0.05
# Tests of permuted guides for each target, within bounds on the permutations. Where genes are many
# a permutation takes seconds: the fewest.
TESTS_OF_A_TARGET, FEWEST_PERMUTATIONS, MOST_PERMUTATIONS = 1000, 3, 30
LEVELS = (0.05, 0.01, 0.001)
_FIRST = np.array([0])
_OF_ALL_CELLS = (
    " Table leave_one_guide_out has effects in all cells, those that escape too: compare them with "
    "its rows of all guides, not with the edges."
)
_THROUGH = "exclusion (guides act through their own gene alone)"


@dataclass(frozen=True, slots=True)
class Inflation:
    """What the statistics of the tests of each target are divided by."""

    agreement: FloatArray  # (n_genes,)
    overidentification: FloatArray  # (n_genes,)


def guide_inflation(
    draw: Callable[[], GuideEffects], network: CausalNetwork, pairs: list[tuple[int, int]]
) -> Inflation:
    """Return what statistics are to be divided by, from guides that do not differ.

    The heaviest tails belong to single genes, so that each target has its own where its tests
    are enough, and that of all tests at least.

    Parameters
    ----------
    draw
        Returns the effects of guides whose labels are permuted among the cells of each node.
    """
    genes, n_targets = network.genes, len({target for _, target in pairs})
    n_wanted = int(np.ceil(TESTS_OF_A_TARGET * n_targets / max(len(pairs), 1)))
    of_pairs, of_targets = [], []
    for number in range(MOST_PERMUTATIONS):
        if number >= max(n_wanted, FEWEST_PERMUTATIONS):
            break
        found = draw()
        of_pairs.append(agreement_table(found, genes, pairs))
        of_targets.append(overidentification_table(explained_targets(found, network, pairs)[0]))
        has_none = not len(of_pairs[0]) and not len(of_targets[0])  # no gene has two guides
        if has_none or (number + 1 >= FEWEST_PERMUTATIONS and not found.is_quick):
            break
    agreement, explained = pd.concat(of_pairs), pd.concat(of_targets)
    of_all = inflation_needed(agreement["p_value"].to_numpy(dtype=np.float64), LEVELS)
    own = np.full(len(genes), of_all)
    for target, rows in agreement.groupby("target", sort=False)["p_value"]:
        needed = inflation_needed(rows.to_numpy(dtype=np.float64), LEVELS)
        own[genes.index(str(target))] = max(of_all, needed)
    of_all = inflation_needed(explained["p_value"].to_numpy(dtype=np.float64), LEVELS)
    return Inflation(own, np.maximum(own, of_all))


def agreement_table(
    found: GuideEffects,
    genes: tuple[str, ...],
    pairs: list[tuple[int, int]],
    inflation: Inflation | None = None,
) -> pd.DataFrame:
    """Return one row a pair: whether the source's guides agree on the target.

    ``effect`` is the total effect per unit of the source; the test that the guides' effects on
    the target are in proportion to those on the source has one degree of freedom for each guide
    but one; its statistic is as it comes, and its p-value after ``inflation``. ``odd_guide`` is
    the guide without which the others agree best, where they disagree and are three or more.
    """
    rows, tested = [], []
    for source, target in pairs:
        own = found.of(np.array([source]))
        effects = found.among(own, np.array([source, target])) if len(own) > 1 else None
        if effects is None or not np.isfinite(effects.effect).all():
            continue
        fit = regress_effects(effects, 1, _FIRST, np.arange(len(own)))
        row = (genes[source], genes[target], len(own), fit.coefficients[0], fit.std_error[0])
        rows.append((*row, fit.statistic, fit.df, fit.p_value))
        tested.append((source, target, own, effects))
    columns = ["source", "target", "n_guides", "effect", "std_error", "statistic", "df", "p_value"]
    targets = [target for _, target, _, _ in tested]
    by = 1.0 if inflation is None else inflation.agreement[targets]
    table = _adjusted(pd.DataFrame(rows, columns=columns), by)
    table["disagree"] = table["p_adjusted"] < DISAGREEMENT_ALPHA
    table["odd_guide"] = [
        found.guides[own[_odd_one(effects)]] if disagree and len(own) > 2 else ""
        for (_, _, own, effects), disagree in zip(tested, table["disagree"], strict=True)
    ]
    return table


def _adjusted(table: pd.DataFrame, inflation: FloatArray | float) -> pd.DataFrame:
    """Divide statistics by ``inflation`` in p-values, and adjust these."""
    p_value = less_inflated(table["p_value"].to_numpy(dtype=np.float64), inflation)
    return table.assign(p_value=p_value, p_adjusted=adjust(p_value, "bh"))


def _odd_one(effects: EffectsOfGroups) -> int:
    """Which of the guides the others agree best without."""
    every = np.arange(len(effects.effect))
    left = [regress_effects(effects, 1, _FIRST, every[every != g]).statistic for g in every]
    return int(np.argmin(left))


@dataclass(frozen=True, slots=True)
class _Explained:
    """A target, its candidates, and the effects of their guides on both."""

    target: int
    name: str
    candidates: IntArray
    guides: IntArray
    effects: EffectsOfGroups  # on the candidates, and last on the target

    def fit(self, kept: BoolArray) -> EffectRegression:
        """Explain the effects of some of the guides on the target by those on the candidates."""
        n = len(self.candidates)
        return regress_effects(self.effects, n, np.arange(n), np.flatnonzero(kept))


def explained_targets(
    found: GuideEffects, network: CausalNetwork, pairs: list[tuple[int, int]]
) -> tuple[list[_Explained], list[str]]:
    """Collect what is known of the targets of pairs, and name those with too many candidates.

    Targets without candidates, or of which an effect is not known, have no part.
    """
    explained, too_many = [], []
    for target in sorted({target for _, target in pairs}):
        candidates = np.asarray(network.causal_order.candidates(target))
        if len(candidates) > found.most_candidates:
            too_many.append(network.genes[target])
        elif len(candidates):
            guides = found.of(candidates)
            effects = found.among(guides, np.append(candidates, target))
            if np.isfinite(effects.effect).all():
                name = network.genes[target]
                explained.append(_Explained(target, name, candidates, guides, effects))
    return explained, too_many


def overidentification_table(
    explained: list[_Explained], inflation: Inflation | None = None
) -> pd.DataFrame:
    """Return one row a target: whether its candidates explain what their guides do to it.

    The test that the effects of the guides on the target are the same combination of those on
    the candidates, with a degree of freedom for each guide more than candidates (Hansen 1982);
    its statistic is as it comes, and its p-value after ``inflation``.
    """
    rows, targets = [], []
    for each in explained:
        sizes = len(each.candidates), len(each.guides)
        if sizes[1] > sizes[0]:
            fit = each.fit(np.ones(sizes[1], dtype=bool))
            rows.append((each.name, *sizes, fit.statistic, fit.df, fit.p_value))
            targets.append(each.target)
    columns = ["target", "n_candidates", "n_guides", "statistic", "df", "p_value"]
    by = 1.0 if inflation is None else inflation.overidentification[targets]
    table = _adjusted(pd.DataFrame(rows, columns=columns), by)
    table["rejected"] = table["p_adjusted"] < DISAGREEMENT_ALPHA
    return table


def leave_one_out_table(
    found: GuideEffects, network: CausalNetwork, explained: list[_Explained]
) -> pd.DataFrame:
    """Return one row for each edge and guide of its source: the edge without that guide.

    Estimates come from the guides of all candidates; the row without a guide left out (empty
    ``left_out``) has them all. Edges whose source has a single guide have no other row.
    """
    edges, rows = network.edges, []
    for each in explained:
        if not np.isin(each.candidates, found.node[each.guides]).all():
            continue
        sources = {
            network.genes.index(s) for s in edges.loc[edges["target"] == each.name, "source"]
        }
        # Other methods call pairs that are no candidates in the order.
        for source in sorted(sources & set(each.candidates.tolist())):
            rows += _without_each(found, each, network.genes[source], source)
    columns = ["source", "target", "left_out", "effect", "std_error", "p_value"]
    return pd.DataFrame(rows, columns=columns)


def _without_each(
    found: GuideEffects, explained: _Explained, name: str, source: int
) -> list[tuple[str, str, str, float, float, float]]:
    """Estimate an edge with all guides, and without each guide of its source."""
    guides = explained.guides
    at = int(np.flatnonzero(explained.candidates == source)[0])
    own = guides[found.node[guides] == source]
    rows = []
    for gone in [-1, *(own.tolist() if len(own) > 1 else [])]:
        fit = explained.fit(guides != gone)
        effect, std_error = float(fit.coefficients[at]), float(fit.std_error[at])
        left_out = "" if gone < 0 else found.guides[gone]
        p_value = float(two_sided(effect / std_error)[0])
        rows.append((name, explained.name, left_out, effect, std_error, p_value))
    return rows


def exclusion_findings(
    agreement: pd.DataFrame,
    overidentification: pd.DataFrame,
    left_out: pd.DataFrame,
    *,
    escapes: bool = False,
) -> list[Finding]:
    """Name the pairs whose guides disagree, the targets unexplained, and edges of one guide.

    Parameters
    ----------
    escapes
        Whether the network was corrected for cells that escape, as the effects of guides are not.
    """
    findings = []
    odd = agreement[agreement["disagree"]].sort_values("p_value")
    if len(odd):
        shown = [
            f"{source} on {target} (adjusted {p_of(p)}{', guide ' + guide if guide else ''})"
            for source, target, p, guide in zip(
                *(odd[name] for name in ("source", "target", "p_adjusted", "odd_guide")),
                strict=True,
            )
        ]
        findings.append(
            Finding(
                _THROUGH,
                f"In {len(odd)} of {len(agreement)} pairs the guides of the source disagree about "
                f"the target beyond their strength (adjusted p < {DISAGREEMENT_ALPHA:g}): "
                f"{listed(shown)}.",
                "One of the guides may act elsewhere, or change the protein without the transcript "
                "(as knock-outs do), so that its strength cannot be read from counts: compare them "
                "in table guides, leave the odd one out, and see which edges stay.",
                "warning",
            )
        )
    unexplained = overidentification[overidentification["rejected"]].sort_values("p_value")
    if len(unexplained):
        rows = unexplained.to_dict("records")
        shown = [f"{row['target']} (adjusted {p_of(row['p_adjusted'])})" for row in rows]
        findings.append(
            Finding(
                _THROUGH,
                f"The candidates of {len(unexplained)} of {len(overidentification)} targets do not "
                f"explain what their guides do to it: {listed(shown)}.",
                "A guide acts elsewhere, a parent is missing among the candidates, or effects "
                "do not add up on the log scale: read the edges into these genes with care.",
                "warning",
            )
        )
    fragile = [
        f"{source} to {target} (without {listed(rows['left_out'], 2)})"
        for (source, target), rows in needed_guides(left_out).items()
    ]
    n_edges = int((left_out["left_out"] == "").sum())
    if fragile:
        findings.append(
            Finding(
                _THROUGH,
                f"{len(fragile)} of {n_edges} edges do not hold without one of their source's "
                f"guides: p is above .05, or the sign turns: {listed(fragile)}.",
                "Confirm them with other guides, or with more cells."
                + (_OF_ALL_CELLS if escapes else ""),
                "warning",
            )
        )
    return findings


def needed_guides(left_out: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Rows of the guides without which an edge, significant with all of them, does not hold."""
    needed = {}
    for (source, target), rows in left_out.groupby(["source", "target"], sort=False):
        whole, others = rows[rows["left_out"] == ""].iloc[0], rows[rows["left_out"] != ""]
        turns = np.sign(others["effect"]) != np.sign(whole["effect"])
        lost = others[turns | (others["p_value"] > 0.05)]
        if whole["p_value"] < 0.05 and len(lost):
            needed[str(source), str(target)] = lost
    return needed
