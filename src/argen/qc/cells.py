"""Cells: batches without controls, and cells that look like two."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.data import GeneCounts, PerturbSeqData, is_categorical

# Median absolute deviations, scaled to standard deviations, above the median of controls: the usual
# rule for outlying cells (McCarthy et al. 2017, as isOutlier of scater).
FARTHEST = 3.0
_TO_DEVIATION = 1.4826
# Controls of a batch that say where its cells should be; else those of all batches do.
FEWEST_CONTROLS = 20


def batch_table(data: PerturbSeqData, others: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each level of each categorical column.

    column, level, n_cells, n_controls, n_perturbations: how many occur there.
    """
    controls, rows = data.controls, []
    by_cell = sparse.csr_array(data.perturbations)
    for name, values in batches(data, others).items():
        code, levels = pd.factorize(values, sort=True)
        n_cells = np.bincount(code, minlength=len(levels))
        n_controls = np.bincount(code[controls], minlength=len(levels))
        for level, label in enumerate(levels):
            n_there = len(np.unique(by_cell[np.flatnonzero(code == level)].indices))
            rows.append((name, str(label), n_cells[level], n_controls[level], n_there))
    columns = ["column", "level", "n_cells", "n_controls", "n_perturbations"]
    return pd.DataFrame(rows, columns=columns)


def cells_without_controls(data: PerturbSeqData, others: pd.DataFrame) -> IntArray:
    """Count the cells of each perturbation in a level without a control: (n_nodes,)."""
    alone = np.zeros(data.n_cells, dtype=bool)
    for values in batches(data, others).values():
        code, levels = pd.factorize(values)
        n_controls = np.bincount(code[data.controls], minlength=len(levels))
        alone |= n_controls[code] == 0
    return np.asarray(data.perturbations.T @ alone.astype(np.int64))


def batches(data: PerturbSeqData, others: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the categorical columns by name: (n_cells,) each."""
    return {
        str(name): table[name].reset_index(drop=True)
        for table in (data.covariates, others)
        for name in table.columns
        if is_categorical(table[name])
    }


def doublet_like(data: PerturbSeqData, others: pd.DataFrame) -> pd.DataFrame:
    """Return cells with more depth and more genes than controls of their batch: a row a cell.

    Two cells in a droplet have the molecules of both. A cell is named when the logarithms of its
    library size and of its number of genes are both more than ``FARTHEST`` scaled median absolute
    deviations above the median of the controls of its batch, a level of all categorical columns
    together. Genes are counted among those that were read.

    Columns: cell (its identifier), number (from 0), library_size, n_genes, depth_deviation and
    genes_deviation, in these deviations.
    """
    n_genes = genes_of_cells(data)
    batch = np.zeros(data.n_cells, dtype=np.int64)
    columns = list(batches(data, others).values())
    if columns:
        batch = pd.MultiIndex.from_arrays(columns).factorize()[0]
    controls = data.controls
    deviations = [
        _deviations(values, batch, controls)
        for values in (np.log(data.library_size), np.log(np.maximum(n_genes, 0.5)))
    ]
    found = np.flatnonzero((deviations[0] > FARTHEST) & (deviations[1] > FARTHEST))
    return pd.DataFrame(
        {
            "cell": data.cells[found].astype(str),
            "number": found,
            "library_size": data.library_size[found],
            "n_genes": n_genes[found],
            "depth_deviation": deviations[0][found],
            "genes_deviation": deviations[1][found],
        }
    )


def genes_of_cells(data: PerturbSeqData) -> IntArray:
    """Count the genes of each cell that have a count, among those that were read: (n_cells,)."""
    found = _n_genes(data.counts)
    return found if data.panel is None else found + _n_genes(data.panel.counts)


def _n_genes(counts: GeneCounts) -> IntArray:
    found = np.zeros(counts.n_cells, dtype=np.int64)
    for some in counts.by_genes():
        first = 0
        for tile in some.tiles:
            part = slice(first, first + tile.n_cells)
            found[part] += np.bincount(tile.cell[:], minlength=tile.n_cells)
            first += tile.n_cells
    return found


def _deviations(values: FloatArray, batch: IntArray, controls: BoolArray) -> FloatArray:
    """How far each cell is above the median of the controls of its batch: (n_cells,)."""
    found = np.empty(len(values))
    for level in np.unique(batch):
        members = batch == level
        own = values[members & controls]
        own = own if len(own) >= FEWEST_CONTROLS else values[controls]
        middle = np.median(own)
        scale = _TO_DEVIATION * np.median(np.abs(own - middle))
        above = values[members] - middle
        found[members] = above / scale if scale > 0 else np.where(above > 0, np.inf, 0.0)
    return found
