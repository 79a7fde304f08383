"""A genome-wide screen out of core: a slice of the screen, and the parent search of some targets.

9,800 nodes and 2,000,000 cells are too many counts for the memory of a laptop; their tiles stay in
files. Genes stand in a causal order, of which each is moved by 2 % of the perturbations, those of
genes before it, so that the last have most candidates. The screen is that of all perturbations on
every tenth gene. The parent search is that of targets from all over the order, each with its true
ancestors as candidates, twice: what is learnt of a gene when it is first met is kept for later
blocks. Targets are independent, so that the time of the whole follows from that of a part.

Usage: genome_wide.py [--nodes 9800] [--cells 2000000] [--parents 100] [--folder .] [--toy]
"""

import argparse
import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba as nb
import numpy as np
import pandas as pd

import argen
from argen.data.counts import MOST_CELLS_OF_A_TILE, GeneCounts, Tile
from argen.data.perturbseq import left_out_table, perturbations_of
from argen.engine import ParentJob, SharedEngine, using_threads

N_LEVELS = 48
SHARE_OF_DESCENDANTS = 0.02
TARGETS_OF_A_BLOCK = 64
# Cells of a tile as it is drawn, since that many cells of all genes must be in memory.
CELLS_OF_A_TILE = MOST_CELLS_OF_A_TILE // 4


@nb.njit(nogil=True)
def draw_gene(rng, rate_of_group, rate_of_level, group, level, size, cell, count):
    """Draw Poisson counts by inversion; returns how many are not 0, which are written."""
    n = 0
    for i in range(group.shape[0]):
        mean = rate_of_group[group[i]] * rate_of_level[level[i]] * size[i]
        left, term, drawn = rng.random(), np.exp(-mean), 0
        while left > term and drawn < 255:
            left -= term
            drawn += 1
            term *= mean / drawn
        if drawn > 0:
            cell[n], count[n] = i, drawn
            n += 1
    return n


def ancestors(gene: int) -> np.ndarray:
    """Genes whose perturbation moves a gene: on average over genes, 2 % of all."""
    rng = np.random.default_rng([1, gene])
    return np.flatnonzero(rng.random(gene) < 2 * SHARE_OF_DESCENDANTS)


def rates_of_gene(n_nodes: int, gene: int) -> tuple[np.ndarray, np.ndarray]:
    """Rates in the cells of each perturbation, the controls last, and in each level."""
    rng = np.random.default_rng([2, gene])
    log_rate = np.full(n_nodes + 1, rng.normal(-0.5, 1.2))
    moved = ancestors(gene)
    log_rate[moved] += rng.normal(0.0, 0.5, len(moved))
    log_rate[gene] -= 2.0
    return np.exp(log_rate).astype(np.float32), np.exp(rng.normal(0.0, 0.1, N_LEVELS))


