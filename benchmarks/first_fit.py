"""Processor time of a first ``argen fit``, with nothing compiled yet, and of the next one.

Compiled loops are kept in a folder that is empty at first, so that the first run compiles all that
it calls. A number for each function says where that time goes; the time of what it calls, and
compiles on the way, is not counted as its own.

Usage: first_fit.py [--runs 3] [--functions]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

OPTIONS = [
    "--target", "perturbation", "--control", "non-targeting",
    "--library-size", "library_size", "--covariates", "L", "--quiet",
]  # fmt: skip

# Run as ``python -c``: a fit whose compilation is timed, function by function.
TIMED = """
import json, sys, time
import numba
from numba.core import event
class Own(event.Listener):
    def __init__(self):
        self.seconds, self.stack = {}, []
    def on_start(self, e):
        self.stack.append([e.data['dispatcher'].py_func.__name__, time.process_time(), 0.0])
    def on_end(self, e):
        name, start, inner = self.stack.pop()
        whole = time.process_time() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + whole - inner
        if self.stack:
            self.stack[-1][2] += whole
own = Own()
event.register('numba:compile', own)
from argen.cli import main
try:
    main(sys.argv[2:])
finally:
    open(sys.argv[1], 'w').write(json.dumps(own.seconds))
"""


def processor_seconds(command: list[str], cache: Path) -> float:
    """User and system time of one process that keeps compiled loops in a folder."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Print the time of both runs, and of each function when asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--functions", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        screen, out = str(Path(folder) / "screen.h5ad"), str(Path(folder) / "results")
        argen = [sys.executable, "-m", "argen"]
        subprocess.run([*argen, "simulate", "--out", screen], check=True, capture_output=True)
        fit = ["fit", screen, *OPTIONS, "--out", out]
        first, later = [], []
        for run in range(given.runs):
            cache = Path(folder) / f"cache{run}"
            first.append(processor_seconds([*argen, *fit], cache))
            later.append(processor_seconds([*argen, *fit], cache))
        for name, seconds in (("first fit", first), ("next fit", later)):
            print(
                f"{name}: median {statistics.median(seconds):.1f} processor s "
                f"(range {min(seconds):.1f} to {max(seconds):.1f}, {given.runs} runs)"
            )
        if given.functions:
            timed = [sys.executable, "-c", TIMED, str(Path(folder) / "own.json"), *fit]
            processor_seconds(timed, Path(folder) / "timed")
            own = json.loads((Path(folder) / "own.json").read_text())
            for name, seconds in sorted(own.items(), key=lambda item: -item[1]):
                print(f"  {name:28s} {seconds:6.2f}")


if __name__ == "__main__":
    main()
