"""Whether groups of genes hold more of known gene sets than chance would put there."""

from __future__ import annotations

import gzip
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from argen.errors import InputError, first_few
from argen.files import reading
from argen.network import CausalNetwork
from argen.pvalues import adjust

# A program moves a gene whose loading is so many errors from 0, and a part of all genes at most.
SURE_LOADING, MOST_MOVED = 3.0, 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Enrichment:
    """Tests of groups against gene sets, and the sets that could not be tested."""

    table: pd.DataFrame
    """group, gene_set, n_both, n_group, n_set, n_universe, odds_ratio, p_value, p_adjusted (over
    all tests), genes (of both, with spaces between); the smallest p first."""
    left_out: pd.DataFrame
    """gene_set and n_set: sets with fewer genes in the universe than asked for."""


def read_gmt(path: str | Path) -> dict[str, list[str]]:
    """Read gene sets from a GMT file, plain or gzipped: name, description, genes, by tabs.

    Raises
    ------
    InputError
        When the file cannot be read, or a line has no gene.
    """
    path = Path(path)
    with reading(path, "gene sets, a GMT file in UTF-8, plain or gzipped"):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = content.decode("utf-8-sig")
    # Nothing else ends a line: in names there may be what text.splitlines() takes for an end.
    rows = (line.removesuffix("\r") for line in text.split("\n"))
    lines = [row.split("\t") for row in rows if row.strip()]
    short = [number for number, parts in enumerate(lines, start=1) if len(parts) < 3]
    if short or not lines:
        raise InputError(
            f"{str(path)!r} is no GMT file: expected name, description and genes with tabs "
            f"between; {len(short)} of {len(lines)} lines have no gene (first: "
            f"{first_few(short) or 'none'})."
        )
    sets: dict[str, list[str]] = {}
    for name, _, *genes in lines:
        sets[name] = [*sets.get(name, []), *filter(None, genes)]
    return sets


def enrichment(
    groups: Mapping[str, Collection[str]],
    gene_sets: Mapping[str, Collection[str]],
    *,
    universe: Collection[str],
    smallest: int = 2,
) -> Enrichment:
    """Test each group of genes for each gene set, by Fisher's exact test, one-sided.

    Parameters
    ----------
    groups
        Genes of each group, such as those of a module or the children of a hub.
    gene_sets
        From ``read_gmt``; only genes of the universe count.
    universe
        The genes that could have been in a group: those of the network, not of the genome.
    smallest
        Sets with fewer genes of the universe are not tested.

    Raises
    ------
    InputError
        When a group has a gene that is not in the universe.
    """
    known = set(universe)
    for name, genes in groups.items():
        if outside := [gene for gene in genes if gene not in known]:
            raise InputError(
                f"Group {name!r} has {len(outside)} genes that are not in the universe (first: "
                f"{first_few(outside)}): give all genes that were tested."
            )
    from scipy.stats import hypergeom

    within = {name: known & set(genes) for name, genes in gene_sets.items()}
    sizes = pd.DataFrame({"gene_set": list(within), "n_set": [len(g) for g in within.values()]})
    rows, n = [], len(known)
    for group, genes in groups.items():
        members = set(genes)
        for name, of_set in within.items():
            if len(of_set) < smallest:
                continue
            both = members & of_set
            a, b, c = len(both), len(members) - len(both), len(of_set) - len(both)
            d = n - a - b - c
            odds_ratio = np.inf if b * c == 0 and a * d > 0 else np.nan
            if b * c > 0:
                odds_ratio = a * d / (b * c)
            p_value = float(hypergeom.sf(a - 1, n, len(of_set), len(members)))
            shown = " ".join(sorted(both))
            rows.append((group, name, a, len(members), len(of_set), n, odds_ratio, p_value, shown))
    columns = ["group", "gene_set", "n_both", "n_group", "n_set", "n_universe", "odds_ratio"]
    table = pd.DataFrame(rows, columns=[*columns, "p_value", "genes"])
    p_values = table["p_value"].to_numpy(dtype=np.float64)
    table.insert(8, "p_adjusted", adjust(p_values, "bh") if len(table) else p_values)
    return Enrichment(
        table.sort_values("p_value", kind="stable", ignore_index=True),
        sizes[sizes["n_set"] < smallest].reset_index(drop=True),
    )


def program_genes(network: CausalNetwork) -> dict[str, list[str]]:
    """Return the genes that each response program moves most, those raised and lowered apart.

    Of the genes whose loading is more than three errors from 0, those with the largest loadings,
    a tenth of all genes at most. Raised are those with a positive loading: perturbations with a
    positive score raise them, and those with a negative one lower them.
    """
    groups: dict[str, list[str]] = {}
    if network.programs is None:
        return groups
    most = int(MOST_MOVED * len(network.genes))
    for number, table in network.programs.loadings_frame().groupby("program"):
        moved = table[table["z"].abs() > SURE_LOADING].head(most)
        for side, rows in (("up", moved["loading"] > 0.0), ("down", moved["loading"] < 0.0)):
            if rows.any():
                groups[f"program {number} {side}"] = list(moved.loc[rows, "gene"])
    return groups


def program_enrichment(
    network: CausalNetwork, gene_sets: Mapping[str, Collection[str]], *, smallest: int = 2
) -> Enrichment:
    """Test the genes that each response program moves most for each gene set.

    What a program is can be read from it: gene sets of stress, growth or interferon speak for a
    response, the targets of one regulator for the network itself. The universe is all genes of
    the network. See ``program_genes`` and ``enrichment``.
    """
    groups = program_genes(network)
    return enrichment(groups, gene_sets, universe=network.genes, smallest=smallest)
