"""Numbers printed by the R code of the method's authors, when a checkout has them beside it.

They are looked for in ``../shared/reference``, seen from the root of the project. Tests that need
them skip, and say so, where they are absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import argen
from argen.engine import ExactEngine, SharedEngine

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
REFERENCE = SHARED / "reference"

# The reference stops its iterations early and adds a ridge of 1e-8, which explains differences
# of this size; an implementation without either agreed to 1.3e-6 and 3.2e-5.
EFFECT_TOLERANCE = 1e-5
STD_ERROR_TOLERANCE = 1e-4  # relative
LOG10_P_TOLERANCE = 1e-3  # relative, or absolute near p = 1


@dataclass(frozen=True)
class Case:
    """One stored run of the reference."""

    name: str
    covariates: tuple[str, ...]
    family: str

    @property
    def folder(self) -> Path:
        """Where the case is stored."""
        return REFERENCE / self.name

    def table(self, name: str) -> pd.DataFrame:
        """Read one of the reference's own results."""
        return pd.read_csv(self.folder / f"{name}.csv")

    @property
    def config(self) -> argen.InferenceConfig:
        """The options that the reference ran with."""
        return argen.InferenceConfig(alpha=0.05, family=self.family, rule="published")

    @cached_property
    def data(self) -> argen.PerturbSeqData:
        """The stored input, read as a user would read it."""
        cells = pd.read_csv(self.folder / "cells.csv.gz")
        cells.index = [f"cell{i}" for i in range(len(cells))]
        counts = pd.read_csv(self.folder / "counts.csv.gz")
        adata = anndata.AnnData(
            X=sparse.csr_matrix(counts.to_numpy(np.float32)),
            obs=cells,
            var=pd.DataFrame(index=counts.columns),
        )
        options = argen.ReadOptions(
            target="target",
            control="non-targeting",
            library_size="depth",
            covariates=self.covariates,
        )
        return argen.read_perturbseq(adata, options)

    def matrix(self, column: str) -> np.ndarray:
        """A column of the reference's screen as a matrix [source, target], NaN on the diagonal."""
        table = self.table("descendants").pivot_table(
            index="source", columns="target", values=column, aggfunc="first"
        )
        nodes = list(self.data.nodes)
        return table.reindex(index=nodes, columns=nodes).to_numpy(dtype=float)

    def flags(self, column: str) -> np.ndarray:
        """A logical column of the reference's screen as a matrix."""
        return np.nan_to_num(self.matrix(column)).astype(bool)


CASES = [
    Case("block8_full", ("L",), "poisson"),
    Case("block8_omitted", ("L",), "poisson"),
    Case("batch20", ("cov1", "batch"), "poisson"),
    Case("nb8", ("cov1",), "nb"),
    Case("papalexi9", ("p_mito", "bio_rep"), "poisson"),
]

needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the reference numbers are not beside this checkout"
)
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_engine = pytest.mark.parametrize(
    "engine", [SharedEngine(), ExactEngine()], ids=["shared", "exact"]
)


def assert_log10_p_close(ours: np.ndarray, p_value: np.ndarray) -> None:
    """Compare log10 p with the reference's p, where that did not underflow."""
    representable = p_value > 0
    theirs = np.log10(p_value[representable])
    np.testing.assert_allclose(
        ours[representable], theirs, rtol=LOG10_P_TOLERANCE, atol=LOG10_P_TOLERANCE
    )
    assert (ours[~representable] < -300).all()
