"""Which genes are nodes, which cells are used, and why the others are not."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from argen._arrays import BoolArray, IntArray
from argen.errors import ArgenWarning, InputError, first_few, nearest
from argen.perturbseq import CONTROL

# Kind, name, number of cells and reason of what is left out.
Fate: TypeAlias = tuple[str, str, int, str]
# Between the targets of a cell with several perturbations.
_SEPARATORS = "+,;|&"
# Enough labels to see how they differ from the names of the genes.
_LABELS_LOOKED_AT = 20
_NOT_MEASURED = "not a measured gene"


@dataclass(frozen=True, slots=True)
class GeneNames:
    """Identifiers of the measured genes, and the symbols to show, if there are any."""

    identifiers: pd.Index  # (n_genes,), unique
    symbols: pd.Index | None  # (n_genes,), None where missing

    def find(self, label: str) -> tuple[int | None, str]:
        """Return the column of a label, or None and the reason why it has none."""
        if label in self.identifiers:
            return int(self.identifiers.get_indexer(pd.Index([label]))[0]), ""
        if self.symbols is not None:
            matches = np.flatnonzero(self.symbols == label)
            if len(matches) == 1:
                return int(matches[0]), ""
            if len(matches) > 1:
                return None, f"a symbol that {len(matches)} measured genes share"
        return None, _NOT_MEASURED

    def all_names(self) -> list[str]:
        """Return every name by which a gene can be found."""
        symbols = [] if self.symbols is None else [name for name in self.symbols if name]
        return [*self.identifiers, *symbols]

    def display(self, column: int) -> str:
        """Name to show: the symbol when it belongs to this gene alone."""
        if self.symbols is not None:
            symbol = self.symbols[column]
            if symbol is not None and self.find(symbol)[0] == column:
                return str(symbol)
        return str(self.identifiers[column])


@dataclass(frozen=True, slots=True)
class NodeSelection:
    """Nodes in the column order of the matrix, and the fate of everything else."""

    names: tuple[str, ...]
    columns: IntArray  # (n_nodes,)
    node_of_cell: IntArray  # (n_cells_kept,)
    kept: BoolArray  # (n_cells,)
    left_out: list[Fate]


def gene_names(genes: pd.DataFrame, symbols: str | None) -> GeneNames:
    """Check the gene identifiers and take the symbols from a column of the gene table."""
    identifiers = pd.Index(genes.index.astype(str), dtype=object)
    repeated = identifiers[identifiers.duplicated()].unique()
    if len(repeated):
        raise InputError(
            f"{len(repeated)} gene names occur more than once: {first_few(repeated)}. Make them "
            "unique, for example with adata.var_names_make_unique(), or use Ensembl ids."
        )
    if symbols is None:
        return GeneNames(identifiers, None)
    if list(genes.columns).count(symbols) > 1:
        raise InputError(f"var has more than one column {symbols!r}. Rename them.")
    if symbols not in genes.columns:
        raise InputError(
            f"There is no column {symbols!r} in var for the gene symbols."
            f"{nearest(symbols, genes.columns)} Columns: {first_few(genes.columns, 10) or 'none'}."
        )
    shown = [None if pd.isna(symbol) else str(symbol) for symbol in genes[symbols]]
    return GeneNames(identifiers, pd.Index(shown, dtype=object))


def select_nodes(
    counts: sparse.csc_array,
    labels: pd.Series,
    is_control: BoolArray,
    *,
    genes: GeneNames,
    gene_table: pd.DataFrame,
    wanted: list[str] | None,
    all_labels: set[str],
    min_cells: int,
    strict: bool,
) -> NodeSelection:
    """Choose the genes that are both perturbed and measured.

    Genes with too few cells or without counts are dropped with a warning; with ``strict``
    that is an error. Their cells go with them, and so do the cells of targets that are not
    nodes: these are neither controls nor instruments.

    Parameters
    ----------
    counts
        (n_cells, n_genes) of the cells that passed the filter.
    labels
        (n_cells,) of the same cells.
    wanted
        Names given by the user; None for every gene that qualifies.
    all_labels
        Labels of perturbations before the cell filter, to tell a typing error from an empty
        group.
    """
    sizes = labels[~is_control].value_counts()
    wanted_columns = None if wanted is None else _wanted_columns(wanted, genes, all_labels, sizes)
    columns, left_out = _match_labels(sizes, genes, wanted_columns)
    columns, dropped = _drop_unusable(columns, counts, labels, is_control, genes, min_cells)
    if strict and dropped:
        raise InputError(
            f"{_cannot_be_nodes(dropped)} Leave them out by a list of nodes, or do without strict."
        )
    if len(columns) < 2:
        raise InputError(_too_few(columns, left_out, dropped, genes, gene_table))
    if dropped:
        warnings.warn(
            f"{_cannot_be_nodes(dropped)} They were dropped, their cells too; left_out lists them.",
            ArgenWarning,
            stacklevel=3,
        )

    used = is_control | labels.isin(list(columns)).to_numpy()
    ordered = sorted(columns.items(), key=lambda item: item[1])
    code = {label: node for node, (label, _) in enumerate(ordered)}
    code_of_cell = np.asarray(labels.map(code).fillna(CONTROL), dtype=np.int64)
    return NodeSelection(
        names=tuple(genes.display(column) for _, column in ordered),
        columns=np.array([column for _, column in ordered], dtype=np.int64),
        node_of_cell=code_of_cell[used],
        kept=used,
        left_out=left_out + dropped,
    )


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


def _drop_unusable(
    columns: dict[str, int],
    counts: sparse.csc_array,
    labels: pd.Series,
    is_control: BoolArray,
    genes: GeneNames,
    min_cells: int,
) -> tuple[dict[str, int], list[Fate]]:
    """Return the genes with enough cells and some count, and the others with the reason."""
    sizes = labels.value_counts()
    reasons = {}
    for label in columns:
        if sizes.get(label, 0) < min_cells:
            few = f"fewer than {min_cells} perturbed cells"
            reasons[label] = few if label in sizes else "no perturbed cell"
    while True:
        kept = {label: column for label, column in columns.items() if label not in reasons}
        used = is_control | labels.isin(list(kept)).to_numpy()
        dead = [label for label, column in kept.items() if counts[:, [column]][used].sum() == 0]
        if not dead:
            break
        # The cells of a dropped gene go too, and with them perhaps all counts of another.
        reasons |= dict.fromkeys(dead, "no count in any cell that is used")
    dropped = [
        ("node", genes.display(columns[label]), int(sizes.get(label, 0)), reason)
        for label, reason in reasons.items()
    ]
    return kept, dropped


def _wanted_columns(
    wanted: list[str], genes: GeneNames, all_labels: set[str], sizes: pd.Series
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
    targets = [name for _, name, _, reason in left_out if reason == _NOT_MEASURED]
    joined = [name for _, name, _, reason in left_out if reason.startswith("several")]
    if joined:
        message += (
            f" {len(joined):,} labels, such as {joined[0]!r}, list several perturbations: expected "
            "one in each cell."
        )
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
