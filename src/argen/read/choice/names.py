"""Which names of a screen were read as something else than they say, and why."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from argen.read.choice.genes import GeneNames
from argen.read.choice.targets import Carried
from argen.read.options import ReadOptions

# Kind, name, what it was read as, number of cells, and reason.
ReadAs: TypeAlias = tuple[str, str, str, int, str]


def names_read(carried: Carried, options: ReadOptions) -> list[ReadAs]:
    """Return the controls that were found by a pattern or their target, and how guides were."""
    sizes = np.diff(carried.names.indptr).tolist()
    n_cells = dict(zip(carried.name_list, sizes, strict=True))
    found: list[ReadAs] = [
        ("control", name, "control", n_cells.get(name, 0), f"by {entry!r}")
        for name, entry in sorted(carried.meaning.controls.items())
        if name != entry
    ]
    if carried.rule:
        n_called = len(np.unique(carried.names.indices))
        found.append(("guides", options.target, "calls", n_called, carried.rule))
    return found


def genes_read(carried: Carried, genes: GeneNames, options: ReadOptions) -> list[ReadAs]:
    """Return the genes that were found by another name than the measured one."""
    n_cells = dict(zip(carried.labels, np.diff(carried.matrix.indptr).tolist(), strict=True))
    listed = [options.nodes or (), () if options.sinks in (None, "all") else options.sinks or ()]
    found: list[ReadAs] = []
    for name in dict.fromkeys([*carried.labels, *listed[0], *listed[1]]):
        column, _, how = genes.look_up(name)
        if column is not None and how:
            found.append(("gene", name, genes.display(column), n_cells.get(name, 0), how))
    return found
