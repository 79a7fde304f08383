"""The checked input of the method."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import sparse

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.data.counts import GeneCounts
from argen.data.covariates import CovariateBlock, covariate_lines, encode_covariates
from argen.data.guides import Guides
from argen.errors import InputError, counted, first_few, listed

CONTROL = -1
# Why a perturbed gene has no node, in ``left_out``.
NOT_MEASURED = "not a measured gene"
# From so many on what they share is small by itself, however many cells a perturbation has.
ENOUGH_CONTROLS = 100
# Names that a summary lists of those read as others; the table has them all.
MOST_NAMES_SHOWN = 20


def left_out_table(rows: Sequence[tuple[str, str, int, str]]) -> pd.DataFrame:
    """Return the table of what is not used: kind, name, n_cells, reason."""
    table = pd.DataFrame(list(rows), columns=["kind", "name", "n_cells", "reason"])
    return table.astype({"kind": object, "name": object, "n_cells": np.int64, "reason": object})


def read_as_table(rows: Sequence[tuple[str, str, str, int, str]] = ()) -> pd.DataFrame:
    """Return the table of names that were read as others: kind, name, read_as, n_cells, reason."""
    table = pd.DataFrame(list(rows), columns=["kind", "name", "read_as", "n_cells", "reason"])
    return table.astype({"n_cells": np.int64})


def perturbations_of(node_of_cell: IntArray, n_nodes: int) -> sparse.csc_array:
    """Return the matrix of perturbations of cells with at most one: (n_cells, n_nodes).

    Parameters
    ----------
    node_of_cell
        (n_cells,) the node perturbed in the cell, -1 for control.
    """
    cells = np.flatnonzero(node_of_cell != CONTROL)
    ones = np.ones(len(cells), dtype=np.int8)
    entries, shape = (ones, (cells, node_of_cell[cells])), (len(node_of_cell), n_nodes)
    return _sorted(sparse.csc_array(entries, shape=shape, dtype=np.int8))


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Measured genes that are no targets: response programs are looked for in their counts."""

    genes: tuple[str, ...]  # (n_genes,) display names
    counts: GeneCounts  # (n_cells, n_genes), in tiles of the same cells as those of the targets


