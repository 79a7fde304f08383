"""Columns of labels and tables of guides that may say what each cell carries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from argen.arrays import BoolArray, IntArray
from argen.errors import InputError
from argen.inspection.notes import Notes
from argen.read import (
    MIN_GUIDE_COUNTS,
    ControlLabels,
    GuideRule,
    Joined,
    OpenAnnData,
    close_names,
    control_labels,
    guide_rule,
    joined_labels,
    kind_of_label,
)

_MOST_LABELS = 50_000
# Embeddings, and what else is measured in cells, among which there are names of genes.
_NO_GUIDES = re.compile(r"^x_|prot|adt|antibody|hto|atac|peak|multiplexing")
# A column with a value of its own for most cells holds barcodes.
_MOST_PER_CELL = 0.5


@dataclass(frozen=True, slots=True)
class GeneSpace:
    """Every name by which a measured gene may be called: the index, or a column of var."""

    spaces: Mapping[str | None, Mapping[str, int]]  # None: the index; name -> place

    @classmethod
    def of(cls, genes: pd.DataFrame) -> GeneSpace:
        """Take the index and each column of text whose values mostly differ."""
        spaces: dict[str | None, dict[str, int]] = {None: _places(genes.index)}
        for name, values in genes.items():
            if isinstance(genes[name], pd.Series) and _is_text(values):
                places = _places(values)
                if len(places) > len(values) / 2:
                    spaces[str(name)] = places
        return cls(spaces)

    def every_name(self) -> set[str]:
        """All names of all genes."""
        return {name for space in self.spaces.values() for name in space}

    def best(self, names: set[str]) -> str | None:
        """Return the column of var in which most of the names are; None for the index."""
        hits = {column: len(names & space.keys()) for column, space in self.spaces.items()}
        # The index is the first, and stays where a column says no more.
        return max(hits, key=lambda column: hits[column])

    def column(self, name: str, symbols: str | None) -> int | None:
        """Return the gene that a name means, by the index or by the symbols."""
        found = self.spaces[None].get(name)
        return self.spaces[symbols].get(name) if found is None else found


def _places(names: pd.Index | pd.Series) -> dict[str, int]:
    """Return the place of each name that is of one gene alone."""
    found = pd.Series(names.to_numpy(dtype=object))
    found = found[found.notna()].astype(str)
    found = found[~found.duplicated(keep=False)]
    return dict(zip(found, found.index.tolist(), strict=True))


def _is_text(values: pd.Series) -> bool:
    is_type = pd.api.types
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = pd.Series(values.cat.categories)
    return bool(is_type.is_string_dtype(values) or is_type.is_object_dtype(values))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A column of obs, or a table of obsm, that names what cells carry."""

    name: str
    names_key: str | None  # key of uns with the names of the columns of a table
    sizes: pd.Series  # cells of each label, or of each column of a table; index sorted
    codes: IntArray | None  # (n_cells,) label of each cell, -1 where missing; None of a table
    values: Any  # the table itself
    controls: ControlLabels
    joined: Joined | None
    rule: GuideRule | None
    symbols: str | None  # column of var whose names the targets are
    close: Mapping[str, str]  # target -> gene whose name differs in case or version alone
    renamed: Mapping[str, str]  # the same where most targets are such, and taken for the genes
    parts: Mapping[str, tuple[str, ...]]  # label -> targets; controls have none
    measured: Mapping[str, int]  # target -> place of its gene
    largest: float  # of a table: above 1 where it holds counts

    @property
    def is_table(self) -> bool:
        """Whether it is a table of obsm."""
        return self.codes is None

    @property
    def n_missing(self) -> int:
        """Cells without a label."""
        return 0 if self.codes is None else int((self.codes < 0).sum())

    @property
    def is_of_guides(self) -> bool:
        """Whether labels name guides."""
        return self.rule is not None

    def targets(self) -> pd.Series:
        """Cells of each target, the most frequent first."""
        sums: dict[str, int] = {}
        for label, size in self.sizes.items():
            for target in self.parts[str(label)]:
                sums[target] = sums.get(target, 0) + int(size)
        found = pd.Series(sums, dtype=np.int64).sort_index()
        return found.sort_values(ascending=False, kind="stable")

    def is_control(self) -> pd.Series:
        """Which labels are of controls, and of nothing else."""
        own = set(self.controls.found)
        skipped = set(self.controls.no_guide)
        return pd.Series(
            [
                not self.parts[label] and label not in skipped and bool(own)
                for label in self.sizes.index
            ],
            index=self.sizes.index,
            dtype=bool,
        )

    def control_cells(self) -> BoolArray:
        """Which cells are controls: (n_cells,)."""
        if self.codes is None:
            # Those with a guide that targets nothing, and nothing else; where there is no such
            # guide, those with nothing.
            is_control = np.array([not self.parts[name] for name in self.sizes.index], dtype=bool)
            targeting, others = (
                np.bincount(self.values[:, columns].indices, minlength=self.values.shape[0])
                for columns in (np.flatnonzero(~is_control), np.flatnonzero(is_control))
            )
            return np.asarray((targeting == 0) & ((others > 0) | ~is_control.any()))
        flags = self.is_control().to_numpy()
        return np.where(self.codes >= 0, flags[self.codes], False) if len(flags) else self.codes > 0


