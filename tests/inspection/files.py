"""Small files in the shape of public conventions, made by code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

GENES = ("STAT1", "STAT2", "JAK2", "IRF9", "MYC", "ACTB", "GAPDH", "KLF1", "BAK1", "NKX2-1")
TARGETS = ("STAT1", "STAT2", "JAK2", "KLF1")  # of which all are measured
ENSEMBL = tuple(f"ENSG{number:011d}" for number in range(1, 1 + len(GENES)))
N_CELLS = 400


def screen(labels: Sequence[str], *, ensembl: bool = False, seed: int = 1) -> AnnData:
    """Give cells labels in turn, in a random sequence, and counts; the labels are in obs["_"]."""
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(np.resize(np.array(labels, dtype=object), N_CELLS))
    depth = rng.uniform(0.5, 2.0, (N_CELLS, 1))
    counts = rng.poisson(3.0 * depth, (N_CELLS, len(GENES))).astype(np.float32)
    names, others = (ENSEMBL, GENES) if ensembl else (GENES, ENSEMBL)
    var = pd.DataFrame({"other": list(others)}, index=list(names))
    obs = pd.DataFrame({"_": drawn}, index=[f"cell{k}" for k in range(N_CELLS)])
    return AnnData(X=sparse.csr_matrix(counts), obs=obs, var=var)


def with_obs(adata: AnnData, **columns: Any) -> AnnData:
    """Put columns into obs in place of the labels, which a function of them may make."""
    labels = adata.obs["_"]
    made = {
        name.replace("__", "."): labels.map(value).to_numpy()
        if callable(value) or isinstance(value, Mapping)
        else value
        for name, value in columns.items()
    }
    adata.obs = pd.DataFrame(made, index=adata.obs.index)
    return adata


def sums(adata: AnnData) -> np.ndarray:
    """Sums of the counts of each cell."""
    return np.asarray(adata.X.sum(axis=1)).ravel()


def groups(n_groups: int, name: str = "{}", seed: int = 2) -> list[Any]:
    """Give cells a group at random; numbers where the name is one."""
    drawn = np.random.default_rng(seed).integers(1, n_groups + 1, N_CELLS)
    return [name.format(k) if name != "{}" else int(k) for k in drawn]


def shares(seed: int = 3) -> np.ndarray:
    """Shares of mitochondrial counts."""
    return np.random.default_rng(seed).uniform(0.01, 0.2, N_CELLS)


def scperturb() -> AnnData:
    """As Peidli et al. 2024 harmonise: perturbation, nperts, ncounts, percent_mito."""
    adata = screen(["control", *TARGETS, "BAK1_KLF1", "KLF1_MYC"])
    depth = sums(adata)
    return with_obs(
        adata, perturbation=str, nperts=lambda x: 0 if x == "control" else 1 + x.count("_"),
        ncounts=depth, ngenes=10, percent_mito=100 * shares(), percent_ribo=20.0,
        guide_id=lambda x: f"{x}_guide", gemgroup=groups(3), tissue_type="cell_line",
    )  # fmt: skip


def mixscape() -> AnnData:
    """As pertpy and Seurat leave it: gene_target, perturbation, mixscape_class."""
    adata = screen(["NT", "NT", *TARGETS, "IFNGR1"])
    rng = np.random.default_rng(5)
    escaped = rng.random(N_CELLS) < 0.4
    labels = adata.obs["_"].to_numpy()
    classes = [
        "NT" if label == "NT" else f"{label} {'NP' if np_ else 'KO'}"
        for label, np_ in zip(labels, escaped, strict=True)
    ]
    guides = [f"{label}g{k}" for label, k in zip(labels, groups(4), strict=True)]
    return with_obs(
        adata, orig__ident=groups(2, "Lane{}"), nCount_RNA=sums(adata), nFeature_RNA=10,
        percent__mito=100 * shares(), guide_ID=guides, gene_target=str,
        perturbation=lambda x: "NT" if x == "NT" else "Perturbed", replicate=groups(3, "rep{}"),
        Phase=groups(3, "phase{}"), mixscape_class=classes,
        mixscape_class_global=[name.split()[-1] for name in classes],
    )  # fmt: skip


def replogle() -> AnnData:
    """As on Figshare: gene, gene_id, gene_transcript, sgID_AB, gem_group, UMI_count."""
    adata = screen(["non-targeting", "non-targeting", *TARGETS], ensembl=True)
    adata.var = adata.var.rename(columns={"other": "gene_name"})
    ids = dict(zip(GENES, ENSEMBL, strict=True))
    labels, which = adata.obs["_"].to_numpy(), groups(2)
    pairs = [
        f"non-targeting_{k:05d}|non-targeting_{k + 7:05d}" if label == "non-targeting"
        else f"{label}_+_{k}4087918.23-P1P2|{label}_-_{k}4087674.23-P1P2"
        for label, k in zip(labels, which, strict=True)
    ]  # fmt: skip
    return with_obs(
        adata, gem_group=groups(4), gene=str,
        gene_id=lambda x: ids.get(x, "non-targeting"),
        transcript=lambda x: "non-targeting" if x == "non-targeting" else "P1P2",
        gene_transcript=lambda x: f"{len(x)}_{x}_P1P2_{ids.get(x, 'non-targeting')}",
        sgID_AB=pairs, mitopercent=shares(), UMI_count=sums(adata) * 1.1 + 5,
        z_gemgroup_UMI=0.3, core_scale_factor=1.1, core_adjusted_UMI_count=sums(adata) * 0.9,
    )  # fmt: skip


def norman() -> AnnData:
    """As in GSE133344: guide_identity of two guides, each twice."""
    names = ["NegCtrl10_NegCtrl0", "NegCtrl11_NegCtrl0", "STAT1_NegCtrl0", "NegCtrl0_JAK2"]
    names += ["KLF1_BAK1", "STAT2_NegCtrl0"]
    adata = screen([f"{name}__{name}" for name in names])
    return with_obs(
        adata, guide_identity=str, read_count=1000, UMI_count=sums(adata), coverage=14.5,
        gemgroup=groups(8), good_coverage=[True] * 390 + [False] * 10, number_of_cells=1,
    )  # fmt: skip


def norman_in_pertpy() -> AnnData:
    """As pertpy hands it out: names of the perturbations beside lists of the guides."""
    adata = norman()
    pairs = [label.split("__")[0].split("_") for label in adata.obs["guide_identity"]]
    genes = [[name for name in pair if not name.startswith("NegCtrl")] for pair in pairs]
    adata.obs["guide_ids"] = [",".join(names) for names in genes]
    adata.obs["perturbation_name"] = ["+".join(names) or "control" for names in genes]
    adata.obs["perturbation_type"] = "genetic"
    return adata


def causalbench() -> AnnData:
    """As CausalBench keeps it: normalised, interventions by Ensembl, others "excluded"."""
    adata = screen(["non-targeting", "excluded", *ENSEMBL[:4]], ensembl=True)
    adata = with_obs(adata, interventions=str)
    adata.X = np.log1p(adata.X.toarray() / sums(adata)[:, None] * 100)
    return adata


def virtual_cell_challenge() -> AnnData:
    """As Arc's training data: target_gene, guide_id, batch."""
    adata = screen(["non-targeting", "non-targeting", *TARGETS])
    adata.var = adata.var.rename(columns={"other": "gene_id"})
    labels = adata.obs["_"].to_numpy()
    guides = [f"{name}_P1P2_{'AB'[k - 1]}" for name, k in zip(labels, groups(2), strict=True)]
    return with_obs(adata, target_gene=str, guide_id=guides, batch=groups(5, "Flex_1_{:02d}"))


