"""What a network means: graph, enrichment, evidence, and how near it is to a truth."""

from argen.analysis.enrichment import (
    Enrichment,
    enrichment,
    program_enrichment,
    program_genes,
    read_gmt,
)
from argen.analysis.evaluate import MEDIAN_CHI2, Evaluation, evaluate
from argen.analysis.evidence import compare, compare_strength, ranking, read_pairs
from argen.analysis.graph import centrality_table, degree_table, hubs, layers, modules, subnetwork

__all__ = [
    "MEDIAN_CHI2",
    "Enrichment",
    "Evaluation",
    "centrality_table",
    "compare",
    "compare_strength",
    "degree_table",
    "enrichment",
    "evaluate",
    "hubs",
    "layers",
    "modules",
    "program_enrichment",
    "program_genes",
    "ranking",
    "read_gmt",
    "read_pairs",
    "subnetwork",
]
