"""Single columns of a screen, beside what is read of it."""

from __future__ import annotations

import pandas as pd

from argen.read.choice import carried_perturbations, cell_filter, column_of
from argen.read.formats import open_screen
from argen.read.options import ReadOptions


def read_columns(given: object, names: list[str], options: ReadOptions) -> pd.DataFrame:
    """Return columns of ``obs`` of all cells, with the identifiers of the cells as index."""
    with open_screen(given, modality=options.modality, obs=options.obs) as opened:
        found = {name: column_of(opened.obs, name, "check") for name in names}
        return pd.DataFrame(found, index=opened.obs.index)


def read_labels(given: object, options: ReadOptions) -> pd.Series:
    """Return what the cells that pass the filter carry, in words, by their identifiers."""
    with open_screen(given, modality=options.modality, obs=options.obs) as opened:
        passed = cell_filter(opened.obs, options.cells)
        carried = carried_perturbations(opened, passed, options)
        return pd.Series(carried.in_words(), index=opened.obs.index[passed], dtype=object)


def read_gene_column(
    given: object, options: ReadOptions, name: str
) -> tuple[list[pd.Index], pd.Series]:
    """Return a column of the genes as text, and their names: identifiers, and symbols if any.

    Genes are those of the matrix that the options name; "" where the column has nothing.
    """
    with open_screen(given, modality=options.modality, obs=options.obs) as opened:
        genes = opened.raw[1] if options.layer == "raw" and opened.raw else opened.var
        values = column_of(genes, name, "choice of genes", of="var")
        names = [pd.Index(genes.index.astype(str))]
        shown = options.gene_symbols
        if shown is None and opened.symbols in genes.columns:
            shown = opened.symbols
        if shown is not None:
            symbols = column_of(genes, shown, "gene symbols", of="var")
            names.append(pd.Index(symbols.astype(object).where(symbols.notna(), "").astype(str)))
        return names, values.astype(object).where(values.notna(), "").astype(str)
