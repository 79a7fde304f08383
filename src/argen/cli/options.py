"""The options of the command line: what they are called, mean and may be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cyclopts import Group, Parameter, Token, convert

_INPUT = Group("Input columns", sort_key=1)
METHOD = Group("Method", sort_key=2)
MODEL = Group("Random network", sort_key=2)
CHECKS = Group("Checks", sort_key=3)
_RUN = Group("Where and how to run", sort_key=3)
OUTPUT = Group("Output", sort_key=4)

Format = Literal["pdf", "svg", "png"]


@Parameter(name="*", group=_INPUT)
@dataclass(frozen=True, kw_only=True)
class ScreenOptions:
    """Where a screen's labels, depth and covariates are.

    Parameters
    ----------
    target
        Column of obs with the perturbed gene of each cell, or table of obsm with a column of
        0 and 1 for each perturbed gene.
    control
        Label of the control cells in that column; repeat it for several. Not needed when the
        target is a table of obsm, where cells without any perturbation are the controls.
    library_size
        Column of obs with the depth of each cell; the row sums when left out.
    covariates
        Columns of obs, as A,B, or a formula, as "~ A + C(B)".
    cells
        Cells to use: a boolean column of obs, or a pandas query.
    layer
        Layer with the raw counts, or "raw"; X when left out.
    gene_symbols
        Column of var with gene symbols to show and to match labels with.
    nodes
        Genes of the network, as A,B, or a file with one a line; when left out, every gene
        both perturbed and measured.
    sinks
        Genes that are targets without being nodes, as A,B, a file with one a line, or "all"
        for every measured gene.
    min_sink_mean
        Fewest counts of a sink, in the mean over cells.
    min_cells
        Fewest perturbed cells of a node.
    separator
        What joins the genes in the label of a cell with several perturbations, such as "+".
    target_names
        Names of the columns when the target is a table of obsm: a key of uns.
    memory
        How much memory the counts may take, such as "4 GB"; half of what is free when left out.
    scratch
        Folder for counts that do not fit in memory, used again in the next run.
    strict
        Stop where genes would be dropped with a warning.
    """

    target: str
    control: tuple[str, ...] = ()
    library_size: str | None = None
    covariates: str = ""
    cells: str | None = None
    layer: str | None = None
    gene_symbols: str | None = None
    nodes: str | None = None
    sinks: str | None = None
    min_sink_mean: float = 0.0
    min_cells: int = 10
    separator: str | None = None
    target_names: str | None = None
    memory: str | None = None
    scratch: Path | None = None
    strict: bool = False


@Parameter(name="*", group=_RUN)
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where the fits are computed; no result depends on it.

    Parameters
    ----------
    resume
        Go on with a run that was ended, from the finished blocks in the folder of the results.
    executor
        "serial": in this process, with its threads; "dask": on the workers of a Dask cluster.
    scheduler
        Address of a running Dask scheduler, as tcp://host:8786; when left out, workers are
        started on this machine.
    workers
        Worker processes to start on this machine, each with --threads threads, or one.
    """

    resume: bool = False
    executor: Literal["serial", "dask"] = "serial"
    scheduler: str | None = None
    workers: int | None = None


def exactly(kind: Any, tokens: Sequence[Token]) -> Any:
    """Convert what was typed, but take neither 1.5 for a whole number nor nothing for a path."""
    for text in (token.value for token in tokens):
        if kind in (int, int | None) and re.fullmatch(r"[+-]?\d+", text) is None:
            raise ValueError(f"expected a whole number, not {text!r}")
        if kind is Path and not text:
            raise ValueError("expected a path, not an empty text")
    return convert(kind, tokens)
