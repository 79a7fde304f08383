"""Exogeneity: whether chance, given the covariates, decided which cell got which guide."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from scipy.special import chdtrc, expit

from argen.arrays import FloatArray
from argen.data import PerturbSeqData, encode_covariates
from argen.errors import InputError, listed
from argen.network import Finding, Severity
from argen.pvalues import adjust, p_of, quantile_table

IMBALANCE_ALPHA = 0.05
# Names of what is measured in a cell after its perturbation: scores and phases of the cell cycle,
# shares of mitochondrial and ribosomal counts, doublet scores, depth, clusters.
_MEASURED_AFTER = re.compile(
    r"(^|[^a-z0-9])(s|g2m|g1|cc|cell_?cycle|phase|mt|(percent)?mito\w*|ribo\w*|rb|doublet\w*"
    r"|scrublet|umis?|n_?genes\w*|genes_by_counts|(n|total|log1p_total)_?(counts?|umis?)|clusters?"
    r"|leiden|louvain)"
    r"([^a-z0-9]|$)",
    re.IGNORECASE,
)
LIBRARY_SIZE = "log library size"
_CHANCE = "exogeneity (given the covariates, chance decides which cell gets which guide)"
_CONSEQUENCE = "covariates (none is a consequence of the perturbations)"
_MOST_STEPS, _SETTLED, _FARTHEST = 50, 1e-8, 30.0
# A column of which the others leave less than this share is explained: the rest is rounding.
_EXPLAINED = 1e-9


def balance_table(data: PerturbSeqData, others: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each perturbation and column: tests of balance.

    A logistic regression of carrying the perturbation, on the cells that do and the controls;
    where cells carry several, on all of them, given how many others each carries.
    A covariate of the screen is tested by itself, and one that is measured in the cell after its
    perturbation, as its name says, given the others; the library size and the other columns given
    all of these. ``statistic`` and ``p_value`` are of the likelihood ratio,
    ``wald`` and ``wald_p_value`` of Wald's test, which says nothing where a column separates the
    cells, however plainly. ``p_adjusted`` is that of the ratio over all rows of a ``role``.

    Parameters
    ----------
    others
        One row a cell, columns that are no covariates.
    """
    adjusted_for = data.intercept_and_covariates()
    blocks, alone = [], adjusted_for[:, :1]
    for n in data.covariates.columns:
        role, given = "covariate", alone
        if _MEASURED_AFTER.search(str(n)):
            rest = _columns_of(data.covariates.drop(columns=n))
            role, given = "consequence", np.hstack([alone, rest])
        blocks.append((str(n), role, _columns_of(data.covariates[[n]]), given))
    blocks.append((LIBRARY_SIZE, "library size", data.offset[:, None], adjusted_for))
    blocks += [(str(n), "other", _columns_of(others[[n]]), adjusted_for) for n in others.columns]
    rows = []
    n_carried = np.bincount(data.perturbations.indices, minlength=data.n_cells)
    for node, name in enumerate(data.nodes):
        carries = data.perturbed(node)
        cells = data.controls | carries if data.one_per_cell else slice(None)
        among = () if data.one_per_cell else (n_carried - carries,)
        for column, role, block, given in blocks:
            base = np.column_stack([given, *among])[cells]
            tests = logistic_tests(carries[cells].astype(np.float64), base, block[cells])
            rows.append((name, column, role, *tests))
    table = pd.DataFrame(rows, columns=["node", "column", "role", "statistic", "wald", "df"])
    for name, statistic in (("p_value", "statistic"), ("wald_p_value", "wald")):
        table[name] = np.where(table["df"] > 0, chdtrc(table["df"], table[statistic]), np.nan)
    p_adjusted = np.full(len(table), np.nan)
    for role in table["role"].unique():
        members = (table["role"] == role).to_numpy()
        p_adjusted[members] = adjust(table.loc[members, "p_value"].to_numpy(), "bh")
    table["p_adjusted"] = p_adjusted
    table["unbalanced"] = table["p_adjusted"] < IMBALANCE_ALPHA
    return table


def _columns_of(table: pd.DataFrame) -> FloatArray:
    """Code a column as regressors; a constant one gives none: (n_cells, n_columns)."""
    try:
        return encode_covariates(table).matrix
    except InputError:
        return np.empty((len(table), 0))


