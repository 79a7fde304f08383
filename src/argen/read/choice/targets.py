"""What each cell carries: from labels, from a table of indicators, or from counts of guides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy import sparse

from argen.arrays import BoolArray
from argen.errors import InputError, first_few, nearest
from argen.read.choice.cells import column_of, in_query
from argen.read.choice.meaning import Meaning
from argen.read.formats import OpenAnnData
from argen.read.options import ReadOptions
from argen.read.stored import is_real

# A guide with so many counts in a cell is called, as by sceptre's thresholding (Barry et al. 2024).
MIN_GUIDE_COUNTS = 5


@dataclass(frozen=True, slots=True)
class Carried:
    """Perturbations of the cells that passed the filter; a control cell carries none."""

    labels: pd.Index  # (n_labels,), sorted, none of them a control
    matrix: sparse.csc_array  # (n_cells, n_labels), int8 ones, sorted
    all_labels: set[str]  # before the filter too
    names: sparse.csc_array  # (n_cells, n_names), int8 ones: what the cells carry by name
    name_list: pd.Index  # (n_names,), sorted; labels themselves, or their guides
    meaning: Meaning
    no_guide: BoolArray  # (n_cells,) in which none was found, although there are some of controls
    rule: str = ""  # by which guides were called from counts

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

    def in_words(self) -> list[str]:
        """Return what each cell carries, genes for guides and controls by name: (n_cells,)."""
        meant = [self.meaning.target.get(name, name) for name in self.name_list]
        by_cell = sparse.csr_array(self.names)
        lists = np.split(by_cell.indices, by_cell.indptr[1:-1])
        return ["+".join(dict.fromkeys(meant[k] for k in sorted(own))) for own in lists]

    def outside(self, labels: Sequence[str]) -> BoolArray:
        """Cells that carry anything but these labels, or for all that is known: (n_cells,)."""
        others = np.flatnonzero(~self.labels.isin(list(labels)))
        outside = self.no_guide.copy()
        outside[self.matrix[:, others].indices] = True
        return outside


def carried_perturbations(opened: OpenAnnData, passed: BoolArray, options: ReadOptions) -> Carried:
    """Read the labels in ``obs[target]``, or the indicators or counts in ``obsm[target]``."""
    target, separator = options.target, options.separator
    if target not in opened.obs.columns and target in opened.obsm:
        if separator is not None:
            raise InputError(
                f"separator={separator!r} is for labels, but obsm[{target!r}] is a table of "
                "indicators. Leave it out."
            )
        return _from_table(opened, passed, options)
    for option in ("target_names", "min_guide_counts"):
        if getattr(options, option) is not None:
            raise InputError(
                f"{option} is for a table of indicators, but obs[{target!r}] holds labels. "
                "Leave it out."
            )
    return _from_labels(opened, passed, options)


def _from_labels(opened: OpenAnnData, passed: BoolArray, options: ReadOptions) -> Carried:
    target, separator = options.target, options.separator
    labels = target_labels(opened.obs[passed], target, list(opened.obsm))
    frequent = opened.obs[target].dropna().astype(str).value_counts().index
    parts = {
        # A control such as "non_targeting" is no list, even where "_" joins the others.
        label: [label] if label in options.control else _parts(label, separator)
        for label in set(frequent) | set(labels)
    }
    names = list(dict.fromkeys(part for label in frequent for part in parts[label]))
    _refuse_no_control(options)
    codes, uniques = pd.factorize(labels)
    found = pd.Index(sorted({part for label in uniques for part in parts[label]}), dtype=object)
    meaning = Meaning.of(names, options, opened.guide_targets or {}, needed=found)
    columns = [found.get_indexer(pd.Index(parts[label], dtype=object)) for label in uniques]
    rows = np.repeat(np.arange(len(uniques)), [len(own) for own in columns])
    of_label = sparse.csr_array(
        (np.ones(len(rows), dtype=np.int8), (rows, np.concatenate(columns))),
        shape=(len(uniques), len(found)),
    )
    carried = _meant(_sorted(of_label[codes]), found, meaning, names)
    if carried.matrix.shape[0] == len(np.unique(carried.matrix.indices)):
        raise InputError(
            f"The cell filter leaves no control cell ({first_few(options.control)}): the "
            f"{len(labels):,} cells that pass it have the labels "
            f"{first_few(sorted(set(labels)), 8)}. Widen the filter."
        )
    return carried


def _parts(label: str, separator: str | None) -> list[str]:
    if separator is None:
        return [label]
    return list(dict.fromkeys(part for part in label.split(separator) if part))


def _sorted(matrix: sparse.csr_array) -> sparse.csc_array:
    columns = sparse.csc_array(matrix, dtype=np.int8)
    columns.sort_indices()
    return columns


def _meant(
    names: sparse.csc_array, name_list: pd.Index, meaning: Meaning, every: Sequence[str]
) -> Carried:
    """Put what cells carry by name together by what the names mean."""
    kept = np.array([name not in meaning.controls for name in name_list], dtype=bool)
    targets = [meaning.target[name] for name in name_list[kept]]
    labels = pd.Index(sorted(set(targets)), dtype=object)
    rows, columns = np.arange(len(targets)), labels.get_indexer(pd.Index(targets, dtype=object))
    means = sparse.csc_array(
        (np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=(len(rows), len(labels))
    )
    matrix = sparse.csc_array(names[:, np.flatnonzero(kept)].astype(np.int64) @ means)
    matrix.data[:] = 1  # a cell may carry several guides of a gene
    return Carried(
        labels=labels,
        matrix=_sorted(matrix),
        all_labels={meaning.target[name] for name in every if name not in meaning.controls},
        names=names,
        name_list=name_list,
        meaning=meaning,
        no_guide=np.zeros(names.shape[0], dtype=bool),
    )


def _refuse_no_control(options: ReadOptions) -> None:
    if not options.control:
        raise InputError("control is empty: expected the label of the control cells.")


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


def _from_table(opened: OpenAnnData, passed: BoolArray, options: ReadOptions) -> Carried:
    target = options.target
    table = opened.obsm[target]
    names = _names_of(table, opened, options)
    known = opened.guide_targets or {}
    meaning = Meaning.of(names, options, known, table=f"obsm[{target!r}]")
    called, rule = _called(_numbers(table), passed, options)
    order = np.argsort(np.array(names, dtype=object), kind="stable")
    found = pd.Index([names[k] for k in order], dtype=object)
    carried = _meant(_sorted(called[:, order]), found, meaning, names)
    if rule:
        carried = replace(carried, rule=rule, meaning=replace(meaning, are_guides=True))
    if meaning.controls and carried.meaning.are_guides:
        n_guides = np.bincount(carried.names.indices, minlength=len(carried.no_guide))
        # Where a cell has one guide, one without has lost it; where it has many, none is known.
        if np.median(n_guides[n_guides > 0]) <= 1:
            carried = replace(carried, no_guide=n_guides == 0)
    is_control = ~carried.no_guide
    is_control[carried.matrix.indices] = False
    everywhere = carried.labels[np.diff(carried.matrix.indptr) == carried.n_cells]
    if len(everywhere):
        raise InputError(
            f"Every cell carries {first_few(everywhere)} in obsm[{target!r}], so that none is "
            "without it to compare with: expected cells with and without each. Leave such columns "
            "out."
        )
    is_one_each = (np.bincount(carried.matrix.indices, minlength=carried.n_cells) == 1).all()
    if is_one_each and not is_control.any():
        raise InputError(
            f"Every cell has a perturbation in obsm[{target!r}], so that none is a control: "
            "expected cells without any, or name the columns of guides that target nothing as "
            "control."
        )
    return carried


def _numbers(table: Any) -> Any:
    """Return the values of a table, sparse where they are."""
    if not isinstance(table, pd.DataFrame):
        return table
    if len(table.columns) and all(isinstance(kind, pd.SparseDtype) for kind in table.dtypes):
        return sparse.csc_array(cast(Any, table).sparse.to_coo())
    return table.to_numpy()


def _called(values: Any, passed: BoolArray, options: ReadOptions) -> tuple[sparse.csc_array, str]:
    """Return which guides or genes cells carry, and the rule where they were called from counts."""
    is_number = is_real(values.dtype)
    matrix = sparse.csc_array(values[np.flatnonzero(passed)] if is_number else (1, 1))
    matrix.sum_duplicates()
    data = matrix.data
    if not is_number or not ((data >= 0) & (data == np.floor(data)) & np.isfinite(data)).all():
        raise InputError(
            f"obsm[{options.target!r}] holds something else than 0 and 1, False and True, or "
            "counts: expected for each cell which targets it carries, or the counts of guides."
        )
    least = options.min_guide_counts
    if (data <= 1).all():
        if least is not None:
            raise InputError(
                f"min_guide_counts is for counts of guides, but obsm[{options.target!r}] holds 0 "
                "and 1 alone. Leave it out."
            )
        matrix.eliminate_zeros()
        return matrix, ""
    least = MIN_GUIDE_COUNTS if least is None else least
    matrix.data = (data >= least).astype(np.int8)
    matrix.eliminate_zeros()
    if not matrix.nnz:
        raise InputError(
            f"No guide of obsm[{options.target!r}] has {least} counts in any cell: lower "
            "min_guide_counts."
        )
    return matrix, f"guides with {least} counts or more in a cell are called"


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
