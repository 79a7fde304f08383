"""Classes of gene pairs by where they lie on the genome, for ``compare_strength``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from argen.errors import InputError, first_few
from argen.files import reading
from argen.network import CausalNetwork

# What stands in column three of a GTF line that is a gene.
_GENE = "gene"


def read_intervals(path: str | Path) -> pd.DataFrame:
    """Read a BED or narrowPeak file: chromosome, start, end, name, strand ("." when absent).

    Raises
    ------
    InputError
        When the file cannot be read, or has no three columns with numbers in two of them.
    """
    with reading(path, "intervals: chromosome, start and end, with tabs between"):
        table = pd.read_csv(path, sep="\t", header=None, comment="#", dtype={0: str, 3: str})
        found = pd.DataFrame({"chromosome": table[0], "start": table[1].astype(int)})
        found["end"] = table[2].astype(int)
    found["name"] = table.get(3, "")
    found["strand"] = table.get(5, ".")
    return found


def start_sites(path: str | Path) -> pd.DataFrame:
    """Read where each gene starts, from a GTF or BED file: gene, chromosome, site.

    The site is the end on the side where transcription begins; of several lines of a gene the
    first counts.
    """
    if ".gtf" in Path(path).name:
        with reading(path, "a GTF file"):
            table = pd.read_csv(path, sep="\t", header=None, comment="#", dtype={0: str})
            table = table[table[2] == _GENE]
            names = table[8].str.extract(r'gene_name "([^"]*)"')[0]
            lines = pd.DataFrame(
                {"gene": names.fillna(table[8].str.extract(r'gene_id "([^"]*)"')[0])}
            ).assign(chromosome=table[0], start=table[3] - 1, end=table[4], strand=table[6])
    else:
        lines = read_intervals(path).rename(columns={"name": "gene"})
    site = np.where(lines["strand"] == "-", lines["end"], lines["start"])
    found = lines[["gene", "chromosome"]].assign(site=site)
    return found.drop_duplicates("gene").reset_index(drop=True)


def distance_classes(
    network: CausalNetwork, sites: pd.DataFrame, bounds: Sequence[float] = (1e5, 1e6, 1e7)
) -> pd.DataFrame:
    """Return the edges with the distance between start sites as class.

    Classes are "below 1e+05", ..., "1e+07 or more", and "other chromosome"; edges of genes
    without a site have class "unknown".
    """
    pairs = _placed(network, sites)
    distance = (pairs["site_source"] - pairs["site_target"]).abs()
    at = np.searchsorted(bounds, distance, side="right")
    names = [f"below {b:.3g}" for b in bounds] + [f"{bounds[-1]:.3g} or more"]
    other = pairs["chromosome_source"] != pairs["chromosome_target"]
    pairs["class"] = np.where(other, "other chromosome", np.array(names, dtype=object)[at])
    unknown = pairs["site_source"].isna() | pairs["site_target"].isna()
    pairs.loc[unknown, "class"] = "unknown"
    return pairs[["source", "target", "class"]]


def region_classes(
    network: CausalNetwork, sites: pd.DataFrame, regions: pd.DataFrame
) -> pd.DataFrame:
    """Return the edges by the regions of their ends, such as TADs or compartments.

    "same region": one region holds both sites; "different regions": each is in one; "outside":
    one is in none. Regions with names, such as A and B, that more than one region shares are
    compartments: classes are then "A-A", "A-B", "B-B", without direction.
    """
    pairs = _placed(network, sites)
    ends = [_regions_of(pairs, end, regions) for end in ("source", "target")]
    named = regions["name"].astype(str)
    if named.duplicated().any() and (named != "").all():
        labels = np.append(named.to_numpy(dtype=object), "none")
        both = np.sort(np.column_stack([labels[at] for at in ends]).astype(str), axis=1)
        pairs["class"] = [f"{a}-{b}" for a, b in both]
    else:
        same, inside = ends[0] == ends[1], (ends[0] >= 0) & (ends[1] >= 0)
        kinds = np.where(same, "same region", "different regions")
        pairs["class"] = np.where(inside, kinds, "outside")
    return pairs[["source", "target", "class"]]


def shared_peaks(
    network: CausalNetwork, sites: pd.DataFrame, peaks: pd.DataFrame, *, window: int = 1000
) -> pd.DataFrame:
    """Return the edges by peaks at the promoters: "both", "source", "target" or "neither".

    Parameters
    ----------
    peaks
        From ``read_intervals``, of one factor.
    window
        A promoter reaches so far to either side of its site.
    """
    pairs = _placed(network, sites)
    wide = peaks.assign(start=peaks["start"] - window, end=peaks["end"] + window)
    first, second = (_regions_of(pairs, end, wide) >= 0 for end in ("source", "target"))
    kinds = np.array(["neither", "target", "source", "both"], dtype=object)
    pairs["class"] = kinds[2 * first.astype(int) + second]
    return pairs[["source", "target", "class"]]


def _placed(network: CausalNetwork, sites: pd.DataFrame) -> pd.DataFrame:
    """Edges with the chromosome and site of their ends, missing where a gene has none."""
    if missing := {"gene", "chromosome", "site"} - set(sites.columns):
        raise InputError(f"sites lacks the columns {first_few(sorted(missing))}.")
    pairs = network.edges[["source", "target"]]
    for end in ("source", "target"):
        renamed = sites.rename(
            columns={"gene": end, "chromosome": f"chromosome_{end}", "site": f"site_{end}"}
        )
        pairs = pairs.merge(renamed, "left", on=end)
    return pairs


def _regions_of(pairs: pd.DataFrame, end: str, regions: pd.DataFrame) -> np.ndarray:
    """Row of the first region, by start, that holds the site of each pair's end; -1: none."""
    found = np.full(len(pairs), -1)
    places = pairs[[f"chromosome_{end}", f"site_{end}"]].itertuples(index=False, name=None)
    for k, (chromosome, site) in enumerate(places):
        on_it = regions["chromosome"] == chromosome
        held = regions[on_it & (regions["start"] <= site) & (site < regions["end"])]
        if len(held):
            found[k] = regions.index.get_loc(held["start"].idxmin())
    return found
