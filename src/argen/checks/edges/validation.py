"""Validation by interventions: whether the edges explain what the perturbations did.

Direct effects are estimated from the effects of perturbations, one for one. Every pair without
an edge is therefore a prediction that can fail: its total effect must follow from the edges of
others.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import stdtr

from argen.arrays import FloatArray
from argen.errors import counted, listed
from argen.network import CausalNetwork, Finding, JointErrors, joint_errors
from argen.pvalues import adjust, p_of, two_sided

DISAGREEMENT_ALPHA = 0.05
CONCORDANCE_ALPHA = 0.05
# Over fewer edges the test of a slope is off its level.
FEWEST_EDGES = 20
# A difference whose error is a smaller part of that of the total effect is fitted, not tested: all
# that it rests on is in the edges.
SMALLEST_RATIO = 0.5
# Derivatives that the errors of the edges may take, the square of the candidates for each edge.
MOST_ENTRIES = 100_000_000
PAIR = ["source", "target"]
_COMPLETE = "sufficiency (the edges explain the total effects of the screen)"
_NO_WAY_BACK = "no feedback, and guides that act through their gene alone"
_CONCORDANT = "direction (perturbing the target of an edge leaves its source alone)"


def implied_table(network: CausalNetwork) -> pd.DataFrame:
    """Return one row a pair of nodes: the total effect that the edges imply, and the observed.

    ``implied`` is ``(I - B)^-1`` times the effect of the source's perturbation on the source;
    ``difference`` is implied less observed, with an error that knows that both rest on the same
    cells (``argen.network.joint_errors``). Where the edges all but fit the effect exactly nothing
    is tested, and z is missing. Where no path leads from source to target (``path`` false), the
    p-value is that of the screen. ``p_adjusted`` is Benjamini and Hochberg's over all pairs
    tested, and ``badly`` says that it is below 0.05. ``against_order``: the source comes after
    the target.

    Raises
    ------
    InputError
        When edges form a cycle or have no finite effect.
    """
    errors = joint_errors(network, as_in_table=False)
    n_nodes, screen = errors.n_nodes, network.screen
    implied, std_error = implied_effects(network, errors)
    observed, own_error = screen.effect[:, :n_nodes], screen.std_error[:, :n_nodes]
    path = errors.over_paths(errors.direct())[:, :n_nodes] != 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = implied - observed
        tested = std_error > SMALLEST_RATIO * own_error
        z = np.where(tested & np.isfinite(difference), difference / std_error, np.nan)
    p_value = np.where(path, two_sided(z)[0], screen.p_value[:, :n_nodes])
    pairs = screen.pairs[:, :n_nodes]
    source, target = np.nonzero(pairs)
    position = network.causal_order.position
    names = np.array(network.nodes, dtype=object)
    table = pd.DataFrame(
        {
            "source": names[source],
            "target": names[target],
            "observed": observed[pairs],
            "implied": implied[pairs],
            "difference": difference[pairs],
            "std_error": std_error[pairs],
            "z": z[pairs],
            "p_value": p_value[pairs],
            "p_adjusted": adjust(p_value[pairs], "bh"),
            "path": path[pairs],
            "against_order": position[source] > position[target],
        }
    )
    table["badly"] = table["p_adjusted"] < DISAGREEMENT_ALPHA
    return table


def implied_effects(network: CausalNetwork, errors: JointErrors) -> tuple[FloatArray, FloatArray]:
    """Implied total effects, and errors of their differences from the observed.

    Both (n_nodes, n_nodes); NaN where the perturbation's effect on its own gene is not finite.
    """
    n_nodes, n_genes = errors.n_nodes, errors.n_genes
    own = network.screen.knockdown.effect
    over_paths = errors.over_paths(errors.direct())[:, :n_nodes]
    inner = np.flatnonzero(errors.target < n_nodes)
    source, target, rows = errors.source[inner], errors.target[inner], errors.rows[inner]
    covariance = errors.covariance(rows)
    std_error = np.full((n_nodes, n_nodes), np.nan)
    for node in np.flatnonzero(np.isfinite(own)).tolist():
        reached = np.flatnonzero(over_paths[node, source] != 0.0)
        slopes = own[node] * over_paths[node, source[reached], None] * over_paths[target[reached]]
        # What the edges share with the effects of this very perturbation.
        inputs = slice(node * n_genes, node * n_genes + n_nodes)
        noise = errors.variance[inputs]
        shared = rows[reached][:, inputs].toarray() * noise
        through = over_paths[node]
        variance = np.einsum(
            "et,ef,ft->t", slopes, covariance[np.ix_(reached, reached)], slopes, optimize=True
        )
        variance += through**2 * noise[node] + noise
        variance += 2.0 * (through * (shared[:, node] @ slopes) - (slopes * shared).sum(axis=0))
        std_error[node] = np.sqrt(np.maximum(variance, 0.0))
    implied = np.where(np.isfinite(own), own, np.nan)[:, None] * over_paths
    return implied + 0.0, std_error  # no minus zero


def implied_line(table: pd.DataFrame) -> str:
    """Return in words how implied and observed total effects agree."""
    tested = table[table["path"] & table["z"].notna()]
    n_untested = int((table["path"] & table["z"].isna()).sum())
    x, y = (tested[name].to_numpy(dtype=np.float64) for name in ("implied", "observed"))
    slope, agreement = slope_and_agreement(x, y)
    n_pairs = int(table["p_value"].notna().sum())
    if not table["path"].any():
        return (
            "total effects that the edges imply, against the screen's: no pair has a path; "
            f"{int(table['badly'].sum())} of {n_pairs} pairs explained badly"
        )
    return (
        f"total effects that the edges imply, against the screen's: {int(table['badly'].sum())} of "
        f"{n_pairs} pairs explained badly; over {counted(len(tested), 'pair')} with a path slope "
        f"{number(slope)}, correlation {number(correlation(x, y))}, same sign in "
        f"{100 * agreement:.0f} % "
        f"({n_untested} more are fitted, and test nothing)"
    )


def implied_findings(table: pd.DataFrame, both_ways: pd.DataFrame) -> list[Finding]:
    """Name the effects against the order, and those that the edges do not explain.

    Parameters
    ----------
    both_ways
        Pairs ``first`` and ``second`` that surely act on each other, of which the network speaks by
        itself.
    """
    findings = []
    told = {frozenset(pair) for pair in both_ways[["first", "second"]].itertuples(index=False)}
    back = table[table["against_order"]]
    strict = adjust(back["p_value"].to_numpy(dtype=np.float64), "holm")
    is_told = [frozenset(pair) in told for pair in back[PAIR].itertuples(index=False)]
    found = back[(strict < DISAGREEMENT_ALPHA) & ~np.array(is_told, bool)].sort_values("p_value")
    if len(found):
        findings.append(
            Finding(
                _NO_WAY_BACK,
                f"{len(found)} of {len(back)} total effects against the causal order are beyond "
                f"doubt (p < {DISAGREEMENT_ALPHA:g} by Holm's method), and no edge can explain "
                f"them: {listed(_shown(found))}"
                f"{', besides those of pairs that surely act both ways' * any(is_told)}.",
                "Genes that act on each other both ways, or a guide that hits an upstream gene: "
                "effects of edges between such genes mix both directions, so read them as "
                "associations of a group, and look at the guides one by one.",
                "warning",
            )
        )
    along = table[~table["against_order"]]
    known = np.isfinite(along["implied"].to_numpy(dtype=np.float64))
    badly = along[along["badly"] & known].sort_values("p_value")
    if len(badly):
        findings.append(
            Finding(
                _COMPLETE,
                f"In {len(badly)} of {len(along)} pairs along the order the edges do not add up to "
                f"the total effect (adjusted p < {DISAGREEMENT_ALPHA:g}): "
                f"{listed(_shown(badly))}.",
                "Edges are missing there, because their effects are too small to be called or the "
                "order has them the other way round (argen show --pair says which); or effects do "
                "not add up on the log scale: what argen.predict says of these "
                "pairs is off by the difference in table implied.",
                "note",
            )
        )
    return findings


def _shown(table: pd.DataFrame) -> list[str]:
    columns = (table[name] for name in ("source", "target", "observed", "implied"))
    return [f"{s} on {t} ({o:.2g}, implied {i:.2g})" for s, t, o, i in zip(*columns, strict=True)]


def intervention_table(network: CausalNetwork, *, reverse: bool = False) -> pd.DataFrame:
    """Return each edge's effect beside what perturbing one end did to the other.

    Columns: source, target, effect, std_error, intervention: minus the screen's total effect of
    the source's perturbation on the target, since the perturbation lowers the source; with
    ``reverse``, of the target's on the source. Edges into sinks have no reverse and are absent
    there.
    """
    edges = network.edges[[*PAIR, "effect", "std_error", "sink"]]
    if reverse:
        edges = edges[~edges["sink"]]
    number = {gene: i for i, gene in enumerate(network.genes)}
    source, target = (edges[end].map(number).to_numpy(dtype=np.int64) for end in PAIR)
    at = (target, source) if reverse else (source, target)
    return edges.drop(columns="sink").assign(intervention=-network.screen.effect[at])


def slope_and_agreement(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Return the least-squares slope of y on x, and the share of pairs of the same sign."""
    if len(x) < 2 or np.ptp(x) == 0:
        return float("nan"), float(np.mean(np.sign(x) == np.sign(y))) if len(x) else float("nan")
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    return slope, float(np.mean(np.sign(x) == np.sign(y)))


