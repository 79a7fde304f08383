"""A results folder is the old one or the new one, however and whenever the run is ended."""

import errno
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import pytest

import argen
from argen.errors import WriteError
from argen.files import swap as swap_module
from argen.files import writing
from tests.networks import made_up_network

# Two networks whose tables all differ, written by turns into a folder until the process is ended.
WRITE = """
import sys
import argen
from argen.files import swap
from tests.networks import made_up_network
folder, way = sys.argv[1:]
if way == "one by one":
    swap._exchange = lambda *_: False
networks = [made_up_network(60, 90, seed=seed) for seed in (1, 2)]
print("ready", flush=True)
for number in range(100_000):
    argen.write_results(networks[number % 2], folder)
"""
HERE = Path(__file__).parents[2]
N_KILLS = 8


def contents(folder: Path) -> dict[str, str]:
    """A checksum of every file in a folder."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".argen")
    }


def expected(seed: int, folder: Path) -> dict[str, str]:
    """The files of one of the networks."""
    argen.write_results(made_up_network(60, 90, seed=seed), folder / str(seed))
    return contents(folder / str(seed))


@pytest.mark.process
@pytest.mark.parametrize("way", ["in one step", "one by one"])
def test_killed_again_and_again(way, tmp_path):
    folder, rng = tmp_path / "results", random.Random(1)  # noqa: S311
    whole = [expected(seed, tmp_path) for seed in (1, 2)]
    names = [name for name in whole[0] if whole[0][name] != whole[1][name]]
    assert len(names) >= 7
    argen.write_results(made_up_network(60, 90, seed=1), folder)
    (folder / "notes.txt").write_text("mine")
    mine = {"notes.txt": contents(folder)["notes.txt"]}
    seen = set()
    for _ in range(N_KILLS):
        command = [sys.executable, "-c", WRITE, str(folder), way]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE)
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.05, 0.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if way == "in one step":  # also for who looks with other eyes
            assert contents(folder) in [files | mine for files in whole]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(argen.load(folder).nodes) == 60
        assert contents(folder) in [files | mine for files in whole]
        seen.add(contents(folder)["network.npz"])
    argen.write_results(made_up_network(60, 90, seed=1), folder)
    assert {path.name for path in folder.iterdir()} == {*whole[0], "notes.txt"}
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2", "results"}


FILL = """
import resource, sys
import argen
from tests.networks import made_up_network
network = made_up_network(60, 90, seed=2)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    argen.write_results(network, sys.argv[1])
except argen.InputError as error:
    print(error)
"""


@pytest.mark.process
@pytest.mark.parametrize("n_bytes", [0, 1000, 20_000, 60_000])
def test_a_limit_on_files_leaves_the_old_results(n_bytes, tmp_path):
    argen.write_results(made_up_network(60, 90, seed=1), tmp_path)
    before = contents(tmp_path)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    command = [sys.executable, "-B", "-c", FILL, str(tmp_path), str(n_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE)
    assert "cannot be written: File too large. Name another place, or make room" in done.stdout
    assert contents(tmp_path) == before
    assert not list(tmp_path.glob(".argen*"))


@pytest.fixture
def small_disk(tmp_path):
    """A disk with 300 kB, where the tests may have one."""
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(tmp_path)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be made here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)  # noqa: S607


@pytest.mark.process
def test_a_full_disk_leaves_the_old_results(small_disk):
    folder = small_disk / "results"
    argen.write_results(made_up_network(12, 14, seed=1), folder)
    before = contents(folder)
    with pytest.raises(WriteError, match="No space left on device"):
        argen.write_results(made_up_network(60, 90, seed=2), folder)
    assert contents(folder) == before
    assert len(argen.load(folder).nodes) == 12


@pytest.mark.parametrize("nth", [1, 5, 9, 12])
def test_a_disk_that_fills_up_at_any_file_leaves_the_old_results(nth, tmp_path, monkeypatch):
    argen.write_results(made_up_network(12, 14, seed=1), tmp_path)
    before, calls, whole = contents(tmp_path), [], os.fsync

    def full(opened):
        calls.append(opened)
        if len(calls) == nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(opened)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="No space left on device"):
        argen.write_results(made_up_network(12, 14, seed=2), tmp_path)
    assert contents(tmp_path) == before


@pytest.fixture
def read_only():
    """A folder that may be read and not written, and results of which only a part is in place."""
    folder = Path(tempfile.mkdtemp())  # which others may enter, other than those of pytest
    argen.write_results(made_up_network(12, 14, seed=1), folder)
    complete = folder / ".argen-complete"
    with writing(folder.with_name(folder.name + "-new"), "results") as beside:
        argen.write_results(made_up_network(12, 14, seed=2), beside)
    folder.with_name(folder.name + "-new").rename(complete)
    (complete / "edges.tsv").rename(folder / "edges.tsv")
    before = contents(folder)
    for path in (folder, complete):
        path.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    assert contents(folder) == before
    for path in (folder, complete):
        path.chmod(0o755)
    subprocess.run(["rm", "-r", str(folder)], check=True)  # noqa: S607


def test_a_folder_that_may_only_be_read_is_read_and_not_written(read_only):
    right = argen.save(made_up_network(12, 14, seed=2), Path(tempfile.mkdtemp()) / "a.npz")
    assert argen.load(read_only).candidates.equals(argen.load(right).candidates)
    with pytest.raises(WriteError, match="cannot be written: Permission denied"):
        argen.write_results(made_up_network(12, 14, seed=1), read_only)


def test_the_step_is_there_on_linux(tmp_path):
    """Else the tests above are of the other way alone."""
    if sys.platform != "linux":
        pytest.skip("of Linux")
    argen.write_results(made_up_network(12, 14), tmp_path / "a")
    number = (tmp_path / "a").stat().st_ino
    argen.write_results(made_up_network(12, 14), tmp_path / "a")
    if (tmp_path / "a").stat().st_ino == number:
        pytest.skip("the file system has no such step")
    assert swap_module.swapped(Path.cwd(), tmp_path, ()) is False
    assert json.loads((tmp_path / "a" / "argen_files.json").read_text())["version"] == 1