def cellxgene() -> AnnData:
    """As schema 7: genetic_perturbation_id in obs, roles in uns, counts in raw."""
    ids = ["STAT1-1", "STAT1-2", "JAK2-1", "KLF1-1", "CTRL-1", "CTRL-2", "JAK2-1 || KLF1-1"]
    adata = screen(ids, ensembl=True)
    adata.var = adata.var.rename(columns={"other": "feature_name"})
    adata.raw = adata.copy()
    adata = with_obs(
        adata, genetic_perturbation_id=str,
        genetic_perturbation_strategy=lambda x: (
            "control" if x.startswith("CTRL") else "CRISPR interference screen"
        ),
        donor_id=groups(3, "donor{}"), assay="10x 3' v3",
    )  # fmt: skip
    adata.X = adata.X.log1p()
    adata.uns["genetic_perturbations"] = {
        name: {"role": "control" if name.startswith("CTRL") else "targeting"} for name in ids[:-1]
    }
    return adata


def gears() -> AnnData:
    """As GEARS wants it: condition, with ctrl beside single perturbations."""
    adata = screen(["ctrl", "ctrl", "STAT1+ctrl", "ctrl+JAK2", "KLF1+BAK1", "STAT2+ctrl"])
    adata.var = adata.var.rename(columns={"other": "ensembl"})
    adata.var["gene_name"] = adata.var_names
    adata.layers["counts"] = adata.X.copy()
    adata = with_obs(
        adata, condition=str, cell_type="K562", dose_val="1+1", control=lambda x: int(x == "ctrl"),
    )  # fmt: skip
    adata.X = adata.X.log1p()
    return adata


def cropseq() -> AnnData:
    """Labels of guides alone, as from CROP-seq: several guides of a gene, many controls."""
    labels = [f"{name}_{k}" for name in (*TARGETS, "TP53") for k in (1, 2)]
    adata = screen([*(f"NTC_{k}" for k in range(1, 6)), *labels])
    return with_obs(
        adata, barcode=[f"AAACCC{k}-1" for k in range(N_CELLS)], sgRNA=str, n_umi=sums(adata),
        lane=groups(2, "L{}"), pct_counts_mt=100 * shares(),
    )  # fmt: skip


def dixit() -> AnnData:
    """Labels as in Dixit et al. 2016 and Adamson et al. 2016."""
    labels = [f"p_sg{name}_{k}" for name in TARGETS for k in (3, 4)]
    adata = screen([*labels, "p_INTERGENIC393453", "p_INTERGENIC1216445"])
    return with_obs(adata, guide=str, batch=groups(2, "run{}"))


def high_moi() -> AnnData:
    """A table of 0 and 1 in obsm, with its names in uns, and labels that join."""
    names = ["STAT1_TSS", "JAK2_TSS", "KLF1_TSS", "chr1.11_top_two", "non-targeting"]
    adata = screen(names)
    rng = np.random.default_rng(8)
    carried = rng.random((N_CELLS, len(names))) < 0.2
    adata.obsm["grna_target_indicator"] = sparse.csr_matrix(carried.astype(np.int8))
    adata.uns["grna_target_names"] = np.array(names, dtype=object)
    labels = ["+".join(np.array(names)[row]) or "none_recorded" for row in carried]
    return with_obs(
        adata, perturbation=labels, total_umi=sums(adata), grna_umi=90, batch=groups(2, "prep_{}")
    )
