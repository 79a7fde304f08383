"""Perturbations whose effects a network that has not seen them predicts wrongly, in findings."""

from __future__ import annotations

import numpy as np
import pandas as pd

from argen.errors import listed
from argen.network import Finding, Severity

PREDICTS = "prediction (the network says what perturbations that it has not seen do)"
# With fewer effects beyond doubt there is little to explain.
FEWEST_AFFECTED = 5
# So many effects beyond doubt with the wrong sign, and more than with the right one, say that a
# prediction is wrong. An effect that is too small for an edge is predicted as 0, without a sign.
# Simulated screens of ten nodes, each left out in turn: a warning in 1 of 40 with one parent a gene
# in the mean, in 3 of 40 with two, in none where effects are small; a note in 2, 12 and none.
FEWEST_WRONG = 3
_ONE = ["held", "kind", "given"]
# Severity; how a perturbation is named; how many there are, of how many, and which; advice.
_OPPOSITE: tuple[Severity, str, str, str] = (
    "warning",
    "{0.held} from {0.entry} ({0.wrong} of {0.signs} signs wrong, {0.explained:.0f} % explained)",
    "{} of {} left-out perturbations do the opposite of what the network predicts from their "
    "effect on one node: {}. Signs are of effects beyond doubt.",
    "They do not act by way of the transcript of that node as its own perturbation does: they act "
    "elsewhere, genes act on each other both ways, or the transcript does not tell what the "
    "protein does (that of a partner in a complex may rise while the signal stops). Begin from "
    "another node (entry=, in Python), and do not rely on argen.predict for such perturbations.",
)
_NO_BETTER: tuple[Severity, str, str, str] = (
    "note",
    "{0.held} from {0.entry} ({0.explained:.0f} % explained, "
    "{0.explained_by_mean:.0f} % by the mean)",
    "Of {} of {} left-out perturbations, the effect on one node and the network together tell no "
    "more than the mean of the others does, or than to say that there is no effect: {}.",
    "They act on several nodes, which no network can foresee, edges are missing, or the transcript "
    "does not tell how strong they are (a knock-out may leave it). Rely on argen.predict for such "
    "perturbations as little as on a mean.",
)


def unforeseen_findings(table: pd.DataFrame, scores: pd.DataFrame) -> list[Finding]:
    """Name perturbations that do the opposite of what is predicted, or which nothing foresees.

    That is of predictions from the effect on one node: what is predicted from all parents of a node
    has to be off where the perturbation acts on it.
    """
    each = scores[(scores["held"] != "") & (scores["given"] != "parents")]
    if not len(each):
        return []
    signs = np.sign(table["observed"]) * np.sign(table["predicted"])
    counted = table[_ONE].assign(
        wrong=table["affected"] & (signs < 0), right=table["affected"] & (signs > 0)
    )
    each = each.merge(counted.groupby(_ONE, as_index=False).sum(), "left", _ONE)
    turned = (each["wrong"] >= FEWEST_WRONG) & (each["wrong"] > each["right"])
    turned &= each["explained"] < 0.0
    least = each["explained_by_mean"].clip(lower=0.0)
    poor = (each["n_affected"] >= FEWEST_AFFECTED) & ~(each["explained"] > least)
    said = each.assign(
        signs=each["wrong"] + each["right"],
        **{name: 100.0 * each[name] for name in ("explained", "explained_by_mean")},
    )
    opposite, no_better = said[turned], said[poor & ~turned]
    return [*_named(opposite, len(each), *_OPPOSITE), *_named(no_better, len(each), *_NO_BETTER)]


def _named(
    rows: pd.DataFrame, n: int, severity: Severity, one: str, evidence: str, advice: str
) -> list[Finding]:
    """Name perturbations, those that are explained least first; nothing where there is none."""
    if not len(rows):
        return []
    named = listed(one.format(row) for row in rows.sort_values("explained").itertuples())
    return [Finding(PREDICTS, evidence.format(len(rows), n, named), advice, severity)]
