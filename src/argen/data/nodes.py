"""Which genes are nodes, which cells are used, and why the others are not."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from argen._arrays import BoolArray, IntArray
from argen.errors import ArgenWarning, InputError, first_few, nearest
from argen.perturbseq import CONTROL


@dataclass(frozen=True, slots=True)
class GeneNames:
    """Identifiers of the measured genes, and the symbols to show, if there are any."""

    identifiers: pd.Index  # (n_genes,), unique
    symbols: pd.Index | None  # (n_genes,)

    def find(self, label: str) -> tuple[int | None, str]:
        """Return the column of a label, or None and the reason why it has none."""
        if label in self.identifiers:
            return int(self.identifiers.get_indexer(pd.Index([label]))[0]), ""
        if self.symbols is not None:
            matches = np.flatnonzero(self.symbols == label)
            if len(matches) == 1:
                return int(matches[0]), ""
            if len(matches) > 1:
                return None, f"symbol shared by {len(matches)} measured genes"
        return None, "not a measured gene"

    def display(self, column: int) -> str:
        """Name to show: the symbol when it belongs to this gene alone."""
        if self.symbols is not None:
            symbol = self.symbols[column]
            if isinstance(symbol, str) and symbol and (self.symbols == symbol).sum() == 1:
                return symbol
        return str(self.identifiers[column])


@dataclass(frozen=True, slots=True)
class NodeSelection:
    """Nodes in the column order of the matrix, and the fate of everything else."""

    names: tuple[str, ...]
    columns: IntArray  # (n_nodes,)
    node_of_cell: IntArray  # (n_cells_kept,)
    kept: BoolArray  # (n_cells,)
    left_out: list[tuple[str, str, int, str]]  # kind, name, n_cells, reason


def gene_names(genes: pd.DataFrame, symbols: str | None) -> GeneNames:
    """Check the gene identifiers and take the symbols from a column of the gene table."""
    repeated = genes.index[genes.index.duplicated()].unique()
    if len(repeated):
        raise InputError(
            f"{len(repeated)} gene names occur more than once: {first_few(repeated)}. Make them "
            "unique, for example with adata.var_names_make_unique(), or use Ensembl ids."
        )
    if symbols is None:
        return GeneNames(genes.index.astype(str), None)
    if symbols not in genes.columns:
        raise InputError(
            f"There is no column {symbols!r} in var for the gene symbols."
            f"{nearest(symbols, genes.columns)} Columns: {first_few(genes.columns, 10)}."
        )
    return GeneNames(genes.index.astype(str), pd.Index(genes[symbols].astype(object)))


def select_nodes(
    counts: sparse.csc_array,
    labels: pd.Series,
    is_control: BoolArray,
    *,
    genes: GeneNames,
    gene_table: pd.DataFrame,
    wanted: Sequence[str] | None,
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
        Labels before the cell filter, to tell a typing error from an empty group.
    """
    sizes = labels[~is_control].value_counts()
    left_out: list[tuple[str, str, int, str]] = []
    columns: dict[str, int] = {}
    wanted_columns = None if wanted is None else _wanted_columns(wanted, genes, all_labels, sizes)
    for label in sorted(set(sizes.index) | set(wanted_columns or ())):
        column, reason = genes.find(label)
        if column is None:
            left_out.append(("target", label, int(sizes[label]), reason))
        elif wanted_columns is not None and column not in wanted_columns.values():
            left_out.append(("target", label, int(sizes[label]), "not in the list of nodes"))
        else:
            columns[label] = column
    _check_labels_agree(columns)

    dropped: list[tuple[str, str, int, str]] = []
    for label in list(columns):
        n_cells = int(sizes.get(label, 0))
        if n_cells < min_cells:
            shortage = f"fewer than {min_cells} perturbed cells" if n_cells else "no perturbed cell"
            dropped.append(("node", genes.display(columns.pop(label)), n_cells, shortage))
    while True:
        used = is_control | labels.isin(list(columns)).to_numpy()
        totals = {label: counts[:, [c]][used].sum() for label, c in columns.items()}
        dead = [label for label, total in totals.items() if total == 0]
        for label in dead:
            name = genes.display(columns.pop(label))
            dropped.append(("node", name, int(sizes[label]), "no count in any cell that is used"))
        if not dead:
            break
    _report_dropped(dropped, strict)
    if len(columns) < 2:
        raise InputError(_too_few(columns, left_out, dropped, genes, gene_table))

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


def _wanted_columns(
    wanted: Sequence[str], genes: GeneNames, all_labels: set[str], sizes: pd.Series
) -> dict[str, int]:
    """Return label -> column of the genes that the user listed."""
    if isinstance(wanted, str) or len(set(wanted)) < len(wanted):
        raise InputError("nodes must be a list of distinct gene names.")
    found = {}
    label_of_column = {genes.find(label)[0]: label for label in sorted(all_labels)}
    for name in wanted:
        column, reason = genes.find(name)
        if column is None:
            raise InputError(
                f"{name!r}, in the list of nodes, is {reason}."
                f"{nearest(name, [*genes.identifiers, *(genes.symbols or ())])}"
            )
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


def _report_dropped(dropped: list[tuple[str, str, int, str]], strict: bool) -> None:
    if not dropped:
        return
    named = [f"{name} ({n_cells} cells, {reason})" for _, name, n_cells, reason in dropped]
    message = f"{len(dropped)} genes cannot be nodes: {first_few(named)}."
    if strict:
        raise InputError(f"{message} Leave them out by a list of nodes, or do without strict.")
    warnings.warn(
        f"{message} They were dropped, their cells too; left_out lists them.",
        ArgenWarning,
        stacklevel=4,
    )


def _too_few(
    columns: dict[str, int],
    left_out: list[tuple[str, str, int, str]],
    dropped: list[tuple[str, str, int, str]],
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
    targets = [name for _, name, _, _ in left_out]
    for candidate in gene_table.columns:
        if gene_table[candidate].astype(str).isin(targets).any():
            return (
                f"{message} The labels occur in var[{str(candidate)!r}]: name it as gene_symbols."
            )
    return message
