"""How good a network is when the truth is known."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import chdtri

from argen.arrays import BoolArray, FloatArray
from argen.errors import InputError, first_few
from argen.network import CausalNetwork
from argen.simulate import Truth
from argen.steps import transitive_closure

# Median of a chi-squared variable with one degree of freedom.
MEDIAN_CHI2 = float(chdtri(1, 0.5))
NAN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """What a network got right, and how honest its errors are.

    A measure is NaN when there is nothing to measure it on. Called are the selected edges. Null
    candidates are those that are no edges of the truth.
    """

    n_true: int
    """True edges."""
    n_called: int
    """Called edges."""
    n_correct: int
    """Called edges that are true, in their direction."""
    precision: float
    """Share of the called edges that are true."""
    recall: float
    """Share of the true edges that are called."""
    f1: float
    """Harmonic mean of precision and recall: 2 n_correct / (n_called + n_true)."""
    false_discovery_proportion: float
    """Share of the called edges that are false; 0 when none is called."""
    auprc: float
    """Average precision over all ordered pairs, ranked by the p-values of the candidates;
    other pairs come last, together."""
    shd: int
    """Structural Hamming distance: unordered pairs whose edges differ."""
    sid: float
    """Structural intervention distance: ordered pairs of nodes whose effect would be computed from
    a wrong set of parents. NaN unless asked for, or when one of the networks has a cycle."""
    ancestor_precision: float
    """Share of the ancestor relations that called edges imply which are true."""
    ancestor_recall: float
    """Share of the true ancestor relations that called edges imply."""
    ancestor_f1: float
    """Their harmonic mean."""
    order_accuracy: float
    """Share of the true ancestors, among nodes, that the causal order puts before their
    descendants; pairs that are ancestors of each other do not count."""
    n_candidates: int
    """Pairs that were tested."""
    n_true_candidates: int
    """Candidates, with an estimate, that are true edges."""
    sign_accuracy: float
    """Share of the correct edges whose effect has the right sign."""
    effect_bias: float
    """Mean error of the effects of true candidates, away from zero positive."""
    effect_rmse: float
    """Root mean squared error of the effects of true candidates."""
    true_coverage: float
    """Share of the intervals of true candidates that cover the truth."""
    true_width: float
    """Their mean width."""
    null_coverage: float
    """Share of the intervals of null candidates that cover zero."""
    null_width: float
    """Their mean width."""
    n_null: int
    """Null candidates with a p-value."""
    null_ks: float
    """Largest distance of the distribution of null p-values from the uniform one."""
    null_ks_p_value: float
    """P-value of that distance, as if the tests were independent."""
    null_lambda: float
    """Median of the squared null z-values over what it should be; above 1: p too small."""
    null_below_05: float
    """Share of the null p-values below .05."""
    null_below_001: float
    """Share of the null p-values below .001."""
    null_p_values: FloatArray
    """P-values of the null candidates, increasing: (n_null,)."""

    def to_dict(self) -> dict[str, float]:
        """Return every measure by its name."""
        names = (field.name for field in fields(self) if field.name != "null_p_values")
        return {name: getattr(self, name) for name in names}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per measure: measure, value."""
        measures = self.to_dict()
        values = [float(value) for value in measures.values()]
        return pd.DataFrame({"measure": list(measures), "value": values})

    def qq(self) -> pd.DataFrame:
        """Return null p-values beside what they should be: expected, observed, as -log10."""
        expected = (np.arange(self.n_null) + 0.5) / max(self.n_null, 1)
        with np.errstate(divide="ignore"):
            observed = -np.log10(self.null_p_values)
        return pd.DataFrame({"expected": -np.log10(expected), "observed": observed})

    def summary(self) -> str:
        """Return the main measures in plain words."""
        return "\n".join(
            [
                f"{self.n_correct} of {self.n_true} true edges found, "
                f"{self.n_called - self.n_correct} of {self.n_called} called edges false",
                f"  F1 {self.f1:.3f}, area under precision-recall {self.auprc:.3f}, "
                f"structural Hamming distance {self.shd}",
                f"  effects: bias {self.effect_bias:.3f}, error {self.effect_rmse:.3f}; intervals "
                f"cover {self.true_coverage:.3f} of true edges, {self.null_coverage:.3f} of nulls",
                f"  order right for {self.order_accuracy:.3f} of the ancestors",
            ]
        )


def evaluate(network: CausalNetwork, truth: Truth, *, sid: bool = False) -> Evaluation:
    """Compare a network with the true one.

    Every ordered pair of a node and another gene is either an edge or none, in the truth and in
    the network; effects, intervals and p-values are those of the candidates.

    Parameters
    ----------
    network
        From any method; its genes must be those of the truth.
    truth
        From a simulator; ``truth.keep(network.genes)`` when some genes were left out.
    sid
        Compute the structural intervention distance too, with the package gadjid.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=4000)
    >>> argen.evaluate(argen.infer_network(data), truth).recall
    1.0
    """
    if network.genes != truth.genes or network.nodes != truth.nodes:
        odd = sorted(set(network.genes) ^ set(truth.genes)) or network.genes
        raise InputError(
            "The network and the truth must have the same nodes and sinks, in the same sequence; "
            f"they differ in {first_few(odd)}. Where genes were left out, use "
            "truth.keep(network.genes)."
        )
    candidates = network.candidates
    place = {gene: number for number, gene in enumerate(network.genes)}
    at = tuple(candidates[end].map(place).to_numpy(dtype=np.int64) for end in ("source", "target"))
    is_selected = candidates["selected"].to_numpy(dtype=bool)
    called = np.zeros(truth.direct.shape, dtype=bool)
    called[at[0][is_selected], at[1][is_selected]] = True
    evidence = np.full(truth.direct.shape, -np.inf)
    evidence[at] = np.where(candidates["log10_p"].isna(), -np.inf, -candidates["log10_p"])
    is_true = truth.direct != 0
    return Evaluation(
        **_edge_scores(called, is_true),
        auprc=average_precision(evidence[network.screen.pairs], is_true[network.screen.pairs]),
        sid=_intervention_distance(is_true, called) if sid else NAN,
        **_ancestor_scores(called, truth.ancestors),
        order_accuracy=_order_accuracy(network, truth),
        **_effect_scores(candidates, truth.direct[at], is_selected),
        **_null_scores(candidates, is_true[at]),
    )