@dataclass(frozen=True, eq=False, repr=False)
class PerturbSeqData:
    """Counts, perturbations, library size and covariates of the cells that are used.

    What the analysis does not use is gone already; ``left_out`` says what and why. What all fits
    share, the coded covariates and the offset, is made once, when it is first asked for.
    """

    counts: GeneCounts  # (n_cells, n_genes), raw counts of the genes in use
    genes: tuple[str, ...]  # (n_genes,) display names: the nodes, then the sinks
    n_nodes: int  # genes both perturbed and measured
    n_measured: int  # genes of the input, used or not
    cells: pd.Index  # (n_cells,) identifiers
    perturbations: sparse.csc_array  # (n_cells, n_nodes), int8 ones, sorted; no entry for controls
    library_size: FloatArray  # (n_cells,) positive
    library_size_source: str
    covariates: pd.DataFrame  # (n_cells, n_covariates)
    formula: str | None  # of the covariates; None: every column as it is
    left_out: pd.DataFrame  # kind (cells, counts, target, node, sink), name, n_cells, reason
    source: str  # where the counts come from
    guides: Guides | None = None  # of the same cells; None: unknown
    panel: Panel | None = None  # of genes that are neither nodes nor sinks; None: there is none
    read_as: pd.DataFrame = field(default_factory=read_as_table)  # names read as others, and why

    def __repr__(self) -> str:
        return (
            f"PerturbSeqData({self.n_cells:,} cells, {self.n_nodes:,} nodes, "
            f"{len(self.sinks):,} sinks)"
        )

    @property
    def nodes(self) -> tuple[str, ...]:
        """Display names of the genes of the network: (n_nodes,)."""
        return self.genes[: self.n_nodes]

    @property
    def sinks(self) -> tuple[str, ...]:
        """Display names of the targets that nobody perturbed: (n_genes - n_nodes,)."""
        return self.genes[self.n_nodes :]

    @property
    def n_cells(self) -> int:
        """Number of cells that are used."""
        return len(self.cells)

    @property
    def n_controls(self) -> int:
        """Number of cells without a perturbation."""
        return int(np.count_nonzero(self.controls))

    @property
    def n_perturbed(self) -> IntArray:
        """Cells of each node's perturbation: (n_nodes,)."""
        start = np.asarray(self.perturbations.indptr, dtype=np.int64)
        return start[1:] - start[:-1]

    @property
    def n_genes(self) -> int:
        """Number of targets: nodes and sinks."""
        return len(self.genes)

    @cached_property
    def offset(self) -> FloatArray:
        """Log library size: (n_cells,)."""
        return np.log(self.library_size)

    @cached_property
    def regressors(self) -> CovariateBlock:
        """The covariates, coded.

        Raises InputError when a covariate is constant, or explained by those before it.
        """
        return encode_covariates(self.covariates, self.formula)

    def intercept_and_covariates(
        self, cells: IntArray | BoolArray | slice = slice(None)
    ) -> FloatArray:
        """Return the regressors that every fit has, of some cells: (n_some, 1 + n_columns)."""
        matrix = self.regressors.of_cells(cells)
        return np.column_stack([np.ones(len(matrix)), matrix])

    @cached_property
    def one_per_cell(self) -> bool:
        """Whether no cell carries more than one perturbation."""
        return bool(np.bincount(self.perturbations.indices, minlength=1).max() <= 1)

    @property
    def node_of_cell(self) -> IntArray:
        """The node perturbed in each cell, -1 for control: (n_cells,).

        Raises ValueError when cells carry several perturbations.
        """
        if not self.one_per_cell:
            raise ValueError("Cells carry several perturbations: there is no one node of a cell.")
        nodes = np.full(self.n_cells, CONTROL, dtype=np.int64)
        nodes[self.perturbations.indices] = np.repeat(np.arange(self.n_nodes), self.n_perturbed)
        return nodes

    @property
    def controls(self) -> BoolArray:
        """Cells without a perturbation: (n_cells,)."""
        controls = np.ones(self.n_cells, dtype=bool)
        controls[self.perturbations.indices] = False
        return controls

    def cells_of(self, node: int) -> IntArray:
        """Cells that carry the perturbation of a node, increasing: (n_perturbed,)."""
        start, cells = self.perturbations.indptr, self.perturbations.indices
        return np.asarray(cells[start[node] : start[node + 1]], dtype=np.int64)

    def perturbed(self, node: int) -> BoolArray:
        """Cells that carry the perturbation of a node: (n_cells,)."""
        perturbed = np.zeros(self.n_cells, dtype=bool)
        perturbed[self.cells_of(node)] = True
        return perturbed

    def own_perturbation(self, gene: int) -> FloatArray:
        """Return the indicator of a gene's perturbation: (n_cells, 1); of a sink, (n_cells, 0)."""
        own = [self.perturbed(gene)] if gene < self.n_nodes else []
        return np.array(own, dtype=np.float64).reshape(len(own), self.n_cells).T

    def take(
        self,
        cells: IntArray | None = None,
        genes: IntArray | None = None,
        *,
        n_nodes: int | None = None,
    ) -> PerturbSeqData:
        """Take some of the cells and genes; perturbations of genes that are no nodes are dropped.

        Parameters
        ----------
        cells
            Increasing numbers of cells, some perhaps several times; all when None.
        genes
            Numbers of genes, the nodes first; all when None.
        n_nodes
            How many of ``genes`` are nodes, each of them a node now; those that are when None.
        """
        if genes is None:
            genes = np.arange(self.n_genes)
        if n_nodes is None:
            n_nodes = int(np.sum(genes < self.n_nodes))
        names = tuple(self.genes[k] for k in genes)
        perturbations = self.perturbations[:, genes[:n_nodes]]
        guides = None if self.guides is None else self.guides.of_nodes(genes[:n_nodes])
        if cells is None:
            return replace(
                self,
                counts=self.counts.block(genes),
                genes=names,
                n_nodes=n_nodes,
                perturbations=_sorted(perturbations),
                guides=guides,
            )
        several_times = bool((np.diff(cells) == 0).any())
        names_of_cells = (
            pd.RangeIndex(len(cells)).astype(str) if several_times else self.cells[cells]
        )
        return replace(
            self,
            counts=self.counts.take(cells, genes),
            genes=names,
            n_nodes=n_nodes,
            cells=names_of_cells,
            perturbations=_sorted(sparse.csr_array(perturbations)[cells]),
            library_size=self.library_size[cells],
            covariates=self.covariates.iloc[cells].reset_index(drop=True),
            guides=None if guides is None else guides.take(cells),
            panel=self._panel_of(cells),
        )

    def _panel_of(self, cells: IntArray) -> Panel | None:
        if self.panel is None:
            return None
        counts = self.panel.counts.take(cells, np.arange(self.panel.counts.n_genes))
        return Panel(self.panel.genes, counts)

    def with_counts(self, counts: GeneCounts) -> PerturbSeqData:
        """Return the same screen with counts in another place, or of some of its genes alone.

        It has no panel, for which whoever computes a block has no use.
        """
        other = copy(self)  # with what has been made once
        object.__setattr__(other, "counts", counts)
        object.__setattr__(other, "panel", None)
        return other

    def with_panel_as_sinks(self) -> PerturbSeqData:
        """Return the screen with the genes of the panel after the sinks, as sinks."""
        if self.panel is None:
            return self
        counts, genes = self.counts.beside(self.panel.counts), self.genes + self.panel.genes
        return replace(self, counts=counts, genes=genes, panel=None)

    @cached_property
    def sha256(self) -> str:
        """Checksum of everything the answer depends on, the same for a file and its copy."""
        digest = hashlib.sha256()
        for block in self.counts.by_genes():
            _update(digest, block.to_csc())
        _update(digest, self.perturbations)
        digest.update(np.ascontiguousarray(self.library_size, dtype=np.float64).tobytes())
        digest.update("\0".join((*self.nodes, "", *self.sinks, self.formula or "")).encode())
        digest.update(self.covariates.to_csv(index=False).encode())
        if self.guides is not None:
            self.guides.update(digest)
        if self.panel is not None:
            digest.update("\0".join(("panel", *self.panel.genes)).encode())
            for block in self.panel.counts.by_genes():
                _update(digest, block.to_csc())
        return digest.hexdigest()

    def summary(self) -> str:
        """Return what is used and what is left out, in plain words."""
        lines = [
            f"{counted(self.n_cells, 'cell')}: {self.n_controls:,} control, "
            f"{self.n_cells - self.n_controls:,} perturbed",
            *self._several_perturbations(),
            *self._guides_line(),
            f"{self.n_nodes:,} nodes (perturbed and measured) of {self.n_measured:,} genes; "
            f"{self.n_perturbed.min():,} to {self.n_perturbed.max():,} cells each",
            *(
                [f"{counted(len(self.sinks), 'sink')} (targets that nobody perturbed)"]
                if self.sinks
                else []
            ),
            *self._panel_line(),
            f"library size: {self.library_size_source}",
            *covariate_lines(self.covariates, self.formula),
            *self._read_as_lines(),
            *self._left_out_lines(),
        ]
        return "\n".join(lines)

    def _panel_line(self) -> list[str]:
        if self.panel is None:
            return []
        n_others = counted(len(self.panel.genes), "other gene")
        return [f"{n_others} (response programs are looked for in them)"]

    def _guides_line(self) -> list[str]:
        if self.guides is None:
            return []
        n_own = int((self.guides.node >= 0).sum())
        others = len(self.guides.names) - n_own
        return [f"{counted(n_own, 'guide')} of nodes, {others:,} of controls or others"]

    def _several_perturbations(self) -> list[str]:
        n_carried = np.bincount(self.perturbations.indices, minlength=1)
        n_several = int((n_carried > 1).sum())
        if not n_several:
            return []
        return [f"{n_several:,} cells carry several perturbations, up to {n_carried.max()}"]

    def _read_as_lines(self) -> list[str]:
        lines = []
        for (kind, reason), rows in self.read_as.groupby(["kind", "reason"], sort=False):
            if kind == "guides":
                lines.append(f"{rows['name'].iloc[0]}: {reason}")
                continue
            named = [
                f"{row['name']} ({counted(row['n_cells'], 'cell')})" if kind == "control" else
                f"{row['name']} as {row['read_as']}" for row in rows.to_dict("records")
            ]  # fmt: skip
            lines.append(f"read as {kind} {reason}: {listed(named, MOST_NAMES_SHOWN)}")
        return lines

    def _left_out_lines(self) -> list[str]:
        is_sink = self.left_out["kind"] == "sink"
        lines = [
            f"counts: {row['reason']}"
            if row["kind"] == "counts"
            else f"left out: {row['kind']} {row['name']} ({counted(row['n_cells'], 'cell')}): "
            f"{row['reason']}"
            for row in self.left_out[~is_sink].to_dict("records")
        ]
        for reason, rows in self.left_out[is_sink].groupby("reason"):
            lines.append(
                f"left out: {counted(len(rows), 'sink')} ({first_few(rows['name'])}): {reason}"
            )
        return lines


def _update(digest: hashlib._Hash, matrix: sparse.csc_array) -> None:
    """Add shape and entries of a matrix that is sorted and has no stored zeros."""
    digest.update(np.array(matrix.shape, dtype=np.int64).tobytes())
    for array in (matrix.indptr, matrix.indices, matrix.data):
        digest.update(array.astype(np.int64).tobytes())


def _sorted(perturbations: sparse.sparray) -> sparse.csc_array:
    matrix = sparse.csc_array(perturbations)
    matrix.sort_indices()
    return matrix


def require_screen(data: object) -> None:
    """Refuse anything but what ``read_perturbseq`` returns, and say how to get it."""
    if not isinstance(data, PerturbSeqData):
        raise InputError(
            f"Expected PerturbSeqData, not {type(data).__name__}: read the screen first, with "
            "read_perturbseq(path_or_anndata, ReadOptions(target=..., control=...))."
        )
