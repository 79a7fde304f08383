"""Which guides cells carry, and which perturbation each guide brings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from argen.arrays import BoolArray, IntArray

# Between the guides of a cell that carries several, in its label.
JOINT = "+"


@dataclass(frozen=True, slots=True, eq=False)
class Guides:
    """Guides of a screen, by cell: a gene is perturbed by several, and a cell may carry several."""

    names: tuple[str, ...]  # (n_guides,)
    node: IntArray  # (n_guides,) node that each targets; -1 of guides of controls or of others
    carried: sparse.csc_array  # (n_cells, n_guides), int8 ones, sorted

    @classmethod
    def of_labels(cls, labels: Sequence[str] | NDArray[Any], node_of_cell: IntArray) -> Guides:
        """Make them from one label a cell, "" where none is known, and the node of each cell.

        A label that occurs with several nodes is a guide for each of them.
        """
        text = np.asarray(labels, dtype=object)
        has_one = np.flatnonzero(text != "")
        pairs = pd.MultiIndex.from_arrays([node_of_cell[has_one], text[has_one]])
        code, known = pd.factorize(pairs, sort=True)
        shape = (len(text), len(known))
        ones = np.ones(len(has_one), dtype=np.int8)
        carried = sparse.csc_array((ones, (has_one, code)), shape=shape, dtype=np.int8)
        carried.sort_indices()
        node = np.array([pair[0] for pair in known], dtype=np.int64)
        return cls(tuple(str(pair[1]) for pair in known), node, carried)

    @property
    def n_cells(self) -> IntArray:
        """Cells of each guide: (n_guides,)."""
        start = np.asarray(self.carried.indptr, dtype=np.int64)
        return start[1:] - start[:-1]

    @property
    def one_per_cell(self) -> bool:
        """Whether no cell carries more than one guide."""
        return bool(np.bincount(self.carried.indices, minlength=1).max() <= 1)

    def cells_of(self, guide: int) -> IntArray:
        """Cells that carry a guide, increasing: (n_cells of the guide,)."""
        start, cells = self.carried.indptr, self.carried.indices
        return np.asarray(cells[start[guide] : start[guide + 1]], dtype=np.int64)

    def labels(self) -> NDArray[np.object_]:
        """Return the guide of each cell, "" where none is known: (n_cells,).

        That of a cell with several is the list of them, joined by "+", so that cells with the
        same label carry the same. Guides of controls count in cells without others alone.
        """
        labels = np.full(self.carried.shape[0], "", dtype=object)
        targeting = self._lists(self.node >= 0)
        for cells, names in (self._lists(self.node < 0), targeting):
            labels[cells] = names
        return labels

    def _lists(self, guides: BoolArray) -> tuple[IntArray, NDArray[np.object_]]:
        """Return the cells that carry some of these guides, and which, as text."""
        numbers = np.flatnonzero(guides)
        by_cell = sparse.csr_array(self.carried[:, numbers])
        by_cell.sort_indices()
        n_carried = np.diff(by_cell.indptr)
        cells = np.flatnonzero(n_carried)
        names = np.array(self.names, dtype=object)[numbers]
        found = names[by_cell.indices[by_cell.indptr[cells]]] if len(cells) else names[:0]
        for place in np.flatnonzero(n_carried[cells] > 1).tolist():
            begin, end = by_cell.indptr[cells[place] : cells[place] + 2]
            found[place] = JOINT.join(names[by_cell.indices[begin:end]])
        return cells, found

    def take(self, cells: IntArray) -> Guides:
        """Take some of the cells, some perhaps several times."""
        carried = sparse.csc_array(sparse.csr_array(self.carried)[cells])
        carried.sort_indices()
        return Guides(self.names, self.node, carried)

    def of_nodes(self, nodes: IntArray) -> Guides:
        """Give nodes new numbers; guides of those that are left out are those of others.

        Parameters
        ----------
        nodes
            Former numbers of the nodes.
        """
        place = np.full(max([*self.node.tolist(), *nodes.tolist(), -1]) + 2, -1)
        place[nodes] = np.arange(len(nodes))
        return Guides(self.names, place[self.node], self.carried)

    def update(self, digest: hashlib._Hash) -> None:
        """Add everything to a checksum."""
        digest.update("\0".join(("guides", *self.names)).encode())
        for array in (self.node, self.carried.indptr, self.carried.indices):
            digest.update(array.astype(np.int64).tobytes())
