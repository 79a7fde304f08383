"""Columns of numbers and of groups: depth, mitochondrial share, batch, guide, filters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from argen.arrays import FloatArray, IntArray
from argen.errors import counted
from argen.inspection import names
from argen.inspection.candidates import Candidate, crossed
from argen.read import is_number, kind_of_label

_MOST_LEVELS = 100
# Least correlation of a depth with the sums of rows of which genes may have been left out.
_CORRELATED = 0.8


@dataclass(frozen=True, slots=True)
class Column:
    """A column taken for something, with the evidence."""

    name: str
    evidence: str
    grade: int = 0  # 0: what it holds says so; then less


def _columns(obs: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    return ((str(name), values) for name, values in obs.items())


def depths(obs: pd.DataFrame, row_sums: FloatArray | None) -> list[Column]:
    """Find columns of depth, the most likely first.

    The sums of the rows tell: a depth equals them or, where genes were left out, is no less and
    rises with them. Without them a name of the field must do.
    """
    graded = []
    for name, values in _columns(obs):
        place = names.rank(name, names.DEPTH)
        if not is_number(values) or (place is None and names.NO_DEPTH.search(names.plain(name))):
            continue
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        if not np.isfinite(numbers).all() or (numbers < 0).any() or not numbers.any():
            continue
        grade, evidence = _like_sums(numbers, row_sums)
        looks_named = place is not None or bool(
            names.plain(name).endswith(("_umi", "_umis", "_counts", "_umi_count"))
        )
        if grade == 0 or (looks_named and grade is not None) or place is not None:
            said = "a usual name" if place is not None else ""
            shown = (2 if grade is None else grade, 99 if place is None else place)
            graded.append((*shown, name, _both(said, evidence)))
    graded.sort()
    return [Column(name, evidence, grade) for grade, _, name, evidence in graded]


def _both(*said: str) -> str:
    return "; ".join(text for text in said if text)


def _like_sums(numbers: FloatArray, row_sums: FloatArray | None) -> tuple[int | None, str]:
    """Return 0 for equal to the row sums, 1 for no less and correlated, or None; and the words."""
    if row_sums is None or len(row_sums) < 3:
        return None, ""
    first = numbers[: len(row_sums)]
    if np.array_equal(first, row_sums):
        return 0, "the sums of the counts"
    if row_sums.std() == 0 or first.std() == 0:
        return None, ""
    correlation = float(np.corrcoef(first, row_sums)[0, 1])
    if (first >= row_sums).mean() > 0.99 and correlation >= _CORRELATED:
        return 1, f"rises with the sums of the counts (r {correlation:.2f}), and no less"
    return None, f"r {correlation:.2f} with the sums of the counts"


def differ(obs: pd.DataFrame, one: str, other: str) -> bool:
    """Whether two columns of depth say different things: only ratios matter."""
    pair = obs[[one, other]].to_numpy(dtype=np.float64, na_value=np.nan)
    ratio = pair[:, 0] / np.where(pair[:, 1] > 0, pair[:, 1], np.nan)
    return bool(np.nanstd(np.log(np.where(ratio > 0, ratio, np.nan))) > 0.05)


def mito_share(obs: pd.DataFrame) -> Column | None:
    """Find the share of mitochondrial counts."""
    found = []
    for name, values in _columns(obs):
        place = names.rank(name, names.MITO)
        if place is None or not is_number(values):
            continue
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        if (
            len(numbers)
            and np.isfinite(numbers).all()
            and 0 <= numbers.min() < numbers.max() <= 100
        ):
            of = "0 to 1" if numbers.max() <= 1 else "0 to 100"
            found.append(
                (place, name, f"a usual name; {numbers.min():.2g} to {numbers.max():.2g}, of {of}")
            )
    return Column(min(found)[1], min(found)[2]) if found else None


def batches(
    obs: pd.DataFrame, target: Candidate | None, n_controls: int, taken: set[str]
) -> tuple[list[Column], list[str]]:
    """Find batches that can be covariates, and say of the others why they cannot."""
    ranked = sorted(
        (place, name)
        for name, _ in _columns(obs)
        if (place := names.rank(name, names.BATCH)) is not None and name not in taken
    )
    kept: list[Column] = []
    codes: list[IntArray] = []
    said = []
    for _, name in ranked:
        values = obs[name]
        n_levels, n_missing = int(values.nunique()), int(values.isna().sum())
        if n_levels < 2:
            continue
        why = ""
        if n_missing:
            why = f"is missing in {counted(n_missing, 'cell')}"
        elif n_levels > _MOST_LEVELS or n_levels > n_controls / 3:
            why = f"has {n_levels:,} levels for {counted(n_controls, 'control cell')}"
        elif is_number(values) and (values % 1 != 0).any():
            why = "holds fractions"
        own = np.asarray(pd.factorize(values)[0], dtype=np.int64)
        if not why and target is not None and target.codes is not None:
            explained = _explained_by(own, target.codes)
            if explained:
                why = "cannot be told from the perturbations: each is in one batch alone"
        if not why and any(_tied(own, other) for other in codes):
            continue  # a coarser or a finer name of a batch that is taken
        if why:
            said.append(f"obs[{name!r}] {why}: it is not among the covariates.")
        else:
            kept.append(Column(name, f"a usual name; {n_levels} levels"))
            codes.append(own)
    return kept, said


def _explained_by(levels: IntArray, labels: IntArray) -> bool:
    """Whether some level has all cells, or none, of every label."""
    level, label, _ = crossed(levels, labels)
    shared = level[np.bincount(label)[label] > 1]
    return len(np.unique(shared)) < int(levels.max(initial=-1)) + 1


def _tied(one: IntArray, other: IntArray) -> bool:
    """Whether levels of two groupings are linearly dependent."""
    pairs = crossed(one, other)[:2]
    both = np.hstack([np.eye(int(codes.max()) + 1)[codes] for codes in pairs])
    return bool(np.linalg.matrix_rank(both) < both.shape[1] - 1)


def guide_column(obs: pd.DataFrame, target: Candidate, others: list[Candidate]) -> Column | None:
    """Find the column with the guide of each cell: each of its labels has one target."""
    found: list[tuple[int, str, str]] = []
    for other in others:
        if target.codes is None or other.codes is None or len(other.sizes) <= len(target.sizes):
            continue
        place = names.rank(other.name, names.GUIDE)
        if place is None and not names.SAYS_GUIDE.search(names.plain(other.name)):
            continue
        guides, targets, sizes = crossed(other.codes, target.codes)
        most = pd.Series(sizes).groupby(guides).max()
        if most.sum() < max(0.95 * sizes.sum(), 1):
            continue
        of_each = len(most) / len(np.unique(targets))
        found.append(
            (99 if place is None else place, other.name,
             f"{counted(len(other.sizes), 'label')}, each of one target; {of_each:.1f} per target")
        )  # fmt: skip
    return Column(min(found)[1], min(found)[2]) if found else None


def filters(obs: pd.DataFrame) -> list[str]:
    """Say which columns of True and False tell good cells from others."""
    said = []
    for name, values in _columns(obs):
        if not pd.api.types.is_bool_dtype(values) or values.isna().any():
            continue
        n_true = int(values.sum())
        is_bad = names.BAD_CELLS.search(names.plain(name)) is not None
        if n_true in (0, len(values)) or not (is_bad or names.GOOD_CELLS.search(names.plain(name))):
            continue
        text = name if name.isidentifier() else f"`{name}`"
        query = f"not {text}" if is_bad else name
        said.append(
            f"obs[{name!r}] is True in {n_true:,} of {len(values):,} cells: cells={query!r} "
            f"{'leaves them out' if is_bad else 'keeps them alone'}."
        )
    return said


def strata(obs: pd.DataFrame) -> list[str]:
    """Say which columns split the cells into kinds that may have networks of their own."""
    return [
        f"obs[{name!r}] has {int(values.nunique())} values ({names_of(values)}): one network of "
        "all is a mean over them. A cell filter picks one."
        for name, values in _columns(obs)
        if names.rank(name, names.STRATA) is not None and 2 <= values.nunique() <= _MOST_LEVELS
    ]


def names_of(values: pd.Series) -> str:
    """Return the first few values in words."""
    text = [str(value) for value in sorted(values.dropna().unique(), key=str)]
    return ", ".join(text[:3]) + (", ..." if len(text) > 3 else "")


def has_no_guide(values: pd.Series) -> bool:
    """Whether cells have no guide, by the labels of their guides."""
    return all(kind_of_label(str(value)) == "no guide" for value in values.dropna().unique())
