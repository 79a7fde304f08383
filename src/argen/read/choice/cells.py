"""Columns of the cell table: filter, labels, library size, covariates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from argen.arrays import BoolArray, FloatArray
from argen.data import formula_columns
from argen.errors import InputError, first_few, first_line, nearest
from argen.read.choice.query import evaluated

_HOW_TO_QUOTE = (
    " Put text in quotes, as in lane == 'L1', and names with spaces or dots between backticks."
)


def column_of(table: pd.DataFrame, name: str, role: str, *, of: str = "obs") -> pd.Series:
    """Return a column of obs or var, or say which one may have been meant."""
    if name not in table.columns:
        raise InputError(
            f"There is no column {name!r} in {of} for the {role}.{nearest(name, table.columns)} "
            f"Columns: {first_few(table.columns, 15) or 'none'}."
        )
    found = table[name]
    if isinstance(found, pd.DataFrame):
        raise InputError(f"{of} has more than one column {name!r}. Rename them.")
    return found


def cell_filter(obs: pd.DataFrame, cells: str | None) -> BoolArray:
    """Return which cells to keep, from a boolean column or a query."""
    if cells is None:
        return np.ones(len(obs), dtype=bool)
    if cells in obs.columns:
        chosen = column_of(obs, cells, "cell filter")
        if chosen.isna().any():
            raise InputError(
                f"The cell filter {cells!r} is missing in {int(chosen.isna().sum()):,} cells "
                f"(first: {first_few(obs.index[chosen.isna()])}). Fill it with True or False."
            )
        if not set(chosen.unique()) <= {True, False}:
            value = chosen.iloc[0]
            example = f"{in_query(cells)} == {getattr(value, 'item', lambda: value)()!r}"
            raise InputError(
                f"The cell filter {cells!r} holds {first_few(chosen.unique())}: expected True or "
                f'False. Write a query instead, such as "{example}".'
            )
        kept = chosen.to_numpy().astype(bool)
    else:
        kept = _query(obs, cells)
    if not kept.any():
        raise InputError(f"The cell filter {cells!r} leaves no cell of {len(obs):,}.")
    return np.asarray(kept, dtype=bool)


def _query(obs: pd.DataFrame, query: str) -> BoolArray:
    try:
        answer = evaluated(query, obs)
    except Exception as error:  # pandas raises whatever suits its columns
        is_unknown = isinstance(error, NameError | SyntaxError)
        raise InputError(
            f"The cell filter {query!r} is neither a column of obs nor a query that can be "
            f"computed: {first_line(error)}."
            f"{nearest(query, obs.columns) + _HOW_TO_QUOTE if is_unknown else ''}"
        ) from error
    if (
        not isinstance(answer, pd.Series)
        or not pd.api.types.is_bool_dtype(answer)
        or not answer.index.equals(obs.index)
    ):
        raise InputError(
            f"The cell filter {query!r} does not give True or False for each cell: expected a "
            "comparison of columns, such as \"p_mito < 0.1 and lane == 'L1'\"."
        )
    return np.asarray(answer.fillna(False).to_numpy(dtype=bool))


def in_query(name: str) -> str:
    """How a query names a column."""
    return name if name.isidentifier() else f"`{name}`"


def library_size(
    obs: pd.DataFrame, name: str | None, row_sums: FloatArray
) -> tuple[FloatArray, str]:
    """Return the library size of each cell and where it comes from."""
    if name is None:
        sizes = pd.Series(row_sums, index=obs.index)
        source = "row sums of all measured genes (none was named)"
    else:
        sizes, source = column_of(obs, name, "library size"), f"obs[{name!r}]"
        if not is_number(sizes):
            raise InputError(f"The library size {source} is not numeric. Name a column of counts.")
    values = np.array(sizes.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    bad = ~np.isfinite(values) | (values <= 0)
    if bad.any():
        remedy = (
            "Name a column of obs with the depth of each cell, or leave those cells out."
            if name is None
            else f'Leave those cells out with a cell filter, such as cells="{in_query(name)} > 0".'
        )
        raise InputError(
            f"The library size ({source}) is zero, negative, missing or infinite in "
            f"{int(bad.sum()):,} cells (first: {first_few(obs.index[bad])}): expected a positive "
            f"number. {remedy}"
        )
    return values, source


def is_number(values: pd.Series) -> bool:
    """Whether a column holds real numbers, and not truth values."""
    is_type = pd.api.types
    return bool(
        is_type.is_numeric_dtype(values)
        and not is_type.is_bool_dtype(values)
        and not is_type.is_complex_dtype(values)
    )


def covariate_table(
    obs: pd.DataFrame, covariates: str | Sequence[str]
) -> tuple[pd.DataFrame, str | None]:
    """Return the columns in use and the formula, from names or from ``"~ a + C(b)"``."""
    formula = covariates if isinstance(covariates, str) else None
    names = list(covariates) if formula is None else formula_columns(formula, obs.columns)
    for name in names:
        if name not in obs.columns and any(sign in name for sign in "+*:~"):
            raise InputError(
                f"There is no column {name!r} in obs for the covariates. A formula is one text "
                "that begins with '~', such as '~ p_mito + C(lane)'."
            )
        _check_covariate(column_of(obs, name, "covariates"), name)
    return obs[names].copy(), formula


def _check_covariate(values: pd.Series, name: str) -> None:
    try:
        pd.factorize(values)
        readable = not pd.api.types.is_complex_dtype(values)
    except TypeError:  # lists, arrays, dictionaries
        readable = False
    if not readable:
        raise InputError(
            f"Covariate {name!r} holds neither numbers nor categories (first: "
            f"{first_few(values, 1)}). Leave it out."
        )
    bad = values.isna()
    if pd.api.types.is_numeric_dtype(values):
        bad |= ~np.isfinite(values.to_numpy(dtype=np.float64, na_value=np.nan))
    if bad.any():
        raise InputError(
            f"Covariate {name!r} is missing or infinite in {int(bad.sum()):,} cells (first: "
            f"{first_few(values.index[bad])}). Leave those cells out with a cell filter, or the "
            "covariate."
        )
