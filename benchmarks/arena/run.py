"""The arena: other methods on the screens of the grid, each in an environment of its own.

A method is one file in ``methods/``; its requirements are installed, from the package index, into a
virtual environment that is made when it is first needed. A fit has a time limit, after which it is
stopped and counted as a network without edges; so is one that fails. "argen", "published" and the
baselines run in this process, on the same screens as in ``argen study grid``.

An undirected edge is one call that is right by half where there is a true edge between its genes,
as if a coin chose the direction.

Usage: run.py [--methods gies pc ...] [--settings p8-base ...] [--replicates 10] [--time-limit 60]
              [--out arena] [--environments FOLDER]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
import zlib
from importlib import util
from pathlib import Path

import numpy as np
import pandas as pd

from argen import PerturbSeqData, Truth, evaluate, infer_by, simulate_screen
from argen.design import build_design
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
MEASURES = ("f1", "precision", "recall", "false_discovery_proportion", "shd")


def others() -> list[str]:
    """Methods that have a file."""
    return sorted(p.stem for p in (HERE / "methods").glob("*.py") if p.stem != "__init__")


def requirements_of(method: str) -> tuple[str, ...]:
    """Return the packages that a method needs besides numpy and pandas."""
    spec = util.spec_from_file_location(method, HERE / "methods" / f"{method}.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.REQUIREMENTS


def python_of(method: str, environments: Path) -> str:
    """Return the interpreter of a method, making its environment when there is none."""
    requirements = requirements_of(method)
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


def scores(edges: np.ndarray, true: np.ndarray) -> dict:
    """Mark a matrix of edges: [source, target], both directions for an undirected one."""
    called = (edges != 0) & ~np.eye(len(edges), dtype=bool)
    weight = np.where(called & called.T, 0.5, 1.0) * called
    n_called, n_true, n_correct = weight.sum(), true.sum(), (weight * true).sum()
    differs = called != true
    return {
        "f1": 2 * n_correct / max(n_called + n_true, 1),
        "precision": n_correct / n_called if n_called else float("nan"),
        "recall": n_correct / n_true,
        "false_discovery_proportion": (n_called - n_correct) / max(n_called, 1),
        "shd": int(np.triu(differs | differs.T).sum()),
    }


def run_other(method: str, data: PerturbSeqData, python: str, limit: float) -> tuple[dict, str]:
    """Run a method in its process; returns its edges and seconds, or why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "screen.npz", Path(folder) / "edges.npz"
        design = build_design(data)
        np.savez(
            source,
            counts=data.counts.dense(np.arange(data.n_nodes)).T,
            library_size=data.library_size,
            covariates=design.covariates.matrix,
            node_of_cell=design.node_of_cell,
        )
        command = [python, str(HERE / "worker.py"), method, str(source), str(out)]
        one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | one
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=limit, env=environment, check=False
            )
        except subprocess.TimeoutExpired:
            return {}, "timeout"
        if not out.exists():
            return {}, f"failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"
        with np.load(out) as found:
            return {"edges": found["edges"], "seconds": float(found["seconds"])}, "ok"


def row_of(method: str, data: PerturbSeqData, truth: Truth, options: argparse.Namespace) -> dict:
    """Run a method on a screen and mark it."""
    true = truth.direct != 0
    if method in VARIANTS:
        variant = VARIANTS[method]
        start = time.perf_counter()
        network = infer_by(variant.method, data, variant.config)
        seconds = time.perf_counter() - start
        marks = evaluate(network, truth).to_dict()
        return {"status": "ok", "seconds": seconds} | {name: marks[name] for name in MEASURES}
    try:
        python = python_of(method, options.environments)
    except subprocess.CalledProcessError as error:
        return {"status": f"failed: not installed ({error})"} | scores(np.zeros_like(true), true)
    found, status = run_other(method, data, python, options.time_limit)
    edges = found.pop("edges", np.zeros_like(true))
    return {"status": status} | found | scores(edges, true)


def summary(table: pd.DataFrame) -> str:
    """Return F1, FDP and what did not finish, settings by methods, as Markdown."""
    lines = []
    for measure, title in (("f1", "F1"), ("false_discovery_proportion", "FDP")):
        grouped = table.groupby(["setting", "method"], sort=False)[measure]
        mean, error = grouped.mean(), grouped.std() / np.sqrt(grouped.count())
        methods, settings = table["method"].unique(), table["setting"].unique()
        lines += [f"| {title} | {' | '.join(methods)} |", f"| --- |{' ---: |' * len(methods)}"]
        for setting in settings:
            cells = []
            for method in methods:
                rows = table[(table["setting"] == setting) & (table["method"] == method)]
                lost = int((rows["status"] != "ok").sum())
                if len(rows) == 0 or lost == len(rows):
                    cells.append("no result" if len(rows) else "")
                    continue
                at = (setting, method)
                note = f" ({lost} lost)" if lost else ""
                cells.append(f"{mean[at]:.3f} ± {error[at]:.3f}{note}")
            lines.append(f"| {setting} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Run what has no row yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=[*OWN, *others()])
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS))
    parser.add_argument("--replicates", type=int, default=10)
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds of a fit")
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
    for number in range(options.replicates):
        for setting in chosen_settings(options.settings):
            missing = [m for m in options.methods if (setting.name, number, m) not in done]
            if not missing:
                continue
            data, truth = simulated(setting, number)
            for method in missing:
                key = {"setting": setting.name, "replicate": number, "method": method}
                rows.append(key | row_of(method, data, truth, options))
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
