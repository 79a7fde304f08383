"""How far the engine is from the least that a screen costs.

Two limits, in one run: reading the counts once from disk, and one exponential per perturbed cell
and gene, which any fit of every pair must take. Then the screen itself, from memory.

Usage: limit.py [--nodes 400] [--threads 1] [--toy]
"""

import argparse
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

import argen
from argen.glm._series import exponentials
from screens import write_screen

N_ROUNDS = 3


def seconds_of_reading(path: Path) -> float:
    """Read every stored count and its place once."""
    start = time.perf_counter()
    with h5py.File(path, "r") as file:
        for name in ("data", "indices"):
            stored, step = file["X"][name], 2**24
            for first in range(0, stored.shape[0], step):
                stored[first : first + step]
    return time.perf_counter() - start


def seconds_of_exponentials(n_cells: int, n_genes: int) -> float:
    """One exponential per perturbed cell and gene."""
    x = np.linspace(-3.0, 1.0, n_cells)
    out, scratch = np.empty(n_cells), np.empty(n_cells, np.int64)
    exponentials(x, out, scratch)
    start = time.perf_counter()
    for _ in range(n_genes):
        exponentials(x, out, scratch)
    return time.perf_counter() - start


def main() -> None:
    """Print each limit, and how many times that the screen takes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=400)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--toy", action="store_true")
    options = parser.parse_args()
    shape = {"cells_per_node": 20, "n_controls": 300} if options.toy else {}
    n_nodes = 24 if options.toy else options.nodes
    config = argen.InferenceConfig(threads=options.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "screen.h5ad"
        write_screen(path, n_nodes=n_nodes, **shape)
        reading = min(seconds_of_reading(path) for _ in range(N_ROUNDS))
        asked = argen.ReadOptions(
            target="perturbation", control="non-targeting", library_size="library_size",
            covariates=["p_mito", "gem_group"],
        )  # fmt: skip
        start = time.perf_counter()
        data = argen.read_perturbseq(path, asked)
        read_and_checked = time.perf_counter() - start
    n_perturbed = data.n_cells - data.n_controls
    exponential = min(seconds_of_exponentials(n_perturbed, n_nodes) for _ in range(N_ROUNDS))
    argen.screen_descendants(data, config)  # compiles
    seconds = []
    for _ in range(N_ROUNDS):
        start = time.perf_counter()
        argen.screen_descendants(data, config)
        seconds.append(time.perf_counter() - start)
    screen = min(seconds)
    print(
        f"{n_nodes} nodes, {data.n_cells:,} cells, {options.threads} thread(s), best of {N_ROUNDS}"
    )
    print(f"reading the file once            {reading:9.3f} s")
    print(f"read_perturbseq                  {read_and_checked:9.3f} s, "
          f"{read_and_checked / reading:.1f} times that")  # fmt: skip
    print(f"one exponential a cell and gene  {exponential:9.3f} s")
    print(f"screen_descendants               {screen:9.3f} s, "
          f"{screen / exponential:.1f} times that")  # fmt: skip


if __name__ == "__main__":
    main()
