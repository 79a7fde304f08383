"""Whatever is in obs and the matrix: an answer, and a proposal that reading takes."""

from __future__ import annotations

import shlex

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import argen
from argen.inspection import names

NAMES = [*names.TARGET, *names.GUIDE, *names.DEPTH, *names.MITO, *names.BATCH, *names.STRATA, "x"]
LABELS = ["STAT1", "JAK2", "NT", "control", "", "none", "A+B", "STAT1+JAK2", "STAT1_1", "JAK2_2",
          "\x1b[0m", "a\nb", "(", "*", "NT-1", "NT-2", "?"]  # fmt: skip


def any_column(rng, n):
    labels = rng.choice(LABELS, rng.integers(1, len(LABELS)), replace=False)
    text = labels[rng.integers(0, len(labels), n)].astype(object)
    gappy = text.copy()
    gappy[rng.random(n) < 0.3] = np.nan
    columns = [
        text, text, text, gappy, pd.Categorical(text), pd.Categorical(gappy),
        pd.array(text, dtype="string"), rng.integers(0, 5, n), rng.normal(size=n),
        rng.random(n), np.where(rng.random(n) < 0.2, np.nan, 1.0), rng.random(n) < 0.5,
        pd.array(rng.integers(0, 4, n), dtype="Int64"), pd.array([pd.NA] * n, dtype="Int64"),
        pd.date_range("2020", periods=n), [[1]] * n, [None] * n, rng.random(n) + 1j,
        pd.Categorical(rng.integers(0, 3, n)), np.full(n, np.inf),
        np.array([1, "a", 2.5] * n, dtype=object)[:n], rng.integers(1, 100, n).astype(float),
    ]  # fmt: skip
    return columns[rng.integers(0, len(columns))]


def any_screen(seed):
    rng = np.random.default_rng(seed)
    n_cells, n_genes = int(rng.choice([0, 1, 3, 60, 60])), int(rng.choice([0, 2, 5, 5]))
    genes = ["STAT1", "JAK2", "A", "B", "STAT1" if rng.random() < 0.1 else "C"][:n_genes]
    counts = rng.poisson(3, (n_cells, n_genes))
    kinds = [counts, counts + 0.5, sparse.csr_matrix(counts), sparse.csc_matrix(counts), None,
             counts.astype(np.float16), counts > 1, counts, counts]  # fmt: skip
    obs = pd.DataFrame(index=[f"c{i}" for i in range(n_cells)])
    for _ in range(rng.integers(0, 7)):
        obs[str(rng.choice(NAMES))] = any_column(rng, n_cells)
    matrix = kinds[rng.integers(0, len(kinds))]
    screen = AnnData(X=matrix, obs=obs, var=pd.DataFrame(index=genes))
    if rng.random() < 0.3:
        screen.layers["counts"] = counts
    if rng.random() < 0.3:
        columns = pd.DataFrame(rng.integers(0, 2, (n_cells, 2)), columns=["STAT1_1", "JAK2_1"])
        screen.obsm["guides"] = columns.set_index(screen.obs_names)
    if rng.random() < 0.2:
        screen.obsm["X_pca"] = rng.normal(size=(n_cells, 2))
    return screen


@pytest.mark.filterwarnings("ignore")
def test_any_table_has_an_answer():
    n_run = 0
    for seed in range(150):
        screen = any_screen(seed)
        found = argen.inspect(screen)
        page = found.summary()
        assert all(character.isprintable() or character == "\n" for character in page)
        shlex.split(found.command().replace("\\\n", ""))
        if found.options is not None:
            assert len(argen.read_perturbseq(screen, found.options).nodes) > 1
            n_run += 1
    assert n_run >= 5
