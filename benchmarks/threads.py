"""Wall time of each stage against threads, alone and beside one busy process per core.

Before that, two shares of the processor seconds of one thread, and how many times as fast 16 cores
can be by each: what is outside the work that threads share, by Amdahl's law; and all that is
outside compiled loops, as if Python held the interpreter's lock in all of it.

Each stage of ``argen.infer_network``, and reading its screen from a file before, for 1, 2, 4, ...
threads up to twice the cores that may be used; then again while as many processes as cores do
nothing but spin. The corrections take a second screen with them. Rounds take turns; what is
printed is the median. Beside the seconds stand

cores
    Processor seconds of this process by wall seconds: how many cores were at work.
lock
    Share of the time in which the interpreter's lock was held for a millisecond or more. A thread
    of this process sleeps and asks for the lock again and again; it has to wait where it wakes up
    more than a millisecond late. A process of its own sleeps in the same way, and is late where
    others have the cores: the share is of the time in which that one was not. Shorter holds are not
    seen, and of a stage of less than a second there are too few samples.

Usage: threads.py [--nodes 300] [--cells-per-node 150] [--controls 10000] [--threads 1 2 4]
                  [--rounds 3] [--toy]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

STAGES = ("read", "screen", "corrections", "order", "parents")
PARTS = ("threads", "loops")
CORES = 16
SLEEP, LATE = 0.005, 0.001  # seconds
SPIN = "while True: pass"


def lateness(stopped: threading.Event) -> list[tuple[float, float]]:
    """Sleep until stopped: when each sleep ended, and how many seconds late."""
    found = []
    while not stopped.is_set():
        start = time.monotonic()
        time.sleep(SLEEP)
        end = time.monotonic()
        found.append((end, end - start - SLEEP))
    return found


def control() -> None:
    """Sleep in this process, which does nothing else, until the input ends, and print."""
    stopped = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()
    print(json.dumps(lateness(stopped)))


def late_share(samples: list[tuple[float, float]], begin: float, end: float) -> float:
    """Share of a span of time in which a sleeper would have been late."""
    spans = [(SLEEP + late, late > LATE) for when, late in samples if begin <= when <= end]
    return sum(span for span, is_late in spans if is_late) / max(sum(s for s, _ in spans), SLEEP)


@contextmanager
def sleepers(found: dict):
    """Run both sleepers; leaves what they saw in ``found``."""
    apart = subprocess.Popen(
        [sys.executable, __file__, "--control"], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    stopped = threading.Event()
    within = threading.Thread(target=lambda: found.update(within=lateness(stopped)))
    within.start()
    try:
        yield
    finally:
        stopped.set()
        within.join()
        found["apart"] = json.loads(apart.communicate()[0])


@contextmanager
def busy_processes(number: int):
    """Have so many processes spin."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(number)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def fit(path: Path, threads: int, times: dict, parts: Mapping[str, float] | None = None) -> None:
    """Read and fit: when each stage begins and ends, its processor seconds, and those of parts."""
    import argen
    from argen.corrections import estimate_corrections
    from argen.steps import order_genes

    @contextmanager
    def timed(stage: str):
        begin, cpu, before = time.monotonic(), time.process_time(), dict(parts or {})
        yield
        cpu = time.process_time() - cpu
        spent = {part: parts[part] - seconds for part, seconds in before.items()}
        times[stage] = begin, time.monotonic(), cpu, spent

    options = argen.ReadOptions(
        target="perturbation", control="non-targeting", library_size="library_size",
        covariates=["p_mito", "gem_group"],
    )  # fmt: skip
    config = argen.InferenceConfig(threads=threads)
    with timed("read"):
        data = argen.read_perturbseq(path, options, threads=threads)
    with timed("screen"):
        screen = argen.screen_descendants(data, config)
    with timed("corrections"):
        corrections = estimate_corrections(data, screen, config).corrections
        screen = argen.screen_descendants(data, config, corrections=corrections)
    with timed("order"):
        order = order_genes(screen, config)
    with timed("parents"):
        argen.search_parents(data, order, config, corrections=corrections)