def write_tiles(folder: Path, n_nodes: int, carried, level, log_size) -> GeneCounts:
    """Draw the counts of all genes, tile by tile, into files."""
    group, size = np.where(carried < 0, n_nodes, carried), np.exp(log_size)
    rates = [rates_of_gene(n_nodes, gene) for gene in range(n_nodes)]

    def draw(number: int) -> Tile:
        cells = slice(number * CELLS_OF_A_TILE, (number + 1) * CELLS_OF_A_TILE)
        part = group[cells], level[cells], size[cells]
        n_cells = len(part[0])
        cell, count = np.empty(n_cells, np.uint16), np.empty(n_cells, np.uint8)
        start, parts = np.zeros(n_nodes + 1, np.int64), []
        rng = np.random.default_rng([3, number])
        for gene, (of_group, of_level) in enumerate(rates):
            n = draw_gene(rng, of_group, of_level, *part, cell, count)
            start[gene + 1] = start[gene] + n
            parts.append((cell[:n].copy(), count[:n].copy()))
        cell, count = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return Tile(n_cells, start, cell, count).write(folder / f"tile{number}")

    with ThreadPoolExecutor() as pool:
        tiles = list(pool.map(draw, range(-(-len(group) // CELLS_OF_A_TILE))))
    return GeneCounts(tuple(tiles), n_nodes)


def screen_slice(data: argen.PerturbSeqData, targets: np.ndarray) -> None:
    """Screen some targets, and say what all would take."""
    start = time.perf_counter()
    screener = SharedEngine().screen(data, argen.InferenceConfig())
    prepared = time.perf_counter() - start
    screener.total_effects(targets[:1])  # compiles
    start = time.perf_counter()
    for first in range(0, len(targets), TARGETS_OF_A_BLOCK):
        found = screener.total_effects(targets[first : first + TARGETS_OF_A_BLOCK])
    seconds = time.perf_counter() - start
    n_tests = data.n_nodes * len(targets)
    print(f"{data.n_nodes:,} perturbations on {len(targets):,} targets; {found.fits}")
    print(f"prepared in {prepared:.1f} s, screened in {seconds:.1f} s: "
          f"{1e6 * seconds / n_tests:.2f} microseconds a test")  # fmt: skip
    print(f"all targets: {seconds * data.n_nodes / len(targets) / 3600:.2f} hours", flush=True)


def search_sample(data: argen.PerturbSeqData, n_targets: int) -> None:
    """Search the parents of some targets, and say what all would take."""
    n_nodes = data.n_nodes
    targets = np.linspace(n_nodes // 50 + 2, n_nodes - 1, n_targets).astype(np.int64)
    jobs = [ParentJob(int(t), ancestors(int(t))) for t in targets]
    jobs = [job for job in jobs if len(job.candidates)]
    tester = SharedEngine().parents(data, argen.InferenceConfig())
    tester.direct_effects(jobs[:1])  # compiles
    wall, processor = [], []
    for _ in range(2):
        start = time.perf_counter(), time.process_time()
        found = tester.direct_effects(jobs)
        wall.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    genes = np.unique(np.concatenate([[job.target, *job.candidates] for job in jobs]))
    n_candidates = np.array([len(job.candidates) for job in jobs])
    print(f"parents of {len(jobs)} targets, {n_candidates.min()} to {n_candidates.max()} "
          f"candidates, {len(genes):,} genes in all; {found.fits}")  # fmt: skip
    for when, seconds, busy in zip(("first", "again"), wall, processor, strict=True):
        print(f"{when}: {seconds:.1f} s, {busy:.1f} processor seconds")
    # The first meeting of every gene, once; all else as often as there are such samples.
    met = max(processor[0] - processor[1], 0.0) * n_nodes / len(genes)
    hours = (met + processor[1] * n_nodes / len(jobs)) / 3600
    on_cores = ", ".join(f"{hours / cores:.2f} on {cores}" for cores in (2, 16, 64))
    print(f"all targets, {len(jobs)} in a block: {hours:.2f} processor hours; on cores: {on_cores}")


def main() -> None:
    """Draw the counts, screen, search and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=9_800)
    parser.add_argument("--cells", type=int, default=2_000_000)
    parser.add_argument("--parents", type=int, default=100)
    parser.add_argument("--folder", default=None, help="of the tiles: about 20 GB")
    parser.add_argument("--toy", action="store_true")
    options = parser.parse_args()
    n_nodes, n_cells = (40, 4_000) if options.toy else (options.nodes, options.cells)
    n_parents = 10 if options.toy else options.parents
    rng = np.random.default_rng(0)
    n_controls = n_cells // 20
    carried = np.append(np.full(n_controls, -1), rng.integers(0, n_nodes, n_cells - n_controls))
    rng.shuffle(carried)
    level, log_size = rng.integers(0, N_LEVELS, n_cells), rng.normal(0.0, 0.35, n_cells)
    covariates = {"p_mito": rng.normal(size=n_cells), "gem_group": level.astype(str)}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        start = time.perf_counter()
        counts = write_tiles(Path(folder), n_nodes, carried, level, log_size)
        print(f"drawn and written in {time.perf_counter() - start:.0f} s: "
              f"{counts.nbytes / 1e9:.1f} GB in {len(counts.tiles)} tiles", flush=True)  # fmt: skip
        data = argen.PerturbSeqData(
            counts=counts,
            genes=tuple(f"g{k}" for k in range(n_nodes)),
            n_nodes=n_nodes,
            n_measured=n_nodes,
            cells=pd.RangeIndex(n_cells),
            perturbations=perturbations_of(carried, n_nodes),
            library_size=np.exp(log_size),
            library_size_source="drawn",
            covariates=pd.DataFrame(covariates),
            formula=None,
            left_out=left_out_table([]),
            source="drawn",
        )
        with using_threads(None):
            screen_slice(data, np.arange(0, n_nodes, 10 if not options.toy else 4))
            search_sample(data, n_parents)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{n_nodes:,} nodes, {n_cells:,} cells: {memory:.2f} GB")


if __name__ == "__main__":
    main()
