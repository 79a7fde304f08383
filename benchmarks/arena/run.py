"""The arena: other methods on the screens of the grid, each in an environment of its own.

A method is one file in ``methods/``; its requirements are installed, from the package index, into
a virtual environment that is made when it is first needed. A fit has one thread and a limit of
processor time, which other work on the machine does not shorten; then it is stopped and counted
as a network without edges. So is one that fails. A method whose first two fits of a setting were
both stopped is not tried on its other replicates. "argen", "published" and the baselines run in
this process, on the same screens as in ``argen study grid``.

An undirected edge is one call that is right by half where there is a true edge between its genes,
as if a coin chose the direction. The area under precision and recall ranks pairs by the size of
what the method returns, so that a method without sizes has few steps; a method that ranks pairs
and calls none has no other score.

Usage: run.py [--methods gies pc ...] [--settings p8-base ...] [--replicates 10] [--time-limit 60]
              [--out arena] [--environments FOLDER]
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import venv
import zlib
from importlib import util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from argen import PerturbSeqData, Truth, infer_by, simulate_screen
from argen.analysis import evaluate
from argen.analysis.evaluate import average_precision
from argen.study import chosen_settings, chosen_variants
from argen.study.settings import VARIANTS, Setting

HERE = Path(__file__).resolve().parent
SETTINGS = tuple(
    f"p{n_nodes}-{change}"
    for n_nodes in (8, 30)
    for change in ("base", "no-confounding", "strong-confounding", "hidden-genes")
)
OWN = ("argen", "published", "inverse-sparse", "naive")
SEED = 1
MEASURES = ("f1", "precision", "recall", "false_discovery_proportion", "shd", "auprc")
TITLES = {"f1": "F1", "false_discovery_proportion": "FDP", "auprc": "AUPRC"}
STOPPED, NOT_TRIED = "stopped at the limit", "not tried after two stops"
# The limit of wall time, in limits of processor time: against a fit that waits for ever.
PATIENCE = 10


def others() -> list[str]:
    """Methods that have a file."""
    return sorted(p.stem for p in (HERE / "methods").glob("*.py") if p.stem != "__init__")


def method_file(method: str) -> ModuleType:
    """Return the module of a method: what it requires, and whether it calls edges."""
    spec = util.spec_from_file_location(method, HERE / "methods" / f"{method}.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def python_of(method: str, environments: Path) -> str:
    """Return the interpreter of a method, making its environment when there is none."""
    requirements = method_file(method).REQUIREMENTS
    if not requirements:
        return sys.executable
    folder = environments / "-".join(sorted(requirements)).translate({ord(c): "_" for c in "<>=,"})
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (folder / "ready").exists():
        print(f"{method}: installing {', '.join(requirements)}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "numpy", "pandas", *requirements],
            check=True,
        )
        (folder / "ready").touch()
    return str(python)


def simulated(setting: Setting, number: int) -> tuple[PerturbSeqData, Truth]:
    """Draw the screen that this replicate is in the grid."""
    key = (zlib.crc32(setting.name.encode()), number)
    rng = np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=key))
    return simulate_screen(setting.model, rng=rng)


def scores(edges: np.ndarray, true: np.ndarray, *, calls_edges: bool = True) -> dict:
    """Mark a matrix of edges: [source, target], both directions for an undirected one."""
    pairs = ~np.eye(len(edges), dtype=bool)
    auprc = average_precision(np.abs(edges[pairs].astype(float)), true[pairs])
    if not calls_edges:
        return dict.fromkeys(MEASURES, float("nan")) | {"auprc": auprc}
    called = (edges != 0) & pairs
    weight = np.where(called & called.T, 0.5, 1.0) * called
    n_called, n_true, n_correct = weight.sum(), true.sum(), (weight * true).sum()
    differs = called != true
    return {
        "f1": 2 * n_correct / max(n_called + n_true, 1),
        "precision": n_correct / n_called if n_called else float("nan"),
        "recall": n_correct / n_true,
        "false_discovery_proportion": (n_called - n_correct) / max(n_called, 1),
        "shd": int(np.triu(differs | differs.T).sum()),
        "auprc": auprc,
    }


def run_other(method: str, data: PerturbSeqData, python: str, limit: int) -> tuple[dict, str]:
    """Run a method in its process; returns its edges and seconds, or why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "screen.npz", Path(folder) / "edges.npz"
        np.savez(
            source,
            counts=data.counts.dense(np.arange(data.n_nodes)).T,
            library_size=data.library_size,
            covariates=data.regressors.matrix,
            node_of_cell=data.node_of_cell,
        )
        command = [python, str(HERE / "worker.py"), method, str(source), str(out)]
        one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | one
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=PATIENCE * limit,
                env=environment, check=False,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5)),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return {}, STOPPED
        if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            return {}, STOPPED
        if not out.exists():
            return {}, f"failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"
        with np.load(out) as found:
            return {"edges": found["edges"], "seconds": float(found["seconds"])}, "ok"


