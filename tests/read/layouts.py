"""One small experiment in the layouts that pipelines write."""

from __future__ import annotations

import gzip
import warnings
from contextlib import contextmanager

import h5py
import mudata
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import io, sparse

GUIDES = [f"{gene}-{k}" for gene in ("STAT1", "STAT2", "JAK2", "IRF1", "NT") for k in (1, 2)]
N_CELLS = 500


def screen_parts():
    """Counts of genes and guides, features, and cells, as an experiment has them."""
    rng = np.random.default_rng(11)
    symbols = ["STAT1", "STAT2", "JAK2", "MYC", "ACTB", "TWIN", "TWIN", "GAPDH"]
    genes = pd.DataFrame(
        {"symbol": symbols}, index=[f"ENSG{k:011}" for k in range(1, len(symbols) + 1)]
    )
    guide_of_cell = rng.integers(0, len(GUIDES), N_CELLS)
    counts = rng.poisson(4.0, (N_CELLS, len(genes)))
    for gene in range(3):
        is_hit = guide_of_cell // 2 == gene
        counts[is_hit, gene] = rng.binomial(counts[is_hit, gene], 0.2)
    guide_counts = rng.binomial(1, 0.1, (N_CELLS, len(GUIDES)))
    guide_counts[np.arange(N_CELLS), guide_of_cell] = rng.integers(5, 90, N_CELLS)
    guide_counts[:30] = 0  # in these no guide was seen
    cells = pd.DataFrame(
        {"p_mito": rng.uniform(0, 0.2, N_CELLS).round(6)},
        index=["".join(rng.choice(list("ACGT"), 16)) + "-1" for _ in range(N_CELLS)],
    )
    target = [g.rpartition("-")[0].replace("NT", "Non-Targeting") for g in GUIDES]
    guides = pd.DataFrame({"target_gene_name": target}, index=GUIDES)
    return counts, genes, guide_counts, guides, cells


def called(parts) -> np.ndarray:
    """The guide called in each cell, by name; "" without one."""
    counts = parts[2]
    return np.where(counts.max(axis=1) >= 5, np.array(GUIDES)[counts.argmax(axis=1)], "")


@contextmanager
def quiet():
    """Writers warn of what their next versions will do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def mudata_of(parts, names=("rna", "guide")):
    counts, genes, guide_counts, guides, cells = parts
    gex = AnnData(X=sparse.csr_matrix(counts.astype(np.float32)), obs=cells.copy(), var=genes)
    shuffled = np.random.default_rng(1).permutation(N_CELLS)  # modalities have their own sequence
    guide = AnnData(
        X=sparse.csr_matrix(guide_counts[shuffled].astype(np.float32)),
        obs=pd.DataFrame(index=cells.index[shuffled]),
        var=guides.rename(columns={"target_gene_name": "intended_target_name"}),
    )
    guide.layers["guide_assignment"] = sparse.csr_matrix((guide_counts[shuffled] >= 5) * 1.0)
    tags = pd.DataFrame(index=["CD4", "CD8"])
    protein = AnnData(X=np.ones((N_CELLS, 2)), obs=cells[[]].copy(), var=tags)
    with quiet():
        return mudata.MuData({names[1]: guide, names[0]: gex, "prot": protein})


def write_cell_ranger(folder, parts, *, guides=True):
    """Write ``outs`` by the schema that 10x documents for Cell Ranger 7: matrices and CRISPR."""
    counts, genes, guide_counts, reference, cells = parts
    ids, names = list(genes.index), list(genes["symbol"])
    types, matrix = ["Gene Expression"] * len(ids), counts
    if guides:
        ids, names = ids + GUIDES, names + GUIDES
        types += ["CRISPR Guide Capture"] * len(GUIDES)
        matrix = np.hstack([counts, guide_counts])
    stored = sparse.csc_matrix(matrix.T)  # features by barcodes
    folder.mkdir()
    text = h5py.string_dtype("ascii")
    with h5py.File(folder / "filtered_feature_bc_matrix.h5", "w") as file:
        file.attrs["filetype"] = "matrix"
        group = file.create_group("matrix")
        group["barcodes"] = np.array(list(cells.index), dtype="S18")
        for name, values in (
            ("data", stored.data.astype(np.int32)),
            ("indices", stored.indices.astype(np.int64)),
            ("indptr", stored.indptr.astype(np.int64)),
        ):
            group.create_dataset(name, data=values, chunks=(500,), compression="gzip", shuffle=True)
        group["shape"] = np.array(stored.shape, dtype=np.int32)
        features = group.create_group("features")
        features["_all_tag_keys"] = np.array(["genome"], dtype="S6")
        for name, values in (("id", ids), ("name", names), ("feature_type", types)):
            features.create_dataset(name, data=values, dtype=text)
        features.create_dataset("genome", data=["GRCh38"] * len(ids), dtype=text)
    mex = folder / "filtered_feature_bc_matrix"
    mex.mkdir()
    io.mmwrite(mex / "matrix.mtx", stored.tocoo(), field="integer")
    table = pd.DataFrame([ids, names, types]).T
    table.to_csv(mex / "features.tsv", sep="\t", index=False, header=False)
    (mex / "barcodes.tsv").write_text("\n".join(cells.index) + "\n")
    for path in list(mex.iterdir()):
        with gzip.open(f"{path}.gz", "wb") as file:
            file.write(path.read_bytes())
        path.unlink()
    if guides:
        analysis = folder / "crispr_analysis"
        analysis.mkdir()
        calls = [
            (cell, 1, guide, counts.max())
            for cell, guide, counts in zip(cells.index, called(parts), guide_counts, strict=True)
            if guide
        ]
        pd.DataFrame(
            calls, columns=["cell_barcode", "num_features", "feature_call", "num_umis"]
        ).to_csv(analysis / "protospacer_calls_per_cell.csv", index=False)
        reference.assign(
            name=reference.index, read="R2", pattern="(BC)", sequence="ACGT",
            feature_type="CRISPR Guide Capture", target_gene_id="",
        ).rename_axis("id").to_csv(analysis / "feature_reference.csv")  # fmt: skip
    return folder
