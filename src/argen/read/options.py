"""The options of reading in one frozen object."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Literal

import numpy as np

from argen.errors import InputError, first_few
from argen.read.counts import most_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What of a screen is read, and where it stands; validates itself.

    Parameters
    ----------
    target
        Column of obs with the perturbed gene of each cell, or table of obsm with a column of
        0 and 1 for each perturbed gene; either may name guides in place of genes (see ``guides``
        and ``guide_pattern``), and a table may hold counts of guides (see ``min_guide_counts``).
    control
        Label, or labels, of the control cells in that column; one with "*" or "?" is a pattern,
        unless a label is exactly that. In a table of obsm, cells without any perturbation are
        the controls, and these are the columns of guides that target nothing, if there are any.
    library_size
        Column of obs with the depth of each cell, of which only ratios matter; when left out,
        the row sums of all measured genes, before nodes are chosen.
    covariates
        Columns of obs, numeric or categorical, or a formula, as "~ A + C(B)".
    cells
        Cells to use: a boolean column of obs, or a query, as "p_mito < 0.1 and lane == 'L1'".
    layer
        Layer with the raw counts, or "raw"; X when left out.
    round
        Make whole numbers of values that miss them by less than 0.001, as rounding errors do;
        how many is said with what is left out.
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
    obs
        Table of the cells, CSV, TSV or Parquet with their identifiers in the first column, in
        place of the cell table that the screen has, or where it has none.
    modality
        Modality of MuData with the counts of genes; when left out, the only one whose name says
        so, such as "rna" or "gex".
    aliases
        Other names of genes, such as retired symbols: a mapping from the name in the labels to
        the measured one, or a CSV or TSV table of both, in this sequence.
    match_genes
        "exact", or "close": names of genes are also found without regard to case, and Ensembl
        identifiers without their version, as ".12"; every name that is changed is listed.
    guide
        Column of obs with the guide of each cell, where the target says genes; guides of a gene
        are compared by the checks.
    guides
        Which gene each guide targets, where the target says guides: a mapping, or a CSV or TSV
        table with columns guide and target. A target that is a control label makes controls.
    guide_pattern
        Regular expression that finds the gene in the label of a guide, as its group named
        target, or its first, such as "(.+)g[0-9]+$"; for all labels but those of controls.
    min_guide_counts
        Fewest counts of a guide to be called, where the target is a table of guide counts.
    separator
        What joins the genes in the label of a cell with several perturbations, such as "+"; a
        cell that carries anything but nodes and controls is left out.
    keep_others
        Keep cells that carry what is no node, and take no notice of that: where each cell carries
        many perturbations, hardly any carries nodes alone.
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
    round: bool = False
    gene_symbols: str | None = None
    nodes: Sequence[str] | None = None
    sinks: str | Sequence[str] | None = None
    min_sink_mean: float = 0.0
    panel: int = 1000
    min_cells: int = 10
    obs: str | Path | None = None
    modality: str | None = None
    aliases: str | Path | Mapping[str, str] | None = None
    match_genes: Literal["exact", "close"] = "exact"
    guide: str | None = None
    guides: str | Path | Mapping[str, str] | None = None
    guide_pattern: str | None = None
    min_guide_counts: int | None = None
    separator: str | None = None
    keep_others: bool = False
    target_names: str | Sequence[str] | None = None
    memory: str | int | None = None
    scratch: str | Path | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        # Names end as a tuple; text is left where it is no name: a formula, a key, or "all".
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None or field.default is not None:  # None: nothing was said
                object.__setattr__(self, field.name, _FORMS[field.name](value, field.name))
        if self.guides is not None and self.guide_pattern is not None:
            raise InputError(
                "guides and guide_pattern both say what guides target: expected one of them."
            )


def _text(value: object, option: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{option} must be text, not {_shown(value)}.")
    return value


def _separator(value: object, option: str) -> str:
    if _text(value, option) == "":
        raise InputError(f"{option} must have a character, such as '+'.")
    return _text(value, option)


def _pattern(value: object, option: str) -> str:
    pattern = _text(value, option)
    try:
        n_groups = re.compile(pattern).groups
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(
            f"{option} {pattern!r} is not a regular expression: {error}. Expected one such as "
            "'(.+)g[0-9]+$'."
        ) from error
    if n_groups == 0:
        raise InputError(
            f"{option} {pattern!r} has no group: put what is the gene in parentheses, as in "
            "'(.+)g[0-9]+$'."
        )
    return pattern


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


def _formula_or_names(value: object, option: str) -> str | tuple[str, ...]:
    if isinstance(value, str) and value.strip().startswith("~"):
        return value.strip()
    return _names(value, option)


def _key_or_names(value: object, option: str) -> str | tuple[str, ...]:
    return value if isinstance(value, str) else _names(value, option)


def _all_or_names(value: object, option: str) -> str | tuple[str, ...]:
    return value if isinstance(value, str) and value == "all" else _names(value, option)


def whole_number(value: object, option: str, *, least: int) -> int:
    """Return a whole number that is large enough."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise InputError(f"{option} must be a whole number from {least}, not {_shown(value)}.")
    return int(value)


def _mean(value: object, option: str) -> float:
    if not isinstance(value, int | float | np.number) or isinstance(value, bool) or not value >= 0:
        raise InputError(f"{option} must be a number from 0, not {_shown(value)}.")
    return float(value)


def _path(value: object, option: str, *, of: str) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"{option} must be the path of a {of}, not {value!r}.")
    return Path(value)


def _renaming(value: object, option: str) -> Path | tuple[tuple[str, str], ...]:
    """Return the path of a table, or the pairs of a mapping, which as such has no hash."""
    if isinstance(value, str | os.PathLike):
        return Path(value)
    pairs = tuple(value.items()) if isinstance(value, Mapping) else value
    if isinstance(pairs, tuple) and pairs and all(map(_is_pair, pairs)):
        return pairs
    raise InputError(
        f"{option} must be the path of a table or a mapping from text to text, not {_shown(value)}."
    )


def _is_pair(value: object) -> bool:
    match value:
        case (str(), str()):
            return True
    return False


def _match(value: object, option: str) -> str:
    if value not in ("exact", "close"):
        raise InputError(f"{option} must be 'exact' or 'close', not {_shown(value)}.")
    return str(value)


def _true_or_false(value: object, option: str) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{option} must be True or False, not {_shown(value)}.")
    return bool(value)


def _shown(value: object) -> str:
    text = repr(value).splitlines()[0]
    return f"{text if len(text) <= 40 else text[:40] + '...'} ({type(value).__name__})"


# One form for whatever way an option is given in, and the error of what has none.
_FORMS: dict[str, Callable[[object, str], object]] = {
    "target": _text,
    "control": _names,
    "library_size": _text,
    "covariates": _formula_or_names,
    "cells": _text,
    "layer": _text,
    "round": _true_or_false,
    "gene_symbols": _text,
    "nodes": _names,
    "sinks": _all_or_names,
    "min_sink_mean": _mean,
    "panel": partial(whole_number, least=0),
    "min_cells": partial(whole_number, least=1),
    "obs": partial(_path, of="table"),
    "modality": _text,
    "aliases": _renaming,
    "match_genes": _match,
    "guide": _text,
    "guides": _renaming,
    "guide_pattern": _pattern,
    "min_guide_counts": partial(whole_number, least=1),
    "separator": _separator,
    "keep_others": _true_or_false,
    "target_names": _key_or_names,
    "memory": lambda value, _: most_bytes(value),
    "scratch": partial(_path, of="folder"),
    "strict": _true_or_false,
}
