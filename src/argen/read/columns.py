"""Further columns of the cell table, for checks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from argen.read.cells import column
from argen.read.files import open_anndata

if TYPE_CHECKING:
    from anndata import AnnData


def read_columns(path_or_anndata: str | Path | AnnData, names: list[str]) -> pd.DataFrame:
    """Return columns of ``obs`` of all cells, with the identifiers of the cells as index."""
    with open_anndata(path_or_anndata) as opened:
        found = {name: column(opened.obs, name, "check") for name in names}
        return pd.DataFrame(found, index=opened.obs.index)
