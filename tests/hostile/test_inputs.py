"""Damaged and hostile screens: the same input for the method, or one clear error.

More cases than the tests have, printed by outcome: ``python -m tests.hostile.test_inputs 3000``.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import multiprocessing
import resource
import shutil
import sys
import tempfile
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from anndata.io import read_elem

import argen
from tests.hostile.screens import READINGS, damage_bytes, damage_structure, write_screens

SECONDS = 60
# Above what a reading of the whole screen takes. It has some kilobytes; but the text of an
# attribute may say that it has up to 2^32 bytes, for which the HDF5 library makes room at once.
MOST_MEMORY = 2**29, 2**32 + 2**29
SAME, REFUSED, AS_ANNDATA = "same input", "refused", "another valid file"
FAULTS = ("WRONG ANSWER", "TRACEBACK", "HANGS", "DIES", "MEMORY", "TOUCHED")


def outcome(path: Path, options: dict[str, Any], expected: str) -> str:
    """Read once, and say what came of it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = argen.read_perturbseq(path, argen.ReadOptions(**options), threads=1).sha256
    except argen.InputError as error:
        if any(sign in str(error) for sign in "\n\x1b"):
            return f"WRONG ANSWER: {str(error)[:200]!r}"
        answer = REFUSED
    except Exception as error:  # what is looked for
        return f"TRACEBACK: {type(error).__name__}: {str(error)[:200]!r}"
    taken = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    if taken > MOST_MEMORY[answer == REFUSED and path.suffix == ".h5ad"]:
        return "MEMORY"
    if answer in (REFUSED, expected):
        return SAME if answer == expected else REFUSED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            again = argen.read_perturbseq(by_anndata(path, options), argen.ReadOptions(**options))
        except Exception as error:
            return f"WRONG ANSWER: an object cannot be read: {type(error).__name__}: {error!s:.200}"
    return AS_ANNDATA if again.sha256 == answer else "WRONG ANSWER: not that of an object"


def by_anndata(path: Path, options: dict[str, Any]) -> anndata.AnnData:
    """What anndata makes of those parts of a file that the options name."""
    if path.is_dir():
        import zarr

        store: Any = contextlib.nullcontext(zarr.open_group(str(path), mode="r"))
    else:
        import h5py

        store = h5py.File(path, "r")
    with store as parts:
        layer, target = options.get("layer"), options["target"]
        place = {None: "X", "raw": "raw/X", "counts": "layers/counts"}[layer]
        var = read_elem(parts["raw/var" if layer == "raw" else "var"])
        found = anndata.AnnData(X=read_elem(parts[place]), obs=read_elem(parts["obs"]), var=var)
        if layer == "raw":
            found.raw = found
        elif layer is not None:
            found.layers[layer] = found.X
        if f"obsm/{target}" in parts:
            found.obsm[target] = read_elem(parts[f"obsm/{target}"])
        if "target_names" in options:
            found.uns["names"] = read_elem(parts["uns/names"])
    return found


def one_case(number: int, seed: int, screens: list[Path], expected: dict[str, str]) -> str:
    """Damage a screen, read it, and look whether anything but it was touched."""
    rng = np.random.default_rng([seed, number])
    whole = screens[rng.integers(len(screens))]
    reading = str(rng.choice(list(READINGS)))
    with tempfile.TemporaryDirectory(dir=whole.parent.parent) as folder:
        outside = Path(folder)
        for name in ("outside.h5ad", "outside.bin"):
            shutil.copy(whole.parent / "csr.h5ad", outside / name)
        (outside / "case").mkdir()
        path = outside / "case" / whole.name
        (shutil.copytree if whole.is_dir() else shutil.copy)(whole, path)
        way = (damage_bytes if rng.random() < 0.5 else damage_structure)(path, rng)
        before = _state(outside)
        kind = f"{path.suffix[1:]}, {way}"
        found = outcome(path, READINGS[reading], expected[reading])
        if _state(outside) != before:
            found = "TOUCHED"
    return f"{kind}\t{found}"


def _state(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(p), p.lstat().st_size) for p in folder.rglob("*"))


def _work(connection: Connection, seed: int, folder: Path) -> None:
    """Do one case after another, whatever number comes."""
    resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, resource.RLIM_INFINITY))
    screens = sorted((folder / "screens").iterdir())
    whole = {
        reading: argen.read_perturbseq(screens[0], argen.ReadOptions(**options)).sha256
        for reading, options in READINGS.items()
    }
    connection.send("ready")
    while (number := connection.recv()) is not None:
        connection.send(one_case(number, seed, screens, whole))


def run_cases(n_cases: int, *, seed: int = 1, first: int = 0) -> dict[int, tuple[str, str]]:
    """Run cases in a process of its own, which may hang or die; returns kind and outcome."""
    found: dict[int, tuple[str, str]] = {}
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "screens").mkdir()
        write_screens(folder / "screens")
        worker = None
        for number in range(first, first + n_cases):
            if worker is None:
                worker, connection = _started(context, seed, folder)
            connection.send(number)
            try:
                is_done = connection.poll(SECONDS)
                found[number] = (
                    tuple(connection.recv().split("\t", 1)) if is_done else ("?", "HANGS")
                )
            except (EOFError, ConnectionError):
                found[number] = "?", "DIES"
            if found[number][1].startswith(FAULTS):
                print(f"case {number}:", *found[number], flush=True)
            if found[number][0] == "?":
                worker.kill()
                worker.join()
                worker = None
        if worker is not None:
            connection.send(None)
            worker.join()
    return found


def _started(context: Any, seed: int, folder: Path) -> tuple[Any, Connection]:
    ours, theirs = context.Pipe()
    worker = context.Process(target=_work, args=(theirs, seed, folder), daemon=True)
    worker.start()
    theirs.close()
    assert ours.poll(300), "the worker did not start"
    assert ours.recv() == "ready"
    return worker, ours


def faults(found: dict[int, tuple[str, str]]) -> dict[int, tuple[str, str]]:
    """Cases that ended in another way than they may."""
    return {n: case for n, case in found.items() if case[1].startswith(FAULTS)}


@pytest.mark.process
def test_damaged_screens():
    found = run_cases(300)
    assert not faults(found)
    outcomes = collections.Counter(what for _, what in found.values())
    # Otherwise the damage would be none, or all of the same kind.
    assert min(outcomes[SAME], outcomes[REFUSED]) > 50


def main(arguments: list[str]) -> int:
    """Print what comes of damaged screens; returns 1 when any case is a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    options = parser.parse_args(arguments)
    found = run_cases(options.cases, seed=options.seed, first=options.first)
    table = collections.Counter((kind, what.split(":")[0]) for kind, what in found.values())
    for (kind, what), n in sorted(table.items()):
        print(f"{kind:32} {what:20} {n:6,}")
    print(f"{len(found):,} cases, {len(faults(found)):,} faults")
    return int(bool(faults(found)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
