"""Published screens, read as a user would read them."""

from pathlib import Path

import anndata
import numpy as np
import pytest

import argen

SCREENS = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def screen_path(name):
    path = SCREENS / name
    if not path.exists():
        pytest.skip(f"{name} is not distributed with argen; it is looked for beside the checkout")
    return path


def test_papalexi_2021(read):
    data = read(
        screen_path("papalexi2021_thp1_eccite.h5ad"),
        library_size="total_umi",
        covariates=["p_mito", "bio_rep"],
        cells="confident_single",
    )
    assert data.n_cells == 7318
    assert data.n_controls == 1923
    assert set(data.nodes) == {
        "IFNGR2", "JAK2", "STAT1", "STAT2", "STAT3", "NFKBIA", "CMTM6", "TNFRSF14", "UBE2L6",
    }  # fmt: skip
    assert data.counts.shape == (7318, 9)
    assert data.n_measured == 299
    left_out = data.left_out[data.left_out["kind"] == "target"]
    assert len(left_out) == 16
    assert {"IFNGR1", "IRF1"} <= set(left_out["name"])
    assert set(left_out["reason"]) == {"not a measured gene"}
    assert data.left_out["n_cells"].sum() + data.n_cells == 20729


def test_papalexi_2021_in_other_words(read):
    path = screen_path("papalexi2021_thp1_eccite.h5ad")
    named = read(path, covariates=["p_mito", "bio_rep"], cells="confident_single")
    queried = read(path, covariates=["p_mito", "bio_rep"], cells="confident_single == True")
    assert queried.sha256 == named.sha256
    written = read(path, covariates="~ p_mito + C(bio_rep)", cells="confident_single")
    assert written.covariates.equals(named.covariates)


def test_guides_of_papalexi_2021_are_no_covariate(read):
    with pytest.raises(argen.InputError, match=r"'guide\[.* is collinear with the perturbations"):
        read(screen_path("papalexi2021_thp1_eccite.h5ad"), covariates=["p_mito", "guide"])


def test_hill_2018_has_genes_without_counts(read):
    options = {"library_size": "total_umi", "covariates": ["p_mito"]}
    path = screen_path("hill2018_mcf10a_cropseq.h5ad")
    words = r"'CDKN2A \(110 cells, no count in any cell that is used\)', 'PTPRD \(101 cells"
    with pytest.warns(argen.ArgenWarning, match=words):
        data = read(path, **options)
    assert len(data.nodes) == 25
    assert data.n_controls == 383
    assert set(data.left_out["name"]) == {"MLL2", "MLL3", "CDKN2A", "PTPRD"}
    with pytest.raises(argen.InputError, match=words):
        read(path, strict=True, **options)


def test_dixit_2016_has_cells_without_counts(read):
    path = screen_path("dixit2016_bmdc_24tf.h5ad")
    words = r"missing or infinite in \d+ cells .* such as cells=\"total_umi > 0\"\.$"
    with pytest.raises(argen.InputError, match=words):
        read(path, library_size="total_umi", cells="~likely_multi_guide")
    data = read(path, library_size="total_umi", cells="~likely_multi_guide and total_umi > 0")
    assert len(data.nodes) == 8
    assert (data.library_size > 0).all()
    assert np.all(data.n_perturbed >= 10)


def test_gasperini_2019_has_several_perturbations_in_a_cell(read):
    words = (
        r"none is\. Measured: 'ENSG.*333 labels, such as 'CITED2_TSS\+COX4I1_TSS', join several "
        r"perturbations: name what joins them, separator='\+'\. The labels look like those of "
        r"guides, as 'CITED2_TSS' of CITED2: say .* guide_pattern='\^\(\?P<target>.*TSS"
    )
    with pytest.raises(argen.InputError, match=words):
        read(
            screen_path("gasperini2019_k562_highmoi.h5ad"),
            control="none_recorded",
            gene_symbols="symbol",
            library_size="total_umi",
        )


def test_gasperini_2019_with_labels_that_are_symbols(read):
    import anndata

    screen = anndata.read_h5ad(screen_path("gasperini2019_k562_highmoi.h5ad"))
    labels = screen.obs["perturbation"].astype(str).str.removesuffix("_TSS")
    screen.obs["perturbation"] = labels
    data = read(
        screen,
        control="none_recorded",
        gene_symbols="symbol",
        library_size="total_umi",
        covariates=["p_mito", "batch"],
    )
    assert "CITED2" in data.nodes
    assert data.left_out["reason"].str.startswith("several perturbations, joined by '+'").any()


def test_gasperini_2019_with_its_table_of_indicators(read):
    """The ten targets by promoter are genes; the others, in 3,500 cells, are enhancers."""
    path = screen_path("gasperini2019_k562_highmoi.h5ad")
    names = [str(n).removesuffix("_TSS") for n in anndata.read_h5ad(path).uns["grna_target_names"]]
    options = {"target_names": names, "gene_symbols": "symbol", "library_size": "total_umi"}
    data = read(path, target="grna_target_indicator", **options)
    assert len(data.nodes) == 10
    assert not data.one_per_cell
    assert data.n_controls == 32_364 + 2047
    assert "cells carry several perturbations" in data.summary()
    assert set(data.left_out["kind"]) == {"target"}
