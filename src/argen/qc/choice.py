"""The rules that choose nodes, and what they say of each candidate."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, get_args

import numpy as np
import pandas as pd

from argen.arrays import FloatArray
from argen.errors import InputError, first_few

TopBy = Literal["knockdown", "descendants"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChoice:
    """Which candidates become nodes of the network; validates itself.

    Parameters
    ----------
    max_p
        Largest p-value of the perturbation's effect on its own gene, adjusted over the candidates;
        1: any, also where it is missing.
    min_knockdown
        Least share by which the perturbation lowers its own gene, from 0 to 1; one that raises it
        counts by what undoing it would lower.
    min_mean
        Fewest counts of the gene in the mean control cell.
    top
        How many candidates to keep of those that pass all other rules; all when left out.
    top_by
        What the top have most of: "knockdown", evidence of an effect on the own gene, which the
        tests that follow do not use again; "descendants", genes with a total effect, which they do.
    """

    max_p: float = 0.05
    min_knockdown: float = 0.0
    min_mean: float = 0.0
    top: int | None = None
    top_by: TopBy = "knockdown"

    def __post_init__(self) -> None:
        for name, most in (("max_p", 1.0), ("min_knockdown", 1.0), ("min_mean", np.inf)):
            value = getattr(self, name)
            is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            if not is_number or not 0 <= value <= most:
                allowed = "from 0 to 1" if most == 1.0 else "from 0"
                raise InputError(f"{name} must be a number {allowed}, not {value!r}.")
            object.__setattr__(self, name, float(value))
        if self.top is not None and (
            not isinstance(self.top, Integral) or isinstance(self.top, bool) or self.top < 2
        ):
            raise InputError(f"top must be a whole number from 2, not {self.top!r}.")
        if self.top_by not in get_args(TopBy):
            raise InputError(
                f"top_by must be one of {first_few(get_args(TopBy))}, not {self.top_by!r}."
            )


def reasons_against(
    table: pd.DataFrame, choice: NodeChoice, among: Mapping[str, Collection[str]]
) -> pd.Series:
    """Return why each measured candidate is no node; "" for those that are chosen.

    Parameters
    ----------
    table
        From ``measured_candidates``.
    among
        Genes that may be nodes, by what they are called: each node is in all of these groups.
    """
    reasons: list[list[str]] = [[] for _ in range(len(table))]

    def refuse(fails: pd.Series, why: str) -> None:
        for row in np.flatnonzero(fails.to_numpy(dtype=bool)).tolist():
            reasons[row].append(why)

    for name, genes in among.items():
        refuse(~table["candidate"].isin(list(genes)), f"not in {name}")
    if choice.min_mean > 0:
        refuse(~(table["control_mean"] >= choice.min_mean), f"mean below {choice.min_mean:g}")
    if choice.max_p < 1:
        refuse(~(table["p_adjusted"] <= choice.max_p), f"p above {choice.max_p:g}")
    if choice.min_knockdown > 0:
        lowered = knockdown_share(table["effect"].to_numpy())
        small = pd.Series(~(lowered >= choice.min_knockdown))
        refuse(small, f"knock-down below {100 * choice.min_knockdown:g} %")
    if choice.top is not None:
        passed = np.flatnonzero([not why for why in reasons])
        by = "log10_p" if choice.top_by == "knockdown" else "n_descendants"
        score = table[by].to_numpy(dtype=np.float64)[passed]
        score = np.where(np.isnan(score), np.inf, score if by == "log10_p" else -score)
        last = np.zeros(len(table), dtype=bool)
        last[passed[np.argsort(score, kind="stable")[choice.top :]]] = True
        refuse(pd.Series(last), f"not in the top {choice.top} by {choice.top_by}")
    return pd.Series(["; ".join(why) for why in reasons], dtype=object)


def knockdown_share(effect: FloatArray) -> FloatArray:
    """Return the share by which genes are lowered, or would be if what raises them were undone."""
    return np.asarray(1.0 - np.exp(-np.abs(effect)))
