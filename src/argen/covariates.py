"""Covariates: from columns of a table to a full-rank block of a design."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from argen._arrays import FloatArray, IntArray
from argen.errors import InputError, first_few

# Of a column less than this share of its variance is left once the others are known.
COLLINEAR_SHARE = 1e-9


@dataclass(frozen=True, slots=True)
class CovariateBlock:
    """Covariates as regressors: no intercept, numeric columns centred and scaled.

    Scaling is for conditioning alone; no effect between genes depends on it.
    """

    matrix: FloatArray  # (n_cells, n_columns)
    names: tuple[str, ...]  # (n_columns,)
    factors: IntArray  # (n_factors, n_cells), level codes; indicators of them and the numeric
    numeric_columns: IntArray  # (n_numeric,) columns together span what the matrix spans


def is_categorical(column: pd.Series) -> bool:
    """Whether a column is coded by levels: anything but numbers, booleans included."""
    return bool(
        pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column.dtype)
    )


def first_line(error: Exception) -> str:
    """Return what an error of another library says, in one line."""
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


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
    columns, names = _from_columns(table) if formula is None else _from_formula(table, formula)
    values = np.column_stack([np.empty((len(table), 0)), *columns])
    with np.errstate(over="ignore", invalid="ignore"):
        spread = values.std(axis=0)
    # The extremes tell a constant from its own rounding.
    same = (spread == 0) | (values.min(axis=0) == values.max(axis=0))
    _check_varying([name for name, one_value in zip(names, same, strict=True) if one_value])
    if not np.isfinite(spread).all():
        too_large = [n for n, s in zip(names, spread, strict=True) if not np.isfinite(s)]
        raise InputError(
            f"Covariate {first_few(too_large)} is too large to scale. Change its unit."
        )
    indicator = np.isin(values, (0.0, 1.0)).all(axis=0)
    values[:, ~indicator] = (values - values.mean(axis=0))[:, ~indicator] / spread[~indicator]
    block = CovariateBlock(
        values, tuple(names), _factors(values[:, indicator], table), np.flatnonzero(~indicator)
    )
    _check_rank(block)
    return block


def _factors(indicators: FloatArray, table: pd.DataFrame) -> IntArray:
    """Gather indicator columns into factors: (n_factors, n_cells).

    The indicators of all levels but one of a categorical column make one factor; what is left
    over makes factors of two levels.
    """
    left = {column.tobytes(): column.astype(np.int64) for column in indicators.T.copy()}
    factors = []
    for name in table.columns:
        if not is_categorical(table[name]):
            continue
        codes, levels = _levels(table[name])
        keys = [(codes == code).astype(np.float64).tobytes() for code in range(len(levels))]
        present = [key for key in keys if key in left]
        if len(present) == len(levels) - 1:
            factors.append(codes)
            for key in present:
                del left[key]
    factors += left.values()
    return np.array(factors, dtype=np.int64).reshape(len(factors), len(table))


def _from_columns(table: pd.DataFrame) -> tuple[list[FloatArray], list[str]]:
    columns, names = [], []
    for name in table.columns:
        column = table[name]
        if not is_categorical(column):
            columns.append(column.to_numpy(dtype=np.float64))
            names.append(str(name))
            continue
        codes, levels = _levels(column)
        for code, level in enumerate(levels[1:], start=1):
            columns.append((codes == code).astype(np.float64))
            names.append(f"{name}[{level}]")
    return columns, names


def _from_formula(table: pd.DataFrame, formula: str) -> tuple[list[FloatArray], list[str]]:
    from formulaic import ModelMatrices, model_matrix
    from formulaic.errors import DataMismatchWarning

    plain = pd.DataFrame({name: _plain(table[name]) for name in table.columns}, index=table.index)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", DataMismatchWarning)
            # Without a context, names of our own would count as those of columns.
            matrix = model_matrix(formula, plain, context={})
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
    columns = [matrix[name].to_numpy(dtype=np.float64) for name in matrix.columns]
    return columns, [str(name) for name in matrix.columns]


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


def _check_rank(block: CovariateBlock) -> None:
    explained = explained_columns(block.matrix, np.zeros(len(block.matrix), dtype=np.int64))
    if explained:
        raise InputError(
            f"Covariate {first_few(block.names[c] for c in explained)} is collinear with the "
            "covariates before it: it adds nothing. Leave it, or one of the others, out."
        )


def explained_columns(values: FloatArray, groups: IntArray) -> list[int]:
    """Columns that the ones before them explain once group means are taken out.

    Parameters
    ----------
    values
        (n_cells, n_columns).
    groups
        (n_cells,), codes from 0.
    """
    sizes = np.maximum(np.bincount(groups), 1)
    centred = np.empty_like(values)
    for c, column in enumerate(values.T):
        centred[:, c] = column - (np.bincount(groups, weights=column) / sizes)[groups]
    total = np.sum((values - values.mean(axis=0)) ** 2, axis=0)
    # Cholesky of the cross-products, column by column: what the earlier ones leave is the pivot.
    gram = centred.T @ centred
    explained = []
    for c in range(len(gram)):
        pivot = gram[c, c]
        if pivot <= COLLINEAR_SHARE * total[c]:
            explained.append(c)
        else:
            gram[c + 1 :, c + 1 :] -= np.outer(gram[c + 1 :, c], gram[c, c + 1 :]) / pivot
    return explained
