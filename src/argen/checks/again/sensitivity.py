"""Sensitivity: which edges survive other choices, and what it would take to explain one away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from argen.checks.cells import LIBRARY_SIZE, refuse_others_network, rows_of
from argen.checks.findings import Diagnostics
from argen.config import InferenceConfig
from argen.data import PerturbSeqData, is_categorical, only_cells, without_gene
from argen.errors import InputError, counted, first_few, listed
from argen.method import method_of
from argen.network import CausalNetwork, Finding
from argen.run import Progress

# What each level that is in force is set to beside what it was.
ALPHAS = (0.01, 0.1)
# Share of the cells at either end of the library size that one scenario leaves out.
EXTREME_SHARE = 0.02
# An edge that is lost in more scenarios is named.
LARGEST_LOST = 0.25
# The scenarios in which what was corrected for is not: response programs, and cells that escape.
WITHOUT_PROGRAMS, FULL_PENETRANCE = "without programs", "every guide works in every cell"
_ROBUST = "robustness (other sensible choices give the same edges)"
_PAIR = ["source", "target"]

Scenario = tuple[str, PerturbSeqData, InferenceConfig]


def scenarios(
    data: PerturbSeqData,
    config: InferenceConfig,
    library_sizes: pd.DataFrame | None = None,
    *,
    n_programs: int = 0,
    escapes: bool = False,
) -> Iterator[Scenario]:
    """Yield what else could have been chosen: a name, the screen, and the options.

    Other values of each level that is in force; response programs left in, where some were taken
    out; all cells taken to be perturbed, where some escape; every covariate left out, and every
    level of a categorical one with its cells; other library sizes, and that in use as a covariate
    besides, so that counts need not be in proportion to it; cells of extreme library size left
    out, where there are any; and every node hidden, with the cells of its perturbation, as if it
    had not been on the panel.

    Parameters
    ----------
    library_sizes
        Of each cell, in the sequence of the cells; positive.
    n_programs
        Response programs that the network found.
    escapes
        Whether it was corrected for cells that escape.
    """
    for level, in_use in _levels_in_force(config).items():
        for alpha in ALPHAS:
            if alpha != in_use:
                other = InferenceConfig(**config.to_dict() | {level: alpha})
                yield f"{level} {alpha:g}", data, other
    for name, other in _uncorrected(config, programs=n_programs > 0, escape=escapes):
        yield name, data, other
    if data.formula is None:
        for name in data.covariates.columns:
            fewer = data.covariates.drop(columns=name)
            yield f"without covariate {name}", replace(data, covariates=fewer), config
    for name in data.covariates.columns:
        values = data.covariates[name]
        for level in values.unique() if is_categorical(values) else ():
            kept = (values != level).to_numpy(dtype=bool)
            yield f"without {name} {level}", only_cells(data, np.flatnonzero(kept)), config
    yield from _library_sizes(data, config, library_sizes)
    for node, name in enumerate(data.nodes):
        yield f"{name} hidden", without_gene(data, node), config


def _uncorrected(
    config: InferenceConfig, *, programs: bool, escape: bool
) -> Iterator[tuple[str, InferenceConfig]]:
    """Yield options without each correction that was made."""
    if programs:
        yield WITHOUT_PROGRAMS, replace(config, programs=0)
    if escape:
        yield FULL_PENETRANCE, replace(config, penetrance="full")


def _levels_in_force(config: InferenceConfig) -> dict[str, float]:
    """Return the levels that decide something: ``alpha`` only where a step has none of its own."""
    own = {"screen_alpha": config.screen_alpha, "edge_alpha": config.edge_alpha}
    given = {name: level for name, level in own.items() if level is not None}
    return given if len(given) == len(own) else {"alpha": config.alpha} | given


def _library_sizes(
    data: PerturbSeqData, config: InferenceConfig, library_sizes: pd.DataFrame | None
) -> Iterator[Scenario]:
    """Yield what else could have been chosen of the library size."""
    if library_sizes is not None:
        for column, sizes in library_sizes.items():
            size, source = sizes.to_numpy(dtype=np.float64), f"column {column}"
            other = replace(data, library_size=size, library_size_source=source)
            yield f"library size {column}", other, config
    if data.formula is None and np.ptp(data.library_size) > 0.0:
        more = data.covariates.assign(**{LIBRARY_SIZE: np.log(data.library_size)})
        yield f"with {LIBRARY_SIZE} as covariate", replace(data, covariates=more), config
    low, high = np.quantile(data.library_size, [EXTREME_SHARE, 1 - EXTREME_SHARE])
    kept = (data.library_size >= low) & (data.library_size <= high)
    if not kept.all():
        yield "without extreme library sizes", only_cells(data, np.flatnonzero(kept)), config


def sensitivity(
    network: CausalNetwork,
    data: PerturbSeqData,
    *,
    library_sizes: pd.DataFrame | None = None,
    progress: Progress | None = None,
) -> Diagnostics:
    """Infer the network again under other choices, and see which edges survive what.

    Table ``scenarios`` has one row for each choice (see ``scenarios``): edges, how many of them
    are the network's, and how many of the network's it could have. Table ``sensitivity`` has
    one row for each pair that is an edge anywhere and each choice under which both its genes
    are there: whether it is called, and its effect, standard error and p-value where it is
    tested. Where response programs were taken out, rows of the scenario "without programs" say
    which edges rest on that, and where cells escape, "every guide works in every cell" which rest
    on the correction for it; a line each names them. Table ``survival`` has one row a pair:
    ``n_scenarios``, the choices that have both its genes; ``share_called``, the share of these
    under which it is called, and ``always``, whether it is under all; the range of its effects;
    and which choices lose it.

    Parameters
    ----------
    network, data
        The network, and the screen that it was inferred from.
    library_sizes
        Other library sizes to try, such as ``adata.obs[["n_counts", "size_factor"]]``: one row a
        cell, found by its identifier.

    Raises
    ------
    InputError
        When the network is of another screen; when a cell has no row, or several, among the
        library sizes, or no positive size.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=6000)
    >>> found = argen.sensitivity(argen.infer_network(data), data)
    >>> len(found.tables["scenarios"])
    13
    """
    sizes = None if library_sizes is None else _sizes_of(library_sizes, data.cells)
    refuse_others_network(network, data)
    infer = method_of(network)
    known = set(network.edges[_PAIR].itertuples(index=False, name=None))
    tried, failed = [], []
    n_programs = network.programs.n_programs if network.programs else 0
    todo = list(
        scenarios(
            data, network.config, sizes, n_programs=n_programs, escapes=network.escape_corrected
        )
    )
    for number, (name, screen, config) in enumerate(todo):
        try:
            tried.append((name, infer(screen, config)))
        except InputError as error:
            failed.append(f"{name}: {error}")
        if progress is not None:
            progress("scenarios", number + 1, len(todo))
    rows = [_scenario_row(name, found, known) for name, found in tried]
    table = _long_table(known, tried)
    survival = _survival(table, known)
    return Diagnostics.of(
        _findings(survival, failed),
        {"scenarios": pd.DataFrame(rows), "sensitivity": table, "survival": survival},
        [
            _line(survival, len(tried)),
            *_lines_of(table, known, WITHOUT_PROGRAMS, "without response programs taken out"),
            *_lines_of(table, known, FULL_PENETRANCE, "if every guide worked in every cell"),
        ],
    )


def _sizes_of(table: pd.DataFrame, cells: pd.Index) -> pd.DataFrame:
    """Return the library sizes of the cells, or say which cannot be one."""
    sizes = rows_of(table, cells)
    for name in sizes.columns:
        if not pd.api.types.is_numeric_dtype(sizes[name]):
            raise InputError(f"The library size {str(name)!r} is not numeric.")
        values = sizes[name].to_numpy(dtype=np.float64)
        bad = ~(np.isfinite(values) & (values > 0.0))
        if bad.any():
            raise InputError(
                f"The library size {str(name)!r} is zero, negative or infinite in {bad.sum():,} "
                f"cells (first: {first_few(cells[bad])}): expected a positive number."
            )
    return sizes


def _scenario_row(
    name: str, found: CausalNetwork, known: set[tuple[str, str]]
) -> dict[str, object]:
    edges = set(found.edges[_PAIR].itertuples(index=False, name=None))
    genes = set(found.genes)
    possible = {pair for pair in known if set(pair) <= genes}
    return {
        "scenario": name,
        "n_edges": len(edges),
        "n_shared": len(edges & known),
        "n_possible": len(possible),
        "n_new": len(edges - known),
    }


def _long_table(
    known: set[tuple[str, str]], tried: list[tuple[str, CausalNetwork]]
) -> pd.DataFrame:
    pairs = set(known)
    for _, found in tried:
        pairs |= set(found.edges[_PAIR].itertuples(index=False, name=None))
    every = pd.DataFrame(sorted(pairs), columns=_PAIR)
    parts = []
    for name, found in tried:
        there = every[every["source"].isin(found.nodes) & every["target"].isin(found.genes)]
        columns = [*_PAIR, "selected", "effect", "std_error", "p_value"]
        part = there.merge(found.candidates[columns], "left", on=_PAIR)
        part.insert(0, "scenario", name)
        parts.append(part.rename(columns={"selected": "called"}))
    table = pd.concat(parts, ignore_index=True)
    table["called"] = table["called"].eq(True)
    return table


def _survival(table: pd.DataFrame, known: set[tuple[str, str]]) -> pd.DataFrame:
    grouped = table.groupby(_PAIR, sort=False)
    survival = pd.DataFrame(
        {
            "share_called": grouped["called"].mean(),
            "always": grouped["called"].all(),
            "n_scenarios": grouped.size(),
            "lowest_effect": grouped["effect"].min(),
            "highest_effect": grouped["effect"].max(),
        }
    ).reset_index()
    is_edge = [pair in known for pair in survival[_PAIR].itertuples(index=False, name=None)]
    survival.insert(2, "edge", np.array(is_edge, dtype=bool))
    lost: dict[tuple[str, str], list[str]] = {}
    for row in table[~table["called"]].to_dict("records"):
        lost.setdefault((row["source"], row["target"]), []).append(row["scenario"])
    pairs = survival[_PAIR].itertuples(index=False, name=None)
    survival["lost"] = [listed(lost.get(pair, []), 4) for pair in pairs]
    by = ["edge", "share_called"]
    return survival.sort_values(by, ascending=False, kind="stable", ignore_index=True)


def _findings(survival: pd.DataFrame, failed: list[str]) -> list[Finding]:
    findings = []
    frail = survival[survival["edge"] & (survival["share_called"] < 1 - LARGEST_LOST)]
    if len(frail):
        shown = [
            f"{row['source']} -> {row['target']} ({100 * row['share_called']:.0f} %; lost: "
            f"{row['lost']})"
            for row in frail.to_dict("records")
        ]
        findings.append(
            Finding(
                _ROBUST,
                f"{len(frail)} of {int(survival['edge'].sum())} edges "
                f"{'is' if len(frail) == 1 else 'are'} lost under more than "
                f"{100 * LARGEST_LOST:.0f} % of other choices: {listed(shown, 3)}.",
                "Say with these edges which choice they need; table sensitivity has their effects "
                "under each.",
                "warning",
            )
        )
    if failed:
        findings.append(
            Finding(
                _ROBUST,
                f"Under {counted(len(failed), 'choice')} no network could be inferred; they do not "
                f"count: {listed(failed, 2)}",
                "Nothing to do, unless one of them matters.",
                "note",
            )
        )
    return findings


def _line(survival: pd.DataFrame, n: int) -> str:
    edges, tried = survival[survival["edge"]], counted(n, "other choice")
    if not len(survival):
        return f"sensitivity: no edge is called, here or under {tried}"
    new = int((~survival["edge"] & (survival["share_called"] > 0.5)).sum())
    fewest, most = survival["n_scenarios"].min(), survival["n_scenarios"].max()
    both = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    return (
        f"sensitivity: {tried}, of which {both} have both genes of a pair; "
        f"{int(edges['always'].sum())} of {len(edges)} edges are called under all of these, and "
        f"{new} other pairs under more than half of them"
    )


def _lines_of(
    table: pd.DataFrame, known: set[tuple[str, str]], scenario: str, said: str
) -> list[str]:
    """Say which edges come and go with one scenario, where it was tried."""
    rows = table[table["scenario"] == scenario]
    if not len(rows):
        return []
    called = rows.loc[rows["called"], _PAIR].itertuples(index=False, name=None)
    without = set(called)
    parts = []
    for what, pairs in (("lost", known - without), ("more", without - known)):
        shown = listed([f"{source} -> {target}" for source, target in sorted(pairs)], 5)
        parts.append(f"{len(pairs)} {what}" + (f" ({shown})" if pairs else ""))
    return [f"{said}: of {counted(len(known), 'edge')} {' and '.join(parts)}"]
