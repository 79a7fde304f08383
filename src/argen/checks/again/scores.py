"""How well held-out perturbations are predicted, in numbers and in words."""

from __future__ import annotations

import numpy as np
import pandas as pd

from argen.checks.again.unforeseen import FEWEST_AFFECTED, PREDICTS, unforeseen_findings
from argen.checks.edges import correlation, number, slope_and_agreement
from argen.errors import listed
from argen.network import Finding
from argen.pvalues import adjust

# Of the difference between what guides do and what is predicted, by Holm's method over all. In
# simulations with 60 cells a guide this speaks in 2 of 100 screens.
OFF_ALPHA = 0.01
SCORES = [
    "n", "n_affected", "correlation", "slope", "same_sign", "inside", "explained",
    "explained_by_mean",
]  # fmt: skip
GIVEN = {
    "own gene": "the effect on the guide's own gene",
    "entry": "the effect on the node where they enter",
    "parents": "the effects on each node's parents",
}


def score_table(table: pd.DataFrame) -> pd.DataFrame:
    """Score each held-out perturbation, and all of a kind together (empty ``held``)."""
    rows = []
    for (kind, given), of_kind in table.groupby(["kind", "given"], sort=False):
        each = [(str(name), part) for name, part in of_kind.groupby("held", sort=False)]
        for name, part in [*each, ("", of_kind)]:
            entry = part["entry"].iloc[0] if name else ""
            rows.append(
                {"held": name, "kind": kind, "given": given, "entry": entry, **_score(part)}
            )
    return pd.DataFrame(rows, columns=["held", "kind", "given", "entry", *SCORES])


def _score(part: pd.DataFrame) -> dict[str, float]:
    observed, predicted, mean = (
        part[name].to_numpy(dtype=np.float64) for name in ("observed", "predicted", "mean")
    )
    affected = part["affected"].to_numpy(dtype=bool)
    of_none = float(np.sum(observed**2))
    right = np.sign(observed[affected]) == np.sign(predicted[affected])
    values = (
        len(part),
        int(affected.sum()),
        correlation(predicted, observed),
        slope_and_agreement(predicted, observed)[0],
        float(right.mean()) if len(right) else np.nan,
        float(part["inside"].mean()),
        1.0 - float(np.sum((observed - predicted) ** 2)) / of_none,
        1.0 - float(np.nansum((observed - mean) ** 2)) / of_none,
    )
    return dict(zip(SCORES, values, strict=True))


def score_line(score: pd.Series) -> str:
    """Return a row of the scores in words."""
    what = {"node": "perturbations of nodes", "label": "perturbations", "guide": "guides"}
    percent = {
        name: f"{100 * score[name]:.0f} %" if np.isfinite(score[name]) else "an unknown share"
        for name in SCORES[4:]
    }
    return (
        f"held-out {what[score['kind']]}, from {GIVEN[score['given']]}: {score['n']} effects, "
        f"correlation {number(score['correlation'])}, slope {number(score['slope'])}, same sign in "
        f"{percent['same_sign']} of the {score['n_affected']} beyond doubt, {percent['inside']} "
        f"inside their intervals, {percent['explained']} explained (by the mean of other "
        f"perturbations {percent['explained_by_mean']})"
    )


def score_findings(table: pd.DataFrame, scores: pd.DataFrame) -> list[Finding]:
    """Say where predictions are worse than none, and which are off beyond doubt.

    A whole perturbation may act on several nodes directly, which no network can foresee: all that
    follow from one node together, and whether these nodes follow from their parents, are not
    judged.
    """
    findings = unforeseen_findings(table, scores)
    for _, score in scores[(scores["held"] == "") & (scores["given"] != "entry")].iterrows():
        part = table[(table["kind"] == score["kind"]) & (table["given"] == score["given"])]
        if score["explained"] <= 0 and score["n_affected"] >= FEWEST_AFFECTED:
            findings.append(
                Finding(
                    PREDICTS,
                    f"From {GIVEN[score['given']]}, the network predicts {score['n']} effects of "
                    "held-out cells no better than to say that there are none.",
                    "Do not rely on argen.predict for this screen: edges are wrong or "
                    "missing. Read the other findings first.",
                    "warning",
                )
            )
        p_adjusted = adjust(part["p_value"].to_numpy(dtype=np.float64), "holm")
        off = part[p_adjusted < OFF_ALPHA].sort_values("p_value")
        if score["given"] == "own gene" and len(off):
            columns = (off[name] for name in ("held", "target", "observed", "predicted"))
            shown = [f"{h} on {t} ({o:.2g}, predicted {p:.2g})"
                     for h, t, o, p in zip(*columns, strict=True)]  # fmt: skip
            findings.append(
                Finding(
                    PREDICTS,
                    f"From {GIVEN[score['given']]}, {len(off)} of {score['n']} effects of "
                    f"held-out guides are off beyond doubt (p < {OFF_ALPHA:g} by Holm's method): "
                    f"{listed(shown)}.",
                    "Edges are missing there, a guide acts elsewhere, genes act on each other both "
                    "ways, or counts do not show a guide's strength (a knock-out may leave the "
                    "transcript): compare the guides in table guides.",
                    "warning",
                )
            )
    return findings