def logistic_tests(
    carries: FloatArray, base: FloatArray, added: FloatArray
) -> tuple[float, float, int]:
    """Likelihood-ratio and Wald statistics of a logistic regression, and degrees of freedom.

    Parameters
    ----------
    carries
        (n_cells,) of 0 and 1.
    base, added
        (n_cells, n) regressors without and with the ones in question.
    """
    small = _independent(base)
    left = added - small @ (small.T @ added) / len(small)
    explained = np.linalg.norm(left, axis=0) < _EXPLAINED * np.linalg.norm(added, axis=0)
    more = _independent(np.where(explained, 0.0, left))
    large, n_base = np.column_stack([small, more]), small.shape[1]
    without, _, _ = _logistic(carries, small)
    with_added, beta, information = _logistic(carries, large)
    # The information that is left of the added columns, when those of the base are estimated too.
    cross, tested = information[:n_base, n_base:], beta[n_base:]
    own = information[n_base:, n_base:] - cross.T @ np.linalg.solve(
        information[:n_base, :n_base], cross
    )
    wald = tested @ own @ tested
    return max(2.0 * (with_added - without), 0.0), float(wald), more.shape[1]


def _independent(columns: FloatArray) -> FloatArray:
    """Orthogonal columns of the same span, of mean square 1."""
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    kept = size > 1e-9 * size.max(initial=1e-300)
    return np.asarray(left[:, kept] * np.sqrt(len(columns)))


def _logistic(carries: FloatArray, columns: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Fit a logistic regression: log-likelihood, coefficients, information.

    Where cells are separated, as near the limit as the steps go.
    """
    beta, best = np.zeros(columns.shape[1]), -np.inf
    ridge = 1e-9 * np.eye(len(beta)) * len(carries)
    information = ridge
    for _ in range(_MOST_STEPS):
        predictor = np.clip(columns @ beta, -_FARTHEST, _FARTHEST)
        value = float(carries @ predictor - np.logaddexp(0.0, predictor).sum())
        share = expit(predictor)
        information = (columns.T * (share * (1.0 - share))) @ columns + ridge
        if value - best < _SETTLED:
            break
        best = value
        beta = beta + np.linalg.solve(information, columns.T @ (carries - share))
    return max(value, best), beta, information


def balance_quantiles(table: pd.DataFrame) -> pd.DataFrame:
    """Return a QQ table for each role and test."""
    tests = (("likelihood ratio", "p_value"), ("Wald", "wald_p_value"))
    parts = [
        quantile_table(rows[column].to_numpy(), role=str(role), test=test)
        for role, rows in table.groupby("role", sort=False)
        for test, column in tests
    ]
    return pd.concat(parts, ignore_index=True)


def balance_findings(table: pd.DataFrame) -> list[Finding]:
    """Say what is unbalanced, and what to do about it."""
    findings = []
    says: dict[str, tuple[Severity, str, str]] = {
        "other": (
            "warning",
            "columns that are no covariates",
            "Add these columns to the covariates, but for those that follow from the perturbation, "
            "as its guide does, or that it changes: what moves both them and expression would pass "
            "for an effect.",
        ),
        "library size": (
            "warning",
            "the library size, given the covariates,",
            "Either the perturbation changes how much RNA a cell has, or its cells were prepared "
            "otherwise: add what was fixed before, such as batch or lane, to the covariates, and "
            "read effects that nearly all genes share with care.",
        ),
        "consequence": (
            "warning",
            "covariates that are measured in a cell after its perturbation",
            "If the perturbation moves them, adjusting for them takes away what acts by way of "
            "them, and can make associations that are none (they are colliders). Leave them out, "
            "and compare (argen check --sensitivity); keep what was fixed before, such as batch.",
        ),
        "covariate": (
            "note",
            "covariates, which the fits adjust for,",
            "Assignment is not at random without them: keep them, and think of what else differs "
            "along with them.",
        ),
    }  # fmt: skip
    for role, (severity, what, advice) in says.items():
        rows = table[(table["role"] == role) & table["unbalanced"]].sort_values("p_value")
        if len(rows):
            n_tested = int(table.loc[table["role"] == role, "p_value"].notna().sum())
            shown = [
                f"{row['column']} in {row['node']} (adjusted {p_of(row['p_adjusted'])})"
                for row in rows.to_dict("records")
            ]
            evidence = (
                f"{len(rows)} of {n_tested} tests of {what} against a perturbation show imbalance "
                f"(adjusted p < {IMBALANCE_ALPHA:g}): {listed(shown)}."
            )
            assumption = _CONSEQUENCE if role == "consequence" else _CHANCE
            findings.append(Finding(assumption, evidence, advice, severity))
    untested = table.loc[table["p_value"].isna(), "column"].unique()
    if len(untested):
        findings.append(
            Finding(
                _CHANCE,
                f"Columns {listed(untested)} could not be tested against every perturbation: "
                "they are constant there, or the covariates explain them.",
                "Nothing to do, unless they were meant to be something else.",
                "note",
            )
        )
    return findings
