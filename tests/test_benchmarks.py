"""Benchmarks run at a toy size, so that they cannot rot; nothing is timed here."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def test_reading():
    command = [sys.executable, str(BENCHMARKS / "reading.py"), "--cells", "500", "--genes", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("argen, kept before") == 2


def test_speed():
    command = [sys.executable, str(BENCHMARKS / "speed.py"), "--toy"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "argen" in done.stdout
    assert "largest disagreement with exact fits over 20 pairs" in done.stdout
