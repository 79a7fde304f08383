"""Time and memory of reading a large file: ``python benchmarks/reading.py``.

Each reading runs in a process of its own, so that its peak memory is its own. First the ways to
read, with all cores that may be used; then, for every format and number of threads, the fastest of
several rounds that take turns, since other work on the machine only adds. What the second thread
saves says what share of one thread's time is spent one at a time, if
``t(n) = t(1) (share + (1 - share) / n)``.
"""

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad
from scipy import sparse

import argen
from argen.machine import usable_cores

# Name, options of the reader; those with a folder keep their tiles there.
WAYS = {
    "anndata, whole": None,
    "argen, in memory": {},
    "argen, in files": {"memory": 0},
    "argen, kept": {"memory": 0, "scratch": "kept"},
    "argen, kept before": {"memory": 0, "scratch": "kept"},
    "argen, kept, to memory": {"scratch": "kept"},
}
FORMATS = ("plain", "gzip", "lzf", "zarr")


def draw_screen(kind: str, n_cells: int, n_genes: int) -> AnnData:
    """Draw counts of which a fifth is not zero, a tenth of the cells controls."""
    rng = np.random.default_rng(0)
    mean = 0.02 + rng.gamma(0.3, 1.0, n_genes)
    rows = [
        sparse.csr_matrix(rng.poisson(mean, (min(1000, n_cells - a), n_genes)).astype(np.float32))
        for a in range(0, n_cells, 1000)
    ]
    counts = sparse.vstack(rows, format=kind)
    perturbed = [f"g{k}" for k in rng.integers(0, n_genes // 4, n_cells)]
    labels = np.where(rng.random(n_cells) < 0.1, "control", perturbed)
    obs = pd.DataFrame({"perturbation": labels}, index=[f"c{i}" for i in range(n_cells)])
    var = pd.DataFrame(index=[f"g{k}" for k in range(n_genes)])
    return AnnData(counts, obs=obs, var=var)


def write(screen: AnnData, path: Path, form: str) -> None:
    """Write a screen in one of the formats."""
    if form == "zarr":
        screen.write_zarr(path)
    else:
        screen.write_h5ad(path, compression=None if form == "plain" else form)


def measure(path: Path, way: str, threads: int | None) -> None:
    """Read a file; print wall and processor seconds, and the growth of the peak memory in MB."""
    labels = {"target": "perturbation", "control": "control"}
    asked = argen.ReadOptions(**labels, min_cells=1)
    argen.read_perturbseq(draw_screen("csr", 500, 60), asked)  # loads what reading needs
    before = peak_memory()
    start, start_cpu = time.perf_counter(), time.process_time()
    options = WAYS[way]
    if options is None:
        read_h5ad(path)
    else:
        options = options | ({"scratch": path.with_suffix("")} if "scratch" in options else {})
        asked = argen.ReadOptions(**labels, sinks="all", min_cells=1, **options)
        argen.read_perturbseq(path, asked, threads=threads)
    seconds = time.perf_counter() - start, time.process_time() - start_cpu
    print(json.dumps([*seconds, (peak_memory() - before) / 1000]))


def peak_memory() -> int:
    """Peak resident memory in kB; of Linux, since ru_maxrss knows that of the parent too."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def measured(path: Path, way: str, threads: int | None = None) -> list[float]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(path), way, str(threads or "")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def show_threads(
    screen: AnnData, folder: Path, forms: list[str], threads: list[int], n_rounds: int
) -> None:
    """Print seconds and peak memory, and the share of the time that is one at a time, by format."""
    print("csr by threads: wall (processor) seconds, MB more at peak")
    for form in forms:
        if form == "zarr" and importlib.util.find_spec("zarr") is None:
            print("  zarr is not installed")
            continue
        path = folder / f"threads.{'zarr' if form == 'zarr' else 'h5ad'}"
        write(screen, path, form)
        measured(path, "argen, in memory", 1)  # compiles, and brings the file into memory
        rounds = [[measured(path, "argen, in memory", n) for n in threads] for _ in range(n_rounds)]
        by_threads = [min(of) for of in zip(*rounds, strict=True)]
        shown = [
            f"{n}: {wall:.2f} ({cpu:.2f}) s {peak:.0f} MB"
            for n, (wall, cpu, peak) in zip(threads, by_threads, strict=True)
        ]
        walls = dict(zip(threads, (wall for wall, _, _ in by_threads), strict=True))
        if {1, 2} <= set(walls):
            shown.append(f"one at a time {2 * walls[2] / walls[1] - 1:.0%}")
        print(f"  {form:6s} {'   '.join(shown)}", flush=True)


def main() -> None:
    """Print seconds, MB of entries a second, and peak memory of each way and each format."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--threads", type=int, nargs="+", help="1, 2, 4, ... to all usable cores")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=3, metavar=("FILE", "WAY", "THREADS"))
    options = parser.parse_args()
    if options.measure:
        path, way, threads = options.measure
        measure(Path(path), way, int(threads) if threads else None)
        return
    cores = usable_cores()
    threads = options.threads or [n for n in (2**k for k in range(12)) if n < cores] + [cores]
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("csr", "csc"):
            path = Path(folder, f"screen.{kind}.h5ad")
            screen = draw_screen(kind, options.cells, options.genes)
            write(screen, path, "plain")
            megabytes = 8 * screen.X.nnz / 1e6
            print(f"{kind}: {options.cells:,} x {options.genes:,}, {screen.X.nnz:,} entries, "
                  f"{megabytes:,.0f} MB")  # fmt: skip
            for way in WAYS:
                seconds, _, peak = measured(path, way)
                print(f"  {way:24s} {seconds:6.2f} s {megabytes / seconds:7.0f} MB/s "
                      f"{peak:6.0f} MB more at peak")  # fmt: skip
            if kind == "csr":
                show_threads(screen, Path(folder), options.formats, threads, options.rounds)


if __name__ == "__main__":
    main()
