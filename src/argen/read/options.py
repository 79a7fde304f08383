"""The options of reading in one frozen object."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from pathlib import Path

import numpy as np

from argen.errors import InputError, first_few
from argen.read.scratch import most_bytes

_TEXTS = ("library_size", "cells", "layer", "gene_symbols", "separator")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What of a screen is read, and where it stands; validates itself.

    Parameters
    ----------
    target
        Column of obs with the perturbed gene of each cell, or table of obsm with a column of
        0 and 1 for each perturbed gene.
    control
        Label, or labels, of the control cells in that column. In a table of obsm, cells without
        any perturbation are the controls, and these are the columns of guides that target
        nothing, if there are any.
    library_size
        Column of obs with the depth of each cell, of which only ratios matter; when left out,
        the row sums of all measured genes, before nodes are chosen.
    covariates
        Columns of obs, numeric or categorical, or a formula, as "~ A + C(B)".
    cells
        Cells to use: a boolean column of obs, or a pandas query.
    layer
        Layer with the raw counts, or "raw"; X when left out.
    gene_symbols
        Column of var with gene symbols, which are shown in place of the identifiers; labels may
        use either.
    nodes
        Genes of the network; when left out, every gene both perturbed and measured.
    sinks
        Genes that are targets without being nodes, or "all" for every measured gene.
    min_sink_mean
        Fewest counts of a sink, in the mean over the cells that are used.
    panel
        Other genes to read, those with the most counts, in which response programs are looked
        for; 0: none. They are no targets.
    min_cells
        Fewest perturbed cells of a node.
    separator
        What joins the genes in the label of a cell with several perturbations, such as "+"; a
        cell that carries anything but nodes and controls is left out.
    target_names
        Names of the columns where the target is a table of obsm without them: a list, or a key
        of uns.
    memory
        How much memory the counts may take, with the blocks that threads read ahead, such as
        "4 GB"; half of what is free when left out. Where counts take more, they are kept in files.
    scratch
        Folder for these files, where those of a screen on disk stay, and are used again while
        it and the choice of cells and genes are the same; when left out, they go with the
        process.
    strict
        Stop where genes would be dropped with a warning.
    """

    target: str
    control: str | Sequence[str] = ()
    library_size: str | None = None
    covariates: str | Sequence[str] = ()
    cells: str | None = None
    layer: str | None = None
    gene_symbols: str | None = None
    nodes: Sequence[str] | None = None
    sinks: str | Sequence[str] | None = None
    min_sink_mean: float = 0.0
    panel: int = 1000
    min_cells: int = 10
    separator: str | None = None
    target_names: str | Sequence[str] | None = None
    memory: str | int | None = None
    scratch: str | Path | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        # Names end as a tuple; text is left where it is no name: a formula, a key, or "all".
        put = partial(object.__setattr__, self)
        _check_text(self.target, "target")
        for option in _TEXTS:
            if getattr(self, option) is not None:
                _check_text(getattr(self, option), option)
        if self.separator == "":
            raise InputError("separator must have a character, such as '+'.")
        put("min_cells", whole_number(self.min_cells, "min_cells", least=1))
        put("panel", whole_number(self.panel, "panel", least=0))
        put("covariates", _formula_or_names(self.covariates))
        put("control", _names(self.control, "control"))
        if self.target_names is not None and not isinstance(self.target_names, str):
            put("target_names", _names(self.target_names, "target_names"))
        if self.nodes is not None:
            put("nodes", _names(self.nodes, "nodes"))
        if self.sinks is not None and not (isinstance(self.sinks, str) and self.sinks == "all"):
            put("sinks", _names(self.sinks, "sinks"))
        put("min_sink_mean", _mean(self.min_sink_mean, "min_sink_mean"))
        if self.memory is not None:
            put("memory", most_bytes(self.memory))
        if self.scratch is not None:
            put("scratch", _path(self.scratch, "scratch"))
        if not isinstance(self.strict, bool | np.bool_):
            raise InputError(f"strict must be True or False, not {_shown(self.strict)}.")
        put("strict", bool(self.strict))


def _check_text(value: object, option: str) -> None:
    if not isinstance(value, str):
        raise InputError(f"{option} must be text, not {_shown(value)}.")


def _names(value: object, option: str) -> tuple[str, ...]:
    """Return one name, or several that differ."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Iterable):
        raise InputError(f"{option} must be a name or a list of names, not {_shown(value)}.")
    names = list(value)
    for name in names:
        if not isinstance(name, str):
            raise InputError(
                f"{option} must be text, but holds {_shown(name)}. Labels and names are compared "
                f"as text: write {str(name)!r}."
            )
    repeated = {name: None for name in names if names.count(name) > 1}
    if repeated:
        raise InputError(f"{option} names {first_few(repeated)} more than once. Name it once.")
    return tuple(str(name) for name in names)


def _formula_or_names(value: object) -> str | tuple[str, ...]:
    if isinstance(value, str) and value.strip().startswith("~"):
        return value.strip()
    return _names(value, "covariates")


def whole_number(value: object, option: str, *, least: int) -> int:
    """Return a whole number that is large enough."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise InputError(f"{option} must be a whole number from {least}, not {_shown(value)}.")
    return int(value)


def _mean(value: object, option: str) -> float:
    if not isinstance(value, int | float | np.number) or isinstance(value, bool) or not value >= 0:
        raise InputError(f"{option} must be a number from 0, not {_shown(value)}.")
    return float(value)


def _path(value: object, option: str) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"{option} must be the path of a folder, not {value!r}.")
    return Path(value)


def _shown(value: object) -> str:
    text = repr(value).splitlines()[0]
    return f"{text if len(text) <= 40 else text[:40] + '...'} ({type(value).__name__})"
