"""Intervals of direct effects that hold however weak the instruments are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from argen.arrays import BoolArray, FloatArray
from argen.checks.findings import Finding, listed
from argen.checks.instruments.strength import STRENGTH_COLUMNS, WEAK_F
from argen.data import PerturbSeqData
from argen.engine import Genes, ParentJob
from argen.errors import FitStatus
from argen.network import CausalNetwork
from argen.pvalues import critical_value

# In standard errors.
INFINITY = 1e6
# Angles at which the statistic is looked at: even in atan((theta - estimate) / std_error).
N_ANGLES = 81
# Covariances of so many first stages fit in memory: the cube of it.
MOST_CANDIDATES = 200
# Rounds in which the weights of the nuisance effects follow them.
N_ROUNDS = 4
_STRONG = "strong instruments (each interval assumes that they are)"


@dataclass(frozen=True, slots=True)
class TwoStages:
    """First stages of the candidates of a target and its regression, with their errors.

    ``Pi' theta = delta`` identifies the effects; see ``argen.engine.grouped``.
    """

    pi: FloatArray  # (n, n): effects of the perturbations (columns) on the candidates (rows)
    delta: FloatArray  # (n,): and on the target
    noise: FloatArray  # (1 + n, n, n): covariances of delta, and of each row of pi

    def spread(self, theta: FloatArray) -> FloatArray:
        """Covariance of ``delta - Pi' theta``: (n, n)."""
        weights = np.append(1.0, theta**2)
        return np.asarray(np.tensordot(weights, self.noise, axes=1))

    def effects(self) -> FloatArray:
        """Return the estimates: (n,)."""
        return np.asarray(np.linalg.solve(self.pi.T, self.delta))

    def statistic(self, k: int, value: float) -> float:
        """How far the data are from ``theta_k = value``: chi-square of one degree of freedom.

        With u = delta - Pi' theta, the least ``u' Cov(u)^-1 u`` over the effects of the others,
        each of which has its own error in Cov(u).
        """
        others = np.arange(len(self.delta)) != k
        own = self.noise[0] + value**2 * self.noise[1 + k]
        rest = self.delta - value * self.pi[k]
        return least_distance(rest, self.pi[others].T, own, self.noise[1:][others])

    def conditional_f(self, k: int) -> float:
        """How far candidate k is from combinations of the others: chi-square of one degree.

        With ``u = pi_k - sum_j d_j pi_j``, the least ``u' Cov(u)^-1 u`` over d.
        """
        others = np.arange(len(self.delta)) != k
        return least_distance(
            self.pi[k], self.pi[others].T, self.noise[1 + k], self.noise[1:][others]
        )


def least_distance(
    observed: FloatArray, regressors: FloatArray, own: FloatArray, noise: FloatArray
) -> float:
    """Least ``u' Cov(u)^-1 u`` of ``u = observed - regressors theta``, all of them uncertain.

    Parameters
    ----------
    observed, regressors
        (n,) and (n, n_regressors).
    own, noise
        Their covariances: (n, n), and (n_regressors, n, n).
    """
    theta = np.linalg.lstsq(regressors, observed, rcond=None)[0]
    for _ in range(1 + N_ROUNDS):
        root = np.linalg.cholesky(own + np.tensordot(theta**2, noise, axes=1))
        left, right = np.linalg.solve(root, regressors), np.linalg.solve(root, observed)
        before, theta = theta, np.linalg.lstsq(left, right, rcond=None)[0]
    return float(np.sum((right - left @ before) ** 2))


