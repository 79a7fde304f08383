"""Simulated screens laid out as a user's file would be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from argen.arrays import FloatArray, IntArray
from argen.data import PerturbSeqData
from argen.files import writing_file
from argen.simulate.model import ScreenModel
from argen.simulate.profile import ScreenProfile
from argen.simulate.screen import cell_names, guide_labels, planned
from argen.simulate.truth import Truth

if TYPE_CHECKING:
    import h5py
    from anndata import AnnData

CONTROL_LABEL = "non-targeting"
# Entries of a matrix whose places have numbers of 32 bits.
LARGEST_SHORT = 2**31 - 1


def simulated_anndata(data: PerturbSeqData, truth: Truth) -> AnnData:
    """Lay out a simulated screen as a user's file would be.

    ``obs`` has ``perturbation``, ``library_size`` and the covariates; the control label is
    ``non-targeting``; where a node has several guides, ``guide`` says which a cell carries;
    ``uns["truth"]`` is the table of true direct effects.
    """
    from anndata import AnnData

    covariates = data.covariates.set_axis(data.cells.astype(str), axis=0)
    guides = None if data.guides is None else data.guides.labels()
    return AnnData(
        X=sparse.csr_matrix(data.counts.to_csc()),
        obs=_labelled(covariates, data.nodes, data.node_of_cell, data.library_size, guides),
        var=pd.DataFrame(index=list(data.genes)),
        uns={"truth": truth.to_frame()},
    )


def write_screen(
    path: str | Path,
    model: ScreenModel | None = None,
    *,
    rng: np.random.Generator | int,
    direct: Any = None,
    profile: ScreenProfile | None = None,
) -> Truth:
    """Write the screen of ``simulate_screen`` as an ``.h5ad`` file, one block of cells at a time.

    The file is laid out as by ``simulated_anndata``, and has the same counts for the same seed.
    Memory holds one block, and what is known of each cell, however large the screen is.

    Returns
    -------
    Truth
        The true network, which ``uns["truth"]`` of the file has as a table too.
    """
    import h5py
    from anndata import AnnData

    plan = planned(model, rng, direct, profile)
    cells, truth = plan.cells, plan.truth
    covariates = cells.covariates.set_axis(cell_names(plan), axis=0)
    nothing = sparse.csr_matrix((len(covariates), len(truth.genes)), dtype=np.float32)
    screen = AnnData(
        X=nothing,
        obs=_labelled(
            covariates, truth.nodes, cells.node_of_cell, plan.library_size, guide_labels(plan)
        ),
        var=pd.DataFrame(index=list(truth.genes)),
        uns={"truth": truth.to_frame()},
    )
    with writing_file(path) as beside:
        screen.write_h5ad(beside)
        with h5py.File(beside, "r+") as file:
            fill_rows(file["X"], (plan.block(number) for number in range(plan.n_blocks)))
    return truth


def fill_rows(matrix: h5py.Group, blocks: Iterable[sparse.csr_array]) -> int:
    """Put blocks of rows into the empty compressed matrix of a file; returns their entries.

    Both arrays of places get one type, as readers expect: that of large matrices only if need be.
    """
    for name, dtype in (("data", np.float32), ("indices", np.int32)):
        del matrix[name]
        matrix.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(2**20,))
    starts = [np.zeros(1, dtype=np.int64)]
    for block in blocks:
        n_before = starts[-1][-1]
        for name, values in (("data", block.data), ("indices", block.indices)):
            matrix[name].resize((n_before + block.nnz,))
            matrix[name][n_before:] = values
        starts.append(n_before + block.indptr[1:].astype(np.int64))
    del matrix["indptr"]
    n_entries = int(starts[-1][-1])
    fits = n_entries <= LARGEST_SHORT
    matrix["indptr"] = np.concatenate(starts).astype(np.int32 if fits else np.int64)
    if not fits:
        _widen(matrix, "indices")
    return n_entries


def _widen(matrix: h5py.Group, name: str) -> None:
    """Give an array of a file 64 bits a number, part by part."""
    narrow, part = matrix[name], 2**20
    wide = matrix.create_dataset(
        f"{name}_wide", narrow.shape, np.int64, maxshape=(None,), chunks=narrow.chunks
    )
    for begin in range(0, len(narrow), part):
        wide[begin : begin + part] = narrow[begin : begin + part]
    del matrix[name]
    matrix.move(f"{name}_wide", name)


def _labelled(
    covariates: pd.DataFrame,
    nodes: tuple[str, ...],
    node_of_cell: IntArray,
    library_size: FloatArray,
    guides: NDArray[np.object_] | None,
) -> pd.DataFrame:
    """Add perturbation, library size and, where they are known, guides to the covariates."""
    labels = np.array([*nodes, CONTROL_LABEL], dtype=object)[node_of_cell]
    obs = covariates.assign(perturbation=pd.Categorical(labels), library_size=library_size)
    return obs if guides is None else obs.assign(guide=pd.Categorical(guides))
