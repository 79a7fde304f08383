"""The simulation of the ARGEN paper, beside the numbers that it published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from argen.config import InferenceConfig
from argen.files import write_table, writing
from argen.method import Method, infer_by
from argen.run import Progress
from argen.simulate import simulate_paper_screen
from argen.study.workers import check_replicates, run_tasks

METHODS: tuple[Method, ...] = ("argen", "naive")
HIDDEN = {"full": (), "omitted": ("X7", "X8")}
PAIR = ["source", "target"]
CASE = ["method", "setting"]
PUBLISHED_REPLICATES = 100

# Mean and standard deviation of the estimates over 100 replicates, as the paper prints them: the
# method with all genes and with two hidden, then the naive regression.
_PUBLISHED = """
X1 X2  .499 .039   .500 .038  1.678 .051  1.221 .046
X1 X3 -.502 .046  -.503 .047  -.544 .090  -.481 .116
X2 X3  .496 .040   .496 .041   .736 .084   .873 .162
X4 X5  .500 .064   .501 .067   .907 .125  1.351 .104
X5 X6 -.495 .090  -.496 .083 -1.625 .460 -1.943 .279
X3 X6 -.497 .067  -.497 .058 -1.576 .336 -3.336 .201
"""
PUBLISHED_PROPORTIONS = {
    ("argen", "full"): 0.027,
    ("argen", "omitted"): 0.032,
    ("naive", "full"): 0.407,
    ("naive", "omitted"): 0.398,
}
"""Mean false discovery proportions, by method and setting."""


def published_estimates() -> pd.DataFrame:
    """Return the paper's table: method, setting, source, target, published_mean, published_sd."""
    rows = []
    for line in _PUBLISHED.split("\n")[1:-1]:
        source, target, *numbers = line.split()
        for place, case in enumerate(PUBLISHED_PROPORTIONS):
            mean, sd = map(float, numbers[2 * place : 2 * place + 2])
            rows.append((*case, source, target, mean, sd))
    return pd.DataFrame(rows, columns=[*CASE, *PAIR, "published_mean", "published_sd"])


