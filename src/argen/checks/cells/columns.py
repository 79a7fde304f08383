"""Columns of the cells that are not in the screen, in the sequence of its cells."""

from __future__ import annotations

import pandas as pd

from argen.data import PerturbSeqData, is_categorical
from argen.errors import InputError, first_few
from argen.network import CausalNetwork

# Each level is a regressor; more of them say something of single cells.
MOST_LEVELS = 100


def rows_of(table: pd.DataFrame | pd.Series, cells: pd.Index) -> pd.DataFrame:
    """Return the rows of the cells, or say which are missing."""
    if isinstance(table, pd.Series):
        table = table.to_frame()
    if not isinstance(table, pd.DataFrame):
        raise InputError(
            "Expected columns of the cells, such as adata.obs[['lane']], not "
            f"{type(table).__name__!r}."
        )
    repeated = table.index[table.index.duplicated()].intersection(cells)
    absent = cells.difference(table.index)
    if len(repeated) or len(absent):
        raise InputError(
            f"Of the columns to check {len(absent):,} cells have no row (first: "
            f"{first_few(absent) or 'none'}) and {len(repeated):,} have several (first: "
            f"{first_few(repeated) or 'none'}): expected one row a cell, with the identifiers "
            "of the screen as index."
        )
    chosen = table.loc[cells]
    missing = chosen.isna()
    for name in chosen.columns[missing.any()]:
        n_missing = int(missing[name].sum())
        raise InputError(
            f"Column {str(name)!r} to check is missing in {n_missing:,} cells (first: "
            f"{first_few(missing.index[missing[name]])}). Fill it, or leave those cells out with "
            "a cell filter."
        )
    return chosen


def others_of(table: pd.DataFrame | pd.Series, cells: pd.Index) -> pd.DataFrame:
    """Return the rows of the cells of columns that are to be balanced."""
    chosen = rows_of(table, cells)
    for name in chosen.columns:
        n_levels = chosen[name].nunique()
        if is_categorical(chosen[name]) and n_levels > MOST_LEVELS:
            raise InputError(
                f"Column {str(name)!r} to check has {n_levels:,} levels: expected at most "
                f"{MOST_LEVELS}, since the balance of each is tested. Name a column of numbers, or "
                "of groups of cells, such as lanes."
            )
    return chosen


def refuse_others_network(network: CausalNetwork, data: PerturbSeqData) -> None:
    """Say when a network is not of the screen that it is to be checked with."""
    if network.genes != data.genes or network.nodes != data.nodes:
        odd = [gene for gene in network.genes if gene not in data.genes]
        odd += [gene for gene in data.genes if gene not in network.genes]
        raise InputError(
            f"The network has {len(network.nodes):,} nodes and {len(network.sinks):,} sinks, and "
            f"the screen {data.n_nodes:,} and {len(data.sinks):,} (in one of them alone: "
            f"{first_few(odd) or 'none'}): expected the screen that it was inferred from."
        )
    if network.provenance["input_sha256"] != data.sha256:
        raise InputError(
            f"The network was inferred from other data with the same genes: from "
            f"{network.provenance['n_cells']:,} cells of {network.provenance['source']}, and the "
            f"screen has {data.n_cells:,} cells of {data.source}. Counts, perturbations, library "
            "sizes or covariates differ: read the screen as it was read for the network, or infer "
            "the network again."
        )
