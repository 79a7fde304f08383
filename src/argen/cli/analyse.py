"""``argen analyse``: what a network means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
from cyclopts import Parameter, validators

from argen import analysis
from argen.cli import console
from argen.cli.options import OUTPUT
from argen.files import write_table, writing
from argen.network import CausalNetwork, load


def analyse(
    result: Annotated[Path, Parameter(name="RESULT")],
    /,
    *,
    gmt: tuple[Path, ...] = (),
    smallest: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 3,
    seed: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 1,
    out: Annotated[Path, Parameter(group=OUTPUT)] = Path("argen_analysis"),
) -> None:
    """Find modules, hubs, layers and enriched gene sets of a network, and write the tables.

    Parameters
    ----------
    result
        Network file, or the results folder of argen fit.
    gmt
        Gene sets (.gmt or .gmt.gz), to test modules, the children of hubs, and the genes that
        response programs move for; repeat it for several files.
    smallest
        Genes of a module; smaller ones join the one that they are linked with most.
    seed
        Of the modules.
    out
        Folder for the tables; files of the same names are replaced.
    """
    network = load(result)
    with console.results_in(out):
        tables, lines = _analysed(network, gmt, smallest, seed)
        with writing(out, "analysis") as beside:
            for name, table in tables.items():
                write_table(table, beside / f"{name}.tsv", float_format="%.6g")
    console.out.print("\n".join(lines))
    console.out.print(f"The tables are in {out}")


def _analysed(
    network: CausalNetwork, gmt: Sequence[Path], smallest: int, seed: int
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Return the tables by name, and what they say in lines."""
    modules = analysis.modules(network, smallest=smallest, seed=seed)
    hubs = analysis.hubs(network)
    tables = {
        "modules": modules,
        "centrality": analysis.centrality_table(network),
        "hubs": hubs,
        "layers": analysis.layers(network),
    }
    in_modules = modules[modules["module"] > 0]
    lines = [
        f"{in_modules['module'].nunique()} modules of {len(in_modules)} genes; "
        f"{len(modules) - len(in_modules)} genes are linked with none",
        f"{1 + int(tables['layers']['layer'].max())} layers",
    ]
    sets: dict[str, list[str]] = {}
    for path in gmt:
        sets |= analysis.read_gmt(path)
    if sets:
        groups = {f"module {k}": list(g) for k, g in in_modules.groupby("module")["gene"]}
        for hub in hubs.loc[hubs["kind"] == "acts on most", "gene"]:
            groups[f"children of {hub}"] = list(network.children(hub)["target"])
        found = analysis.enrichment(groups, sets, universe=network.genes)
        tables["enrichment"] = found.table
        tables["gene_sets_left_out"] = found.left_out
        lines.append(_tested(found, len(groups), "groups", len(sets)))
        if moved := analysis.program_genes(network):
            found = analysis.program_enrichment(network, sets)
            tables["program_enrichment"] = found.table
            lines.append(_tested(found, len(moved), "sides of response programs", len(sets)))
    return tables, lines


def _tested(found: analysis.Enrichment, n_groups: int, what: str, n_sets: int) -> str:
    """Say how many tests there were, and how many found something."""
    return (
        f"{int((found.table['p_adjusted'] < 0.05).sum())} of {len(found.table)} tests of "
        f"{n_groups} {what} for {n_sets - len(found.left_out)} gene sets have an adjusted p below "
        f"0.05; {len(found.left_out)} sets have fewer than two genes here"
    )
