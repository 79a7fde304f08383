"""What a file is decides how it is read; what it lacks is said."""

from __future__ import annotations

import gzip

import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import io, sparse

import argen
from tests.read.layouts import quiet, screen_parts, write_cell_ranger


@pytest.fixture
def outs(parts, tmp_path):
    return write_cell_ranger(tmp_path / "outs", parts)


@pytest.fixture(scope="module")
def parts():
    return screen_parts()


def opened(given, **options):
    options = {"target": "guides", "control": "Non-Targeting"} | options
    return argen.read_perturbseq(given, argen.ReadOptions(**options))


def fails(words, given, **options):
    with pytest.raises(argen.InputError, match=words):
        opened(given, **options)


def mudata_of(screen, names):
    with quiet():
        return mudata.MuData({name: screen.copy() for name in names})


def test_which_modality_has_the_genes(screen):
    two = mudata_of(screen, ["guide", "prot"])
    fails(r"'MuData object' is MuData with modalities 'guide', 'prot': name the one with", two)
    fails(r"There is no modality 'gude' in .*Did you mean 'guide'\? Modal", two, modality="gude")
    fails(r"modality='rna' is for MuData, which the screen is not", screen, modality="rna")
    labels = {"target": "perturbation", "control": "non-targeting"}
    named = opened(two, modality="prot", **labels)
    for names in (["Gene-Expression", "adt"], ["GEX", "gdo"], ["anything"]):
        assert opened(mudata_of(screen, names), **labels).sha256 == named.sha256


def test_columns_of_the_cells_that_mudata_has_beside_the_modalities(screen):
    labels = screen.obs.pop("perturbation")
    both = mudata_of(screen, ["rna", "prot"])
    both.obs["perturbation"] = labels
    data = opened(both, target="perturbation", control="non-targeting")
    assert data.nodes == ("STAT1", "STAT2", "JAK2")


def test_cells_whose_guides_are_not_known(screen):
    guides = AnnData(
        X=np.ones((290, 3)), obs=screen.obs[["lane"]][10:], var=pd.DataFrame(index=list("abc"))
    )
    with quiet():
        both = mudata.MuData({"rna": screen, "guide": guides})
    words = r"10 cells of the genes \(first: 'cell0', 'cell1', .*are not in 'guide': what guides"
    fails(words, both, target="guide")


def test_files_of_cell_ranger_that_lack_something(outs):
    path = outs / "filtered_feature_bc_matrix.h5"
    with h5py.File(path, "a") as file:
        del file["matrix/barcodes"]
    fails(r"has the group 'matrix' but not barcodes in it: expected a feature-barcode matrix", path)


def test_files_of_cell_ranger_of_other_sizes(outs, parts):
    path = outs / "filtered_feature_bc_matrix.h5"
    with h5py.File(path, "a") as file:
        cells = file["matrix/barcodes"][:-3]
        del file["matrix/barcodes"]
        file["matrix/barcodes"] = cells
    fails(r"matrix of 18 features and 500 cells, and names 18 and 497\. The file is", path)
    with h5py.File(path, "a") as file:
        del file["matrix/barcodes"]
        file["matrix/barcodes"] = np.array(["A-1"] * 500, dtype="S3")
    fails(r"has several cells called 'A-1': expected different barcodes", path)


def test_files_of_cell_ranger_without_genes(outs):
    path = outs / "filtered_feature_bc_matrix.h5"
    with h5py.File(path, "a") as file:
        file["matrix/features/feature_type"][:] = "Antibody Capture"
    fails(r"has features of type 'Antibody Capture': expected some of 'Gene Expression'", path)


def test_truncated_files_of_cell_ranger(outs):
    path = outs / "filtered_feature_bc_matrix.h5"
    content = path.read_bytes()
    for length in np.linspace(9, len(content) - 1, 40, dtype=int):
        path.write_bytes(content[:length])
        fails(r"cannot be read", path)


def test_matrix_market_without_names(tmp_path):
    path = tmp_path / "counts"
    io.mmwrite(path, sparse.coo_matrix(np.eye(3)), field="integer", symmetry="general")
    path = tmp_path / "counts.mtx" if not path.exists() else path
    fails(r"is a matrix without names: expected features\.tsv or genes\.tsv, perhaps", path)
    (tmp_path / "genes.tsv").write_text("a\tA\nb\tB\n")
    fails(r"is a matrix without names: expected barcodes\.tsv", path)
    (tmp_path / "barcodes.tsv").write_text("c\nd\n")
    fails(r"has 3 rows and 3 columns, but the files beside it name 2 features and 2 cells", path)


@pytest.mark.parametrize("cut", [0.2, 0.6, 0.95])
def test_truncated_matrix_market(outs, cut):
    folder = outs / "filtered_feature_bc_matrix"
    content = (folder / "matrix.mtx.gz").read_bytes()
    (folder / "matrix.mtx.gz").write_bytes(content[: int(cut * len(content))])
    fails(r"cannot be read \(.*expected Matrix Market", folder)
    text = gzip.decompress(content)
    (folder / "matrix.mtx.gz").write_bytes(gzip.compress(text[: int(cut * len(text))]))
    fails(r"cannot be read \(.*expected Matrix Market", folder)


def test_tables_of_counts_that_cannot_be_used(tmp_path):
    counts, cells = tmp_path / "counts.csv", tmp_path / "cells.csv"
    counts.write_text("cell,A,B\nc1,1,2\nc2,3,4\n")
    fails("is a table: if it has counts, name the table of their cells as obs", counts)
    cells.write_text("cell,guides\nx1,A\nx2,B\n")
    fails("names none of the cells of .*, neither in rows nor in columns", counts, obs=cells)
    cells.write_text("cell,guides\nc1,A\nc1,B\n")
    fails(r"has several rows for 'c1': expected one row for each", counts, obs=cells)
    cells.write_text("cell,guides\nc1,A\nc2,Non-Targeting\n")
    counts.write_text("cell,A,B\nc1,1,x\nc2,3,4\n")
    fails(r"has columns that are no numbers: 'B'\. Expected counts alone", counts, obs=cells)


def test_a_table_of_other_cells(screen, tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text("cell,guides\nx1,A\n")
    fails(
        r"names none of the cells: its first column begins with 'x1', the cells with",
        screen,
        obs=path,
    )
    fails(r"There is no file .*absent.: expected a table of obs", screen, obs=tmp_path / "absent")
