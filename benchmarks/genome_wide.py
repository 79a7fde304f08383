"""A slice of a genome-wide screen, out of core: all perturbations on some of the targets.

9,800 nodes and 2,000,000 cells are too many counts for the memory of a laptop; their tiles stay in
files. The time of a whole screen follows from that of a slice, since targets are independent.

Usage: genome_wide.py [--nodes 9800] [--targets 980] [--cells 2000000] [--toy]
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

import argen
from argen.data.counts import MOST_CELLS_OF_A_TILE, GeneCounts, Tile
from argen.data.perturbseq import left_out_table, perturbations_of
from argen.engine import SharedEngine, using_threads

N_LEVELS = 48
TARGETS_OF_A_BLOCK = 64


def write_tiles(folder: Path, rng, carried, gem_group, log_size, n_targets: int) -> GeneCounts:
    """Draw the counts of the targets, tile by tile, into files."""
    base = rng.normal(-0.5, 1.2, n_targets)
    of_level = rng.normal(0.0, 0.1, (N_LEVELS, n_targets))
    n_nodes = int(carried.max()) + 1
    effects = np.zeros((n_nodes + 1, n_targets), dtype=np.float32)  # the last row: controls
    hit = rng.random((n_nodes, n_targets)) < 0.02
    effects[:-1][hit] = rng.normal(0.0, 0.5, hit.sum())
    tiles = []
    for number, start in enumerate(range(0, len(carried), MOST_CELLS_OF_A_TILE)):
        parts = []
        for first in range(start, min(start + MOST_CELLS_OF_A_TILE, len(carried)), 4096):
            cells = slice(first, min(first + 4096, start + MOST_CELLS_OF_A_TILE))
            log_mean = base + effects[carried[cells]] + of_level[gem_group[cells]]
            log_mean += log_size[cells, None]
            parts.append(sparse.csr_array(rng.poisson(np.exp(log_mean)).astype(np.uint16)))
        tile = Tile.of(sparse.csc_array(sparse.vstack(parts)))
        tiles.append(tile.write(folder / f"tile{number}"))
    return GeneCounts(tuple(tiles), n_targets)


def main() -> None:
    """Screen the slice, and say what the whole would take."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=9_800)
    parser.add_argument("--targets", type=int, default=980)
    parser.add_argument("--cells", type=int, default=2_000_000)
    parser.add_argument("--toy", action="store_true")
    options = parser.parse_args()
    n_nodes, n_targets, n_cells = options.nodes, options.targets, options.cells
    if options.toy:
        n_nodes, n_targets, n_cells = 40, 10, 2_000
    rng = np.random.default_rng(0)
    n_controls = n_cells // 20
    carried = np.append(np.full(n_controls, -1), rng.integers(0, n_nodes, n_cells - n_controls))
    rng.shuffle(carried)
    gem_group, log_size = rng.integers(0, N_LEVELS, n_cells), rng.normal(0.0, 0.35, n_cells)
    covariates = pd.DataFrame(
        {"p_mito": rng.normal(size=n_cells), "gem_group": gem_group.astype(str)}
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        counts = write_tiles(Path(folder), rng, carried, gem_group, log_size, n_targets)
        print(f"drawn and written in {time.perf_counter() - start:.0f} s: "
              f"{counts.nbytes / 1e9:.1f} GB in {len(counts.tiles)} tiles")  # fmt: skip
        data = argen.PerturbSeqData(
            counts=counts,
            genes=tuple(f"g{k}" for k in range(n_nodes)),
            n_nodes=n_nodes,
            n_measured=n_nodes,
            cells=pd.RangeIndex(n_cells),
            perturbations=perturbations_of(carried, n_nodes),
            library_size=np.exp(log_size),
            library_size_source="drawn",
            covariates=covariates,
            formula=None,
            left_out=left_out_table([]),
            source="drawn",
        )
        with using_threads(None):
            start = time.perf_counter()
            screener = SharedEngine().screen(data, argen.InferenceConfig())
            prepared = time.perf_counter() - start
            screener.total_effects(np.arange(1))  # compiles
            start = time.perf_counter()
            for first in range(0, n_targets, TARGETS_OF_A_BLOCK):
                last = min(first + TARGETS_OF_A_BLOCK, n_targets)
                found = screener.total_effects(np.arange(first, last))
            seconds = time.perf_counter() - start
    n_tests = n_nodes * n_targets
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{n_nodes:,} perturbations on {n_targets:,} targets, {n_cells:,} cells; {found.fits}")
    print(f"prepared in {prepared:.1f} s, screened in {seconds:.1f} s: "
          f"{1e6 * seconds / n_tests:.2f} microseconds a test, {memory:.2f} GB")  # fmt: skip
    print(f"all {n_nodes:,} targets: {seconds * n_nodes / n_targets / 3600:.2f} hours")


if __name__ == "__main__":
    main()
