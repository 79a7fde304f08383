"""Guides that do nothing to their gene where its other guides do."""

from __future__ import annotations

import numpy as np
import pandas as pd

from argen.checks.guides.by_guide import GuideEffects
from argen.errors import counted, shown
from argen.network import Finding
from argen.pvalues import adjust, critical_value, two_sided

# Of the effect of a guide on its gene, and of that of the others, adjusted over all guides.
OWN_EFFECT_ALPHA = 0.05
# A guide without an effect that could be seen is idle when it surely (one-sided, at 5 %) does less
# than such a share of what the others do. Where cells or counts are few, nothing is sure.
LEAST_SHARE, SURE = 0.5, critical_value(0.9)
_AGREE = "guides (those of a gene do the same to it)"
_COLUMNS = [
    "node", "guide", "n_cells", "effect", "std_error", "p_value",
    "of_others", "p_of_others", "surely_less",
]  # fmt: skip


def own_effects(found: GuideEffects, nodes: tuple[str, ...]) -> pd.DataFrame:
    """Return the effect of each guide on its own gene, beside that of the gene's other guides.

    One row a guide: node, guide, n_cells, effect, std_error, p_value, p_adjusted over all guides,
    ``works`` (that is below 0.05), ``of_others``, the mean effect of the node's other guides in
    sequence of their precision, missing where it has one guide, and ``idle``: the guide does not
    work, the others together do, and it surely does less than half of what they do. A guide that
    does not work and is not idle is one of which its cells say too little.
    """
    rows = [row for node in np.unique(found.node).tolist() for row in _of_node(found, node, nodes)]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    table.insert(6, "p_adjusted", adjust(table["p_value"].to_numpy(dtype=np.float64), "bh"))
    table.insert(7, "works", table["p_adjusted"] < OWN_EFFECT_ALPHA)
    of_others = adjust(table.pop("p_of_others").to_numpy(dtype=np.float64), "bh")
    less = table.pop("surely_less").to_numpy(dtype=bool)
    table["idle"] = ~table["works"] & (of_others < OWN_EFFECT_ALPHA) & less
    return table


def _of_node(
    found: GuideEffects, node: int, nodes: tuple[str, ...]
) -> list[tuple[str, str, int, float, float, float, float, float, bool]]:
    own = np.array([g for g in found.of(np.array([node])) if found.guides[g] != ""], dtype=np.int64)
    if not len(own):  # the guides of its cells are not known
        return []
    effects = found.among(own, np.array([node]))
    effect, std_error = effects.effect[:, 0], effects.std_error[:, 0]
    p_value, every, rows = two_sided(effect / std_error)[0], np.arange(len(own)), []
    covariance = effects.covariance(every, np.array([0]), np.ones(1))
    for g in every.tolist():
        mean, p_mean, less = np.nan, np.nan, False
        if len(own) > 1 and np.isfinite(effect).all():
            precision = np.linalg.solve(
                np.delete(np.delete(covariance, g, 0), g, 1), np.ones(len(own) - 1)
            )
            others = np.insert(precision / precision.sum(), g, 0.0)
            mean = float(others @ effect)
            p_mean = float(two_sided(mean / np.sqrt(others @ covariance @ others))[0])
            short = (every == g) - LEAST_SHARE * others  # of the guide, less half of the others
            z = short @ effect / np.sqrt(short @ covariance @ short)
            less = bool(-np.sign(mean) * z > SURE)
        name, n_cells = found.guides[own[g]], int(found.n_cells[own[g]])
        numbers = float(effect[g]), float(std_error[g]), float(p_value[g])
        rows.append((nodes[node], name, n_cells, *numbers, mean, p_mean, less))
    return rows


def idle_findings(table: pd.DataFrame) -> list[Finding]:
    """Name the guides that do nothing to a gene that its other guides change."""
    idle = table[table["idle"].eq(True)]
    if not len(idle):
        return []
    named = [
        f"{shown(row['guide'])} ({row['effect']:.2g}, the others {row['of_others']:.2g}; "
        f"{counted(row['n_cells'], 'cell')})"
        for row in idle.to_dict("records")
    ]
    are, do = ("is", "does") if len(idle) == 1 else ("are", "do")
    evidence = f"{len(idle)} of {counted(len(table), 'guide')} {are} not seen to change the gene, "
    evidence += f"and surely {do} less than half of what the gene's other guides do (natural "
    evidence += f"log): {', '.join(named)}."
    advice = "Their cells dilute the effects of the perturbation: leave them out with --cells, as "
    advice += "\"guide not in ['A', 'B']\" where guide is their column, and see what changes."
    return [Finding(_AGREE, evidence, advice, "note")]
