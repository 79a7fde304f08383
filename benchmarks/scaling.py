"""Wall time of each stage and peak memory as a screen grows, from a file of compressed rows.

One process per fit, so that peak memory is its own. Nodes have 150 cells each beside 10,000
controls, 48 gem groups and one numeric covariate; about 4 % of the ordered pairs are true
descendants. The last column is the operations of the parent search. Exponents are slopes of log
seconds on log p, or on the log of the number of cells n.

Two ways to fit: the default, and the published rule. The screen of the latter is adjusted by Holm:
among millions of pairs, the false descendants that an adjustment of the false discovery rate lets
pass close into one another until every gene is upstream of every other.

Usage: scaling.py [--nodes 250 500 1000 2000] [--sinks 0] [--ways default published]
                  [--times-cells 1] [--memory 2GB] [--keep FOLDER] [--toy]

``--parents-of-a-module 250 500 1000 2000 4000``, alone, prints the processor seconds that one
thread takes for the parent search of a twelfth of the genes, beside its operations.

``--nodes 500 --times-cells 1 2 4 8`` shows growth with the number of cells, controls and perturbed
alike.
"""

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

STAGES = ("read", "screen", "order", "parents")
WAYS = {
    "default": {},
    "published": {"rule": "published", "screen_adjustment": "holm"},
}


