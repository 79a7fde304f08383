"""Processor time to start: imports, and what the command line does without a screen.

Each is the median of several processes, by itself and as a share of ``import pandas``, which every
user of the field waits for anyway. A first fit, which compiles, is that of ``first_fit.py``.

Usage: start.py [--runs 9]
"""

import argparse
import resource
import statistics
import subprocess
import sys

COMMANDS = {
    "import pandas": ["-c", "import pandas"],
    "import argen": ["-c", "import argen"],
    "argen --version": ["-m", "argen", "--version"],
    "argen --help": ["-m", "argen", "--help"],
    "argen fit --help": ["-m", "argen", "fit", "--help"],
    "argen.infer_network": ["-c", "import argen; argen.infer_network"],
}


def processor_seconds(command: list[str]) -> float:
    """User and system time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Print a row for each command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs + 1):  # in turn, since the machine's speed drifts; the first warms up
        for name, command in COMMANDS.items():
            taken[name].append(processor_seconds(command))
    print(f"{'':22s} processor s   share of import pandas ({runs} runs, medians)")
    pandas = taken["import pandas"][1:]
    for name, seconds in taken.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[1:], pandas, strict=True))
        print(f"{name:22s} {statistics.median(seconds[1:]):11.3f} {ratio:10.2f}")


if __name__ == "__main__":
    main()
