"""Counts: which matrix they are, and one pass that keeps those that are used."""

from argen.read.counts.normalised import counts_of_normalised
from argen.read.counts.panel import choose_panel
from argen.read.counts.raw_counts import MOST_DUST, RawCounts, find_matrix
from argen.read.counts.scratch import Kept, TileStore, most_bytes
from argen.read.counts.tiling import Wanted, tile_counts

__all__ = [
    "MOST_DUST",
    "Kept",
    "RawCounts",
    "TileStore",
    "Wanted",
    "choose_panel",
    "counts_of_normalised",
    "find_matrix",
    "most_bytes",
    "tile_counts",
]
