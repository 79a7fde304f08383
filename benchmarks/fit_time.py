"""Wall time of importing argen and of a whole ``argen fit``, several runs each.

Usage: fit_time.py [FILE.h5ad OPTIONS-OF-FIT...]; without a file, a simulated screen.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

N_RUNS = 5
PAPER_OPTIONS = [
    "--target", "perturbation", "--control", "non-targeting",
    "--library-size", "library_size", "--covariates", "L",
]  # fmt: skip


def wall_times(command: list[str]) -> list[float]:
    """Seconds of each of ``N_RUNS`` runs, after one that fills the caches."""
    seconds = []
    for _ in range(N_RUNS + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def report(name: str, seconds: list[float]) -> None:
    """Print median and range."""
    print(
        f"{name}: median {statistics.median(seconds):.2f} s "
        f"(range {min(seconds):.2f} to {max(seconds):.2f}, {N_RUNS} runs)"
    )


def main() -> None:
    """Time the import and the fit."""
    python = sys.executable
    report("import argen", wall_times([python, "-c", "import argen"]))
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            arguments = sys.argv[1:]
        else:
            screen = str(Path(folder) / "screen.h5ad")
            subprocess.run(
                [python, "-m", "argen", "simulate", "--out", screen],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            arguments = [screen, *PAPER_OPTIONS]
        command = [python, "-m", "argen", "fit", *arguments, "--out", folder, "--quiet"]
        report("argen fit", wall_times(command))


if __name__ == "__main__":
    main()
