"""A small screen, and the reader with its options filled in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import argen

GENES = ["STAT1", "STAT2", "JAK2", "MYC", "ACTB", "GAPDH"]
# 300 cells: IRF1 is perturbed but not measured; MYC, ACTB and GAPDH measured, not perturbed.
CELLS_OF_LABEL = {"non-targeting": 100, "STAT1": 60, "STAT2": 60, "JAK2": 50, "IRF1": 30}


def small_screen() -> AnnData:
    rng = np.random.default_rng(20)
    labels = rng.permutation(np.repeat(list(CELLS_OF_LABEL), list(CELLS_OF_LABEL.values())))
    n_cells = len(labels)
    obs = pd.DataFrame(
        {
            "perturbation": labels,
            "total_umi": rng.integers(50, 100, n_cells),
            "p_mito": rng.uniform(0.01, 0.2, n_cells),
            "lane": rng.choice(["L1", "L2", "L3"], n_cells),
            "cycling": rng.random(n_cells) < 0.4,
            "confident": rng.random(n_cells) < 0.9,
        },
        index=[f"cell{i}" for i in range(n_cells)],
    )
    counts = rng.poisson(3.0, (n_cells, len(GENES))).astype(np.float32)
    return AnnData(X=sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=GENES))


@pytest.fixture
def screen() -> AnnData:
    return small_screen()


@pytest.fixture(scope="session")
def shared_screen() -> AnnData:
    return small_screen()


@pytest.fixture
def read() -> Callable[..., argen.PerturbSeqData]:
    def read(given, **options):
        labels = {"target": "perturbation", "control": "non-targeting"}
        return argen.read_perturbseq(given, argen.ReadOptions(**(labels | options)))

    return read
