"""Methods on a grid of simulated screens: parallel, resumable, one tidy table."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from argen.analysis import Evaluation, evaluate
from argen.data import PerturbSeqData
from argen.errors import InputError, first_line
from argen.files import locked, reading, write_table, writing, writing_file
from argen.method import infer_by
from argen.run import Progress
from argen.simulate import ScreenModel, Truth, simulate_screen
from argen.study.oracle import infer_knowing_ancestors
from argen.study.settings import Setting, Variant
from argen.study.workers import check_replicates, run_tasks

ROWS = "rows"  # within the folder of the results
KEY = ["setting", "method"]
MEASURES = ("seconds", *(f.name for f in fields(Evaluation) if f.name != "null_p_values"))


@dataclass(frozen=True, slots=True)
class Replicate:
    """One simulated screen of a setting, the methods to run on it, and the file of the rows."""

    setting: Setting
    number: int
    variants: Mapping[str, Variant]
    seed: int
    file: Path


def run_grid(
    folder: Path,
    settings: Sequence[Setting],
    variants: Mapping[str, Variant],
    *,
    n_replicates: int = 20,
    seed: int = 1,
    workers: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Run methods on replicates of settings; returns the tidy table, which is ``grid.tsv`` too.

    The rows of a replicate are a file as soon as its methods are done. A run that was ended goes
    on where it was; a run with more methods, settings or replicates computes what is new alone.

    Parameters
    ----------
    folder
        For the rows, the table, and its summary.
    seed
        Of the random numbers; each replicate of a setting has a stream of its own, which does not
        depend on what else is run.
    workers
        Processes; one for each usable core when None. No number but the seconds depends on it.

    Returns
    -------
    pandas.DataFrame
        One row per setting, replicate and method: the options of the setting's model, seconds,
        the error if the method failed, and the measures of ``evaluate``.
    """
    check_replicates(n_replicates)
    rows_folder = folder / ROWS
    tasks = [
        Replicate(s, number, variants, seed, rows_folder / f"{s.name}.{number}.json")
        for number in range(n_replicates)
        for s in settings
    ]
    with locked(folder):
        rows_folder.mkdir(exist_ok=True)
        for task in tasks:  # before anything is computed
            finished_rows(task)
        for n_done, _ in enumerate(run_tasks(complete, tasks, workers=workers), start=1):
            if progress is not None:
                progress("replicates", n_done, len(tasks))
        table = tidy_table(tasks)
        with writing(folder, "grid") as beside:
            write_table(table, beside / "grid.tsv")
            write_table(grid_summary(table), beside / "summary.tsv")
    return table


def complete(task: Replicate) -> None:
    """Run the methods of a replicate that have no row yet, and write the file anew."""
    rows = finished_rows(task)
    missing = {name: variant for name, variant in task.variants.items() if name not in rows}
    if not missing:
        return
    # The name of a setting as a number, so that each has streams of its own.
    key = (zlib.crc32(task.setting.name.encode()), task.number)
    rng = np.random.default_rng(np.random.SeedSequence(task.seed, spawn_key=key))
    simulated = simulate_screen(task.setting.model, rng=rng)
    for name, variant in missing.items():
        options = variant.config.to_dict()
        rows[name] = {"options": options, "measures": _measured(variant, *simulated)}
    record = {"made_of": _made_of(task), "rows": rows, "checksum": _checksum(rows)}
    with writing_file(task.file) as beside:
        beside.write_text(json.dumps(record), encoding="utf-8")


def _measured(variant: Variant, data: PerturbSeqData, truth: Truth) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        network = (
            infer_knowing_ancestors(data, truth, variant.config)
            if variant.knows_ancestors
            else infer_by(variant.method, data, variant.config)
        )
        seconds = time.perf_counter() - start
        return {"error": "", "seconds": seconds, **evaluate(network, truth).to_dict()}
    except Exception as error:  # a method that fails is a line of the table
        return {"error": f"{type(error).__name__}: {first_line(error)}"}


def finished_rows(task: Replicate) -> dict[str, Any]:
    """Return what an earlier run has left of a replicate, by method.

    Raises InputError when it is damaged, or made of another model, seed, options or version.
    """
    if not task.file.exists():
        return {}
    now = _made_of(task)
    with reading(task.file, "rows of an earlier run. Delete it to compute them again"):
        record = json.loads(task.file.read_text(encoding="utf-8"))
        rows: dict[str, Any] = record["rows"]
        if record.get("checksum", found := _checksum(rows)) != found:
            raise ValueError("its rows are not those that were written")
        differing = [name for name in now if record["made_of"].get(name) != now[name]]
        differing += [
            f"{name} (method)"
            for name, variant in task.variants.items()
            if name in rows and rows[name]["options"] != variant.config.to_dict()
        ]
    if differing:
        raise InputError(
            f"{str(task.file)!r} comes from a run with another {', '.join(differing)}. Choose "
            "another folder, or delete that file."
        )
    return rows


def tidy_table(tasks: Sequence[Replicate]) -> pd.DataFrame:
    """Gather the rows of finished replicates, in the sequence of settings and replicates."""
    records = []
    for task in sorted(tasks, key=lambda task: task.number):
        rows = finished_rows(task)
        model = task.setting.model.to_dict()
        for name in task.variants:
            key = {"setting": task.setting.name, "replicate": task.number, "method": name}
            records.append(key | model | rows[name]["measures"])
    model_options = [field.name for field in fields(ScreenModel)]
    first = ["setting", "replicate", "method", *model_options, "error"]
    table = pd.DataFrame(records, columns=[*first, *MEASURES])
    rank = {name: place for place, name in enumerate(table["setting"].unique())}
    return table.sort_values("setting", key=lambda s: s.map(rank), kind="stable", ignore_index=True)


def grid_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean and Monte-Carlo error of each measure, per setting and method, in long form.

    Columns: setting, method, measure, mean, error, n (replicates in which it could be measured)
    and n_failed (replicates in which the method failed).
    """
    failed = (table["error"] != "").groupby([table[name] for name in KEY], sort=False).sum()
    long = table.melt(
        id_vars=KEY, value_vars=list(MEASURES), var_name="measure", value_name="value"
    )
    grouped = long.groupby([*KEY, "measure"], sort=False)["value"]
    summary = grouped.agg(mean="mean", sd="std", n="count").reset_index()
    summary["error"] = summary.pop("sd") / np.sqrt(summary["n"])
    summary = summary.merge(failed.rename("n_failed").reset_index(), on=KEY, how="left")
    return summary[[*KEY, "measure", "mean", "error", "n", "n_failed"]]


def _checksum(rows: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(rows, sort_keys=True).encode())


def _made_of(task: Replicate) -> dict[str, Any]:
    """Return what decides on every number of a replicate, as a file gives it back."""
    model = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in task.setting.model.to_dict().items()
    }
    return {"model": model, "seed": task.seed, "version": version("argen")}
