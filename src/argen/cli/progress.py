"""How far a run is: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console

Report = Callable[[str, int, int], None]
"""Called with the name of a stage, the tests done, and the tests in all."""

# Between two lines of one stage, where no bar can be drawn.
SECONDS_BETWEEN_LINES = 30.0


class Pace:
    """Time used and time left of one stage, by the tests done since it was first heard of."""

    def __init__(self, done: int) -> None:
        self.start, self.done_before = time.monotonic(), done

    def elapsed(self) -> float:
        """Seconds since the first report."""
        return time.monotonic() - self.start

    def left(self, done: int, total: int) -> float | None:
        """Seconds to go at the pace so far; None when nothing was done yet.

        What an earlier run has done says nothing about the pace.
        """
        done_here = done - self.done_before
        return self.elapsed() * (total - done) / done_here if done_here else None


@contextmanager
def shown_progress(console: Console, *, quiet: bool) -> Iterator[Report | None]:
    """Show reports of progress on a console, as it can show them."""
    if quiet:
        yield None
    elif console.is_terminal:
        with _bar(console) as report:
            yield report
    else:
        yield Lines(console)


class Lines:
    """Prints a line now and then, and at the end of a stage."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.paces: dict[str, Pace] = {}
        self.printed = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Print the state of a stage when it is time to."""
        pace = self.paces.setdefault(stage, Pace(done))
        now = time.monotonic()
        if done == total or now - self.printed >= SECONDS_BETWEEN_LINES:
            self.printed = now
            self.console.print(f"{stage}: {_state(pace, done, total)}")


@contextmanager
def _bar(console: Console) -> Iterator[Report]:
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} of {task.total:,} tests"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        tasks = {}
        paces: dict[str, Pace] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                paces[stage] = Pace(done)
                tasks[stage] = bar.add_task(stage, total=total, left="")
            left = _time_left(paces[stage], done, total)
            bar.update(tasks[stage], completed=done, left=left)

        yield report


def _state(pace: Pace, done: int, total: int) -> str:
    share = f"{done:,} of {total:,} tests" + (f" ({done / total:.0%})" if total else "")
    parts = (share, f"{_clock(pace.elapsed())} elapsed", _time_left(pace, done, total))
    return ", ".join(part for part in parts if part)


def _time_left(pace: Pace, done: int, total: int) -> str:
    left = pace.left(done, total)
    return "" if left is None or done == total else f"about {_clock(left)} left"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
