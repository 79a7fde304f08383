"""MuData: the modality with the counts of genes, and the others as tables of its cells."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from argen.errors import InputError, first_few, nearest
from argen.read.formats.anndata import (
    OpenAnnData,
    anndata_of_object,
    anndata_of_store,
    reading,
    version_of,
)
from argen.read.formats.features import Tables, sparse_table
from argen.read.stored import block_matrix, read_element
from argen.read.tables import TARGET_COLUMNS, column_among

# Names by which pipelines call the modality with the counts of genes.
_GENES = {"rna", "gex", "gene", "genes", "geneexpression", "expression", "mrna", "scrna"}
_GUIDES = re.compile(r"guide|grna|gdo|crispr", re.IGNORECASE)


def is_mudata_object(given: object) -> bool:
    """Whether something is a MuData object; the package need not be there."""
    return type(given).__name__ == "MuData" and hasattr(given, "mod")


def mudata_of_object(given: Any, modality: str | None) -> OpenAnnData:
    """Return the modality that is named, or the only one whose name says that it has genes.

    The others are in ``obsm`` by their names, and their layers as ``modality/layer``.
    """
    found = {str(name): anndata_of_object(part) for name, part in given.mod.items()}
    return _combined(found, given.obs, modality, "MuData object", None)


def mudata_of_store(store: Any, path: Path, modality: str | None) -> OpenAnnData:
    """Return the same of an open file."""
    source = os.fspath(path)
    with reading(path, Exception):  # each reader raises errors of its own
        groups = store["mod"]
        found = {str(name): anndata_of_store(groups[name], path, source) for name in groups}
        obs = read_element(store["obs"], "obs") if "obs" in store else None
        if not isinstance(obs, pd.DataFrame):
            obs = pd.DataFrame()
        return _combined(found, obs, modality, source, version_of(path))


def _combined(
    modalities: Mapping[str, OpenAnnData],
    obs: pd.DataFrame,
    modality: str | None,
    source: str,
    version: tuple[Any, ...] | None,
) -> OpenAnnData:
    """Return the modality of the genes, with what is known of its cells elsewhere."""
    name = _of_genes(list(modalities), modality, source)
    genes = modalities[name]
    cells = genes.obs.index
    makers: dict[str, Callable[[], Any]] = {
        str(key): _Given(genes.obsm, str(key)) for key in genes.obsm
    }
    targets: dict[str, str] = {}
    _refuse_repeated(obs.index, "obs")
    shared = obs.reindex(cells) if len(obs.columns) else pd.DataFrame(index=cells)
    columns = [genes.obs, shared.drop(columns=shared.columns.intersection(genes.obs.columns))]
    for other, opened in modalities.items():
        if other == name:
            continue
        for key, matrix in (("", opened.x), *((f"/{k}", m) for k, m in opened.layers.items())):
            if matrix is not None:
                makers[other + key] = _Table(other + key, opened, matrix, cells)
        if _GUIDES.search(other):
            targets |= _targets(opened.var)
    known = pd.concat(columns, axis=1)
    return replace(
        genes,
        obs=known,
        obsm=Tables(makers),
        source=source,
        version=None if version is None else (*version, name),
        guide_targets=targets or None,
    )


def _refuse_repeated(cells: pd.Index, where: str) -> None:
    if not cells.is_unique:
        repeated = cells[cells.duplicated()].unique()
        raise InputError(
            f"{where} has several cells called {first_few(repeated)}: expected different names, by "
            "which the modalities are matched."
        )


def _of_genes(names: list[str], modality: str | None, source: str) -> str:
    if modality is not None:
        if modality not in names:
            raise InputError(
                f"There is no modality {modality!r} in {source!r}.{nearest(modality, names)} "
                f"Modalities: {first_few(names, 10)}."
            )
        return modality
    found = [name for name in names if re.sub(r"[-_ ]", "", name.lower()) in _GENES]
    if not found and len(names) == 1:
        found = names
    if len(found) != 1:
        raise InputError(
            f"{source!r} is MuData with modalities {first_few(names, 10)}: name the one with the "
            "counts of genes as modality."
        )
    return found[0]


def _targets(var: pd.DataFrame) -> dict[str, str]:
    """Return guide -> target, where the table of the guides says it."""
    column = column_among(var, TARGET_COLUMNS)
    if column is None:
        return {}
    meant = var[column].astype(object)
    said = meant.notna() & (meant.astype(str) != "")
    return dict(zip(var.index[said].astype(str), meant[said].astype(str), strict=True))


@dataclass(frozen=True, slots=True)
class _Given:
    """A table that the modality of the genes has."""

    tables: Mapping[str, Any]
    name: str

    def __call__(self) -> Any:
        return self.tables[self.name]


@dataclass(frozen=True, slots=True)
class _Table:
    """A matrix of another modality, by the cells of the genes."""

    name: str
    opened: OpenAnnData
    matrix: Any
    cells: pd.Index

    def __call__(self) -> pd.DataFrame:
        _refuse_repeated(self.opened.obs.index, self.name)
        place = self.opened.obs.index.get_indexer(self.cells)
        if (place < 0).any():
            raise InputError(
                f"{int((place < 0).sum()):,} cells of the genes (first: "
                f"{first_few(self.cells[place < 0])}) are not in {self.name!r}: what guides they "
                "carry is not known. Keep those in both, as mudata's intersect_obs does."
            )
        blocks = block_matrix(self.matrix, self.name)
        parts = [blocks.block(*bounds) for bounds in blocks.bounds()]
        by_cells = getattr(blocks, "by_cells", True)
        whole = sparse.vstack(parts) if by_cells else sparse.hstack(parts)
        chosen = sparse.csr_array(whole)[place.astype(np.int64)]
        return sparse_table(chosen, self.cells, self.opened.var.index.astype(str))
