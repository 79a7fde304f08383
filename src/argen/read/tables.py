"""Tables of names beside a screen: which gene a guide targets, other names of genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from argen.errors import InputError, first_few
from argen.files import reading

# Columns by the names that are met, the first that is there; Cell Ranger's feature reference and
# IGVF's guide table among them.
GUIDE_COLUMNS = ("guide", "guide_id", "grna_id", "grna", "sgrna_id", "sgrna", "guide_name", "id")
TARGET_COLUMNS = (
    "target", "intended_target_name", "target_gene_name", "target_gene", "grna_target", "gene",
    "gene_name", "gene_symbol", "target_gene_id", "gene_id",
)  # fmt: skip
ALIAS_COLUMNS = ("alias", "old", "previous", "previous_symbol", "alias_symbol", "from")
GENE_COLUMNS = ("gene", "new", "symbol", "gene_symbol", "approved_symbol", "to")

_PARQUET = b"PAR1"


def renaming(
    given: str | Path | Mapping[str, str] | tuple[tuple[str, str], ...],
    names: Sequence[str],
    meanings: Sequence[str],
    option: str,
) -> dict[str, str]:
    """Return name -> meaning, from pairs or a file with a column of each."""
    if isinstance(given, str | Path):
        table = read_table(Path(given), option)
        columns = [column_among(table, known) for known in (names, meanings)]
        if None in columns or columns[0] == columns[1]:
            raise InputError(
                f"{option} {str(given)!r} has the columns {first_few(table.columns, 10)}: expected "
                f"{names[0]} and {meanings[0]}."
            )
        pairs = list(table[columns].itertuples(index=False, name=None))
    else:
        pairs = list(given.items() if isinstance(given, Mapping) else given)
    empty = [name for name, meaning in pairs if not meaning]
    if empty:
        raise InputError(
            f"{option} says nothing for {first_few(empty)}: expected the {meanings[0]} of each."
        )
    found: dict[str, str] = {}
    twice = [name for name, meaning in pairs if found.setdefault(name, meaning) != meaning]
    if twice:
        raise InputError(
            f"{option} says two things for {first_few(dict.fromkeys(twice))}: expected one "
            f"{meanings[0]} of each."
        )
    return found


def column_among(table: pd.DataFrame, known: Sequence[str]) -> str | None:
    """Return the first column with one of some names, whatever their case."""
    by_name = {str(column).strip().lower(): column for column in reversed(table.columns)}
    return next((by_name[name] for name in known if name in by_name), None)


def is_parquet(path: Path) -> bool:
    """Whether a file begins like Parquet."""
    with path.open("rb") as file:
        return file.read(len(_PARQUET)) == _PARQUET


def read_table(path: Path, option: str, *, text: bool = True) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet table; names such as NA are text.

    Parameters
    ----------
    option
        What the table is, for messages.
    text
        Whether everything is text; else the first column is, and the others what they look like.
    """
    with reading(path, f"a table of {option}: CSV or TSV in UTF-8, or Parquet"):
        if is_parquet(path):
            table = _parquet(path)
            return table.astype(object).fillna("").astype(str) if text else table
        how: dict[str, Any] = {"low_memory": False, "dtype": {0: str}}
        if text:
            how = {"dtype": str, "keep_default_na": False}
        found: pd.DataFrame = pd.read_csv(
            path, sep=_separator_of(path), encoding="utf-8-sig", **how
        )
        return found


def _separator_of(path: Path) -> str:
    """Return what separates the columns of the first line: a tab, or a comma."""
    first = pd.read_csv(path, sep="\0", header=None, nrows=1, dtype=str, encoding="utf-8-sig")
    return "\t" if "\t" in str(first.iloc[0, 0]) else ","


def _parquet(path: Path) -> pd.DataFrame:
    if find_spec("pyarrow") is None:
        raise InputError(
            f"{str(path)!r} is Parquet, which needs the package pyarrow: pip install "
            "'argen[parquet]'."
        )
    table = pd.read_parquet(path)
    return table if isinstance(table.index, pd.RangeIndex) else table.reset_index()