def row_of(
    method: str, data: PerturbSeqData, truth: Truth, options: argparse.Namespace, *, tried: bool
) -> dict:
    """Run a method on a screen and mark it."""
    true = truth.direct != 0
    if method in VARIANTS:
        variant = VARIANTS[method]
        start = time.perf_counter()
        network = infer_by(variant.method, data, variant.config)
        seconds = time.perf_counter() - start
        marks = evaluate(network, truth).to_dict()
        return {"status": "ok", "seconds": seconds} | {name: marks[name] for name in MEASURES}
    if not tried:
        return {"status": NOT_TRIED} | scores(np.zeros_like(true), true)
    try:
        python = python_of(method, options.environments)
    except subprocess.CalledProcessError as error:
        return {"status": f"failed: not installed ({error})"} | scores(np.zeros_like(true), true)
    found, status = run_other(method, data, python, options.time_limit)
    edges = found.pop("edges", np.zeros_like(true))
    calls_edges = getattr(method_file(method), "CALLS_EDGES", True)
    return {"status": status} | found | scores(edges, true, calls_edges=calls_edges)


def worth_trying(rows: list[dict], setting: str, method: str) -> bool:
    """Say whether one of the first two fits of a method ended in this setting."""
    of_both = [r["status"] for r in rows if (r["setting"], r["method"]) == (setting, method)]
    return of_both[:2] != [STOPPED, STOPPED]


def summary(table: pd.DataFrame) -> str:
    """Return F1, FDP, AUPRC and what did not finish, settings by methods, as Markdown."""
    lines = []
    for measure, title in TITLES.items():
        grouped = table.groupby(["setting", "method"], sort=False)[measure]
        mean, error = grouped.mean(), grouped.std() / np.sqrt(grouped.count())
        methods, settings = table["method"].unique(), table["setting"].unique()
        lines += [f"| {title} | {' | '.join(methods)} |", f"| --- |{' ---: |' * len(methods)}"]
        for setting in settings:
            cells = []
            for method in methods:
                rows = table[(table["setting"] == setting) & (table["method"] == method)]
                lost = int((rows["status"] != "ok").sum())
                if len(rows) == 0 or rows[measure].isna().all():
                    cells.append("")
                    continue
                if lost == len(rows):
                    cells.append("no result")
                    continue
                at = (setting, method)
                note = f" ({lost} lost)" if lost else ""
                plus_minus = f" ± {error[at]:.3f}" if len(rows) > 1 else ""
                cells.append(f"{mean[at]:.3f}{plus_minus}{note}")
            lines.append(f"| {setting} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Run what has no row yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=[*OWN, *others()])
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS))
    parser.add_argument("--replicates", type=int, default=10)
    parser.add_argument("--time-limit", type=int, default=60, help="processor seconds of a fit")
    parser.add_argument("--out", type=Path, default=Path("arena"))
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "argen-arena"
    parser.add_argument("--environments", type=Path, default=cache)
    options = parser.parse_args()
    unknown = set(options.methods) - set(others()) - set(VARIANTS)
    if unknown:
        parser.error(f"no such method: {', '.join(sorted(unknown))}")
    chosen_variants([name for name in options.methods if name in VARIANTS])
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "arena.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {(row["setting"], row["replicate"], row["method"]) for row in rows}
    # All replicates of a setting before the next: two stops are known before the third fit.
    for setting in chosen_settings(options.settings):
        for number in range(options.replicates):
            missing = [m for m in options.methods if (setting.name, number, m) not in done]
            if not missing:
                continue
            data, truth = simulated(setting, number)
            for method in missing:
                key = {"setting": setting.name, "replicate": number, "method": method}
                tried = worth_trying(rows, setting.name, method)
                rows.append(key | row_of(method, data, truth, options, tried=tried))
                with file.open("a") as lines:
                    lines.write(json.dumps(rows[-1], default=float) + "\n")
    table = pd.DataFrame(rows)
    rank = {name: place for place, name in enumerate(options.methods)}
    table = table.sort_values("method", key=lambda m: m.map(rank), kind="stable")
    table.to_csv(options.out / "arena.tsv", sep="\t", index=False)
    (options.out / "arena.md").write_text(summary(table) + "\n", encoding="utf-8")
    print(summary(table))
    for reason, number in table.loc[table["status"] != "ok", "status"].value_counts().items():
        print(f"{number} x {reason}")


if __name__ == "__main__":
    main()
