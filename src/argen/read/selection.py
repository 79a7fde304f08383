"""From an open file to the counts, genes and cells that are used."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import sparse

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.data import GeneCounts, Guides, Panel
from argen.errors import InputError
from argen.read.choice import (
    NO_COUNT,
    Carried,
    Fate,
    GeneNames,
    NodeSelection,
    ReadAs,
    carried_guides,
    carried_perturbations,
    cell_filter,
    check_enough,
    drop_nodes,
    gene_names,
    genes_read,
    names_read,
    select_nodes,
    select_sinks,
)
from argen.read.counts import (
    Kept,
    RawCounts,
    TileStore,
    Wanted,
    choose_panel,
    find_matrix,
    tile_counts,
)
from argen.read.formats import OpenAnnData
from argen.read.options import ReadOptions
from argen.read.stored import BlockMatrix

NO_GUIDE = "no guide was found in them, which is not a guide that targets nothing"


@dataclass(frozen=True, slots=True)
class Selected:
    """What is used of a screen."""

    nodes: NodeSelection
    genes: tuple[str, ...]  # (n_genes,): nodes, then sinks
    n_measured: int
    kept: BoolArray  # (n_cells of the file,)
    counts: GeneCounts  # (n_cells, n_genes)
    row_sums: FloatArray  # (n_cells,) over all measured genes
    perturbations: sparse.csc_array  # (n_cells, n_nodes)
    left_out: list[Fate]
    panel: Panel | None  # of the same cells
    guides: Guides | None  # where the target names them
    read_as: list[ReadAs]


@dataclass(frozen=True, slots=True)
class ByTables:
    """What options choose of a screen by its tables alone, before counts are read."""

    matrix: BlockMatrix
    name: str  # of the matrix
    genes: GeneNames
    gene_table: pd.DataFrame
    passed: BoolArray  # (n_cells of the file,) the filter of cells
    carried: Carried
    nodes: NodeSelection


def select_by_tables(opened: OpenAnnData, options: ReadOptions) -> ByTables:
    """Choose matrix, genes, cells and nodes without reading a count."""
    matrix, gene_table, name = find_matrix(opened, options.layer)
    symbols = options.gene_symbols
    if symbols is None and opened.symbols in gene_table.columns:
        symbols = opened.symbols
    genes = gene_names(gene_table, symbols, options)
    passed = cell_filter(opened.obs, options.cells)
    carried = carried_perturbations(opened, passed, options)
    nodes = select_nodes(carried, genes, gene_table, options)
    return ByTables(matrix, name, genes, gene_table, passed, carried, nodes)


def select_from(
    opened: OpenAnnData, options: ReadOptions, store: TileStore, threads: int
) -> Selected:
    """Choose cells, nodes and sinks by the tables of a screen, then read the counts once.

    So are those of the panel, which a look at some of the cells has chosen.
    """
    found = select_by_tables(opened, options)
    genes, passed, carried, first = found.genes, found.passed, found.carried, found.nodes
    sinks = select_sinks(options.sinks, set(first.columns.values()), genes)
    columns = np.array([*first.columns.values(), *sinks], dtype=np.int64)
    wanted = Wanted(passed, _among(passed, first.used), columns)
    check = RawCounts(opened, found.name, genes.identifiers, options.round)
    counts, row_sums, panel = _read(found.matrix, wanted, options.panel, check, store, threads)
    of_targets = counts.part(0, len(columns))

    nodes = _with_counts(first, of_targets, carried, genes, options)
    check_enough(nodes, genes, found.gene_table, strict=options.strict)
    still = nodes.used[first.used]
    is_sink, left_out_sinks = _sinks_with_counts(
        sinks, of_targets, len(first.columns), still, genes, options.min_sink_mean
    )
    is_node = np.array([label in nodes.columns for label in first.columns], dtype=bool)
    chosen = np.flatnonzero(np.concatenate([is_node, is_sink]))
    if len(chosen) < len(columns) or not still.all():
        kept = np.concatenate([chosen, np.arange(len(columns), counts.n_genes)])
        counts = _stored(counts, still, kept, store.another())
    order = [carried.labels.get_loc(label) for label in nodes.columns]
    perturbations = sparse.csc_array(carried.matrix[:, order][np.flatnonzero(nodes.used)])
    perturbations.sort_indices()
    left_out = [*check.fates(), *nodes.fates(cells_stay=options.keep_others), *left_out_sinks]
    if not passed.all():
        n_filtered = int((~passed).sum())
        left_out.insert(0, ("cells", "filtered", n_filtered, f"not in {options.cells!r}"))
    if n_without := int(carried.no_guide.sum()):
        left_out.append(("target", "without a guide", n_without, NO_GUIDE))
    return Selected(
        nodes=nodes,
        genes=tuple(genes.display(columns[k]) for k in chosen.tolist()),
        n_measured=len(genes.identifiers),
        kept=_among(passed, nodes.used),
        counts=counts.part(0, len(chosen)),
        row_sums=row_sums[still],
        perturbations=perturbations,
        left_out=left_out,
        panel=_panel(counts.part(len(chosen), counts.n_genes), panel, genes),
        guides=carried_guides(carried, list(nodes.columns), nodes.used),
        read_as=[*names_read(carried, options), *genes_read(carried, genes, options)],
    )


def _panel(counts: GeneCounts, columns: IntArray, genes: GeneNames) -> Panel | None:
    if not len(columns):
        return None
    return Panel(tuple(genes.display(column) for column in columns.tolist()), counts)


def _among(passed: BoolArray, chosen: BoolArray) -> BoolArray:
    """Mark the chosen ones of the cells that passed: (n_cells of the file,)."""
    marked = np.zeros(len(passed), dtype=bool)
    marked[np.flatnonzero(passed)[chosen]] = True
    return marked


def _read(
    matrix: BlockMatrix,
    wanted: Wanted,
    n_panel: int,
    check: RawCounts,
    store: TileStore,
    threads: int,
) -> tuple[GeneCounts, FloatArray, IntArray]:
    """Read the counts, or take them from where an earlier reading left them.

    Returns those of the columns that are wanted and then of the panel, the row sums of the cells,
    and the columns of the panel.
    """

    def read_now(tiles: TileStore) -> tuple[GeneCounts, FloatArray, IntArray]:
        panel = choose_panel(matrix, wanted.used, wanted.columns, n_panel, tiles, threads)
        both = replace(wanted, columns=np.concatenate([wanted.columns, panel]))
        return *tile_counts(matrix, both, check, tiles, threads), panel

    tiles, version = store.another(), check.opened.version
    if store.parent is None or version is None or check.rounds:  # what is rounded is counted
        return read_now(tiles)
    key = version, check.name, wanted.passed, wanted.used, wanted.columns, n_panel
    kept = Kept.of(store.parent, *key)
    found = kept.load(store.most_bytes)
    if found is None:
        kept.save(*read_now(tiles))
        tiles.clear()
        found = kept.load(store.most_bytes)
    if found is None:
        raise InputError(
            f"scratch {str(store.parent)!r} does not give back what is written to it. Name another "
            "folder."
        )
    return found


def _with_counts(
    first: NodeSelection,
    counts: GeneCounts,
    carried: Carried,
    genes: GeneNames,
    options: ReadOptions,
) -> NodeSelection:
    """Drop the nodes without a count in the cells that are used."""
    place = {label: k for k, label in enumerate(first.columns)}

    def without_counts(chosen: NodeSelection) -> list[str]:
        totals = counts.totals(chosen.used[first.used])
        return [label for label in chosen.columns if totals[place[label]] == 0]

    return drop_nodes(first, carried, genes, options, without_counts=without_counts)


def _sinks_with_counts(
    sinks: IntArray,
    counts: GeneCounts,
    n_before: int,
    cells: BoolArray,
    genes: GeneNames,
    min_mean: float,
) -> tuple[BoolArray, list[Fate]]:
    """Which sinks have enough counts, and the fate of the others."""
    if not len(sinks):
        return np.empty(0, dtype=bool), []
    means = counts.totals(cells)[n_before:] / max(int(cells.sum()), 1)
    kept = (means > 0) & (means >= min_mean)
    reasons = np.where(means > 0, f"mean count below {min_mean:g}", NO_COUNT)
    return kept, [
        ("sink", genes.display(int(sinks[k])), 0, str(reasons[k])) for k in np.flatnonzero(~kept)
    ]


def _stored(counts: GeneCounts, cells: BoolArray, genes: IntArray, store: TileStore) -> GeneCounts:
    """Keep some cells and genes of counts that may be in files, in memory if they fit."""
    for tile in counts.select(cells, genes):
        store.add(tile)
    return GeneCounts(tuple(store.tiles), len(genes))