def average_precision(evidence: FloatArray, is_true: BoolArray) -> float:
    """Area under precision and recall: the mean of precision over true pairs, ties together.

    Parameters
    ----------
    evidence, is_true
        (n_pairs,) each; -inf where there is no evidence.
    """
    if not is_true.any():
        return NAN
    order = np.argsort(-evidence, kind="stable")
    # The last place of each run of equal evidence is a threshold.
    last = np.append(evidence[order][1:] != evidence[order][:-1], True)
    n_correct = np.cumsum(is_true[order])[last]
    precision = n_correct / (np.flatnonzero(last) + 1)
    return float(np.sum(np.diff(n_correct, prepend=0) * precision) / is_true.sum())


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else NAN


def _mean(values: FloatArray | BoolArray) -> float:
    return float(values.mean()) if len(values) else NAN


def _edge_scores(called: BoolArray, is_true: BoolArray) -> dict[str, Any]:
    n_true, n_called = int(is_true.sum()), int(called.sum())
    n_correct = int((called & is_true).sum())
    differs = called != is_true
    nodes = slice(0, len(called))
    # A pair of nodes counts once, whichever of its two directions differ.
    both_ways = differs[:, nodes] & differs[:, nodes].T
    return {
        "n_true": n_true,
        "n_called": n_called,
        "n_correct": n_correct,
        "precision": _ratio(n_correct, n_called),
        "recall": _ratio(n_correct, n_true),
        "f1": _ratio(2 * n_correct, n_called + n_true),
        "false_discovery_proportion": (n_called - n_correct) / max(n_called, 1),
        "shd": int(differs.sum() - np.triu(both_ways).sum()),
    }


def _ancestor_scores(called: BoolArray, ancestors: BoolArray) -> dict[str, Any]:
    implied = Truth(tuple(map(str, range(called.shape[1]))), called.astype(float)).ancestors
    n_correct = (implied & ancestors).sum()
    return {
        "ancestor_precision": _ratio(n_correct, implied.sum()),
        "ancestor_recall": _ratio(n_correct, ancestors.sum()),
        "ancestor_f1": _ratio(2 * n_correct, implied.sum() + ancestors.sum()),
    }


def _order_accuracy(network: CausalNetwork, truth: Truth) -> float:
    n_nodes = len(truth.nodes)
    between = truth.ancestors[:, :n_nodes]
    source, target = np.nonzero(between & ~between.T)
    position = network.causal_order.position
    return _mean(position[source] < position[target])


def _effect_scores(
    candidates: pd.DataFrame, effect: FloatArray, is_selected: BoolArray
) -> dict[str, Any]:
    """Errors, signs and intervals of the candidates; ``effect`` has their true effects."""
    found = candidates["effect"].to_numpy(dtype=np.float64)
    low, high = (candidates[end].to_numpy(dtype=np.float64) for end in ("ci_low", "ci_high"))
    measured = np.isfinite(found) & (effect != 0)
    error = (found - effect)[measured]
    correct = is_selected & measured
    covers, bounded = (low <= effect) & (effect <= high), np.isfinite(low) & np.isfinite(high)
    null = bounded & (effect == 0)
    true = bounded & (effect != 0)
    return {
        "n_candidates": len(candidates),
        "n_true_candidates": int(measured.sum()),
        "sign_accuracy": _mean(np.sign(found[correct]) == np.sign(effect[correct])),
        "effect_bias": _mean(error * np.sign(effect[measured])),
        "effect_rmse": float(np.sqrt(_mean(error**2))),
        "true_coverage": _mean(covers[true]),
        "true_width": _mean((high - low)[true]),
        "null_coverage": _mean(covers[null]),
        "null_width": _mean((high - low)[null]),
    }


def _null_scores(candidates: pd.DataFrame, is_true: BoolArray) -> dict[str, Any]:
    from scipy.stats import kstest

    p_value = candidates["p_value"].to_numpy(dtype=np.float64)
    null = np.sort(p_value[~is_true & np.isfinite(p_value)])
    distance = kstest(null, "uniform") if len(null) else None
    return {
        "n_null": len(null),
        "null_ks": NAN if distance is None else float(distance.statistic),
        "null_ks_p_value": NAN if distance is None else float(distance.pvalue),
        "null_lambda": float(chdtri(1, np.median(null)) / MEDIAN_CHI2) if len(null) else NAN,
        "null_below_05": _mean(null < 0.05),
        "null_below_001": _mean(null < 0.001),
        "null_p_values": null,
    }


def _intervention_distance(is_true: BoolArray, called: BoolArray) -> float:
    try:
        import gadjid
    except ImportError as error:
        raise InputError(
            "The structural intervention distance needs the package gadjid. Install it with: "
            "pip install 'argen[evaluate]'"
        ) from error
    graphs = [edges[:, : len(edges)] for edges in (is_true, called)]
    for graph in graphs:
        closure = transitive_closure(graph)
        if (closure & closure.T).any():
            return NAN
    true, guess = (graph.astype(np.int8) for graph in graphs)
    return float(gadjid.sid(true, guess, edge_direction="from row to column")[1])