def number(value: float) -> str:
    """Return a number with two digits, or that there is none."""
    return f"{value:.2f}" if np.isfinite(value) else "not known"


def correlation(x: FloatArray, y: FloatArray) -> float:
    """Return Pearson's correlation; NaN when there is none."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def concordance_table(network: CausalNetwork) -> pd.DataFrame:
    """Return how edges agree with interventions, forward and in reverse: one row each.

    Columns: direction, n_edges, n_infinite (left out), slope of the edge's effect on minus the
    effect of the intervention (see ``intervention_table``), slope_error (HC3), p_value (t),
    correlation, same_sign. Forward the slope should be positive; in reverse, zero.

    Source: Park and Li (2026), whose K562 network has about 0.6 and 0.
    """
    rows = []
    for direction in ("forward", "reverse"):
        table = intervention_table(network, reverse=direction == "reverse")
        x, y = (table[name].to_numpy(dtype=np.float64) for name in ("intervention", "effect"))
        finite = np.isfinite(x) & np.isfinite(y)
        x, y = x[finite], y[finite]
        slope, same_sign = slope_and_agreement(x, y)
        error = _slope_error(x, y, slope)
        ratio = -abs(slope) / max(error, 1e-300)  # 0 where all lie on a line
        p_value = 2.0 * float(stdtr(len(x) - 2, ratio)) if np.isfinite(error) else np.nan
        row = (direction, len(x), int((~finite).sum()), slope, error, p_value)
        rows.append((*row, correlation(x, y), same_sign))
    columns = ["direction", "n_edges", "n_infinite", "slope", "slope_error", "p_value"]
    return pd.DataFrame(rows, columns=[*columns, "correlation", "same_sign"])


def _slope_error(x: FloatArray, y: FloatArray, slope: float) -> float:
    """HC3 standard error of a least-squares slope (MacKinnon and White 1985)."""
    if len(x) < 3 or not np.isfinite(slope):
        return float("nan")
    centred = x - x.mean()
    square = centred @ centred
    residual = y - y.mean() - slope * centred
    leverage = 1.0 / len(x) + centred**2 / square
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.sqrt(np.sum((centred * residual / (1.0 - leverage)) ** 2)) / square)


def concordance_findings(table: pd.DataFrame) -> list[Finding]:
    """Say when edges agree with interventions on the wrong end, or not with those on the right."""
    findings = []
    forward, reverse = (table[table["direction"] == d].iloc[0] for d in ("forward", "reverse"))
    if reverse["n_edges"] >= FEWEST_EDGES and reverse["p_value"] < CONCORDANCE_ALPHA:
        findings.append(
            Finding(
                _CONCORDANT,
                f"Over {reverse['n_edges']} edges the effect of an edge is related to what "
                f"perturbing its target does to its source: slope {reverse['slope']:.2f} "
                f"({p_of(reverse['p_value'])}; forward {forward['slope']:.2f}).",
                "Some edges may point the wrong way, or genes act on each other both ways: "
                "plot.draw_intervention(network, reverse=True) shows which.",
                "warning",
            )
        )
    if forward["n_edges"] >= FEWEST_EDGES and forward["same_sign"] < 0.5:
        findings.append(
            Finding(
                _CONCORDANT,
                f"Of {forward['n_edges']} edges only {100 * forward['same_sign']:.0f} % have the "
                "sign of what perturbing their source does to their target.",
                "Direct effects that oppose the total ones rest on the other candidates: read "
                "table strength, and trust the sign of total effects rather than of edges.",
                "warning",
            )
        )
    return findings


def concordance_line(table: pd.DataFrame) -> str:
    """Return in words how edges agree with interventions."""
    if not table["n_edges"].any():
        return "edges against interventions: no edges to compare"
    said = [
        f"{row['direction']} slope {number(row['slope'])}, same sign "
        f"{100 * row['same_sign']:.0f} % of {row['n_edges']}"
        for row in table.to_dict("records")
        if row["n_edges"]
    ]
    return f"edges against interventions: {'; '.join(said)}"
