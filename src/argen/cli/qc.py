"""``argen qc``: what is known of every candidate node, and which become nodes."""

from __future__ import annotations

import shlex
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from argen.analysis import read_gmt
from argen.cli import console
from argen.cli.options import CHOICE, INPUT, METHOD, OUTPUT
from argen.cli.reading import announce_compiling, as_typed, read_screen, split_list
from argen.config import InferenceConfig
from argen.errors import InputError, first_few, nearest
from argen.qc import NODES_FILE, NodeChoice, QualityControl, quality_control
from argen.read import ReadOptions, read_columns, read_gene_column

# Candidates that are printed; all are in the table.
MOST_SHOWN = 40
WIDEST_NAME, WIDEST_LINE = 16, 80
HEAD = ["candidate", "cells", "mean", "% left", "p adj.", "desc.", "guides", "node"]
GUIDES = HEAD.index("guides")


@Parameter(name="*", group=CHOICE)
@dataclass(frozen=True, kw_only=True)
class GroupOptions:
    """Which genes may be nodes, and what else to look at.

    Parameters
    ----------
    where
        Only genes with this value, or one of these, in a column of var, as chromosome=21,22.
    gmt
        File of gene sets, GMT; for several, repeat it.
    gene_set
        Only genes of this set of the files, or of one of these, as A,B.
    also
        Further columns of obs, as A,B, that should be balanced over the perturbations, and whose
        levels should each have controls.
    """

    where: str = ""
    gmt: tuple[Path, ...] = ()
    gene_set: str = ""
    also: str = ""


def qc(
    file: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    screen: Annotated[ReadOptions | None, Parameter(name="*", group=INPUT)] = None,
    config: Annotated[InferenceConfig, Parameter(name="*", group=METHOD)] = InferenceConfig(),
    choice: Annotated[NodeChoice, Parameter(name="*", group=CHOICE)] = NodeChoice(),
    groups: GroupOptions = GroupOptions(),
    out: Annotated[Path, Parameter(group=OUTPUT)] = Path("argen_qc"),
    quiet: Annotated[bool, Parameter(group=OUTPUT)] = False,
) -> None:
    """Look at every candidate node of a screen, choose nodes by rules, and write the tables.

    Parameters
    ----------
    file
        Screen with raw counts, as for argen fit.
    out
        Folder for candidates.tsv, the list of chosen nodes (nodes.txt), the summary, and the table
        of each check; files of an earlier run are replaced.
    quiet
        Print nothing but warnings and errors.
    """
    screen, (_, *typed) = as_typed(file, screen, quiet=quiet)
    among = _among(file, screen, groups)
    with console.results_in(out):
        announce_compiling(quiet=quiet)
        named = split_list(groups.also)
        others = read_columns(file, named, screen) if named else None
        data = read_screen(file, screen, config.threads)
        with console.progress(quiet=quiet) as progress:
            found = quality_control(
                data, choice, among=among, others=others, config=config, progress=progress
            )
        found.write(out)
    if quiet:
        return
    console.out.print(f"{found.summary()}\n\n{candidate_lines(found)}")
    console.out.print(f"\nThe tables are in {out}.")
    if len(found.nodes) >= 2:
        console.out.print(
            f"{len(found.nodes)} nodes leave {found.n_cells:,} of {data.n_cells:,} cells. "
            f"To infer their network:\n  {fit_command(typed, out / NODES_FILE)}"
        )


def _among(file: Path, screen: ReadOptions, groups: GroupOptions) -> dict[str, set[str]]:
    """Return the genes that may be nodes, by what they are called."""
    found: dict[str, set[str]] = {}
    if groups.where:
        column, equals, values = groups.where.partition("=")
        if not equals or not split_list(values):
            raise InputError(
                f"--where {groups.where!r} is no choice of genes: expected a column of var and "
                "values, as chromosome=21,22."
            )
        found[groups.where] = _genes_with(file, screen, column.strip(), split_list(values))
    if bool(groups.gmt) != bool(groups.gene_set):
        raise InputError("--gmt has the file and --gene-set the set: expected both, or neither.")
    if groups.gene_set:
        sets: dict[str, list[str]] = {}
        for path in groups.gmt:
            sets |= read_gmt(path)
        wanted = split_list(groups.gene_set)
        if unknown := [name for name in wanted if name not in sets]:
            raise InputError(
                f"No gene set is called {first_few(unknown)}.{nearest(unknown[0], sets)} "
                f"Sets: {first_few(sets, 5)}."
            )
        found[groups.gene_set] = {gene for name in wanted for gene in sets[name]}
    return found


def _genes_with(file: Path, screen: ReadOptions, column: str, values: Sequence[str]) -> set[str]:
    """Return identifiers and symbols of the genes with some values in a column of var."""
    names, of_genes = read_gene_column(file, screen, column)
    has = of_genes.isin(list(values)).to_numpy()
    if not has.any():
        raise InputError(
            f"No gene has {first_few(values)} in the column {column!r} of var. It holds "
            f"{first_few(of_genes.value_counts().index, 8)}."
        )
    return {str(name) for label in names for name in label[has]}


def candidate_lines(found: QualityControl) -> str:
    """Return the measured candidates in columns that fit a terminal, the chosen ones first."""
    table = found.candidates[found.candidates["n_descendants"].notna()]
    table = table.sort_values("chosen", ascending=False, kind="stable")
    rows = [HEAD, *(_shown(row) for row in table.head(MOST_SHOWN).to_dict("records"))]
    if "n_guides" not in table:
        rows = [
            [text for text, name in zip(row, HEAD, strict=True) if name != "guides"] for row in rows
        ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *numbers, last in rows:
        aligned = [text.rjust(n) for text, n in zip(numbers, widths[1:-1], strict=True)]
        line = "  ".join([first.ljust(widths[0]), *aligned, last])
        lines.append(line if len(line) <= WIDEST_LINE else f"{line[: WIDEST_LINE - 3]}...")
    if len(table) > MOST_SHOWN:
        lines.append(f"... and {len(table) - MOST_SHOWN:,} more, in candidates.tsv")
    return "\n".join(lines)


def _shown(row: Mapping[Hashable, Any]) -> list[str]:
    name = str(row["candidate"])
    return [
        name if len(name) <= WIDEST_NAME else f"{name[: WIDEST_NAME - 3]}...",
        f"{row['n_cells']:,.0f}",
        f"{row['control_mean']:.3g}",
        _number(row["percent_remaining"], ".0f"),
        "<1e-99" if row["p_adjusted"] < 1e-99 else _number(row["p_adjusted"], ".1g"),
        f"{row['n_descendants']:.0f}",
        f"{_number(row['n_guides_working'], '.0f')} of {_number(row['n_guides'], '.0f')}"
        if "n_guides" in row
        else "",
        "yes" if row["chosen"] else f"no: {row['reason']}",
    ]


def _number(value: float, form: str) -> str:
    return "-" if np.isnan(value) else format(value, form)


def fit_command(arguments: Sequence[str], nodes: Path) -> str:
    """Return the command that infers the network of the chosen nodes from what was typed."""
    own = {f"--{f.name.replace('_', '-')}" for o in (NodeChoice, GroupOptions) for f in fields(o)}
    gone, kept, skipped = own | {"--out", "--nodes"}, list[str](), False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if skipped:
            skipped = False
        elif name in gone:
            skipped = not equals  # its value is the next one
        else:
            kept.append(argument)
    place = kept.index("qc") if "qc" in kept else 0
    return shlex.join(["argen", "fit", *kept[place + 1 :], "--nodes", str(nodes)])
