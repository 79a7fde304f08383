"""What people see of a run while it lasts."""

import io

import pytest
from rich.console import Console

from argen.cli import progress
from argen.cli.progress import Pace, shown_progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that is moved by hand; its only number is the time."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def shown(reports, clock, **options) -> str:
    """What is printed of reports: (seconds since the last one, stage, done, total)."""
    out = io.StringIO()
    with shown_progress(Console(file=out, width=100, **options), quiet=False) as report:
        for seconds, *state in reports:
            clock[0] += seconds
            report(*state)
    return out.getvalue()


def test_time_left_counts_what_this_run_has_done(clock):
    pace = Pace(done=500)
    assert pace.left(500, 1000) is None
    clock[0] += 10.0
    assert pace.left(600, 1000) == pytest.approx(40.0)


def test_lines_come_now_and_then_and_at_the_end(clock):
    reports = [(0, "screen", 0, 90), *((10, "screen", done, 90) for done in range(10, 100, 10))]
    lines = shown(reports, clock).splitlines()
    assert lines == [
        "screen: 30 of 90 tests (33%), 0:00:30 elapsed, about 0:01:00 left",
        "screen: 60 of 90 tests (67%), 0:01:00 elapsed, about 0:00:30 left",
        "screen: 90 of 90 tests (100%), 0:01:30 elapsed",
    ]


def test_a_stage_without_tests_is_done(clock):
    assert shown([(0, "parents", 0, 0)], clock) == "parents: 0 of 0 tests, 0:00:00 elapsed\n"


def test_the_bar_of_a_terminal(clock):
    reports = [(0, "screen", 1000, 9000), (60, "screen", 5000, 9000)]
    text = shown(reports, clock, force_terminal=True)
    assert "5,000 of 9,000 tests" in text
    assert "about 0:01:00 left" in text


def test_quiet():
    with shown_progress(Console(), quiet=True) as report:
        assert report is None
