"""Names of the measured genes, and how labels find them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from argen.data import NOT_MEASURED
from argen.errors import InputError, first_few
from argen.read.choice.cells import column_of
from argen.read.options import ReadOptions
from argen.read.tables import ALIAS_COLUMNS, GENE_COLUMNS, renaming

_CLOSE = "case or version"
_VERSIONED = re.compile(r"(ENS[A-Z]*G\d{11})\.\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GeneNames:
    """Identifiers of the measured genes, and the symbols to show, if there are any."""

    identifiers: pd.Index  # (n_genes,), unique
    symbols: pd.Index | None  # (n_genes,), None where missing
    by_symbol: Mapping[str, list[int]]
    aliases: Mapping[str, str]  # other name -> name of a measured gene
    by_plain_name: Mapping[str, set[int]] | None  # None: names are as they are written

    def find(self, label: str) -> tuple[int | None, str]:
        """Return the column of a label, or None and the reason why it has none."""
        column, reason, _ = self.look_up(label)
        return column, reason

    def look_up(self, label: str) -> tuple[int | None, str, str]:
        """Return also in what the label differs from the name of the gene, if it does."""
        column, reason = self._exactly(label)
        if column is not None:
            return column, "", ""
        known = self.aliases.get(label, label)
        how = "in the table of other names" if known != label else ""
        if how:
            column, reason = self._exactly(known)
        if column is None and self.by_plain_name is not None:
            columns = self.by_plain_name.get(_plain(known), set())
            if len(columns) == 1:
                column, how = next(iter(columns)), f"{how}{', ' if how else ''}but for {_CLOSE}"
            elif columns:
                reason = f"the name of {len(columns)} measured genes, but for {_CLOSE}"
        return (None, reason, "") if column is None else (column, "", how)

    def _exactly(self, name: str) -> tuple[int | None, str]:
        if name in self.identifiers:
            return int(self.identifiers.get_indexer(pd.Index([name]))[0]), ""
        matches = self.by_symbol.get(name, [])
        if len(matches) == 1:
            return matches[0], ""
        shared = f"a symbol that {len(matches)} measured genes share"
        return None, shared if matches else NOT_MEASURED

    def all_names(self) -> list[str]:
        """Return every name by which a gene can be found."""
        symbols = [] if self.symbols is None else [name for name in self.symbols if name]
        return [*self.identifiers, *symbols]

    def display(self, column: int) -> str:
        """Name to show: the symbol when it belongs to this gene alone."""
        if self.symbols is not None:
            symbol = self.symbols[column]
            if symbol is not None and self._exactly(symbol)[0] == column:
                return str(symbol)
        return str(self.identifiers[column])


def gene_names(genes: pd.DataFrame, symbols: str | None, options: ReadOptions) -> GeneNames:
    """Check the gene identifiers and take the symbols from a column of the gene table."""
    identifiers = pd.Index(genes.index.astype(str), dtype=object)
    repeated = identifiers[identifiers.duplicated()].unique()
    if len(repeated):
        raise InputError(
            f"{len(repeated)} gene names occur more than once: {first_few(repeated)}. Make them "
            "unique, for example with adata.var_names_make_unique(), or use Ensembl ids."
        )
    shown, by_symbol = None, dict[str, list[int]]()
    if symbols is not None:
        named = column_of(genes, symbols, "gene symbols", of="var")
        shown = pd.Index([None if pd.isna(s) else str(s) for s in named], dtype=object)
        for column, symbol in enumerate(shown):
            if symbol is not None:
                by_symbol.setdefault(symbol, []).append(column)
    aliases = dict[str, str]()
    if options.aliases is not None:
        aliases = renaming(options.aliases, ALIAS_COLUMNS, GENE_COLUMNS, "aliases")
    by_plain_name: dict[str, set[int]] | None = None
    if options.match_genes == "close":
        by_plain_name = {}
        for names in (identifiers, () if shown is None else shown):
            for column, name in enumerate(names):
                if name is not None:
                    by_plain_name.setdefault(_plain(name), set()).add(column)
    return GeneNames(identifiers, shown, by_symbol, aliases, by_plain_name)


def _plain(name: str) -> str:
    """Return a name without case and, if it is an Ensembl identifier, without version."""
    versioned = _VERSIONED.fullmatch(name)
    return (versioned[1] if versioned else name).casefold()