@contextmanager
def parts_timed():
    """Time what is shared among threads, and the compiled loops that Python calls, in seconds."""
    from numba.core.registry import CPUDispatcher

    from argen.engine import in_threads

    seconds, replaced = dict.fromkeys(PARTS, 0.0), []

    def timed(function, part):
        def call(*arguments):
            begin = time.thread_time()
            try:
                return function(*arguments)
            finally:
                seconds[part] += time.thread_time() - begin

        return call

    for module in [m for name, m in sys.modules.items() if name.startswith("argen.")]:
        for name, value in list(vars(module).items()):
            if value is in_threads or isinstance(value, CPUDispatcher):
                setattr(module, name, timed(value, PARTS[value is not in_threads]))
                replaced.append((module, name, value))
    yield seconds
    for module, name, value in replaced:
        setattr(module, name, value)


def show_shares(path: Path, n_rounds: int) -> None:
    """Print how much of a stage cannot be shared, and what follows for many cores."""
    shares = defaultdict(list)
    for _ in range(n_rounds):
        times = {}
        with parts_timed() as seconds:
            fit(path, 1, times, seconds)
        for stage in ("screen", "parents"):
            _, _, cpu, parts = times[stage]
            shares[stage].append([cpu, *(1.0 - parts[part] / cpu for part in PARTS)])
    for stage, of_rounds in shares.items():
        cpu, alone, python = (median(values) for values in zip(*of_rounds, strict=True))
        amdahl = 1.0 / (alone + (1.0 - alone) / CORES)
        print(
            f"{stage:8}{cpu:6.2f} processor s; serial {alone:.1%}, so {amdahl:.1f} x at most on "
            f"{CORES} cores; Python {python:.1%}, so {1.0 / python:.1f} x at most on any number"
        )


def measured(path: Path, threads: int, n_busy: int) -> dict[str, tuple[float, float, float]]:
    """Seconds, cores at work, and share of the time under the lock, of each stage."""
    found, times = {}, {}
    with ExitStack() as stack:
        stack.enter_context(busy_processes(n_busy))
        stack.enter_context(sleepers(found))
        fit(path, threads, times)
    rows = {}
    for stage, (begin, end, cpu, _) in times.items():
        within, apart = (late_share(found[who], begin, end) for who in ("within", "apart"))
        lock = max(0.0, within - apart) / max(1.0 - apart, SLEEP)
        rows[stage] = end - begin, cpu / (end - begin), lock
    return rows


def show(path: Path, threads: list[int], n_cores: int, n_rounds: int) -> None:
    """Print one line for each number of threads, alone and beside others."""
    columns = "".join(f"{stage + ', s':>16} cores lock" for stage in STAGES)
    print(f"{'':6} threads{columns}")
    rows = defaultdict(list)
    for _ in range(n_rounds):
        for n_busy in (0, n_cores):
            for n_threads in threads:
                rows[n_busy, n_threads].append(measured(path, n_threads, n_busy))
    for (n_busy, n_threads), of_rounds in rows.items():
        shown = []
        for stage in STAGES:
            seconds, cores, lock = (
                median(values) for values in zip(*(r[stage] for r in of_rounds), strict=True)
            )
            shown.append(f"{seconds:16.2f} {cores:5.2f} {lock:4.0%}")
        print(f"{'beside' if n_busy else 'alone':6} {n_threads:7}{''.join(shown)}")


def main() -> None:
    """Write a screen, and fit it with each number of threads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--cells-per-node", type=int, default=150)
    parser.add_argument("--controls", type=int, default=10_000)
    parser.add_argument("--threads", type=int, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--toy", action="store_true")
    options = parser.parse_args()
    if options.toy:
        options.nodes, options.controls, options.cells_per_node, options.rounds = 24, 400, 30, 1
    from argen.machine import usable_cores

    n_cores = usable_cores()
    threads = options.threads or [2**k for k in range(12) if 2**k <= 2 * n_cores]
    # More threads than cores, which the compiled loops refuse otherwise; read when numba is loaded.
    os.environ["NUMBA_NUM_THREADS"] = str(max(*threads, n_cores))
    from screens import write_screen

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "screen.h5ad")
        n_counts = write_screen(
            path,
            n_nodes=options.nodes,
            cells_per_node=options.cells_per_node,
            n_controls=options.controls,
        )
        n_cells = options.controls + options.nodes * options.cells_per_node
        print(f"{options.nodes:,} nodes, {n_cells:,} cells, {n_counts:,} counts, {n_cores} cores")
        small = Path(folder, "small.h5ad")
        write_screen(small, n_nodes=24, cells_per_node=30, n_controls=400)
        fit(small, 1, {})  # compiles
        show_shares(path, options.rounds)
        show(path, threads, n_cores, options.rounds)


if __name__ == "__main__":
    control() if sys.argv[1:] == ["--control"] else main()
