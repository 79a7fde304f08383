"""Files that are written together are all there, or none; what others put there stays."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from argen.errors import ArgenWarning, InputError, WriteError
from argen.files import finish, of_other_runs, where_it_is, writing, writing_file
from argen.files import swap as swap_module
from argen.files import together as together_module
from argen.files.manifest import MANIFEST


def write(folder, part="results", **texts):
    """Write texts as files of one part."""
    with writing(folder, part) as beside:
        for name, text in texts.items():
            (beside / name).write_text(text)


def contents(folder):
    """Every file of a folder but the list, by name."""
    return {p.name: p.read_text() for p in folder.iterdir() if p.name != MANIFEST}


@pytest.fixture
def one_by_one(monkeypatch):
    """As on a system where no folder takes the place of another in one step."""
    monkeypatch.setattr(swap_module, "_exchange", lambda *_: False)


class EndedError(BaseException):
    """Stands for whatever ends a process."""


def ended_at(monkeypatch, nth, function="replace"):
    """End the process before it moves the nth file."""
    moved = []
    whole = getattr(Path, function)

    def replace(self, target):
        moved.append(self)
        if len(moved) == nth:
            raise EndedError
        return whole(self, target)

    monkeypatch.setattr(Path, function, replace)


@pytest.mark.parametrize("how", ["in one step", "one by one"])
def test_files_of_a_part_are_replaced_and_others_stay(how, tmp_path, request):
    if how == "one by one":
        request.getfixturevalue("one_by_one")
    (tmp_path / "notes.txt").write_text("mine")
    write(tmp_path, a="1", b="1")
    write(tmp_path, "check", c="1")
    write(tmp_path, a="2", d="2")
    assert contents(tmp_path) == {"notes.txt": "mine", "a": "2", "d": "2", "c": "1"}
    listed = json.loads((tmp_path / MANIFEST).read_text())["files"]
    assert {name: entry["part"] for name, entry in listed.items()} == {
        "a": "results", "d": "results", "c": "check",
    }  # fmt: skip
    assert not of_other_runs(tmp_path)


def test_a_file_passes_to_the_part_that_wrote_it_last(tmp_path):
    write(tmp_path, report="of results")
    write(tmp_path, "check", report="of checks")
    write(tmp_path, a="2")
    assert contents(tmp_path) == {"a": "2", "report": "of checks"}


def test_without_a_part_nothing_is_listed_or_removed(tmp_path):
    write(tmp_path, None, a="1")
    write(tmp_path, None, b="1")
    assert contents(tmp_path) == {"a": "1", "b": "1"}
    assert not (tmp_path / MANIFEST).exists()


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_what_fails_while_it_writes_changes_nothing(error, tmp_path):
    write(tmp_path, a="1", b="1")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(type(error)), writing(tmp_path, "results") as beside:  # noqa: PT012
        (beside / "a").write_text("2")
        raise error
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_what_is_ended_while_it_moves_is_completed_by_the_next(
    nth, one_by_one, tmp_path, monkeypatch
):
    write(tmp_path, a="1", b="1", old="1")
    with monkeypatch.context() as patch:
        ended_at(patch, nth)
        with pytest.raises(EndedError):
            write(tmp_path, a="2", b="2")
    # Before anybody may write, each file is read where it is.
    with monkeypatch.context() as patch:
        patch.setattr(together_module, "locked", lambda _: (_ for _ in ()).throw(WriteError("no")))
        assert where_it_is(tmp_path / "a").read_text() == "2"
        assert where_it_is(tmp_path / "b").read_text() == "2"
    assert where_it_is(tmp_path / "a") == tmp_path / "a"
    assert contents(tmp_path) == {"a": "2", "b": "2"}
    assert not of_other_runs(tmp_path)


def test_what_is_ended_before_the_step_is_removed_by_the_next(one_by_one, tmp_path, monkeypatch):
    write(tmp_path, a="1")
    with monkeypatch.context() as patch:
        ended_at(patch, 1, "rename")
        patch.setattr(together_module.shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(EndedError):
            write(tmp_path, a="2")
    assert any(path.is_dir() for path in tmp_path.iterdir())
    assert where_it_is(tmp_path / "a").read_text() == "1"
    write(tmp_path, b="3")
    assert contents(tmp_path) == {"b": "3"}


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    write(tmp_path, a="1")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match=r"cannot be written: No space left on device\. Name"):
        write(tmp_path, a="2")
    assert contents(tmp_path) == {"a": "1"}
    with pytest.raises(WriteError, match="No space left"), writing_file(tmp_path / "a") as beside:
        beside.write_text("2")
    assert contents(tmp_path) == {"a": "1"}


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="is a folder, where a file is to be written"):
        write(tmp_path, a="1", b="1")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_list_that_names_files_elsewhere_is_not_followed(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    outside.write_text("mine")
    write(inside, a="1")
    record = json.loads((inside / MANIFEST).read_text())
    record["files"] |= {"../out": record["files"]["a"], "..": {}, "b": 3}
    (inside / MANIFEST).write_text(json.dumps(record))
    write(inside, c="1")
    assert outside.read_text() == "mine"
    assert contents(inside) == {"c": "1"}


@pytest.mark.parametrize("text", ["", "[", "[]", "null", "[" * 100_000, '{"files": []}', "\xff"])
def test_a_damaged_list_is_none(text, tmp_path):
    write(tmp_path, a="1")
    (tmp_path / MANIFEST).write_bytes(text.encode("latin-1"))
    assert of_other_runs(tmp_path) == []
    write(tmp_path, a="2")
    assert contents(tmp_path) == {"a": "2"}


def test_a_link_is_not_taken_for_completed_files(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_text("mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / ".argen-complete").symlink_to(tmp_path / "elsewhere")
    finish(folder)
    assert (tmp_path / "elsewhere" / "a").exists()


def test_files_of_other_runs_are_found(tmp_path):
    write(tmp_path, a="1", b="1", c="1")
    (tmp_path / "a").write_text("2")
    (tmp_path / "b").unlink()
    assert of_other_runs(tmp_path) == ["a"]


def test_to_write_within_what_is_given_is_to_write_with_it(tmp_path):
    with writing(tmp_path, "results") as beside:
        write(beside, "check", a="1")
        with writing_file(beside / "b") as file:
            file.write_text("1")
        assert not (tmp_path / "a").exists()
    assert contents(tmp_path) == {"a": "1", "b": "1"}


def test_a_file_of_a_listed_folder_is_listed_anew(tmp_path):
    write(tmp_path, a="1", b="1")
    with writing_file(tmp_path / "a") as beside:
        beside.write_text("2")
    with writing_file(tmp_path / "c", "results") as beside:
        beside.write_text("2")
    assert contents(tmp_path) == {"a": "2", "b": "1", "c": "2"}
    assert not of_other_runs(tmp_path)
    write(tmp_path, b="3")
    assert contents(tmp_path) == {"b": "3"}


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("1")
    with pytest.raises(RuntimeError), writing_file(path) as beside:  # noqa: PT012
        beside.write_text("2")
        assert beside.suffix == ".txt"
        raise RuntimeError
    assert contents(tmp_path) == {"a.txt": "1"}


def test_what_an_ended_process_left_of_the_same_file_is_removed(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 2**22 + 1)  # no process has such a number
        with writing_file(path) as beside:
            left = beside
            beside.write_text("1")
    left.write_text("left")
    with writing_file(tmp_path / "b.txt") as beside:
        beside.write_text("1")
    assert left.exists()
    with writing_file(path) as beside:
        beside.write_text("2")
    assert contents(tmp_path) == {"a.txt": "2", "b.txt": "1"}


def test_a_link_and_what_is_no_file_are_written_where_they_lead(tmp_path):
    (tmp_path / "target").write_text("1")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with writing_file(tmp_path / "link") as beside:
        beside.write_text("2")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "2"
    with writing_file(os.devnull) as beside:
        beside.write_text("3")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_place_that_is_none_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot be written: Not a directory"):
        write(tmp_path / "file" / "in", a="1")
    with pytest.raises(WriteError, match="No such file"), writing_file(tmp_path / "no" / "a") as b:
        b.write_text("1")


def test_messages_cannot_command_a_terminal():
    assert str(InputError("a\x1b[31mb\nc")) == "a\\x1b[31mb\nc"
    assert str(ArgenWarning("a\u202eb\rc")) == "a\\u202eb\\rc"


has_the_step = pytest.mark.skipif(
    not hasattr(swap_module.ctypes.CDLL(None), "renameat2"), reason="the system has no such step"
)


@has_the_step
def test_what_stays_is_the_same_file_and_nothing_is_left_beside(tmp_path):
    folder = tmp_path / "results"
    write(folder, a="1", old="1")
    (folder / "mine").mkdir()
    (folder / "mine" / "notes").write_text("mine")
    (folder / "link").symlink_to("nowhere")
    folder.chmod(0o750)
    number, before = (folder / "mine" / "notes").stat().st_ino, folder.stat()
    with (folder / "log").open("w") as log:
        write(folder, a="2")
        log.write("goes on")
    assert folder.stat().st_ino != before.st_ino  # it was done in one step
    assert folder.stat().st_mode == before.st_mode
    assert (folder / "mine" / "notes").stat().st_ino == number
    assert (folder / "link").readlink() == Path("nowhere")
    assert (folder / "log").read_text() == "goes on"
    assert {p.name for p in folder.iterdir()} == {"a", "mine", "link", "log", MANIFEST}
    assert list(tmp_path.iterdir()) == [folder]


@has_the_step
def test_what_comes_while_files_are_linked_is_kept(tmp_path, monkeypatch):
    folder, whole = tmp_path / "results", swap_module._exchange
    write(folder, a="1")

    def exchange(new, old):
        (old / "late").write_text("mine")
        return whole(new, old)

    monkeypatch.setattr(swap_module, "_exchange", exchange)
    write(folder, a="2")
    assert contents(folder) == {"a": "2", "late": "mine"}


@pytest.mark.parametrize("why", ["works there", "too many files", "no links"])
def test_where_a_folder_cannot_be_replaced_files_are_moved(why, tmp_path, monkeypatch):
    folder = tmp_path / "results"
    write(folder, a="1", old="1")
    (folder / "notes").write_text("mine")
    number = folder.stat().st_ino
    if why == "works there":
        monkeypatch.chdir(folder)
    if why == "too many files":
        monkeypatch.setattr(swap_module, "_MOST_LINKS", 0)
    if why == "no links":
        monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(OSError("none")))
    write(folder, a="2")
    assert folder.stat().st_ino == number
    assert contents(folder) == {"a": "2", "notes": "mine"}
    assert list(tmp_path.iterdir()) == [folder]
