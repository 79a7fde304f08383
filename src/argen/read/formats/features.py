"""What is counted in the cells, told apart by the type of feature, as Cell Ranger has them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from argen.arrays import IntArray
from argen.errors import InputError, first_few
from argen.read.formats.anndata import OpenAnnData
from argen.read.stored import SomeColumns, block_matrix
from argen.read.tables import TARGET_COLUMNS, column_among, read_table

GENES, GUIDES = "Gene Expression", "CRISPR Guide Capture"
GUIDE_TABLE = "guides"  # what the counts of guides are called as a table of obsm
# Columns of the features, and of the cells, that later rooms ask for.
SYMBOLS = "symbol"
_CALLS, _REFERENCES = (
    ("protospacer_calls_per_cell.csv",),
    ("feature_reference.csv", "feature_ref.csv"),
)


@dataclass(frozen=True, slots=True)
class Features:
    """Rows of the matrix of Cell Ranger: (n_features,) each."""

    ids: pd.Series
    names: pd.Series
    types: pd.Series | None  # before version 3 all are genes
    targets: pd.Series | None = None  # of guides, where the matrix itself says them


class Tables(Mapping[str, Any]):
    """Named tables of the cells, each made when it is asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        self._makers = makers

    def __getitem__(self, name: str) -> Any:
        return self._makers[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def of_features(
    folder: Path, matrix: Any, features: Features, cells: pd.Index, **more: Any
) -> OpenAnnData:
    """Return the genes as a screen, and counts of all other features as tables of its cells.

    Parameters
    ----------
    folder
        Where calls of guides, and their targets, may be.
    matrix
        Counts, (n_cells, n_features).
    """
    repeated = cells[cells.duplicated()].unique()
    if len(repeated):
        raise InputError(
            f"{str(folder)!r} has several cells called {first_few(repeated)}: expected different "
            "barcodes, as cellranger aggr makes them."
        )
    types = pd.Series(GENES, features.ids.index) if features.types is None else features.types
    genes = np.flatnonzero(types == GENES)
    if not len(genes):
        raise InputError(
            f"{str(folder)!r} has features of type {first_few(types.unique())}: expected some of "
            f"{GENES!r}."
        )
    blocks = block_matrix(matrix, "X")
    var = pd.DataFrame(
        {SYMBOLS: features.names.to_numpy(dtype=object)[genes]},
        index=pd.Index(features.ids.to_numpy(dtype=object)[genes], dtype=object),
    )
    tables = {
        GUIDE_TABLE if kind == GUIDES else str(kind): _table_maker(
            blocks, np.flatnonzero(types == kind), features.ids, cells
        )
        for kind in types.unique()
        if kind != GENES
    }
    parts: dict[str, Any] = {"source": os.fspath(folder), "version": None, **more}
    return OpenAnnData(
        obs=_calls(folder, cells),
        var=var,
        x=blocks if len(genes) == len(types) else SomeColumns(blocks, genes),
        layers={},
        raw=None,
        obsm=Tables(tables),
        uns={},
        symbols=SYMBOLS,
        guide_targets=_targets(folder, features, types),
        **parts,
    )


def _table_maker(
    blocks: Any, columns: IntArray, ids: pd.Series, cells: pd.Index
) -> Callable[[], pd.DataFrame]:
    chosen = SomeColumns(blocks, columns)
    names = ids.to_numpy(dtype=object)[columns]
    return lambda: sparse_table(
        sparse.vstack([chosen.block(*bounds) for bounds in chosen.bounds()]), cells, names
    )


def sparse_table(matrix: Any, cells: pd.Index, names: Any) -> pd.DataFrame:
    """Return a table of counts whose zeros take no memory."""
    counts = sparse.csc_matrix(matrix)
    frame: Any = pd.DataFrame.sparse  # unknown to the stubs
    table: pd.DataFrame = frame.from_spmatrix(counts, index=cells, columns=pd.Index(names))
    return table


def _calls(folder: Path, cells: pd.Index) -> pd.DataFrame:
    """Return what Cell Ranger called in each cell; missing where it called nothing."""
    path = _beside(folder, _CALLS)
    if path is None:
        return pd.DataFrame(index=cells)
    table = read_table(path, "the table of calls")
    if "cell_barcode" not in table or "feature_call" not in table:
        raise InputError(
            f"{str(path)!r} has the columns {first_few(table.columns, 10)}: expected cell_barcode "
            "and feature_call among them."
        )
    repeated = table.loc[table["cell_barcode"].duplicated(), "cell_barcode"]
    if len(repeated):
        raise InputError(f"{str(path)!r} has several rows for {first_few(repeated.unique())}.")
    if "num_features" in table:
        table["num_features"] = pd.to_numeric(table["num_features"], errors="coerce")
    return table.set_index("cell_barcode").reindex(cells)


def _targets(folder: Path, features: Features, types: pd.Series) -> dict[str, str] | None:
    """Return guide -> target, of identifiers and names, from the matrix or its reference."""
    is_guide = (types == GUIDES).to_numpy()
    found: dict[str, str] = {}
    if features.targets is not None:
        targets = features.targets[is_guide].astype(str)
        for names in (features.names[is_guide], features.ids[is_guide]):
            found |= {n: t for n, t in zip(names, targets, strict=True) if t}
    path = _beside(folder, _REFERENCES)
    if not found and path is not None:
        table = read_table(path, "the feature reference")
        target = column_among(table, TARGET_COLUMNS)
        for column in (column_among(table, ("name",)), column_among(table, ("id",))):
            if target is not None and column is not None:
                pairs = zip(table[column], table[target], strict=True)
                found |= {name: meant for name, meant in pairs if meant}
    return found or None


def _beside(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Find a file of Cell Ranger in a folder of its output, or the one that this is in."""
    places = [place / sub for place in (folder, folder.parent) for sub in (".", "crispr_analysis")]
    paths = (place / name for place in places for name in names)
    return next((path for path in paths if path.is_file()), None)
