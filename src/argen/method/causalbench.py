"""The interface of models in CausalBench, whose metrics then run on argen.

Source: Chevalley et al. 2022, arXiv 2210.17283; ``AbstractInferenceModel`` of its package.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from argen.arrays import FloatArray
from argen.config import InferenceConfig
from argen.errors import ArgenWarning, InputError
from argen.method.pipeline import infer_network
from argen.read import ReadOptions, counts_of_normalised, read_perturbseq

CONTROL = "non-targeting"


@dataclass(frozen=True)
class CausalBenchModel:
    """Infer a network from what CausalBench gives its models.

    It gives logarithms of normalised counts, from which the counts and the depth of each cell
    are computed back; see ``counts_of_normalised``.

    Parameters
    ----------
    config
        Options of the method.
    """

    config: InferenceConfig = InferenceConfig()

    def __call__(
        self,
        expression_matrix: FloatArray,
        interventions: Sequence[str],
        gene_names: Sequence[str],
        training_regime: Any = None,
        seed: int = 0,
    ) -> list[tuple[str, str]]:
        """Return the edges, (source, target).

        Parameters
        ----------
        expression_matrix
            (n_cells, n_genes): log(1 + counts times a factor of the cell).
        interventions
            (n_cells,): the perturbed gene, "non-targeting", or "excluded", whose cells are not
            used.
        gene_names
            (n_genes,). Those that no cell is perturbed in are targets alone.
        training_regime, seed
            Not used: which genes are perturbed says the first, and the method draws nothing.

        Raises
        ------
        InputError
            When no gene is perturbed, as in the observational regime, or the matrix is none of
            normalised counts.
        """
        from anndata import AnnData

        counts, depth = counts_of_normalised(np.asarray(expression_matrix))
        labels = pd.Series(list(interventions), dtype=str).to_numpy(dtype=object)
        perturbed = sorted(set(labels) & set(gene_names))
        if not perturbed:
            raise InputError(
                "No cell has a perturbed gene: guides are what argen infers causes from. Choose "
                "the interventional or the partially interventional regime."
            )
        used = np.isin(labels, [*perturbed, CONTROL]) & np.isfinite(depth)
        if (empty := int((~np.isfinite(depth)).sum())) > 0:
            warnings.warn(
                f"{empty:,} cells have no count, and no depth: left out.",
                ArgenWarning,
                stacklevel=2,
            )
        cells = pd.DataFrame({"gene": labels[used], "depth": depth[used]})
        cells.index = cells.index.astype(str)
        genes = pd.DataFrame(index=list(gene_names))
        options = ReadOptions(target="gene", control=CONTROL, library_size="depth", sinks="all")
        data = read_perturbseq(AnnData(counts[used], obs=cells, var=genes), options)
        edges = infer_network(data, self.config).edges
        return list(edges[["source", "target"]].itertuples(index=False, name=None))
