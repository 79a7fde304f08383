"""Which genes are nodes, which cells are used, and why the others are not."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pandas as pd

from argen.arrays import BoolArray, IntArray
from argen.data import NOT_MEASURED
from argen.errors import ArgenWarning, InputError, first_few, nearest
from argen.read.choice.genes import GeneNames
from argen.read.choice.labels import close_names, guide_rule, joined_labels
from argen.read.choice.targets import Carried
from argen.read.options import ReadOptions

# Kind, name, number of cells and reason of what is left out.
Fate: TypeAlias = tuple[str, str, int, str]
# Between the targets of a cell with several perturbations.
_SEPARATORS = "+,;|&"
NO_COUNT = "no count in any cell that is used"
# Enough labels to see how they differ from the names of the genes.
_LABELS_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class NodeSelection:
    """Which labels are nodes, and the fate of the others.

    Cells that carry anything but nodes are not used, unless they are to be kept: they are neither
    controls nor instruments.
    """

    columns: dict[str, int]  # label -> column of the matrix, in the order of the columns
    used: BoolArray  # (n_cells,) of those that passed the filter
    left_out: list[Fate]
    dropped: list[Fate]

    def fates(self, *, cells_stay: bool) -> list[Fate]:
        """Return what is no node, and why; whether its cells are used all the same."""
        more = "; its cells stay" if cells_stay else ""
        fates = [*self.left_out, *self.dropped]
        return [(kind, name, n_cells, why + more) for kind, name, n_cells, why in fates]

    def among(self, carried: Carried, options: ReadOptions) -> NodeSelection:
        """Choose the cells that are used with these nodes."""
        if options.keep_others:
            return self
        return replace(self, used=~carried.outside(list(self.columns)))


def select_nodes(
    carried: Carried, genes: GeneNames, gene_table: pd.DataFrame, options: ReadOptions
) -> NodeSelection:
    """Choose the genes that are both perturbed and measured, and have enough cells."""
    sizes = carried.sizes
    wanted_columns = None
    if options.nodes is not None:
        wanted_columns = _wanted_columns(options.nodes, genes, carried.all_labels, sizes)
    columns, left_out = _match_labels(sizes, genes, wanted_columns)
    ordered = dict(sorted(columns.items(), key=lambda item: item[1]))
    everything = NodeSelection(ordered, np.ones(carried.n_cells, dtype=bool), left_out, [])
    start = everything.among(carried, options)
    chosen = drop_nodes(start, carried, genes, options)
    check_enough(chosen, genes, gene_table, strict=options.strict)
    return chosen


def drop_nodes(
    chosen: NodeSelection,
    carried: Carried,
    genes: GeneNames,
    options: ReadOptions,
    *,
    without_counts: Callable[[NodeSelection], list[str]] = lambda chosen: [],
) -> NodeSelection:
    """Drop genes with too few cells or without counts, and their cells with them.

    Those cells may have been the last of another gene, or have had all its counts.
    """
    sizes, min_cells = carried.sizes, options.min_cells
    while True:
        reasons = {}
        n_used = carried.cells_of_labels(chosen.used)
        for label in chosen.columns:
            if n_used.get(label, 0) < min_cells:
                few = f"fewer than {min_cells} perturbed cells"
                reasons[label] = few if label in sizes else "no perturbed cell"
        if not reasons:
            reasons = dict.fromkeys(without_counts(chosen), NO_COUNT)
        if not reasons:
            return chosen
        left = {label: k for label, k in chosen.columns.items() if label not in reasons}
        dropped = [
            ("node", genes.display(chosen.columns[label]), int(sizes.get(label, 0)), reason)
            for label, reason in sorted(reasons.items())
        ]
        dropped = chosen.dropped + dropped
        chosen = replace(chosen, columns=left, dropped=dropped).among(carried, options)


def check_enough(
    chosen: NodeSelection, genes: GeneNames, gene_table: pd.DataFrame, *, strict: bool
) -> None:
    """Refuse a network of fewer than two genes; with ``strict`` also one that drops any."""
    if strict and chosen.dropped:
        raise InputError(
            f"{_cannot_be_nodes(chosen.dropped)} Leave them out by a list of nodes, or do without "
            "strict."
        )
    if len(chosen.columns) < 2:
        raise InputError(
            _too_few(chosen.columns, chosen.left_out, chosen.dropped, genes, gene_table)
        )


def report_dropped(dropped: list[Fate], *, cells_stay: bool) -> None:
    """Warn of genes that cannot be nodes."""
    if dropped:
        and_cells = "" if cells_stay else ", their cells too"
        warnings.warn(
            f"{_cannot_be_nodes(dropped)} They were dropped{and_cells}; left_out lists them.",
            ArgenWarning,
            stacklevel=3,
        )


def select_sinks(
    sinks: str | Sequence[str] | None, nodes: Collection[int], genes: GeneNames
) -> IntArray:
    """Return the columns of measured genes that are targets without being nodes."""
    if sinks is None:
        return np.empty(0, dtype=np.int64)
    if sinks == "all":
        return np.array(
            [k for k in range(len(genes.identifiers)) if k not in nodes], dtype=np.int64
        )
    columns: dict[int, str] = {}
    for name in sinks:
        column, reason = genes.find(name)
        if column is None:
            raise InputError(
                f"{name!r}, in the list of sinks, is {reason}.{nearest(name, genes.all_names())}"
            )
        if column in columns:
            raise InputError(f"{name!r}, in the list of sinks, is there by its other name too.")
        columns[column] = name
    return np.array(sorted(k for k in columns if k not in nodes), dtype=np.int64)


def _match_labels(
    sizes: pd.Series, genes: GeneNames, wanted_columns: dict[str, int] | None
) -> tuple[dict[str, int], list[Fate]]:
    """Return label -> column of the genes that may be nodes, and the other labels."""
    left_out: list[Fate] = []
    columns: dict[str, int] = {}
    for label in sorted(set(sizes.index) | set(wanted_columns or ())):
        column, reason = genes.find(label)
        if column is None:
            reason = _joins_others(label, sizes.index) or reason
            left_out.append(("target", label, int(sizes[label]), reason))
        elif wanted_columns is not None and column not in wanted_columns.values():
            left_out.append(("target", label, int(sizes[label]), "not in the list of nodes"))
        else:
            columns[label] = column
    _check_labels_agree(columns)
    return columns, left_out


def _joins_others(label: str, labels: pd.Index) -> str:
    """Return the reason against a label that lists several of the others, or nothing."""
    for separator in _SEPARATORS:
        parts = label.split(separator)
        if len(parts) > 1 and any(part in labels for part in parts):
            return f"several perturbations, joined by {separator!r}"
    return ""


def _wanted_columns(
    wanted: Sequence[str], genes: GeneNames, all_labels: set[str], sizes: pd.Series
) -> dict[str, int]:
    """Return label -> column of the genes that the user listed."""
    if len(wanted) < 2:
        raise InputError(
            f"nodes lists {first_few(wanted) or 'no gene'}: a network needs at least two genes."
        )
    found: dict[str, int] = {}
    label_of_column = {genes.find(label)[0]: label for label in sorted(all_labels)}
    for name in wanted:
        column, reason = genes.find(name)
        if column is None:
            raise InputError(
                f"{name!r}, in the list of nodes, is {reason}.{nearest(name, genes.all_names())}"
            )
        if column in found.values():
            raise InputError(f"{name!r}, in the list of nodes, is there by its other name too.")
        if column not in label_of_column:
            raise InputError(
                f"{name!r}, in the list of nodes, is measured but never perturbed. Nodes need "
                f"cells of their own; perturbed are {first_few(sizes.index, 8)}."
            )
        found[label_of_column[column]] = column
    return found


def _check_labels_agree(columns: dict[str, int]) -> None:
    by_column: dict[int, list[str]] = {}
    for label, column in columns.items():
        by_column.setdefault(column, []).append(label)
    for labels in by_column.values():
        if len(labels) > 1:
            raise InputError(
                f"The labels {first_few(labels)} mean the same gene. Use one name per gene."
            )


def _cannot_be_nodes(dropped: list[Fate]) -> str:
    named = [f"{name} ({n_cells} cells, {reason})" for _, name, n_cells, reason in dropped]
    return f"Some genes cannot be nodes: {first_few(named)}."


def _too_few(
    columns: dict[str, int],
    left_out: list[Fate],
    dropped: list[Fate],
    genes: GeneNames,
    gene_table: pd.DataFrame,
) -> str:
    found = f"only {next(iter(columns))!r} is" if columns else "none is"
    message = (
        f"A network needs at least two genes that are both perturbed and measured; {found}. "
        f"Measured: {first_few(genes.identifiers)}."
    )
    if left_out:
        message += f" Perturbed but left out: {first_few(name for _, name, _, _ in left_out)}."
    if dropped:
        message += f" Dropped: {first_few(f'{name} ({why})' for _, name, _, why in dropped)}."
    targets = [name for _, name, _, reason in left_out if reason == NOT_MEASURED]
    joined = [name for _, name, _, reason in left_out if reason.startswith("several")]
    hint = _what_the_labels_are(targets, joined, set(genes.all_names()))
    if hint:
        return message + hint
    for candidate, values in gene_table.items():
        if genes.symbols is None and values.astype(str).isin(targets).any():
            return (
                f"{message} The labels occur in var[{str(candidate)!r}]: name it as gene_symbols."
            )
    for label in targets[:_LABELS_LOOKED_AT]:
        close = nearest(label, genes.all_names())
        if close:
            return f"{message} No measured gene is called {label!r}.{close}"
    return message


def _what_the_labels_are(targets: list[str], joined: list[str], names: set[str]) -> str:
    """Say how labels could be read of which none is a gene as it stands."""
    found = joined_labels([*targets, *joined], names)
    hint = ""
    if found is not None:
        hint = (
            f" {found.n_labels:,} labels, such as {found.example!r}, join several perturbations: "
            f"name what joins them, separator={found.separator!r}."
        )
    elif joined:
        hint = (
            f" {len(joined):,} labels, such as {joined[0]!r}, list several perturbations: expected "
            "one in each cell, or the separator that joins them."
        )
    rule = guide_rule(targets, names) if found is None else found.rule
    if rule is not None:
        label, target = rule.example
        return (
            f"{hint} The labels look like those of guides, as {label!r} of {target}: say how they "
            f"name their targets, guide_pattern={rule.pattern!r}, or give a table of the guides."
        )
    close = close_names(targets, names)
    if len(close) > 1:
        label, gene = next(iter(close.items()))
        return (
            f"{hint} {len(close):,} labels differ from a measured gene in case or version alone, "
            f'as {label!r} from {gene!r}: match_genes="close" takes them for the same.'
        )
    return hint
