"""Time and memory of reading a large file: ``python benchmarks/reading.py``.

Each way of reading runs in a process of its own, so that its peak memory is its own.
"""

import argparse
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

# Name, options of the reader; those with a folder keep their tiles there.
WAYS = {
    "anndata, whole": None,
    "argen, in memory": {},
    "argen, in files": {"memory": 0},
    "argen, kept": {"memory": 0, "scratch": "kept"},
    "argen, kept before": {"memory": 0, "scratch": "kept"},
    "argen, kept, to memory": {"scratch": "kept"},
}


def write_screen(path: Path, n_cells: int, n_genes: int) -> int:
    """Write counts of which a fifth is not zero, a tenth of the cells controls."""
    rng = np.random.default_rng(0)
    mean = 0.02 + rng.gamma(0.3, 1.0, n_genes)
    rows = [
        sparse.csr_matrix(rng.poisson(mean, (min(1000, n_cells - a), n_genes)).astype(np.float32))
        for a in range(0, n_cells, 1000)
    ]
    counts = sparse.vstack(rows, format=path.suffixes[0][1:])
    perturbed = [f"g{k}" for k in rng.integers(0, n_genes // 4, n_cells)]
    labels = np.where(rng.random(n_cells) < 0.1, "control", perturbed)
    obs = pd.DataFrame({"perturbation": labels}, index=[f"c{i}" for i in range(n_cells)])
    var = pd.DataFrame(index=[f"g{k}" for k in range(n_genes)])
    AnnData(counts, obs=obs, var=var).write_h5ad(path)
    return int(counts.nnz)


def measure(path: Path, way: str) -> None:
    """Read a file and print seconds and the growth of the peak memory in MB."""
    before = peak_memory()
    start = time.perf_counter()
    options = WAYS[way]
    if options is None:
        read_h5ad(path)
    else:
        options = options | ({"scratch": path.with_suffix("")} if "scratch" in options else {})
        labels = {"target": "perturbation", "control": "control"}
        asked = argen.ReadOptions(**labels, sinks="all", min_cells=1, **options)
        argen.read_perturbseq(path, asked)
    seconds = time.perf_counter() - start
    peak = peak_memory() - before
    print(seconds, peak / 1000)


def peak_memory() -> int:
    """Peak resident memory in kB; of Linux, since ru_maxrss knows that of the parent too."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def main() -> None:
    """Print seconds, MB of entries a second, and peak memory of each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "WAY"))
    options = parser.parse_args()
    if options.measure:
        measure(Path(options.measure[0]), options.measure[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("csr", "csc"):
            path = Path(folder, f"screen.{kind}.h5ad")
            n_entries = write_screen(path, options.cells, options.genes)
            megabytes = 8 * n_entries / 1e6
            print(f"{kind}: {options.cells:,} x {options.genes:,}, {n_entries:,} entries, "
                  f"{megabytes:,.0f} MB")  # fmt: skip
            for way in WAYS:
                command = [sys.executable, __file__, "--measure", str(path), way]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                seconds, peak = map(float, done.stdout.split())
                print(f"  {way:24s} {seconds:6.2f} s {megabytes / seconds:7.0f} MB/s "
                      f"{peak:6.0f} MB more at peak")  # fmt: skip


if __name__ == "__main__":
    main()
