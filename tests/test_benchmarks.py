"""Benchmarks run at a toy size, so that they cannot rot; nothing is timed here."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def output_of(*command: str) -> str:
    full = [sys.executable, str(BENCHMARKS / command[0]), *command[1:]]
    return subprocess.run(full, capture_output=True, text=True, check=True).stdout


def test_start():
    shown = output_of("start.py", "--runs", "1")
    assert "argen --version" in shown


def test_first_fit():
    shown = output_of("first_fit.py", "--runs", "1")
    assert "first fit: median" in shown
    assert "next fit: median" in shown


def test_reading():
    options = ["--cells", "500", "--genes", "60", "--threads", "1", "2", "--rounds", "1"]
    shown = output_of("reading.py", *options, "--formats", "lzf")
    assert shown.count("argen, kept before") == 2
    assert shown.count("one at a time") == 1


def test_speed():
    shown = output_of("speed.py", "--toy")
    assert "saddlepoint" in shown
    assert "largest disagreement with exact fits over 20 pairs" in shown


def test_scaling():
    shown = output_of("scaling.py", "--sinks", "10", "--toy")
    for way in ("default", "published"):
        assert shown.count(way) == 3  # two sizes and the exponents
    assert "screen p^" in shown


def test_scaling_with_cells():
    shown = output_of(
        "scaling.py", "--nodes", "24", "--cells-per-node", "30", "--controls", "400",
        "--times-cells", "1", "2", "--ways", "default",
    )  # fmt: skip
    assert "screen n^" in shown


def test_scaling_of_the_parent_search():
    shown = output_of("scaling.py", "--parents-of-a-module", "36").splitlines()
    assert [line.split()[0] for line in shown] == ["nodes", "24", "36"]


def test_threads():
    shown = output_of("threads.py", "--threads", "1", "3", "--toy").splitlines()
    assert [line.split()[0] for line in shown if "so " in line] == ["screen", "parents"]
    assert [line.split()[:2] for line in shown[-4:]] == [
        ["alone", "1"], ["alone", "3"], ["beside", "1"], ["beside", "3"],
    ]  # fmt: skip


def test_limit():
    assert "screen_descendants" in output_of("limit.py", "--toy")


def test_weak_and_escaping():
    shown = output_of("weak_and_escaping.py", "--replicates", "2").splitlines()
    first = [line.split()[0] for line in shown[2:]]
    assert first == ["no", "default", "without", "the", "none", "the"]


def test_genome_wide():
    assert "40 perturbations on 10 targets" in output_of("genome_wide.py", "--toy")


def test_arena(tmp_path):
    command = ["arena/run.py", "--methods", "argen", "correlation", "--settings", "p8-base"]
    command += ["--replicates", "1", "--out", str(tmp_path)]
    shown = output_of(*command)
    assert "| F1 | argen | correlation |" in shown
    rows = (tmp_path / "arena.tsv").read_text().splitlines()
    assert len(rows) == 3
    assert all("\tok\t" in row for row in rows[1:])
    assert output_of(*command) == shown  # from what is there


def test_variances():
    shown = output_of("variances.py", "--replicates", "1", "--settings", "p8-base")
    assert shown.count("p8-base") == 2


def test_choice_of_nodes():
    shown = output_of("choice_of_nodes.py", "--replicates", "1", "--settings", "failed")
    assert shown.count("| failed |") == 8  # rules, and ten at random


def test_null_calibration():
    shown = output_of("null_calibration.py", "--toy")
    assert shown.count("| 112 |") == 6  # null tests of each mean and test of the screen
    assert shown.count("| 50 |") == 12  # and of each mean, size and test of direct effects
    assert shown.count("| parents, ancestors |") == 12
