"""Edges against what is known from elsewhere: pairs of genes, directed and signed or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from argen.analysis.evaluate import average_precision
from argen.arrays import BoolArray, FloatArray
from argen.errors import InputError, first_few, nearest
from argen.files import reading
from argen.network import CausalNetwork
from argen.pvalues import adjust

Alternative = Literal["two-sided", "greater"]
# Where precision is looked at.
TOP = (10, 50, 100, 500)
# Columns by which tables of known pairs call their ends and signs.
_SOURCES = ("source", "tf", "regulator", "entity1", "gene1")
_TARGETS = ("target", "gene", "entity2", "gene2")
_SIGNS = ("sign", "mor", "effect", "mode")
_SIGN_WORDS = {"activation": 1, "up": 1, "repression": -1, "inhibition": -1, "down": -1}


@dataclass(frozen=True, slots=True, eq=False)
class KnownPairs:
    """Pairs of genes that are known to be related."""

    table: pd.DataFrame
    """source, target and sign: 1, -1, or 0 where it is not known; no pair twice."""
    directed: bool
    name: str


def read_pairs(
    path: str | Path,
    *,
    source: str | None = None,
    target: str | None = None,
    sign: str | None = None,
    directed: bool | None = None,
) -> KnownPairs:
    """Read a table of known pairs: by tabs or commas, with a header or as TRRUST, gzipped or not.

    Parameters
    ----------
    source, target, sign
        Columns; found by their usual names when left out (source, tf, entity1, ...; target,
        entity2, ...; sign, mor). Without a header: the first, second and third. A sign is a
        number, or a word such as Activation or Repression.
    directed
        Whether the first acts on the second; when left out, not for entity1 and entity2.

    Raises
    ------
    InputError
        When the file cannot be read, or no columns are found.
    """
    path = Path(path)
    with reading(path, "a table of pairs, by tabs or commas"):
        table = _read_texts(path, sep=None, header="infer")
        columns = [str(name) for name in table.columns]
        lower = [name.lower() for name in columns]
        if source is None and not set(lower) & set(_SOURCES) and len(columns) >= 2:
            table = _read_texts(path, sep="\t", header=None)
            table.columns = pd.Index(
                ["source", "target", "sign", *map(str, table.columns[3:])][: table.shape[1]]
            )
            columns = lower = [str(name) for name in table.columns]

    def found(given: str | None, usual: tuple[str, ...], what: str) -> str | None:
        if given is not None and given not in columns:
            raise InputError(
                f"{str(path)!r} has no column {given!r}.{nearest(given, columns)} Columns: "
                f"{first_few(columns, 10)}."
            )
        names = [
            name for word in usual for name, low in zip(columns, lower, strict=True) if low == word
        ]
        if given is None and not names and what:
            raise InputError(
                f"{str(path)!r} has no column for the {what} of a pair (columns: "
                f"{first_few(columns, 10)}): name it."
            )
        return given or (names[0] if names else None)

    first = found(source, _SOURCES, "source")
    second, third = found(target, _TARGETS, "target"), found(sign, _SIGNS, "")
    pairs = pd.DataFrame({"source": table[first], "target": table[second]})
    pairs["sign"] = 0 if third is None else _signs(table[third])
    is_directed = str(first).lower() not in ("entity1", "gene1") if directed is None else directed
    pairs = pairs[(pairs["source"] != "") & (pairs["target"] != "")]
    signs = pairs.groupby(["source", "target"], sort=False)["sign"].agg(_one_sign).reset_index()
    name = path.name
    for ending in (".gz", ".tsv", ".csv", ".txt"):
        name = name.removesuffix(ending)
    return KnownPairs(signs, is_directed, name)


def _read_texts(path: Path, *, sep: str | None, header: Literal["infer"] | None) -> pd.DataFrame:
    """Read a table as it stands, since names such as NA are names; without ``sep``, it is found."""
    return pd.read_csv(
        path, sep=sep, header=header, engine="python", dtype=str, keep_default_na=False
    )


def _signs(values: pd.Series) -> pd.Series:
    words = values.str.lower().map(_SIGN_WORDS)
    numbers = np.sign(pd.to_numeric(values, errors="coerce"))
    return words.fillna(numbers).fillna(0).astype(int)


def _one_sign(signs: pd.Series) -> int:
    """Return the sign that all mentions of a pair agree on, 0 otherwise."""
    known = {int(sign) for sign in signs if sign != 0}
    return known.pop() if len(known) == 1 else 0


def compare(
    network: CausalNetwork,
    known: KnownPairs,
    *,
    others: Mapping[str, CausalNetwork] | None = None,
    expression: pd.Series | None = None,
    alternative: Alternative = "greater",
    rng: np.random.Generator | int = 1,
) -> pd.DataFrame:
    """Return how many known pairs are among those that a network calls, and among others.

    Groups of ordered pairs: ``called``; ``tested, not called``; ``random``, as many as are
    called, drawn from all pairs whose source and target have mean expressions nearest those of
    a called pair (any pairs without ``expression``); and what other networks call. Each is
    compared with all other pairs by an odds ratio and Fisher's exact test; p-values are adjusted
    over the groups by Holm's method. ``same_sign`` is the share of the known pairs, whose sign
    is known, that have that of the effect. An undirected pair is known in both directions.

    No table of known pairs is complete, and most hold pairs from other cells: absence of a pair
    is not evidence against an edge.

    Parameters
    ----------
    others
        Networks of other methods or runs, on the same genes.
    expression
        Mean count of each gene, by name, to match random pairs.
    """
    shape = len(network.nodes), len(network.genes)
    is_known, sign = _matrices(network, known)
    from scipy.stats import fisher_exact

    pairs = network.screen.pairs
    called, tested = _pairs_of(network, network.edges), _pairs_of(network, network.candidates)
    rng = np.random.default_rng(rng)
    groups = {"called": called, "tested, not called": tested & ~called}
    groups["random"] = _matched(network, called, pairs, expression, rng)
    effect = np.full(shape, np.nan)
    effect[_at(network, network.candidates)] = network.candidates["effect"]
    effects = dict.fromkeys(groups, effect)
    for name, other in (others or {}).items():
        if set(other.genes) != set(network.genes) or other.genes != network.genes:
            raise InputError(f"The network {name!r} has other genes: infer it from the same.")
        groups[name] = _pairs_of(other, other.edges)
        effects[name] = np.full(shape, np.nan)
        effects[name][_at(other, other.edges)] = other.edges["effect"]
    rows = []
    for name, group in groups.items():
        rest = pairs & ~group
        table = [
            [int((part & state).sum()) for state in (is_known, ~is_known)] for part in (group, rest)
        ]
        odds_ratio, p_value = fisher_exact(table, alternative=alternative)
        signed = group & (sign != 0) & np.isfinite(effects[name]) & (effects[name] != 0)
        agree = (
            float(np.mean(np.sign(effects[name][signed]) == sign[signed]))
            if signed.any()
            else np.nan
        )
        n = int(group.sum())
        share = table[0][0] / n if n else np.nan
        rows.append(
            (
                name,
                n,
                table[0][0],
                share,
                float(odds_ratio),
                float(p_value),
                int(signed.sum()),
                agree,
            )
        )
    columns = [
        "group",
        "n_pairs",
        "n_known",
        "share_known",
        "odds_ratio",
        "p_value",
        "n_signed",
        "same_sign",
    ]
    found = pd.DataFrame(rows, columns=columns)
    found.insert(0, "evidence", known.name)
    found.insert(7, "p_adjusted", adjust(found["p_value"].to_numpy(dtype=np.float64), "holm"))
    return found


def ranking(network: CausalNetwork, known: KnownPairs) -> pd.DataFrame:
    """Return how well the p-values of the candidates rank known pairs before others.

    One row: pairs, known pairs, the area under precision and recall (pairs that were not tested
    come last), its expectation for a random ranking, and precision among the first k candidates.
    """
    is_known, _ = _matrices(network, known)
    evidence = np.full(is_known.shape, -np.inf)
    candidates = network.candidates[np.isfinite(network.candidates["log10_p"])]
    evidence[_at(network, candidates)] = -candidates["log10_p"]
    pairs = network.screen.pairs
    row: dict[str, object] = {"evidence": known.name, "n_pairs": int(pairs.sum())}
    row |= {"n_known": int((is_known & pairs).sum()), "directed": known.directed}
    row["auprc"] = average_precision(evidence[pairs], is_known[pairs])
    row["auprc_random"] = float(np.mean(is_known[pairs])) if pairs.any() else np.nan
    order = np.argsort(-evidence[pairs], kind="stable")
    for k in TOP:
        first = is_known[pairs][order][:k]
        row[f"precision_at_{k}"] = float(first.mean()) if len(candidates) >= k else np.nan
    return pd.DataFrame([row])


def compare_strength(
    network: CausalNetwork, classes: pd.DataFrame, *, alternative: Alternative = "two-sided"
) -> pd.DataFrame:
    """Compare the sizes of edges between classes of gene pairs, such as near and far.

    Kruskal and Wallis's test over all classes (row ``all``), then each class against all others
    by Mann and Whitney's, one-sided when asked; p-values are adjusted by Holm's method.

    Parameters
    ----------
    classes
        Columns source, target and class, one row a pair; edges without one are in no class.
    """
    from scipy.stats import kruskal, mannwhitneyu

    if missing := {"source", "target", "class"} - set(classes.columns):
        raise InputError(f"classes lacks the columns {first_few(sorted(missing))}.")
    edges = network.edges.assign(size=lambda t: t["effect"].abs())
    edges = edges[np.isfinite(edges["size"])].merge(classes, on=["source", "target"])
    parts = {str(name): part["size"].to_numpy() for name, part in edges.groupby("class", sort=True)}
    rows = []
    if len(parts) > 1:
        whole = kruskal(*parts.values())
        rows.append(("all", len(edges), edges["size"].median(), whole.statistic, whole.pvalue))
        for name, part in parts.items():
            rest = np.concatenate([values for other, values in parts.items() if other != name])
            test = mannwhitneyu(part, rest, alternative=alternative)
            rows.append((name, len(part), float(np.median(part)), test.statistic, test.pvalue))
    columns = ["class", "n_edges", "median_size", "statistic", "p_value"]
    table = pd.DataFrame(rows, columns=columns)
    p_values = table["p_value"].to_numpy(dtype=np.float64)
    table["p_adjusted"] = adjust(p_values, "holm") if len(table) else p_values
    return table


def _at(network: CausalNetwork, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    number = {gene: k for k, gene in enumerate(network.genes)}
    source, target = (
        np.array([number[g] for g in table[end]], dtype=np.int64) for end in ("source", "target")
    )
    return source, target


def _pairs_of(network: CausalNetwork, table: pd.DataFrame) -> BoolArray:
    found = np.zeros((len(network.nodes), len(network.genes)), dtype=bool)
    found[_at(network, table)] = True
    return found


def _matrices(network: CausalNetwork, known: KnownPairs) -> tuple[BoolArray, FloatArray]:
    """Which pairs of the network are known, and with which sign: [source, target]."""
    number = {gene: k for k, gene in enumerate(network.genes)}
    shape = len(network.nodes), len(network.genes)
    is_known, sign = np.zeros(shape, dtype=bool), np.zeros(shape)
    for source, target, of_pair in known.table.itertuples(index=False, name=None):
        for a, b in ((source, target), *(() if known.directed else ((target, source),))):
            i, j = number.get(a, -1), number.get(b, -1)
            if 0 <= i < shape[0] and j >= 0 and i != j:
                is_known[i, j], sign[i, j] = True, of_pair
    return is_known, sign


def _matched(
    network: CausalNetwork,
    called: BoolArray,
    pairs: BoolArray,
    expression: pd.Series | None,
    rng: np.random.Generator,
) -> BoolArray:
    """As many pairs as are called, of like expression: each near a called one that it replaces."""
    found = np.zeros_like(called)
    free = np.argwhere(pairs & ~called)
    if not len(free):
        return found
    if expression is None:
        chosen = rng.choice(len(free), min(int(called.sum()), len(free)), replace=False)
        found[tuple(free[chosen].T)] = True
        return found
    if missing := [gene for gene in network.genes if gene not in expression.index]:
        raise InputError(f"expression lacks {len(missing)} genes (first: {first_few(missing)}).")
    level = np.log(np.maximum(expression.loc[list(network.genes)].to_numpy(dtype=np.float64), 1e-9))
    left = np.ones(len(free), dtype=bool)
    for source, target in np.argwhere(called):
        distance = np.hypot(level[free[:, 0]] - level[source], level[free[:, 1]] - level[target])
        near = np.argsort(np.where(left, distance, np.inf))[: min(10, int(left.sum()))]
        if len(near):
            nearest_one = int(rng.choice(near))
            left[nearest_one] = False
            found[tuple(free[nearest_one])] = True
    return found