@dataclass(frozen=True, slots=True, eq=False)
class PaperStudy:
    """Estimates of all replicates, and how they compare with what was published."""

    estimates: pd.DataFrame
    """One row per replicate, setting, method and pair that is true or was tested: replicate,
    setting, method, source, target, true, effect, std_error, ci_low, ci_high, p_value, selected."""

    @property
    def n_replicates(self) -> int:
        """Number of simulated screens."""
        return int(self.estimates["replicate"].nunique())

    def table(self) -> pd.DataFrame:
        """Return the paper's table, of the six edges that both settings have.

        Columns: method, setting, source, target, true, n (estimates), found (share of replicates
        in which the edge was selected), mean, sd, published_mean, published_sd, and z, the
        difference of the means in Monte-Carlo standard errors.
        """
        published = published_estimates()
        found = self.estimates.groupby([*CASE, *PAIR])
        table = published.merge(
            found.agg(
                true=("true", "first"), n=("effect", "count"), mean=("effect", "mean"),
                sd=("effect", "std"), found=("selected", "mean"),
            ).reset_index(),
            on=[*CASE, *PAIR],
        )  # fmt: skip
        error = np.sqrt(
            table["sd"] ** 2 / table["n"] + table["published_sd"] ** 2 / PUBLISHED_REPLICATES
        )
        table["z"] = (table["mean"] - table["published_mean"]) / error
        columns = [*CASE, *PAIR, "true", "n", "found", "mean", "sd"]
        return table[[*columns, "published_mean", "published_sd", "z"]]

    def proportions(self) -> pd.DataFrame:
        """Return false discovery proportions beside the published ones.

        Columns: method, setting, mean over replicates, its Monte-Carlo error, published, and
        true_edges_found, the share of true edges that was selected, over all replicates.
        """
        rows = []
        for (method, setting), published in PUBLISHED_PROPORTIONS.items():
            estimates = of_case(self.estimates, method, setting)
            is_true = estimates["true"] != 0
            called = estimates["selected"].groupby(estimates["replicate"]).sum()
            n_false = (estimates["selected"] & ~is_true).groupby(estimates["replicate"]).sum()
            proportion = n_false / called.clip(lower=1)
            rows.append(
                {
                    "method": method,
                    "setting": setting,
                    "mean": proportion.mean(),
                    "error": proportion.std() / np.sqrt(len(proportion)),
                    "published": published,
                    "true_edges_found": estimates.loc[is_true, "selected"].mean(),
                }
            )
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Return both tables in plain words, the published numbers beside ours."""
        table, proportions = self.table(), self.proportions()
        lines = [
            f"The simulation of the paper, {self.n_replicates} replicates: mean (sd) of the "
            "estimates, published in brackets, and the difference in standard errors"
        ]
        for case in PUBLISHED_PROPORTIONS:
            rows = of_case(table, *case)
            lines += ["", f"{case[0]}, {case[1]}"]
            lines += [_line_of_edge(row) for row in rows.itertuples(index=False)]
            found = of_case(proportions, *case).iloc[0]
            lines.append(
                f"  false discovery proportion {found['mean']:.3f} ({found['error']:.3f})  "
                f"[{found['published']:.3f}]; true edges found {found['true_edges_found']:.3f}"
            )
        return "\n".join(lines)

    def write(self, folder: Path) -> None:
        """Write ``estimates.tsv``, ``table.tsv`` and ``proportions.tsv`` into a folder."""
        tables = {
            "estimates": self.estimates,
            "table": self.table(),
            "proportions": self.proportions(),
        }
        with writing(folder, "study") as beside:
            for name, table in tables.items():
                write_table(table, beside / f"{name}.tsv")


def run_paper_study(
    *,
    n_replicates: int = 100,
    seed: int = 1,
    workers: int | None = None,
    progress: Progress | None = None,
) -> PaperStudy:
    """Rerun the simulation of the paper, with all genes and with two common causes hidden.

    The labels of the cells and the covariate are drawn once, as in the paper; everything else
    anew in each replicate. The method and the naive regression see the same counts.

    Parameters
    ----------
    seed
        Of the random numbers; each replicate has a stream of its own.
    workers
        Processes; one for each usable core when None. No number depends on it.
    """
    check_replicates(n_replicates)
    estimates: dict[int, pd.DataFrame] = {}
    tasks = range(n_replicates)
    for number, table in run_tasks(partial(_replicate, seed), tasks, workers=workers):
        estimates[number] = table
        if progress is not None:
            progress("replicates", len(estimates), n_replicates)
    return PaperStudy(pd.concat([estimates[number] for number in tasks], ignore_index=True))


def _replicate(seed: int, replicate: int) -> pd.DataFrame:
    """Simulate once, and fit by both methods in both settings."""
    config = InferenceConfig(rule="published", threads=1)
    tables = []
    for setting, hidden in HIDDEN.items():
        data, truth = simulate_paper_screen(
            rng=_stream(seed, [1, replicate]), hidden=hidden, assignment_rng=_stream(seed, [0])
        )
        true = truth.to_frame().rename(columns={"effect": "true"})
        for method in METHODS:
            network = infer_by(method, data, config)
            columns = [*PAIR, "effect", "std_error", "ci_low", "ci_high", "p_value", "selected"]
            table = network.candidates[columns].merge(true, "outer", on=PAIR)
            table["true"] = table["true"].fillna(0.0)
            table["selected"] = table["selected"].eq(True)
            tables.append(table.assign(replicate=replicate, setting=setting, method=method))
    first = ["replicate", "setting", "method", *PAIR, "true"]
    joined = pd.concat(tables, ignore_index=True)
    return joined[first + [name for name in joined.columns if name not in first]]


def _stream(seed: int, key: Iterable[int]) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(key)))


def of_case(table: pd.DataFrame, method: str, setting: str) -> pd.DataFrame:
    """Return the rows of one method in one setting."""
    return table[(table["method"] == method) & (table["setting"] == setting)]


def _line_of_edge(row: Any) -> str:
    return (
        f"  {row.source} -> {row.target} ({row.true:+.1f})  {row.mean:6.3f} ({row.sd:.3f})  "
        f"[{row.published_mean:6.3f} ({row.published_sd:.3f})]  {row.z:+.1f}"
    )
