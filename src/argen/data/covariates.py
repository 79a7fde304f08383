"""Covariates: from columns of a table to a full-rank block of a design."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.data.expressions import NUMERIC, formula_columns
from argen.errors import InputError, first_few, first_line

# Of a column less than this share of its variance is left once the others are known.
COLLINEAR_SHARE = 1e-9
# Whole numbers of no more values than this may be names of groups.
MOST_NUMBERS_OF_LEVELS = 20
# Stands for the column of a level that none indicates.
REFERENCE = -1


@dataclass(frozen=True, slots=True)
class CovariateBlock:
    """Covariates as regressors: no intercept, numeric columns centred and scaled.

    Scaling is for conditioning alone; no effect between genes depends on it.
    """

    names: tuple[str, ...]  # (n_columns,)
    numeric: FloatArray  # (n_cells, n_numeric)
    numeric_columns: IntArray  # (n_numeric,): the place of each among the columns
    factors: IntArray  # (n_factors, n_cells), level codes; indicators of them and the numeric
    #                    columns together span what all columns span
    level_columns: tuple[IntArray, ...]  # (n_factors,) of (n_levels,): columns that indicate
    #                                      the levels, -1 for the reference

    @property
    def matrix(self) -> FloatArray:
        """All columns, dense: (n_cells, n_columns)."""
        return self.of_cells(slice(None))

    def of_cells(self, cells: IntArray | BoolArray | slice) -> FloatArray:
        """Return all columns of some cells, dense: (n_some, n_columns)."""
        numeric = self.numeric[cells]
        matrix = np.zeros((len(numeric), len(self.names)))
        matrix[:, self.numeric_columns] = numeric
        for codes, columns in zip(self.factors[:, cells], self.level_columns, strict=True):
            indicated = np.flatnonzero(columns[codes] >= 0)
            matrix[indicated, columns[codes[indicated]]] = 1.0
        return matrix

    def around_levels(self) -> tuple[FloatArray, IntArray]:
        """Split what the columns span into the factor with most levels, and columns beside it.

        (n_columns, n_cells): the numeric columns, and indicators of the other factors' levels but
        the first; and (n_cells,) codes, of one level where there is no factor.
        """
        factors = sorted(self.factors, key=lambda codes: -int(codes.max(initial=0)))
        indicators = [
            codes == level for codes in factors[1:] for level in range(1, int(codes.max()) + 1)
        ]
        columns = np.vstack([self.numeric.T, *indicators]).astype(np.float64)
        level = factors[0] if factors else np.zeros(len(self.numeric), dtype=np.int64)
        return columns, level

    def strata(self) -> tuple[IntArray, IntArray]:
        """Combine the levels of all factors: the stratum of each cell, and its levels.

        (n_cells,) and (n_factors, n_strata), the factor with most levels first. Its level g and
        combination c of the others, among those that are there, make stratum ``c n_levels + g``,
        whether it has cells or not. Without factors there is one, of one level.
        """
        codes = sorted(self.factors, key=lambda codes: -int(codes.max(initial=0)))
        codes = codes or [np.zeros(len(self.numeric), dtype=np.int64)]
        n_levels = int(codes[0].max(initial=0)) + 1
        combination = np.zeros(len(self.numeric), dtype=np.int64)
        for factor in codes[1:]:
            combination = combination * (int(factor.max()) + 1) + factor
        present, first, combination = np.unique(combination, return_index=True, return_inverse=True)
        levels = [np.tile(np.arange(n_levels), len(present))]
        levels += [np.repeat(factor[first], n_levels) for factor in codes[1:]]
        return combination * n_levels + codes[0], np.array(levels)


def is_categorical(column: pd.Series) -> bool:
    """Whether a column is coded by levels: anything but numbers, booleans included."""
    return bool(
        pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column.dtype)
    )


def covariate_lines(table: pd.DataFrame, formula: str | None) -> list[str]:
    """Say how covariates enter: as numbers or by level."""
    shown = []
    few = {}
    for name in table.columns:
        n_values = table[name].nunique()
        if is_categorical(table[name]) or _is_by_level(str(name), formula):
            shown.append(f"{name} ({n_values} levels)")
            continue
        shown.append(f"{name} (numeric)")
        values = table[name].to_numpy(dtype=np.float64)
        if 2 < n_values <= MOST_NUMBERS_OF_LEVELS and (values == np.floor(values)).all():
            few[name] = n_values
    how = f"{formula}: " if formula else ""
    return [f"covariates: {how}{', '.join(shown) or 'none'}"] + [
        f"covariate {name} is a number with {n_values} values and has one slope; write C({name}) "
        "in a formula if the numbers are names of groups"
        for name, n_values in few.items()
    ]


def _is_by_level(name: str, formula: str | None) -> bool:
    return formula is not None and bool(
        re.search(rf"C\(\s*(`{re.escape(name)}`|{re.escape(name)})\s*[,)]", formula)
    )


def encode_covariates(table: pd.DataFrame, formula: str | None = None) -> CovariateBlock:
    """Code covariates as regressors.

    Numeric columns are standardised; the others are coded by levels, the first level (in
    sorted or categorical order) being the reference.

    Parameters
    ----------
    table
        One row a cell, one column a covariate.
    formula
        A right-hand side such as ``"~ p_mito + C(lane) + np.log1p(n_genes)"``; all columns of
        the table enter as they are when None.

    Raises
    ------
    InputError
        When a column is constant, or explained by the columns before it.
    """
    _check_varying([name for name in table.columns if table[name].nunique() < 2])
    block = _from_columns(table) if formula is None else _from_formula(table, formula)
    explained = explained_columns(block, np.zeros(len(table), dtype=np.int64))
    if explained:
        raise InputError(
            f"Covariate {first_few(block.names[c] for c in explained)} is collinear with the "
            "covariates before it: it adds nothing. Leave it, or one of the others, out."
        )
    return block


def _from_columns(table: pd.DataFrame) -> CovariateBlock:
    names: list[str] = []
    numeric, factors, level_columns = {}, [], []
    for name in table.columns:
        column = table[name]
        if is_categorical(column):
            codes, levels = _levels(column)
            factors.append(codes)
            level_columns.append(len(names) + np.arange(len(levels)) - 1)
            level_columns[-1][0] = REFERENCE
            names += [f"{name}[{level}]" for level in levels[1:]]
            continue
        values = column.to_numpy(dtype=np.float64)
        if _is_indicator(values):
            factors.append(values.astype(np.int64))
            level_columns.append(np.array([REFERENCE, len(names)]))
        else:
            numeric[len(names)] = values
        names.append(str(name))
    return _block(names, numeric, factors, level_columns, len(table))


def _is_indicator(values: FloatArray) -> bool:
    """Whether values are zeros and ones, and not one of them alone."""
    is_one = values == 1.0
    return bool((is_one | (values == 0.0)).all() and is_one.any() and not is_one.all())


def _block(
    names: list[str],
    numeric: dict[int, FloatArray],
    factors: list[IntArray],
    level_columns: list[IntArray],
    n_cells: int,
) -> CovariateBlock:
    """Standardise the numeric columns, which come by their place among all columns."""
    values = np.column_stack([np.empty((n_cells, 0)), *numeric.values()])
    with np.errstate(over="ignore", invalid="ignore"):
        spread = values.std(axis=0)
    # The extremes tell a constant from its own rounding.
    same = (spread == 0) | (values.min(axis=0) == values.max(axis=0))
    _check_varying([names[c] for c, one_value in zip(numeric, same, strict=True) if one_value])
    if not np.isfinite(spread).all():
        too_large = [names[c] for c, s in zip(numeric, spread, strict=True) if not np.isfinite(s)]
        raise InputError(
            f"Covariate {first_few(too_large)} is too large to scale. Change its unit."
        )
    return CovariateBlock(
        names=tuple(names),
        numeric=(values - values.mean(axis=0)) / spread,
        numeric_columns=np.array(list(numeric), dtype=np.int64),
        factors=np.array(factors, dtype=np.int64).reshape(len(factors), n_cells),
        level_columns=tuple(level_columns),
    )


def _gathered(
    indicators: dict[int, FloatArray], table: pd.DataFrame
) -> tuple[list[IntArray], list[IntArray]]:
    """Gather indicator columns, by their place, into factors; returns these and their columns.

    The indicators of all levels but one of a categorical column make one factor; what is left
    over makes factors of two levels.
    """
    left = {column.tobytes(): place for place, column in indicators.items()}
    factors, level_columns = [], []
    for name in table.columns:
        if not is_categorical(table[name]):
            continue
        codes, levels = _levels(table[name])
        keys = [(codes == code).astype(np.float64).tobytes() for code in range(len(levels))]
        columns = np.array([left.get(key, REFERENCE) for key in keys])
        if np.sum(columns != REFERENCE) == len(levels) - 1:
            factors.append(codes)
            level_columns.append(columns)
            left = {key: place for key, place in left.items() if place not in columns}
    gathered = set(np.concatenate([[REFERENCE], *level_columns]).tolist())
    for place, column in indicators.items():
        if place not in gathered:
            factors.append(column.astype(np.int64))
            level_columns.append(np.array([REFERENCE, place]))
    return factors, level_columns


def _from_formula(table: pd.DataFrame, formula: str) -> CovariateBlock:
    from formulaic import ModelMatrices, model_matrix
    from formulaic.errors import DataMismatchWarning

    formula_columns(formula, table.columns)
    plain = pd.DataFrame({name: _plain(table[name]) for name in table.columns}, index=table.index)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", DataMismatchWarning)
            # With a context of its own, since names of ours would count as those of columns.
            matrix = model_matrix(
                formula, plain, context={name: getattr(np, name) for name in NUMERIC}
            )
    except Exception as error:  # whatever the functions of the formula raise
        unknown_name = "NameError" in str(error)
        raise InputError(
            f"The covariate formula {formula!r} cannot be used: {first_line(error)}."
            f"{' Put names with spaces or dots between backticks.' if unknown_name else ''}"
        ) from error
    if isinstance(matrix, ModelMatrices):
        raise InputError(
            f"The covariate formula {formula!r} has several parts: expected one, such as "
            "'~ p_mito + C(lane)'."
        )
    matrix = pd.DataFrame(matrix)
    if len(matrix) != len(table) or not np.isfinite(matrix.to_numpy(dtype=np.float64)).all():
        raise InputError(
            f"The covariate formula {formula!r} gives missing or infinite values. Filter those "
            "cells or change the formula."
        )
    matrix = matrix.loc[:, matrix.columns != "Intercept"]
    if matrix.shape[1] == 0:
        raise InputError(f"The covariate formula {formula!r} leaves no regressor. Leave it out.")
    columns = [np.ascontiguousarray(column) for column in matrix.to_numpy(dtype=np.float64).T]
    indicators = {c: column for c, column in enumerate(columns) if _is_indicator(column)}
    numeric = {c: column for c, column in enumerate(columns) if c not in indicators}
    names = [str(name) for name in matrix.columns]
    return _block(names, numeric, *_gathered(indicators, table), len(table))


def _plain(column: pd.Series) -> pd.Series:
    """Return a column of a type that formulas know, without levels that do not occur."""
    if pd.api.types.is_bool_dtype(column):
        return column.astype(bool)
    if is_categorical(column):
        return pd.Series(pd.Categorical(column).remove_unused_categories(), index=column.index)
    return column.astype(np.float64)


def _levels(column: pd.Series) -> tuple[IntArray, list[str]]:
    """Codes from 0 and the levels in use."""
    categorical = pd.Categorical(column)
    categorical = categorical.remove_unused_categories()
    return categorical.codes.astype(np.int64), [str(level) for level in categorical.categories]


def _check_varying(constant: list[str]) -> None:
    if constant:
        raise InputError(
            f"Covariate {first_few(constant)} is constant over the cells that are used. "
            "Leave it out."
        )


def explained_columns(block: CovariateBlock, groups: IntArray) -> list[int]:
    """Columns that the ones before them explain once group means are taken out.

    Parameters
    ----------
    block
        Covariates of the cells.
    groups
        (n_cells,), codes from 0.
    """
    total = np.diagonal(_cross_products(block, np.zeros_like(groups)))
    # Cholesky of the cross-products, column by column: what the earlier ones leave is the pivot.
    gram = _cross_products(block, groups)
    explained = []
    for c in range(len(gram)):
        pivot = gram[c, c]
        if pivot <= COLLINEAR_SHARE * total[c]:
            explained.append(c)
        else:
            gram[c + 1 :, c + 1 :] -= np.outer(gram[c + 1 :, c], gram[c, c + 1 :]) / pivot
    return explained


def _cross_products(block: CovariateBlock, groups: IntArray) -> FloatArray:
    """``sum_i x_i x_i'`` of all columns less their group means: (n_columns, n_columns).

    Those of indicators are numbers of cells, less what groups of such composition would have.
    """
    sizes = np.maximum(np.bincount(groups), 1)[:, None]
    numeric, at = np.empty_like(block.numeric), block.numeric_columns
    for t, column in enumerate(block.numeric.T):
        numeric[:, t] = column - (np.bincount(groups, weights=column) / sizes[:, 0])[groups]
    gram = np.zeros((len(block.names), len(block.names)))
    gram[np.ix_(at, at)] = numeric.T @ numeric
    by_group = []
    for f, (codes, columns) in enumerate(zip(block.factors, block.level_columns, strict=True)):
        used = columns >= 0
        for t, column in enumerate(numeric.T):
            sums = np.bincount(codes, weights=column, minlength=len(columns))
            gram[at[t], columns[used]] = gram[columns[used], at[t]] = sums[used]
        by_group.append(_numbers(groups, codes))
        for e in range(f + 1):
            other = block.level_columns[e]
            expected = by_group[e].T @ (by_group[f] / sizes)
            together = _numbers(block.factors[e], codes) - expected
            part = together[np.ix_(other >= 0, used)]
            gram[np.ix_(other[other >= 0], columns[used])] = part
            gram[np.ix_(columns[used], other[other >= 0])] = part.T
    return gram


def _numbers(left: IntArray, right: IntArray) -> IntArray:
    """Count the cells of every combination of codes: (n_left, n_right)."""
    n_left, n_right = left.max(initial=0) + 1, right.max(initial=0) + 1
    return np.bincount(left * n_right + right, minlength=n_left * n_right).reshape(n_left, n_right)