def crossed(one: IntArray, other: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return the pairs of codes that occur, and in how many cells; cells without one aside."""
    both = (one >= 0) & (other >= 0)
    n_other = int(other.max(initial=0)) + 1
    joint = one[both].astype(np.int64) * n_other + other[both]
    keys, sizes = np.unique(joint, return_counts=True)
    return keys // n_other, keys % n_other, sizes


def candidates(opened: OpenAnnData, space: GeneSpace, notes: Notes) -> list[Candidate]:
    """Read every column of labels and every named table; those without a gene included."""
    known = dict(opened.guide_targets or {})
    found = [
        candidate
        for name, values in opened.obs.items()
        if (candidate := _of_column(str(name), values, space, known)) is not None
    ]
    return [*found, *_of_tables(opened, space, known, notes)]


def _of_column(
    name: str, values: pd.Series, space: GeneSpace, known: Mapping[str, str]
) -> Candidate | None:
    if not _is_text(values):
        return None
    codes, labels = pd.factorize(values, sort=False)
    if not 0 < len(labels) <= min(_MOST_LABELS, max(200, _MOST_PER_CELL * len(values))):
        return None
    text = [str(label) for label in labels]
    names = sorted(set(text))
    number = {label: code for code, label in enumerate(names)}
    place = np.array([number[label] for label in text], dtype=np.int64)
    codes = np.where(codes >= 0, place[codes], -1)
    sizes = pd.Series(np.bincount(codes[codes >= 0], minlength=len(names)), index=names)
    return _read(name, None, sizes, codes, None, space, known)


def _of_tables(
    opened: OpenAnnData, space: GeneSpace, known: Mapping[str, str], notes: Notes
) -> list[Candidate]:
    found = []
    for key in map(str, opened.obsm):
        if _NO_GUIDES.search(key.lower()):
            continue
        try:
            table = opened.obsm[key]
            names_key, names = _names_of_table(table, opened)
        except InputError as error:
            notes.findings.append(f"obsm[{key!r}] is not used: {error}")
            continue
        if names is None or len(set(names)) != len(names):
            continue
        values = numbers_of(table)
        if getattr(values, "dtype", np.dtype(object)).kind not in "buif":
            continue
        counts = sparse.csc_array(values, copy=True)
        counts.eliminate_zeros()
        if (counts.data < 0).any() or (counts.data != np.floor(counts.data)).any():
            continue
        if counts.data.max(initial=0) > 1:  # called as they will be where a fit reads them
            counts.data[counts.data < MIN_GUIDE_COUNTS] = 0
            counts.eliminate_zeros()
        order = sorted(range(len(names)), key=lambda k: names[k])
        sizes = pd.Series(np.diff(counts.indptr)[order], index=[names[k] for k in order])
        found.append(_read(key, names_key, sizes, None, counts[:, order], space, known))
    return found


def numbers_of(table: Any) -> Any:
    """Return the values of a table, sparse where they are."""
    if not isinstance(table, pd.DataFrame):
        return table
    if len(table.columns) and all(isinstance(kind, pd.SparseDtype) for kind in table.dtypes):
        frame: Any = table
        return sparse.csc_array(frame.sparse.to_coo())
    return table.to_numpy()


def _names_of_table(table: Any, opened: OpenAnnData) -> tuple[str | None, list[str] | None]:
    if isinstance(table, pd.DataFrame):
        return None, [str(name) for name in table.columns]
    n_columns = table.shape[1] if getattr(table, "ndim", 0) == 2 else -1
    for key in sorted(map(str, opened.uns)):
        names = opened.uns[key]
        if getattr(names, "shape", None) == (n_columns,) and names.dtype.kind in "OUT":
            return key, [str(name) for name in names]
    return None, None


def _read(
    name: str,
    names_key: str | None,
    sizes: pd.Series,
    codes: IntArray | None,
    values: Any,
    space: GeneSpace,
    known: Mapping[str, str],
) -> Candidate:
    """Find out how labels name targets, and which of these are measured."""
    labels, genes = list(sizes.index), space.every_name()
    joined = None if codes is None else joined_labels(labels, genes | known.keys())
    split = {label: _split(label, joined) for label in labels}
    every_part = {part for own in split.values() for part in own}
    is_known = bool(every_part & known.keys())
    rule = None if is_known else guide_rule(labels, genes) if joined is None else joined.rule
    controls = control_labels({known.get(part, part) for part in every_part}, genes)
    aside = {*controls.found, *controls.no_guide}
    matcher = None if rule is None else re.compile(rule.pattern)

    def target(part: str) -> str:
        match = None if matcher is None else matcher.match(part)
        return known.get(part, part) if match is None else match["target"]

    parts = {
        label: tuple(dict.fromkeys(target(p) for p in own if known.get(p, p) not in aside))
        for label, own in split.items()
    }
    targets = {target for own in parts.values() for target in own}
    close = close_names(targets, genes)
    renamed = close if len(close) > len(targets & genes) else {}
    symbols = space.best({renamed.get(target, target) for target in targets})
    measured = {
        target: place
        for target in sorted(targets)
        if (place := space.column(renamed.get(target, target), symbols)) is not None
    }
    largest = float(values.data.max(initial=0)) if values is not None else 1.0
    return Candidate(
        name, names_key, sizes, codes, values, controls, joined, rule, symbols, close, renamed,
        parts, measured, largest,
    )  # fmt: skip


def _split(label: str, joined: Joined | None) -> list[str]:
    if joined is None:
        return [label]
    parts = [part for part in label.split(joined.separator) if part] or [label]
    # A control such as "non_targeting" is no list, even where "_" joins the others.
    if kind_of_label(label) is not None and not all(map(kind_of_label, parts)):
        return [label]
    return parts
