"""Columns of the cell table: filter, labels, library size, covariates."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from argen._arrays import BoolArray, FloatArray
from argen.errors import InputError, first_few, nearest


def column(obs: pd.DataFrame, name: str, role: str) -> pd.Series:
    """Return a column of the cell table, or say which one may have been meant."""
    if name not in obs.columns:
        raise InputError(
            f"There is no column {name!r} in obs for the {role}.{nearest(name, obs.columns)} "
            f"Columns: {first_few(obs.columns, 15)}."
        )
    found = obs[name]
    if isinstance(found, pd.DataFrame):
        raise InputError(f"obs has more than one column {name!r}. Rename them.")
    return found


def cell_filter(obs: pd.DataFrame, cells: str | None) -> BoolArray:
    """Return which cells to keep, from a boolean column or a pandas query."""
    if cells is None:
        return np.ones(len(obs), dtype=bool)
    if cells in obs.columns:
        chosen = column(obs, cells, "cell filter")
        if chosen.isna().any():
            raise InputError(
                f"The cell filter {cells!r} is missing in {int(chosen.isna().sum()):,} cells "
                f"(first: {first_few(obs.index[chosen.isna()])}). Fill it with True or False."
            )
        if not set(chosen.unique()) <= {True, False}:
            raise InputError(
                f"The cell filter {cells!r} holds {first_few(chosen.unique())}: expected True or "
                f"False. Write a query instead, such as \"{cells} == '{chosen.iloc[0]}'\"."
            )
        kept = chosen.to_numpy().astype(bool)
    else:
        try:
            answer = obs.eval(cells, engine="python")
        except Exception as error:  # pandas raises whatever the expression raised
            raise InputError(
                f"The cell filter {cells!r} is neither a column of obs nor a query that pandas "
                f"can evaluate: {error}.{nearest(cells, obs.columns)}"
            ) from error
        if not isinstance(answer, pd.Series) or not pd.api.types.is_bool_dtype(answer):
            raise InputError(
                f"The cell filter {cells!r} does not give True or False for each cell."
            )
        kept = answer.fillna(False).to_numpy(dtype=bool)
    if not kept.any():
        raise InputError(f"The cell filter {cells!r} leaves no cell of {len(obs):,}.")
    return np.asarray(kept, dtype=bool)


def target_labels(obs: pd.DataFrame, target: str) -> pd.Series:
    """Return the perturbation label of every cell as text."""
    labels = column(obs, target, "target labels")
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
            f'cells="{target}.notna()", or label them.'
        )
    return labels.astype(str)


def control_cells(labels: pd.Series, control: str | Sequence[str]) -> BoolArray:
    """Return which cells carry a control label."""
    wanted = [control] if isinstance(control, str) else list(control)
    known = labels.unique()
    for label in wanted:
        if label not in known:
            raise InputError(
                f"No cell has the control label {label!r}.{nearest(label, known)} "
                f"Labels: {first_few(sorted(known), 8)}."
            )
    if not wanted:
        raise InputError("control is empty: expected the label of the control cells.")
    return labels.isin(wanted).to_numpy()


def library_size(
    obs: pd.DataFrame, name: str | None, row_sums: FloatArray
) -> tuple[FloatArray, str]:
    """Return the library size of each cell and where it comes from."""
    if name is None:
        sizes = pd.Series(row_sums, index=obs.index)
        source = "row sums of all measured genes (none was named)"
    else:
        sizes, source = column(obs, name, "library size"), f"obs[{name!r}]"
        if not pd.api.types.is_numeric_dtype(sizes) or pd.api.types.is_bool_dtype(sizes):
            raise InputError(f"The library size {source} is not numeric. Name a column of counts.")
    values = np.asarray(sizes, dtype=np.float64)
    bad = ~np.isfinite(values) | (values <= 0)
    if bad.any():
        raise InputError(
            f"The library size ({source}) is zero, negative, missing or infinite in "
            f"{int(bad.sum()):,} cells (first: {first_few(obs.index[bad])}): expected a positive "
            "number. Leave those cells out with a cell filter."
        )
    return values, source


def covariate_table(
    obs: pd.DataFrame, covariates: str | Sequence[str]
) -> tuple[pd.DataFrame, str | None]:
    """Return the columns in use and the formula, from names or from ``"~ a + C(b)"``."""
    formula = covariates if isinstance(covariates, str) and covariates.startswith("~") else None
    if formula is not None:
        names = _formula_columns(formula, obs)
    else:
        names = [covariates] if isinstance(covariates, str) else list(covariates)
    if len(set(names)) < len(names):
        raise InputError(f"A covariate is named twice: {first_few(names, 10)}.")
    table = pd.DataFrame({n: column(obs, n, "covariates") for n in names}, index=obs.index)
    for name in names:
        values = table[name]
        bad = values.isna()
        if pd.api.types.is_numeric_dtype(values):
            bad |= ~np.isfinite(values.to_numpy(dtype=np.float64, na_value=np.nan))
        if bad.any():
            raise InputError(
                f"Covariate {name!r} is missing or infinite in {int(bad.sum()):,} cells (first: "
                f"{first_few(obs.index[bad])}). Leave those cells out with a cell filter, or the "
                "covariate."
            )
    return table, formula


def _formula_columns(formula: str, obs: pd.DataFrame) -> list[str]:
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    try:
        needed = Formula(formula).required_variables
    except (FormulaicError, SyntaxError, AttributeError) as error:
        raise InputError(
            f"The covariate formula {formula!r} cannot be read: {error}. Write, for example, "
            "'~ p_mito + C(lane)'."
        ) from error
    if not needed:
        raise InputError(f"The covariate formula {formula!r} names no column.")
    # In the order of the formula, so that the same formula always gives the same columns.
    return sorted(needed, key=lambda name: re.sub(r"\s", "", formula).find(name))
