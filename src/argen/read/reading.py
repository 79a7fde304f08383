"""Reading a screen: the boundary where everything is checked once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from argen.arrays import IntArray
from argen.data import (
    PerturbSeqData,
    encode_covariates,
    explained_columns,
    is_categorical,
    left_out_table,
)
from argen.errors import InputError, first_few
from argen.read import cells as cell_table
from argen.read.files import open_anndata
from argen.read.nodes import report_dropped
from argen.read.options import (
    check_mean,
    check_min_cells,
    check_name,
    check_separator,
    name_list,
    optional_names,
    sink_names,
)
from argen.read.scratch import check_scratch, most_bytes
from argen.read.selection import Selection, Storage, select_from

if TYPE_CHECKING:
    from anndata import AnnData


def read_perturbseq(
    path_or_anndata: str | Path | AnnData,
    *,
    target: str,
    control: str | Sequence[str] = (),
    library_size: str | None = None,
    covariates: str | Sequence[str] = (),
    layer: str | None = None,
    cells: str | None = None,
    nodes: Sequence[str] | None = None,
    sinks: str | Sequence[str] | None = None,
    min_sink_mean: float = 0.0,
    gene_symbols: str | None = None,
    min_cells: int = 10,
    separator: str | None = None,
    target_names: str | Sequence[str] | None = None,
    memory: str | int | None = None,
    scratch: str | Path | None = None,
    strict: bool = False,
) -> PerturbSeqData:
    """Read a Perturb-seq screen and check that the method can use it.

    Parameters
    ----------
    path_or_anndata
        An ``.h5ad`` file, a zarr store of AnnData, or an AnnData object. Counts of a file are
        read once, in blocks.
    target
        Column of ``obs`` with the perturbed gene of each cell, or table of ``obsm`` with a
        column of 0 and 1 for each perturbed gene.
    control
        Label, or labels, of the control cells in that column. In a table, cells without any
        perturbation are the controls, and ``control`` names the columns of guides that target
        nothing, if there are any.
    library_size
        Column of ``obs`` with the depth of each cell; only ratios matter. None: the row sums
        of all measured genes of the matrix, before nodes are chosen.
    covariates
        Columns of ``obs``, numeric or categorical, or a formula that begins with ``~``.
    layer
        ``None`` for ``X``, the name of a layer, or ``"raw"``.
    cells
        Boolean column of ``obs``, or a pandas query on it, for the cells to use.
    nodes
        Genes of the network; None: every gene both perturbed and measured.
    sinks
        Measured genes that are targets without being nodes: ``"all"``, or a list. None: none.
    min_sink_mean
        Fewest counts of a sink, in the mean over the cells that are used.
    gene_symbols
        Column of ``var`` with symbols. They are shown in place of the identifiers, and labels
        may use either.
    min_cells
        Fewest perturbed cells of a node.
    separator
        What joins the genes in the label of a cell with several perturbations, such as ``"+"``.
        A cell that carries anything but nodes and controls is left out. None: labels are whole.
    target_names
        Names of the columns of a table without names: a list, or a key of ``uns``.
    memory
        How much memory the counts may take, such as ``"4 GB"``, or bytes; half of what is free
        when None. Where they need more, they are kept in files.
    scratch
        Folder for these files. They go when the process ends; when a folder is named, those of
        an ``.h5ad`` file or zarr store stay there, and are used again while the file and the
        choice of cells and genes are the same.
    strict
        Make an error of what is otherwise a warning: genes that cannot be nodes.

    Raises
    ------
    InputError
        When the input cannot be used; the message says what to do.

    Warns
    -----
    ArgenWarning
        When genes are dropped because they have too few perturbed cells, or no counts.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=2000)
    >>> adata = argen.simulated_anndata(data, truth)
    >>> data = argen.read_perturbseq(
    ...     adata, target="perturbation", control="non-targeting",
    ...     library_size="library_size", covariates=["L"],
    ... )
    >>> len(data.nodes)
    8
    """
    check_name(target, "target", optional=False)
    for name, option in (
        (library_size, "library_size"),
        (layer, "layer"),
        (cells, "cells"),
        (gene_symbols, "gene_symbols"),
        (separator, "separator"),
    ):
        check_name(name, option)
    check_min_cells(min_cells)
    covariate_names = (
        covariates if isinstance(covariates, str) else name_list(covariates, "covariates")
    )
    selection = Selection(
        target=target,
        control=name_list(control, "control"),
        separator=check_separator(separator),
        target_names=optional_names(target_names, "target_names"),
        layer=layer,
        cells=cells,
        nodes=None if nodes is None else name_list(nodes, "nodes"),
        sinks=sink_names(sinks),
        min_sink_mean=check_mean(min_sink_mean),
        gene_symbols=gene_symbols,
        min_cells=int(min_cells),
        strict=strict,
        storage=Storage(most_bytes(memory), check_scratch(scratch)),
    )
    with open_anndata(path_or_anndata) as opened:
        selected = select_from(opened, selection)
        report_dropped(selected.nodes.dropped)
        obs = opened.obs[selected.kept]
        sizes, size_source = cell_table.library_size(obs, library_size, selected.row_sums)
        table, formula = cell_table.covariate_table(obs, covariate_names)
    data = PerturbSeqData(
        counts=selected.counts,
        genes=selected.genes,
        n_nodes=len(selected.nodes.columns),
        n_measured=selected.n_measured,
        cells=obs.index,
        perturbations=selected.perturbations,
        library_size=sizes,
        library_size_source=size_source,
        covariates=table.reset_index(drop=True),
        formula=formula,
        left_out=left_out_table(selected.left_out),
        source=opened.source,
    )
    _check_regressors(data)
    return data


def _check_regressors(data: PerturbSeqData) -> None:
    """Refuse covariates that the perturbations, or too few controls, cannot be told from."""
    for name in data.covariates.columns:
        # Before coding: a column of barcodes would become as many columns as cells.
        n_levels = data.covariates[name].nunique()
        if is_categorical(data.covariates[name]) and n_levels >= data.n_controls:
            raise InputError(
                f"Covariate {str(name)!r} has {n_levels:,} levels for {data.n_controls:,} control "
                "cells: expected fewer levels than cells. If it holds numbers, make them numeric."
            )
    block = encode_covariates(data.covariates, data.formula)
    n_needed = len(block.names) + 2
    if data.n_controls < n_needed:
        raise InputError(
            f"There are {data.n_controls} control cells for {n_needed} coefficients (intercept, "
            f"perturbation, {n_needed - 2} of covariates): expected more cells than coefficients. "
            "Use fewer covariates or more control cells."
        )
    groups = _groups(data.perturbations)
    explained = explained_columns(block, groups)
    if explained:
        raise InputError(
            f"Covariate {first_few(block.names[c] for c in explained)} is collinear with the "
            "perturbations: within each perturbation and the controls it does not vary, so its "
            "effect cannot be told from theirs. Leave it out."
        )


def _groups(perturbations: sparse.csc_array) -> IntArray:
    """Give cells that carry the same the same number: (n_cells,)."""
    # Sums of random numbers tell the sets that occur, but for a chance of some 2^-40.
    codes = np.random.default_rng(0).integers(2**62, size=perturbations.shape[1], dtype=np.uint64)
    _, groups = np.unique(perturbations.astype(np.uint64) @ codes, return_inverse=True)
    return np.asarray(groups, dtype=np.int64).ravel()
