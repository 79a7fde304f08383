"""The guides of the cells that are used."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from argen.arrays import BoolArray
from argen.data import CONTROL, Guides
from argen.errors import InputError, first_few
from argen.read.choice.cells import column_of, in_query
from argen.read.choice.targets import Carried


def carried_guides(carried: Carried, nodes: list[str], used: BoolArray) -> Guides | None:
    """Return the guides that the target names, of those that some cell carries; else None.

    Parameters
    ----------
    nodes
        Labels of the nodes.
    used
        (n_cells,) of those that passed the filter.
    """
    if not carried.meaning.are_guides:
        return None
    of_used = sparse.csc_array(carried.names[np.flatnonzero(used)])
    kept = np.flatnonzero(np.diff(of_used.indptr))
    names = [str(name) for name in carried.name_list[kept]]
    place = {label: number for number, label in enumerate(nodes)}
    node = [place.get(carried.meaning.target.get(name, ""), CONTROL) for name in names]
    order = np.lexsort((np.arange(len(names)), np.array(node, dtype=np.int64)))
    matrix = sparse.csc_array(of_used[:, kept[order]])
    matrix.sort_indices()
    ordered = tuple(names[k] for k in order.tolist())
    return Guides(ordered, np.array(node, dtype=np.int64)[order], matrix)


def named_guides(obs: pd.DataFrame, carried: sparse.csc_array, guide: str) -> Guides:
    """Return the guides in the column that is named.

    Parameters
    ----------
    obs
        Table of the cells that are used.
    carried
        (n_cells, n_nodes) their perturbations.
    """
    labels = column_of(obs, guide, "guides")
    n_carried = np.bincount(carried.indices, minlength=carried.shape[0])
    if n_carried.max(initial=0) > 1:
        raise InputError(
            f"guide={guide!r} names one guide a cell, but cells carry several perturbations: "
            "expected guides in place of genes in the target."
        )
    node = np.full(carried.shape[0], CONTROL)
    node[carried.indices] = np.repeat(np.arange(carried.shape[1]), np.diff(carried.indptr))
    missing = labels.isna() & (node != CONTROL)
    if missing.any():
        raise InputError(
            f"obs[{guide!r}] names no guide in {int(missing.sum()):,} perturbed cells (first: "
            f"{first_few(labels.index[missing])}). Fill it, or leave those cells out with a cell "
            f'filter, such as cells="{in_query(guide)}.notna()".'
        )
    text = labels.astype(object).where(labels.notna(), "").astype(str)
    return Guides.of_labels(text.to_numpy(dtype=object), node)
