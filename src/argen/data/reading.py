"""Reading a screen: the boundary where everything is checked once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from argen.counts import GeneCounts
from argen.covariates import encode_covariates, explained_columns, is_categorical
from argen.data import cells as cell_table
from argen.data.counts import check_raw_counts, find_matrix, take_cells
from argen.data.files import anndata_and_source
from argen.data.nodes import gene_names, select_nodes
from argen.data.options import check_min_cells, check_name, name_list
from argen.errors import InputError, first_few
from argen.perturbseq import PerturbSeqData, left_out_table, perturbations_of

if TYPE_CHECKING:
    from anndata import AnnData


def read_perturbseq(
    path_or_anndata: str | Path | AnnData,
    *,
    target: str,
    control: str | Sequence[str],
    library_size: str | None = None,
    covariates: str | Sequence[str] = (),
    layer: str | None = None,
    cells: str | None = None,
    nodes: Sequence[str] | None = None,
    gene_symbols: str | None = None,
    min_cells: int = 10,
    strict: bool = False,
) -> PerturbSeqData:
    """Read a Perturb-seq screen and check that the method can use it.

    Parameters
    ----------
    path_or_anndata
        An ``.h5ad`` file or an AnnData object, with one perturbation per cell.
    target
        Column of ``obs`` with the perturbed gene of each cell.
    control
        Label, or labels, of the control cells in that column.
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
    gene_symbols
        Column of ``var`` with symbols. They are shown in place of the identifiers, and labels
        may use either.
    min_cells
        Fewest perturbed cells of a node.
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
    ):
        check_name(name, option)
    check_min_cells(min_cells)
    control_labels = name_list(control, "control")
    wanted = None if nodes is None else name_list(nodes, "nodes")
    covariate_names = (
        covariates if isinstance(covariates, str) else name_list(covariates, "covariates")
    )

    adata, source = anndata_and_source(path_or_anndata)
    matrix, gene_table, matrix_name = find_matrix(adata, layer)
    genes = gene_names(gene_table, gene_symbols)

    passed = cell_table.cell_filter(adata.obs, cells)
    obs = adata.obs[passed]
    labels = cell_table.target_labels(obs, target)
    all_labels = adata.obs[target].dropna().astype(str).value_counts().index
    is_control = cell_table.control_cells(labels, control_labels, all_labels)
    counts = take_cells(matrix, passed, matrix_name)
    check_raw_counts(counts, adata, matrix_name, cells=obs.index, genes=genes.identifiers)

    chosen = select_nodes(
        counts,
        labels,
        is_control,
        genes=genes,
        gene_table=gene_table,
        wanted=wanted,
        all_labels=set(all_labels) - set(control_labels),
        min_cells=min_cells,
        strict=strict,
    )
    row_sums = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()[chosen.kept]
    obs = obs[chosen.kept]
    sizes, size_source = cell_table.library_size(obs, library_size, row_sums)
    table, formula = cell_table.covariate_table(obs, covariate_names)

    left_out = chosen.left_out
    if not passed.all():
        n_filtered = int((~passed).sum())
        left_out = [("cells", "filtered", n_filtered, f"not in {cells!r}"), *left_out]
    data = PerturbSeqData(
        counts=GeneCounts.from_matrix(counts[:, chosen.columns].tocsr()[chosen.kept]),
        genes=chosen.names,
        n_nodes=len(chosen.names),
        n_measured=len(genes.identifiers),
        cells=obs.index,
        perturbations=perturbations_of(chosen.node_of_cell, len(chosen.names)),
        library_size=sizes,
        library_size_source=size_source,
        covariates=table.reset_index(drop=True),
        formula=formula,
        left_out=left_out_table(left_out),
        source=source,
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
    groups = data.node_of_cell + 1
    explained = explained_columns(block, groups)
    if explained:
        raise InputError(
            f"Covariate {first_few(block.names[c] for c in explained)} is collinear with the "
            "perturbations: within each perturbation and the controls it does not vary, so its "
            "effect cannot be told from theirs. Leave it out."
        )
