"""The guides of the cells."""

from __future__ import annotations

import numpy as np

from argen.data import CONTROL, Guides
from argen.errors import InputError, first_few
from argen.read.cells import column_of, in_query
from argen.read.files import OpenAnnData
from argen.read.options import ReadOptions
from argen.read.selection import Selected


def named_guides(opened: OpenAnnData, selected: Selected, options: ReadOptions) -> Guides | None:
    """Return the guides in the column that is named, of the cells that are used."""
    if options.guide is None:
        return None
    labels = column_of(opened.obs[selected.kept], options.guide, "guides")
    carried = selected.perturbations
    n_carried = np.bincount(carried.indices, minlength=carried.shape[0])
    if n_carried.max(initial=0) > 1:
        raise InputError(
            f"guide={options.guide!r} names one guide a cell, but cells carry several "
            "perturbations: expected guides in place of genes in the target."
        )
    node = np.full(carried.shape[0], CONTROL)
    node[carried.indices] = np.repeat(np.arange(carried.shape[1]), np.diff(carried.indptr))
    missing = labels.isna() & (node != CONTROL)
    if missing.any():
        raise InputError(
            f"obs[{options.guide!r}] names no guide in {int(missing.sum()):,} perturbed cells "
            f"(first: {first_few(labels.index[missing])}). Fill it, or leave those cells out with "
            f'a cell filter, such as cells="{in_query(options.guide)}.notna()".'
        )
    text = labels.astype(object).where(labels.notna(), "").astype(str)
    return Guides.of_labels(text.to_numpy(dtype=object), node)
