"""The names that public files and tools give to columns, and the conventions known by them.

Names are compared without their case and signs. Each list goes from the most telling to the
least; what a column holds decides, and a name only which of several is meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from argen.read import OpenAnnData

# Replogle 2022, Virtual Cell Challenge, pertpy, GEARS, IGVF, Mixscape, CELLxGENE, CausalBench...
TARGET = (
    "perturbation", "target_gene", "gene_target", "target", "perturbed_gene", "gene", "condition",
    "perturbation_name", "target_gene_name", "intended_target_name", "perturbations", "gene_symbol",
    "target_genes", "targets", "guide_target", "guide_identity_target", "knockout", "knockdown",
    "pert", "perturbation_id", "target_name", "gene_name", "interventions", "intervention",
    "gene_id", "target_gene_id", "guide_identity", "guide_ids", "genetic_perturbation_id",
    "mixscape_class",
)  # fmt: skip
GUIDE = (
    "guide", "guide_id", "guide_identity", "guide_ids", "sgid_ab", "sgrna", "sgrna_id", "grna",
    "grna_id", "guide_rna", "sgid", "guide_name", "sgrna_name", "feature_call", "protospacer",
    "guides", "sgrnas", "crispr_guide", "genetic_perturbation_id",
)  # fmt: skip
DEPTH = (
    "total_umi", "total_counts", "n_counts", "ncounts", "ncount_rna", "umi_count", "umi_counts",
    "library_size", "n_umi", "numi", "total_umis", "n_umis", "total_umi_count", "sum_umi",
    "nr_umis", "totalumi", "response_n_umis", "num_umis", "total_rna_counts", "total_rna_umis",
    "total_gene_umis", "raw_sum", "core_adjusted_umi_count",
)  # fmt: skip
MITO = (
    "p_mito", "percent_mito", "pct_counts_mt", "mitopercent", "percent_mt", "pct_counts_mito",
    "pct_mito", "pct_mt", "mito_percent", "mito_frac", "mt_frac", "percent_mitochondrial",
    "mito_fraction", "fraction_mito", "frac_mito", "mt_fraction", "percentmito", "response_p_mito",
    "mt_percent", "mitochondrial_percent",
)  # fmt: skip
BATCH = (
    "batch", "gem_group", "gemgroup", "lane", "lane_id", "gem_well", "bio_rep", "replicate", "rep",
    "biological_replicate", "library", "library_id", "channel", "plate", "run", "prep_batch",
    "batch_var", "batch_id", "sample", "sample_id", "orig_ident", "donor", "donor_id", "pool",
    "experiment", "hto_maxid", "multi_id", "sample_name", "gem",
)  # fmt: skip
# Columns over which one network is an average.
STRATA = (
    "cell_line", "cell_type", "celltype", "treatment", "stimulation", "timepoint", "time_point",
    "time", "tissue", "species", "organism", "culture_condition", "experimental_condition",
    "cellline", "dose", "genotype", "time_hours",
)  # fmt: skip
# What a column of True and False says of a cell that should not be used, or should.
BAD_CELLS = re.compile(r"doublet|multiplet|multi_?guide|outlier|low_?quality|fail|excluded|ambig")
GOOD_CELLS = re.compile(r"singlet|confident|good|pass|keep|single|high_?quality|is_valid")
# A count of these is no depth, nor is a score of one.
SAYS_GUIDE = re.compile(r"guide|grna|sgid|protospacer")
NO_DEPTH = re.compile(
    r"^(?:core|z|log|log1p|adjusted)_|guide|grna|adt|hto|protospacer|cas9|prot|panel|mito|ribo|gene|feature"
)


def plain(name: str) -> str:
    """Return a name without case, and with one sign between words."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def rank(name: str, known: tuple[str, ...]) -> int | None:
    """Return the place of a name in a list, or None."""
    wanted = plain(name)
    return known.index(wanted) if wanted in known else None


@dataclass(frozen=True, slots=True)
class Convention:
    """A convention that files follow, and what it is recognised by."""

    name: str
    evidence: str


def conventions(opened: OpenAnnData) -> tuple[Convention, ...]:
    """Name the conventions that a file follows."""
    columns = {plain(str(name)) for name in opened.obs.columns}
    genes = {plain(str(name)) for name in opened.var.columns}
    tables = {plain(str(name)) for name in opened.obsm}
    found = []
    for name, evidence, follows in _CONVENTIONS:
        if follows(columns, genes, tables):
            found.append(Convention(name, evidence))
    return tuple(found)


def _has(*names: str) -> Callable[..., bool]:
    return lambda columns, genes, tables: set(names) <= columns


def _is_norman(columns: Collection[str], *_: Collection[str]) -> bool:
    return "guide_identity" in columns and "gemgroup" in columns


def _is_cell_ranger(columns: Collection[str], genes: Collection[str], _: Collection[str]) -> bool:
    return "feature_types" in genes and "gene_ids" in genes


def _has_guide_capture(
    columns: Collection[str], genes: Collection[str], tables: Collection[str]
) -> bool:
    return "guides" in tables and "symbol" in genes


def _is_igvf(_: Collection[str], __: Collection[str], tables: Collection[str]) -> bool:
    return any(name.endswith("guide_assignment") for name in tables)


def _is_gears(columns: Collection[str], genes: Collection[str], _: Collection[str]) -> bool:
    return "condition" in columns and (
        "gene_name" in genes or bool({"condition_name", "dose_val", "control"} & set(columns))
    )


_CONVENTIONS: tuple[tuple[str, str, Callable[..., bool]], ...] = (
    ("Virtual Cell Challenge", "obs target_gene, guide_id, batch",
     _has("target_gene", "guide_id", "batch")),
    ("Replogle 2022", "obs sgID_AB, gem_group", _has("sgid_ab", "gem_group")),
    ("Norman 2019", "obs guide_identity, gemgroup", _is_norman),
    ("scPerturb", "obs perturbation, nperts", _has("perturbation", "nperts")),
    ("Mixscape", "obs mixscape_class", _has("mixscape_class")),
    ("pertpy", "obs gene_target, perturbation", _has("gene_target", "perturbation")),
    ("Seurat", "obs orig.ident, nCount_RNA", _has("orig_ident", "ncount_rna")),
    ("GEARS", "obs condition, var gene_name", _is_gears),
    ("CELLxGENE", "obs genetic_perturbation_id", _has("genetic_perturbation_id")),
    ("CausalBench", "obs interventions", _has("interventions")),
    ("Cell Ranger", "var gene_ids, feature_types", _is_cell_ranger),
    ("Cell Ranger", "CRISPR Guide Capture", _has_guide_capture),
    ("IGVF", "layer guide_assignment of the guides", _is_igvf),
)  # fmt: skip