def confidence_set(
    statistic: Callable[[float], float], estimate: float, std_error: float, bound: float
) -> list[tuple[float, float]]:
    """Return the values whose statistic is within a bound, as intervals from left to right.

    The statistic is 0 at the estimate. It is looked at on a grid, densest there, whose ends stand
    for infinity.
    """
    from scipy.optimize import brentq

    half = np.pi / 2
    angles = np.linspace(-half, half, N_ANGLES + 2)[1:-1]
    values, far = estimate + std_error * np.tan(angles), INFINITY * std_error
    values[0], values[N_ANGLES // 2], values[-1] = estimate - far, estimate, estimate + far
    excess = np.array([statistic(value) - bound for value in values])
    excess[N_ANGLES // 2] = -bound
    inside: BoolArray = excess <= 0.0

    def edge(i: int) -> float:
        """Where the statistic crosses the bound, between grid points i and i + 1."""
        return float(brentq(lambda v: statistic(v) - bound, values[i], values[i + 1], rtol=1e-8))

    starts = np.flatnonzero(inside & ~np.append(False, inside[:-1]))
    ends = np.flatnonzero(inside & ~np.append(inside[1:], False))
    return [
        (
            -np.inf if start == 0 else edge(start - 1),
            np.inf if end == N_ANGLES - 1 else edge(end),
        )
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]


def weak_instrument_table(
    network: CausalNetwork, data: PerturbSeqData, *, only: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return an interval for each edge that needs no strong instruments.

    Anderson and Rubin's (1949): all values of an effect that the data do not reject, the other
    candidates being free. Where the perturbations move the candidate enough it is nearly the
    usual interval; where they do not it is long, up to the whole line, as it should be.
    ``ar_low`` and ``ar_high`` are the ends of what holds the estimate; ``shape`` is "interval",
    "ray" (one end is infinite), "line" (nothing is excluded) or "gap" (there are further values
    beyond the ends); ``one_sign`` whether all values have the same sign. ``ar_p_value`` tests that
    there is no effect.

    Parameters
    ----------
    data
        Of the cells that the network was inferred from; one perturbation a cell at most.
    only
        Rows with source and target: of these edges alone.

    Source: Anderson and Rubin (1949) for linear models; Stock and Wright (2000) for moments like
    these. The critical value for one of several effects: Guggenberger, Kleibergen,
    Mavroeidis and Chen (2012).
    """
    bound = critical_value(network.config.confidence) ** 2
    table = network.edges
    if only is not None:
        table = table.merge(only[["source", "target"]], on=["source", "target"])
    number = {gene: i for i, gene in enumerate(network.genes)}
    genes, share = Genes(data), network.config.model_share
    rows = []
    for name, wanted in table.groupby("target", sort=False):
        candidates = network.causal_order.candidates(number[str(name)])
        stages = two_stages(genes, ParentJob(number[str(name)], candidates), share)
        places = {source: k for k, source in enumerate(candidates.tolist())}
        for row in wanted.to_dict("records"):
            known = [row[column] for column in ("source", "target", "effect", "ci_low", "ci_high")]
            # Other methods call pairs that are no candidates in the order.
            k = places.get(number[row["source"]])
            rows.append((*known, *_ends(stages, k, bound)))
    columns = ["source", "target", "effect", "ci_low", "ci_high"]
    columns += ["ar_low", "ar_high", "ar_p_value", "shape", "one_sign"]
    return pd.DataFrame(rows, columns=columns)


def two_stages(genes: Genes, job: ParentJob, model_share: float) -> TwoStages | None:
    """Fit the regressions of a target and of its candidates.

    None where one of them fails, or there are more than ``MOST_CANDIDATES``.
    """
    n, parts = len(job.candidates), []
    if n > MOST_CANDIDATES:
        return None
    for gene in (job.target, *job.candidates.tolist()):
        prepared = genes.prepare(gene)
        fit = (
            genes.fit_target(prepared, job)
            if gene == job.target
            else prepared.fit(job.candidates, halved=n)
        )
        if fit.status != FitStatus.OK:
            return None
        covariance = prepared.covariance(fit, model_share=model_share).first(n)
        parts.append((fit.coefficients[:n], covariance.matrix()))
    coefficients = np.array([coefficients for coefficients, _ in parts])
    if np.linalg.matrix_rank(coefficients[1:]) < n:
        return None
    return TwoStages(coefficients[1:], coefficients[0], np.array([noise for _, noise in parts]))


def _ends(
    stages: TwoStages | None, k: int | None, bound: float
) -> tuple[float, float, float, str, bool]:
    if stages is None or k is None:
        return np.nan, np.nan, np.nan, "not computed", False
    estimates = stages.effects()
    inverse = np.linalg.solve(stages.pi, np.arange(len(estimates)) == k)  # a row of Pi'^-1
    std_error = float(np.sqrt(inverse @ stages.spread(estimates) @ inverse))
    estimate = float(estimates[k])
    found = confidence_set(lambda value: stages.statistic(k, value), estimate, std_error, bound)
    low, high = next(ends for ends in found if ends[0] <= estimate <= ends[1])
    shape = ("interval", "ray", "line")[int(np.isinf(low)) + int(np.isinf(high))]
    p_value = float(chdtrc(1, stages.statistic(k, 0.0)))
    one_sign = all(ends[0] > 0.0 for ends in found) or all(ends[1] < 0.0 for ends in found)
    return low, high, p_value, shape if len(found) == 1 else "gap", one_sign


def strength_of_edges(network: CausalNetwork, data: PerturbSeqData) -> pd.DataFrame:
    """Return the strength of the source of each edge given the other candidates of its target.

    The columns are those of ``argen.checks.instruments.strength.strength_table``, which has a row
    for every candidate and does not go beyond a hundred nodes.
    """
    number = {gene: i for i, gene in enumerate(network.genes)}
    genes, rows = Genes(data), []
    for name, edges in network.edges.groupby("target", sort=False):
        target = number[str(name)]
        candidates = network.causal_order.candidates(target)
        stages = two_stages(genes, ParentJob(target, candidates), network.config.model_share)
        smallest = np.nan
        if stages is not None:
            smallest = float(np.linalg.svd(stages.pi, compute_uv=False)[-1])
        places = {source: k for k, source in enumerate(candidates.tolist())}
        for source in edges["source"]:
            k = places.get(number[source])
            f = np.nan if stages is None or k is None else stages.conditional_f(k)
            rows.append((source, name, len(candidates), smallest, f, f < WEAK_F))
    return pd.DataFrame(rows, columns=STRENGTH_COLUMNS)


def weak_instrument_findings(table: pd.DataFrame) -> list[Finding]:
    """Name the edges that do not hold without the assumption of strong instruments."""
    lost = table[~table["one_sign"].astype(bool)]
    if not len(lost):
        return []
    shown = [
        f"{row.source} -> {row.target} ([{row.ar_low:.2f}, {row.ar_high:.2f}]"
        f"{' and values beyond' if row.shape == 'gap' else ''})"
        for row in lost.itertuples()
    ]
    return [
        Finding(
            _STRONG,
            f"{len(lost)} of the {len(table)} edges looked at have an Anderson-Rubin set that "
            f"holds 0, or both signs: {listed(shown)}.",
            "Do not rely on them: their usual intervals are short because they take the first "
            "stage for certain. More cells for the source's perturbation, or a stronger guide, "
            "would decide.",
            "warning",
        )
    ]
