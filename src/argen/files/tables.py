"""Tables as files that read back equal, whatever the names in them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd


def write_table(table: pd.DataFrame, path: Path, *, float_format: str | None = None) -> Path:
    r"""Write a table by tabs, with a header, in UTF-8.

    A name with a tab, a quote or a line break stands in quotes, as readers of such tables expect.
    Before Python 3.13 a carriage return alone would not, and would end the row: where there is one,
    all text does.
    """
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if _has_carriage_return(table) else 0
    table.to_csv(
        path, sep="\t", index=False, float_format=float_format, quoting=quoting,
        lineterminator="\n",
    )  # fmt: skip
    return path


def _has_carriage_return(table: pd.DataFrame) -> bool:
    texts = (table[name] for name in table.columns if table[name].dtype.kind == "O")
    return any(isinstance(v, str) and "\r" in v for column in texts for v in column.unique())
