"""What each cell carries: from labels, or from a table of indicators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from argen.arrays import BoolArray
from argen.errors import InputError, first_few, nearest
from argen.read.cells import column_of, in_query
from argen.read.files import OpenAnnData
from argen.read.matrices import is_real
from argen.read.options import ReadOptions


@dataclass(frozen=True, slots=True)
class Carried:
    """Perturbations of the cells that passed the filter; a control cell carries none."""

    labels: pd.Index  # (n_labels,), sorted, none of them a control
    matrix: sparse.csc_array  # (n_cells, n_labels), int8 ones, sorted
    all_labels: set[str]  # before the filter too

    @property
    def n_cells(self) -> int:
        """Cells that passed the filter."""
        return int(self.matrix.shape[0])

    @property
    def sizes(self) -> pd.Series:
        """Cells of each label, the most frequent first."""
        sizes = pd.Series(np.diff(self.matrix.indptr), index=self.labels)
        return sizes[sizes > 0].sort_values(ascending=False, kind="stable")

    def cells_of_labels(self, cells: BoolArray) -> dict[str, int]:
        """How many of some cells carry each label."""
        label = np.repeat(np.arange(len(self.labels)), np.diff(self.matrix.indptr))
        sums = np.bincount(label[cells[self.matrix.indices]], minlength=len(self.labels))
        return dict(zip(self.labels, sums.tolist(), strict=True))

    def outside(self, labels: Sequence[str]) -> BoolArray:
        """Cells that carry anything but these labels: (n_cells,)."""
        others = np.flatnonzero(~self.labels.isin(list(labels)))
        outside = np.zeros(self.matrix.shape[0], dtype=bool)
        outside[self.matrix[:, others].indices] = True
        return outside


def carried_perturbations(opened: OpenAnnData, passed: BoolArray, options: ReadOptions) -> Carried:
    """Read the labels in ``obs[target]``, or the indicators in ``obsm[target]``."""
    target, control, separator = options.target, options.control, options.separator
    if target not in opened.obs.columns and target in opened.obsm:
        if separator is not None:
            raise InputError(
                f"separator={separator!r} is for labels, but obsm[{target!r}] is a table of "
                "indicators. Leave it out."
            )
        return _from_indicators(opened, passed, options)
    if options.target_names is not None:
        raise InputError(
            f"target_names is for a table of indicators, but obs[{target!r}] holds labels. "
            "Leave it out."
        )
    obs = opened.obs[passed]
    labels = target_labels(obs, target, list(opened.obsm))
    frequent = opened.obs[target].dropna().astype(str).value_counts().index
    parts = {label: _parts(label, separator) for label in set(frequent) | set(labels)}
    names = list(dict.fromkeys(part for label in frequent for part in parts[label]))
    check_controls(labels, control, pd.Index(names, dtype=object), parts)
    perturbations = {
        label: [part for part in parts[label] if part not in control] for label in parts
    }
    found = sorted({part for label in set(labels) for part in perturbations[label]})
    shown = pd.Index(found, dtype=object)
    codes, uniques = pd.factorize(labels)
    columns = [shown.get_indexer(pd.Index(perturbations[label])) for label in uniques]
    rows = np.repeat(np.arange(len(uniques)), [len(own) for own in columns])
    of_label = sparse.csr_array(
        (np.ones(len(rows), dtype=np.int8), (rows, np.concatenate(columns))),
        shape=(len(uniques), len(shown)),
    )
    return Carried(shown, _sorted(of_label[codes]), set(names) - set(control))


def _parts(label: str, separator: str | None) -> list[str]:
    if separator is None:
        return [label]
    return list(dict.fromkeys(part for part in label.split(separator) if part))


def _sorted(matrix: sparse.csr_array) -> sparse.csc_array:
    columns = sparse.csc_array(matrix, dtype=np.int8)
    columns.sort_indices()
    return columns


def target_labels(obs: pd.DataFrame, target: str, tables: list[str]) -> pd.Series:
    """Return the perturbation label of every cell as text."""
    if target not in obs.columns and tables and nearest(target, tables):
        raise InputError(
            f"There is no column {target!r} in obs, and no table of that name in obsm."
            f"{nearest(target, [*obs.columns, *tables])}"
        )
    labels = column_of(obs, target, "target labels")
    missing = labels.isna()
    if missing.all():
        raise InputError(
            f"Every label in obs[{target!r}] is missing: expected the perturbed gene, or the "
            "control label, of each cell."
        )
    if missing.any():
        raise InputError(
            f"obs[{target!r}] is missing in {int(missing.sum()):,} of {len(obs):,} cells (first: "
            f"{first_few(obs.index[missing])}). Leave them out with a cell filter, such as "
            f'cells="{in_query(target)}.notna()", or label them.'
        )
    return labels.astype(str)


def check_controls(
    labels: pd.Series, control: Sequence[str], all_labels: pd.Index, parts: dict[str, list[str]]
) -> None:
    """Refuse control labels that no cell has.

    ``all_labels`` are those before the cell filter, the most frequent first: controls often are.
    """
    if not control:
        raise InputError("control is empty: expected the label of the control cells.")
    for label in control:
        if label not in all_labels:
            is_list = set(label.split(",")) <= set(all_labels)
            hint = " Name them one by one." if is_list else nearest(label, all_labels)
            raise InputError(
                f"No cell has the control label {label!r}.{hint} "
                f"Labels: {first_few(all_labels, 8)}."
            )
    found = set(labels)
    if not any(set(parts[label]) <= set(control) for label in found):
        raise InputError(
            f"The cell filter leaves no control cell ({first_few(control)}): the {len(labels):,} "
            f"cells that pass it have the labels {first_few(sorted(found), 8)}. Widen the filter."
        )


def _from_indicators(opened: OpenAnnData, passed: BoolArray, options: ReadOptions) -> Carried:
    target, control = options.target, options.control
    table = opened.obsm[target]
    names = _names_of(table, opened, options)
    missing = [label for label in control if label not in names]
    if missing:
        raise InputError(
            f"obsm[{target!r}] has no column {missing[0]!r} for the control."
            f"{nearest(missing[0], names)} Columns: {first_few(names, 8)}."
        )
    values = table.to_numpy() if isinstance(table, pd.DataFrame) else table
    is_number = is_real(values.dtype)
    matrix = sparse.csc_array(values[np.flatnonzero(passed)] if is_number else (1, 1))
    matrix.sum_duplicates()
    if not is_number or not np.isin(matrix.data, (0, 1)).all():
        raise InputError(
            f"obsm[{target!r}] holds something else than 0 and 1, or False and True: expected "
            "for each cell which targets it carries. Call the guides first, with a threshold."
        )
    matrix.eliminate_zeros()
    kept = np.array([name not in control for name in names], dtype=bool)
    order = np.flatnonzero(kept)[np.argsort(np.array(names, dtype=object)[kept], kind="stable")]
    matrix = _sorted(matrix[:, order])
    carried = Carried(
        pd.Index([names[k] for k in order], dtype=object), matrix, set(names) - set(control)
    )
    everywhere = carried.labels[np.diff(matrix.indptr) == matrix.shape[0]]
    if len(everywhere):
        raise InputError(
            f"Every cell carries {first_few(everywhere)} in obsm[{target!r}], so that none is "
            "without it to compare with: expected cells with and without each. Leave such columns "
            "out."
        )
    if (np.bincount(matrix.indices, minlength=matrix.shape[0]) == 1).all():
        raise InputError(
            f"Every cell has a perturbation in obsm[{target!r}], so that none is a control: "
            "expected cells without any, or name the columns of guides that target nothing as "
            "control."
        )
    return carried


def _names_of(table: Any, opened: OpenAnnData, options: ReadOptions) -> list[str]:
    """Return the names of the columns: the table's own, or those that the user says."""
    target, target_names = options.target, options.target_names
    if isinstance(target_names, str):
        if target_names not in opened.uns:
            raise InputError(
                f"There is no {target_names!r} in uns for the names of the targets."
                f"{nearest(target_names, opened.uns)}"
            )
        names = [str(name) for name in np.ravel(opened.uns[target_names])]
    elif target_names is not None:
        names = list(target_names)
    elif isinstance(table, pd.DataFrame):
        names = [str(name) for name in table.columns]
    else:
        raise InputError(
            f"The columns of obsm[{target!r}] have no names. Name them by target_names: a list, "
            f"or a key of uns{nearest(target, opened.uns) or '.'}"
        )
    if len(names) != table.shape[1] or len(set(names)) != len(names):
        raise InputError(
            f"obsm[{target!r}] has {table.shape[1]} columns and {len(set(names))} different names: "
            "expected one for each column."
        )
    return names
