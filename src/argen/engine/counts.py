"""Workers that need nothing of a block but the counts of its genes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np

from argen.arrays import IntArray
from argen.data import GeneCounts, PerturbSeqData
from argen.engine.protocol import Fitted


class OnCounts(ABC):
    """A worker whose preparations hold no counts but those of ``data``."""

    data: PerturbSeqData

    @abstractmethod
    def on(self, data: PerturbSeqData) -> Self:
        """Return the same preparations, with the counts of ``data``, which else is the same."""

    @abstractmethod
    def genes_of(self, block: Any) -> IntArray:
        """Genes of a block, as column numbers."""

    def bare(self) -> Self:
        """Return what all blocks share, without counts."""
        return self.unpacked(self.data.counts.only(np.empty(0, dtype=np.int64)))

    def pieces(self, block: Any) -> list[Any]:
        """Return the block in one piece."""
        return [block]

    def packed(self, piece: Any) -> GeneCounts:
        """Return the counts of the genes of a piece."""
        return self.data.counts.only(self.genes_of(piece))

    def unpacked(self, packed: GeneCounts) -> Self:
        """Be ready for the piece that these counts are of."""
        return self.on(self.data.with_counts(packed))

    def completed(self, piece: Any, found: Fitted) -> Fitted:
        """Return what was found, since nothing is left elsewhere."""
        return found
