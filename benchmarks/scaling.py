"""Wall time of each stage and peak memory as a screen grows, from a file of compressed rows.

One process per fit, so that peak memory is its own. Nodes have 150 cells each beside 10,000
controls, 48 gem groups and one numeric covariate; about 4 % of the ordered pairs are true
descendants. Exponents are slopes of log seconds on log p, by least squares.

The screen is adjusted by Holm: among millions of pairs, the false descendants that an adjustment
of the false discovery rate lets pass close into one another until every gene is upstream of every
other, whatever the engine. ``--screen-adjustment bh`` shows it.

Usage: scaling.py [--nodes 250 500 1000 2000] [--sinks 0] [--first-stage per-target nested]
                  [--cells-per-node 150] [--memory 2GB] [--keep FOLDER] [--toy]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

STAGES = ("read", "screen", "order", "parents")


def fit(path: str, first_stage: str, adjustment: str, memory: str | None) -> dict:
    """Read and fit in this process: seconds of each stage, counts, and peak memory."""
    import argen

    start = time.perf_counter()
    data = argen.read_perturbseq(
        path,
        target="perturbation",
        control="non-targeting",
        library_size="library_size",
        covariates=["p_mito", "gem_group"],
        sinks="all",
        memory=memory,
    )
    seconds = {"read": time.perf_counter() - start}
    config = argen.InferenceConfig(
        rule="published", first_stage=first_stage, screen_adjustment=adjustment
    )
    network = argen.infer_network(data, config)
    seconds |= network.provenance["seconds"]
    return {
        "cells": data.n_cells,
        "nodes": data.n_nodes,
        "sinks": len(data.sinks),
        "descendants": int(network.screen.is_descendant.sum()),
        "candidates": len(network.candidates),
        "edges": len(network.edges),
        "fits": network.screen.fits,
        "parent_fits": network.provenance["parent_fits"],
        "seconds": seconds,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def fit_apart(path: Path, first_stage: str, adjustment: str, memory: str | None) -> dict:
    """Fit in a process of its own."""
    command = [sys.executable, __file__, "--fit", str(path), first_stage, adjustment, memory or ""]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def show(found: dict, first_stage: str) -> None:
    """Print one line of the table."""
    seconds = found["seconds"]
    whole = sum(seconds.values())
    columns = [f"{seconds.get(stage, 0.0):9.1f}" for stage in STAGES]
    print(
        f"{found['nodes']:6,} {found['sinks']:6,} {found['cells']:8,} {first_stage:>10} "
        f"{found['candidates']:9,}{''.join(columns)} {whole:9.1f} {found['gigabytes']:7.2f}",
        flush=True,
    )


def main() -> None:
    """Write each screen, fit it, and print the table and the exponents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[250, 500, 1000, 2000])
    parser.add_argument("--sinks", type=int, default=0)
    parser.add_argument("--cells-per-node", type=int, default=150)
    parser.add_argument("--controls", type=int, default=10_000)
    parser.add_argument("--first-stage", nargs="+", default=["per-target", "nested"])
    parser.add_argument("--screen-adjustment", default="holm")
    parser.add_argument("--memory", default=None)
    parser.add_argument("--keep", type=Path, default=None, help="folder for the files")
    parser.add_argument("--toy", action="store_true")
    options = parser.parse_args()
    if options.toy:
        options.nodes, options.controls, options.cells_per_node = [24, 36], 400, 30
    from screens import write_screen

    print(" nodes  sinks    cells     stages   candidates     read   screen    order  parents"
          "     whole      GB")  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        for n_nodes in options.nodes:
            name = f"{n_nodes}_{options.sinks}_{options.cells_per_node}_{options.controls}.h5ad"
            if not (folder / name).exists():
                write_screen(
                    folder / name,
                    n_nodes=n_nodes,
                    n_sinks=options.sinks,
                    cells_per_node=options.cells_per_node,
                    n_controls=options.controls,
                )
            for first_stage in options.first_stage:
                found = fit_apart(
                    folder / name, first_stage, options.screen_adjustment, options.memory
                )
                show(found, first_stage)
                rows.append((first_stage, found))
    for first_stage in options.first_stage:
        mine = [found for stage, found in rows if stage == first_stage]
        if len(mine) > 1:
            print(f"{first_stage}: " + ", ".join(exponents(mine)))


def exponents(rows: list[dict]) -> list[str]:
    """Slopes of log seconds on log p."""
    log_p = np.log([found["nodes"] for found in rows])
    shown = []
    for stage in STAGES:
        seconds = np.array([found["seconds"].get(stage, 0.0) for found in rows])
        slope = np.polyfit(log_p, np.log(np.maximum(seconds, 1e-3)), 1)[0]
        shown.append(f"{stage} p^{slope:.1f}")
    return shown


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fit"]:
        path, first_stage, adjustment, memory = sys.argv[2:]
        print(json.dumps(fit(path, first_stage, adjustment, memory or None)))
    else:
        main()
