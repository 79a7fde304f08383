"""One run at a time in a folder; the lock of a process that is killed ends with it."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from argen.errors import InputError, WriteError
from argen.files import locked
from argen.files import locks as locks_module
from argen.files.locks import LOCK

HOLD = """
import sys, time
from argen.files import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has locked the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.process
def test_another_process_is_named_and_its_lock_ends_with_it(holder, tmp_path):
    said = f"is in use: process {holder.pid} on .*, since .* writes into it. Wait until"
    for _ in range(2):  # and asking does not take it from whom it belongs to
        with pytest.raises(InputError, match=said), locked(tmp_path):
            pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()
    assert not list(tmp_path.iterdir())


def test_a_thread_may_lock_again_and_another_may_not(tmp_path):
    found = []

    def other():
        try:
            with locked(tmp_path):
                found.append("locked")
        except InputError as error:
            found.append(str(error))

    with locked(tmp_path), locked(tmp_path / "." / ""):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "another thread of this process writes into it" in found[0]
    with locked(tmp_path):
        pass


def test_the_lock_is_released_by_what_fails(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path):
        raise RuntimeError
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_lock_that_its_holder_has_just_removed_is_taken_anew(tmp_path, monkeypatch):
    whole, calls = locks_module._lock, []

    def lock(opened):
        if not calls:
            (tmp_path / LOCK).unlink()
        calls.append(opened)
        whole(opened)

    monkeypatch.setattr(locks_module, "_lock", lock)
    with locked(tmp_path):
        assert len(calls) == 2
        assert (tmp_path / LOCK).exists()


def test_file_systems_without_locks_are_said(tmp_path, monkeypatch):
    def none(opened):
        raise OSError(locks_module.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks_module, "_lock", none)
    with pytest.warns(UserWarning, match="has no locks: make sure that no second run"):  # noqa: SIM117
        with locked(tmp_path):
            pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="Not a directory"), locked(tmp_path / "file" / "in"):
        pass
