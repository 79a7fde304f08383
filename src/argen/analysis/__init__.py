"""What a network means: modules, centrality, layers, enrichment, parts of it."""

from argen.analysis.enrichment import Enrichment, enrichment, read_gmt
from argen.analysis.graph import centrality_table, degree_table, hubs, layers, modules, subnetwork

__all__ = [
    "Enrichment",
    "centrality_table",
    "degree_table",
    "enrichment",
    "hubs",
    "layers",
    "modules",
    "read_gmt",
    "subnetwork",
]
