"""Reading a screen: the boundary where everything is checked once."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from argen.arrays import IntArray
from argen.data import (
    ENOUGH_CONTROLS,
    PerturbSeqData,
    explained_columns,
    is_categorical,
    left_out_table,
    read_as_table,
)
from argen.errors import ArgenWarning, InputError, first_few
from argen.machine import usable_cores
from argen.read.choice import covariate_table, library_size, named_guides, report_dropped
from argen.read.counts import TileStore
from argen.read.formats import open_screen
from argen.read.options import ReadOptions, whole_number
from argen.read.selection import select_from

if TYPE_CHECKING:
    from anndata import AnnData


def read_perturbseq(
    path_or_anndata: str | Path | AnnData, options: ReadOptions, *, threads: int | None = None
) -> PerturbSeqData:
    """Read a Perturb-seq screen and check that the method can use it.

    Parameters
    ----------
    path_or_anndata
        AnnData or MuData, as an object, a file or a zarr store; an ``.h5`` file or a folder of
        Cell Ranger; or a table of counts, beside one of cells. Counts of HDF5 and zarr are
        read once, in blocks.
    options
        Which column says what, which cells and genes to use, and where to keep counts.
    threads
        Threads that read and check blocks, as far as there is memory; when left out, one for each
        core that the process may use. The result does not depend on it.

    Raises
    ------
    InputError
        When the input cannot be used; the message says what to do.

    Warns
    -----
    ArgenWarning
        When genes are dropped because they have too few perturbed cells, or no counts; when there
        are fewer control cells than a perturbation has in the median, and than 100.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=2000)
    >>> adata = argen.simulated_anndata(data, truth)
    >>> options = argen.ReadOptions(
    ...     target="perturbation", control="non-targeting",
    ...     library_size="library_size", covariates=["L"],
    ... )
    >>> len(argen.read_perturbseq(adata, options).nodes)
    8
    """
    if not isinstance(options, ReadOptions):
        raise InputError(
            f"Expected options, ReadOptions(target=..., control=...), not {type(options).__name__}."
        )
    threads = usable_cores() if threads is None else whole_number(threads, "threads", least=1)
    store = TileStore.of(options.memory, options.scratch)
    with open_screen(path_or_anndata, modality=options.modality, obs=options.obs) as opened:
        selected = select_from(opened, options, store, threads)
        report_dropped(selected.nodes.dropped, cells_stay=options.keep_others)
        obs = opened.obs[selected.kept]
        sizes, size_source = library_size(obs, options.library_size, selected.row_sums)
        table, formula = covariate_table(obs, options.covariates)
        guides = selected.guides
        if options.guide is not None:
            guides = named_guides(obs, selected.perturbations, options.guide)
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
        guides=guides,
        read_as=read_as_table(selected.read_as),
        panel=selected.panel,
    )
    _check_regressors(data)
    _report_few_controls(data, strict=options.strict)
    return data


def _report_few_controls(data: PerturbSeqData, *, strict: bool) -> None:
    """Warn where there are fewer control cells than cells of a perturbation, and than 100.

    The variance of a total effect is about ``s (1 / n_perturbed + 1 / n_controls)``. With as many
    controls as perturbed cells, half of it comes from the controls; and this half is the same
    error in the effects of all perturbations on a gene, which then look alike. With five times as
    many, standard errors are within a tenth of those with any number: ``sqrt(1 + 1/5) = 1.095``.
    From 100 on the shared error is small by itself, however many cells a perturbation has:
    ``s = 1 / mean + overdispersion`` is seldom above 2, and the error then below 0.14, where a
    knock-down to a half is a log ratio of 0.69.
    """
    n_typical = int(np.median(data.n_perturbed))
    n_needed = min(n_typical, ENOUGH_CONTROLS)
    # Where cells carry several perturbations, those without one are compared with it.
    if data.n_controls >= n_needed or not data.one_per_cell:
        return
    share = n_typical / (n_typical + data.n_controls)
    few = (
        f"There are {data.n_controls:,} control cells, and {n_typical:,} of a perturbation in the "
        f"median: {share:.0%} of the variance of total effects comes from the controls, the same "
        f"error for all perturbations. At least {n_needed:,} are needed; from {5 * n_typical:,} "
        "on, standard errors are within a tenth of the least. Add control cells"
    )
    if strict:
        raise InputError(f"{few}, or do without strict.")
    warnings.warn(f"{few}, or read such effects with care.", ArgenWarning, stacklevel=3)


def _check_regressors(data: PerturbSeqData) -> None:
    """Refuse covariates that the perturbations, or too few controls, cannot be told from."""
    # Where cells carry several perturbations, all that are without one are compared with it.
    n_compared = data.n_controls if data.one_per_cell else data.n_cells - data.n_perturbed.max()
    compared = "control cells" if data.one_per_cell else "cells without one of the perturbations"
    for name in data.covariates.columns:
        # Before coding: a column of barcodes would become as many columns as cells.
        n_levels = data.covariates[name].nunique()
        if is_categorical(data.covariates[name]) and n_levels >= n_compared:
            raise InputError(
                f"Covariate {str(name)!r} has {n_levels:,} levels for {n_compared:,} {compared}: "
                "expected fewer levels than cells. If it holds numbers, make them numeric."
            )
    block = data.regressors
    n_needed = len(block.names) + 2
    if n_compared < n_needed:
        raise InputError(
            f"There are {n_compared} {compared} for {n_needed} coefficients (intercept, "
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