def fit(path: str, way: str, memory: str | None) -> dict:
    """Read and fit in this process: seconds of each stage, counts, and peak memory."""
    import argen

    options = argen.ReadOptions(
        target="perturbation",
        control="non-targeting",
        library_size="library_size",
        covariates=["p_mito", "gem_group"],
        sinks="all",
        memory=memory,
    )
    start = time.perf_counter()
    data = argen.read_perturbseq(path, options)
    seconds = {"read": time.perf_counter() - start}
    network = argen.infer_network(data, argen.InferenceConfig(**WAYS[way]))
    seconds |= network.provenance["seconds"]
    candidates = [network.causal_order.candidates(target) for target in range(data.n_genes)]
    return {
        "cells": data.n_cells,
        "nodes": data.n_nodes,
        "sinks": len(data.sinks),
        "descendants": int(network.screen.is_descendant.sum()),
        "candidates": len(network.candidates),
        "edges": len(network.edges),
        "operations": billion_operations(data, candidates),
        "fits": network.screen.fits,
        "parent_fits": network.provenance["parent_fits"],
        "seconds": seconds,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def billion_operations(data, candidates: Iterable[np.ndarray]) -> float:
    """Multiplications of the parent search, in billions, by what its algorithm is made of.

    ``candidates`` are those of one target after another, from the first.

    Each gene that takes part is summed over all N cells, with the monomials of its series. For a
    target with n candidates, m cells of theirs and q columns of covariates, n + 1 regressions sum
    over the m cells twice, and a third time for the variance; take products of (n, q) by (q, q)
    matrices; and one of the (n, n) inverse by (n, q), three times.
    """
    block = data.regressors
    n_columns = block.numeric.shape[1] + sum(int(codes.max()) for codes in block.factors)
    total, genes = 0.0, set()
    for target, own in enumerate(candidates):
        n, m = len(own), data.n_perturbed[own].sum()
        if n:
            genes |= {target, *own.tolist()}
            total += (n + 1) * (80 * m + 7 * n * n_columns**2 + 3 * n**2 * n_columns)
    return (total + len(genes) * 60 * data.n_cells) / 1e9


def of_a_module(n_nodes: int) -> None:
    """Search the parents of one of the modules, of which ``write_screen`` makes twelve alike.

    Each gene of a module has all before it as candidates, and all cells are there; genes of other
    modules, which the search does not look at, have no counts.
    """
    import argen
    from argen.engine import ParentJob, SharedEngine, using_threads
    from screens import k562_like_screen

    n_own = n_nodes // 12
    data = k562_like_screen(n_nodes, n_measured=n_own)
    candidates = [np.arange(target) for target in range(n_own)]
    jobs = [ParentJob(target, candidates[target]) for target in range(1, n_own)]
    begin = time.process_time()
    with using_threads(1):
        SharedEngine().parents(data, argen.InferenceConfig()).direct_effects(jobs)
    seconds, operations = time.process_time() - begin, billion_operations(data, candidates)
    print(f"{n_nodes:6,} {data.n_cells:8,} {n_own * (n_own - 1) // 2:9,} {seconds:11.1f} "
          f"{operations:10.1f} {operations / seconds:8.1f}", flush=True)  # fmt: skip


def fit_apart(path: Path, way: str, memory: str | None) -> dict:
    """Fit in a process of its own."""
    command = [sys.executable, __file__, "--fit", str(path), way, memory or ""]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def show(found: dict, way: str) -> None:
    """Print one line of the table."""
    seconds = found["seconds"]
    whole = sum(seconds.values())
    columns = [f"{seconds.get(stage, 0.0):9.1f}" for stage in STAGES]
    print(
        f"{found['nodes']:6,} {found['sinks']:6,} {found['cells']:8,} {way:>10} "
        f"{found['candidates']:9,}{''.join(columns)} {whole:9.1f} {found['gigabytes']:7.2f} "
        f"{found['operations']:10.1f}",
        flush=True,
    )


def main() -> None:
    """Write each screen, fit it, and print the table and the exponents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[250, 500, 1000, 2000])
    parser.add_argument("--sinks", type=int, default=0)
    parser.add_argument("--cells-per-node", type=int, default=150)
    parser.add_argument("--controls", type=int, default=10_000)
    parser.add_argument("--times-cells", type=int, nargs="+", default=[1])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--memory", default=None)
    parser.add_argument("--keep", type=Path, default=None, help="folder for the files")
    parser.add_argument("--toy", action="store_true")
    options = parser.parse_args()
    if options.toy:
        options.nodes, options.controls, options.cells_per_node = [24, 36], 400, 30
    from screens import write_screen

    print(" nodes  sinks    cells        way   candidates     read   screen    order  parents"
          "     whole      GB  10^9 ops")  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        for n_nodes, times in itertools.product(options.nodes, options.times_cells):
            cells_per_node, n_controls = times * options.cells_per_node, times * options.controls
            path = folder / f"{n_nodes}_{options.sinks}_{cells_per_node}_{n_controls}.h5ad"
            if not path.exists():
                write_screen(
                    path,
                    n_nodes=n_nodes,
                    n_sinks=options.sinks,
                    cells_per_node=cells_per_node,
                    n_controls=n_controls,
                )
            for way in options.ways:
                found = fit_apart(path, way, options.memory)
                show(found, way)
                rows.append((way, found))
            if options.keep is None:
                path.unlink()
    for way in options.ways:
        mine = [found for name, found in rows if name == way]
        for letter, of in (("p", "nodes"), ("n", "cells")):
            varied = options.nodes if of == "nodes" else options.times_cells
            other = options.times_cells if of == "nodes" else options.nodes
            if len(varied) > 1 and len(other) == 1:
                print(f"{way}: {', '.join(exponents(mine, letter, of))}")


def exponents(rows: list[dict], letter: str, of: str) -> list[str]:
    """Slopes of log seconds on the log of a size."""
    log_size = np.log([found[of] for found in rows])
    shown = []
    for stage in STAGES:
        seconds = np.array([found["seconds"].get(stage, 0.0) for found in rows])
        slope = np.polyfit(log_size, np.log(np.maximum(seconds, 1e-3)), 1)[0]
        shown.append(f"{stage} {letter}^{slope:.1f}")
    return shown


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fit"]:
        path, way, memory = sys.argv[2:]
        print(json.dumps(fit(path, way, memory or None)))
    elif sys.argv[1:2] == ["--parents-of-a-module"]:
        print(" nodes    cells candidates processor s  10^9 ops    ratio")
        for n_nodes in (24, *map(int, sys.argv[2:])):  # the first compiles
            of_a_module(n_nodes)
    else:
        main()
