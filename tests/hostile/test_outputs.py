"""Files that argen wrote, or reads beside screens, damaged: one message or the right answer.

By hand, with so many cases for each kind of file: ``python -m tests.hostile.test_outputs 500``.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import gzip
import io
import json
import shutil
import signal
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import argen
from argen.analysis import read_gmt, read_pairs
from argen.analysis.places import read_intervals, start_sites
from argen.cli.reading import gene_list, read_table
from argen.data import GeneCounts
from argen.engine import Effects, Fitted
from argen.files import digest
from argen.plot import stability_table
from argen.read.counts.scratch import Kept
from argen.run.checkpoint import StageCheckpoint
from argen.study import chosen_settings, chosen_variants
from argen.study.grid import Replicate, complete, finished_rows
from tests.hostile.damage import WAYS
from tests.networks import HOSTILE, made_up_network

SECONDS = 20
RIGHT, REFUSED, READ, SAID = "right answer", "refused", "read", "right answer, and a warning"
WRONG, TRACEBACK, HANGS = "WRONG ANSWER", "TRACEBACK", "HANGS"

Read = Callable[[Path], object]
"""Reads a file, or what stands in a folder, and returns what can be compared."""


class HangsError(BaseException):
    """A case takes too long."""


def outcome(read: Read, path: Path, right: object, *, known: bool) -> str:
    """Read once, and say what came of it; ``known``: whether only the right answer is one."""

    def too_long(*_: object) -> None:
        raise HangsError

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            answer = read(path)
    except argen.InputError as error:
        one_line = "\n" not in str(error) and "\x1b" not in str(error)
        return REFUSED if one_line else f"{WRONG}: {str(error)!r}"
    except HangsError:
        return HANGS
    except Exception as error:  # what is looked for
        return f"{TRACEBACK}: {type(error).__name__}: {str(error)[:100]}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    if not known:
        return READ
    if answer != right:
        return WRONG
    return SAID if any(issubclass(w.category, argen.ArgenWarning) for w in said) else RIGHT


def bits_of(network: argen.CausalNetwork) -> str:
    """Everything that a network says, as a checksum."""
    tables = (network.candidates, network.total_effects(), network.knockdowns(), network.left_out)
    texts = (table.to_csv() for table in tables)
    return digest({}, *texts, *network.order, json.dumps(network.provenance), network.summary())


def load(path: Path) -> str:
    """A network and its summary."""
    return bits_of(argen.load(path))


def small_network() -> argen.CausalNetwork:
    """A network with names that are hard to keep."""
    return made_up_network(16, 20, names=HOSTILE)


# Each kind writes its files into a folder, and says how one of them is read.


def network_file(folder: Path) -> tuple[list[Path], Read, bool]:
    """The network file alone."""
    return [argen.save(small_network(), folder / "network.npz")], load, True


def results_folder(folder: Path) -> tuple[list[Path], Read, bool]:
    """Any file of a results folder."""
    argen.write_results(small_network(), folder)
    return sorted(folder.iterdir()), lambda path: load(path.parent), True


def checkpoint(folder: Path) -> tuple[list[Path], Read, bool]:
    """A finished block, or the record of a stage."""
    rng, made_of = np.random.default_rng(1), {"input": "a", "option alpha": "0.05"}
    stage = StageCheckpoint(folder, "screen", json.dumps(made_of))
    stage.begin(made_of)
    blocks = {}
    for number in range(2):
        numbers = (rng.normal(size=(3, 4)) for _ in range(4))
        blocks[number] = Fitted(Effects(*numbers, np.zeros((3, 4), np.int8)), {"series": 12})
        stage.keep(number, blocks[number])

    def read(_: Path) -> object:
        """Blocks that are not found are computed again."""
        stage.begin(made_of)
        found = blocks | stage.finished(2)
        return [
            (digest({f: getattr(b.effects, f) for f in Effects.__slots__}), b.fits)
            for b in found.values()
        ]

    return sorted(folder.iterdir()), read, True


def scratch(folder: Path) -> tuple[list[Path], Read, bool]:
    """Counts that are kept."""
    counts = GeneCounts.from_matrix(np.random.default_rng(1).poisson(1.0, (60, 7)))
    kept, sums = Kept(folder / "argen-kept"), np.arange(60.0)
    kept.save(counts, sums, np.arange(2))

    def read(_: Path) -> object:
        """Counts that are not found are read again."""
        found, found_sums, panel = kept.load(10**6) or (counts, sums, np.arange(2))
        return found.to_csc().toarray().tolist(), found_sums.tolist(), panel.tolist()

    return sorted((folder / "argen-kept").iterdir()), read, True


def rows_of_a_grid(folder: Path) -> tuple[list[Path], Read, bool]:
    """Rows of a study that was ended."""
    [setting] = chosen_settings(["p8-base"])
    variants = chosen_variants(["random"])
    task = Replicate(setting, 0, variants, 1, folder / "rows.json")
    complete(task)
    return [task.file], lambda _: json.dumps(finished_rows(task)), True


def text_file(name: str, text: str, read: Read) -> Callable[[Path], tuple[list[Path], Read, bool]]:
    """A file of text, which has no checksum: it is read or refused."""

    def write(folder: Path) -> tuple[list[Path], Read, bool]:
        content = text.encode()
        path = folder / name
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        return [path], read, False

    return write


PAIRS = "source\ttarget\tsign\tfrequency\n" + "".join(
    f"G{i}\tG{i + 1}\t{(-1) ** i}\t{i / 40}\n" for i in range(40)
)
SETS = "".join(f"set {i}\tabout\tG{i}\tG{i + 1}\tG{i + 2}\n" for i in range(20))
BED = "".join(f"chr{i}\t{1000 * i}\t{1000 * i + 500}\tG{i}\t0\t+\n" for i in range(20))
GTF = "".join(
    f'chr1\tx\tgene\t{1000 * i + 1}\t{1000 * i + 9}\t.\t+\t.\tgene_id "E{i}"; gene_name "G{i}";\n'
    for i in range(20)
)
KINDS = {
    "network file": network_file,
    "results folder": results_folder,
    "checkpoint": checkpoint,
    "kept counts": scratch,
    "rows of a study": rows_of_a_grid,
    "stability": text_file("s.tsv", PAIRS, lambda path: stability_table(read_table(path))),
    "evidence": text_file("pairs.tsv", PAIRS, read_pairs),
    "evidence, gzipped": text_file("pairs.csv.gz", PAIRS.replace("\t", ","), read_pairs),
    "gene sets": text_file("sets.gmt", SETS, read_gmt),
    "gene sets, gzipped": text_file("sets.gmt.gz", SETS, read_gmt),
    "gene list": text_file("genes.txt", "G1\nG2\n" * 20, lambda p: gene_list([str(p)], "--nodes")),
    "intervals": text_file("peaks.bed", BED, read_intervals),
    "start sites": text_file("genes.gtf", GTF, start_sites),
}


def run_cases(kind: str, n_cases: int, *, seed: int = 1) -> collections.Counter[tuple[str, str]]:
    """Damage the files of a kind so many times; returns what came of each way."""
    found: collections.Counter[tuple[str, str]] = collections.Counter()
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    with tempfile.TemporaryDirectory(prefix="argen-hostile-") as name, _no_files_outside(name):
        folder = Path(name) / "files"
        folder.mkdir()
        paths, read, known = KINDS[kind](folder)
        whole = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        right = read(paths[0]) if known else None
        for number in range(n_cases):
            path, (way, damage) = paths[number % len(paths)], list(WAYS.items())[number % len(WAYS)]
            path.write_bytes(damage(whole[path], rng))
            found[way, outcome(read, path, right, known=known)] += 1
            _restore(folder, whole)
    return found


def _restore(folder: Path, whole: dict[Path, bytes]) -> None:
    shutil.rmtree(folder)
    for path, content in whole.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@contextlib.contextmanager
def _no_files_outside(folder: str) -> Iterator[None]:
    """Find out whether anything was written beside the files of a case."""
    yield
    assert [path.name for path in Path(folder).iterdir()] == ["files"]


def faults(found: collections.Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """What must not come of any case."""
    fine = {RIGHT, REFUSED, READ, SAID}
    return {case: n for case, n in found.items() if case[1] not in fine}


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(kind):
    found = run_cases(kind, 40)
    assert sum(found.values()) == 40
    assert not faults(found)


def test_a_reader_that_fails_is_found():
    def fails(path):
        return path.read_bytes()[10**6]

    KINDS["planted"] = text_file("a.txt", "text", fails)
    try:
        assert sum(faults(run_cases("planted", 5)).values()) == 5
    finally:
        del KINDS["planted"]


# Archives that are whole, and hold what no network does.


def archive_of(network: argen.CausalNetwork, path: Path) -> dict[str, np.ndarray]:
    """Every array of the network file."""
    with np.load(argen.save(network, path)) as archive:
        return dict(archive)


def with_header(arrays: dict[str, np.ndarray], **changes: object) -> dict[str, np.ndarray]:
    """Arrays with another header; None removes an entry."""
    header = json.loads(str(arrays["header"])) | changes
    return arrays | {"header": np.array(json.dumps({k: v for k, v in header.items() if v != "-"}))}


HEADERS = {
    "a list": "[]", "null": "null", "a number": "3", "nested": "[" * 100_000, "empty": "",
    "truncated": '{"format": "argen-network", "vers', "no JSON": "{a}",
}  # fmt: skip
ENTRIES = {
    "version": ["x", None, [1], 1.5, -1], "format": [None, 3, []], "tables": [[], None, {}, "x"],
    "config": [None, [], {"alpha": "x"}, {"alpha": 5}], "fits": [None, [], {"a": "b"}],
    "genes": [None, "abc", [1, 2], [], ["a"] * 16],
    "provenance": [None, [], {}, {"n_cells": "many", "n_controls": 1}],
    "two_stages": [None, "yes", 3],
}  # fmt: skip


def refused(arrays: dict[str, np.ndarray], path: Path) -> str:
    """What the file says when it is read, which must be a refusal."""
    np.savez(path, **arrays)
    with pytest.raises(argen.InputError) as said:
        argen.load(path)
    return str(said.value)


@pytest.mark.parametrize("header", HEADERS)
def test_headers_that_are_none(header, tmp_path):
    arrays = archive_of(small_network(), tmp_path / "a.npz")
    assert "cannot be read" in refused(
        arrays | {"header": np.array(HEADERS[header])}, tmp_path / "b.npz"
    )


@pytest.mark.parametrize(("name", "value"), [(k, v) for k, vs in ENTRIES.items() for v in vs])
def test_entries_of_the_header_that_are_none(name, value, tmp_path):
    arrays = archive_of(small_network(), tmp_path / "a.npz")
    refused(with_header(arrays, **{name: value}), tmp_path / "b.npz")


@pytest.mark.parametrize("signed", [True, False])
def test_arrays_that_are_none(signed, paper_network, tmp_path):
    """Also where a checksum, made to fit, does not tell."""
    whole = archive_of(paper_network, tmp_path / "a.npz")
    genes = json.loads(str(whole["header"]))["genes"]
    changes = {
        "shorter": lambda a: a.reshape(-1)[:-1],
        "scalar": lambda a: np.array(3.0),
        "text": lambda a: np.full(a.shape, "x"),
        "complex": lambda a: np.full(a.shape, 1j),
        "another axis": lambda a: a[None],
    }
    names = [n for n in whole if n not in ("header", "programs/n_other_genes")]
    for name in names:
        if name.startswith(("left_out/", "penetrance/lowered", "penetrance/screen", "programs/")):
            continue  # of any length, and numbers of their own
        for what, change in changes.items():
            if what == "text" and whole[name].dtype.kind == "U":
                continue
            arrays = whole | {name: change(whole[name])}
            if signed:
                rest = {n: a for n, a in arrays.items() if n != "header"}
                arrays = with_header(arrays, sha256=digest(rest, *genes))
            assert refused(arrays, tmp_path / "b.npz"), (name, what)


def test_swapped_arrays_and_other_numbers_are_found(paper_network, tmp_path):
    arrays = archive_of(paper_network, tmp_path / "a.npz")
    one, other = "screen/p_value", "screen/p_adjusted"
    swapped = arrays | {one: arrays[other], other: arrays[one]}
    assert "not those that were written" in refused(swapped, tmp_path / "b.npz")
    moved = arrays | {"screen/effect": arrays["screen/effect"] * (1 + 1e-15)}
    assert "not those that were written" in refused(moved, tmp_path / "b.npz")


def npy(shape: str, dtype: str = "<f8", content: bytes = b"") -> bytes:
    """An array whose header says anything."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + content


@pytest.mark.parametrize(
    "entry",
    [
        npy("(10**15,)"), npy("(1000000000000000,)"), npy("(-1,)"), npy("(2, 2)", content=b"x"),
        npy("(1,)", "|O", b"x" * 8), npy("(1,)", "<U100000000000"), npy("(" * 500),
        b"\x93NUMPY\x09\x00",
        b"", npy("(1.5,)"), npy("(True,)"), npy("('a',)"), npy("(0, 1000000000000000)", "<f8"),
    ],
)  # fmt: skip
def test_arrays_that_say_what_they_are_not(entry, tmp_path):
    whole = argen.save(small_network(), tmp_path / "a.npz")
    damaged = io.BytesIO()
    with zipfile.ZipFile(whole) as before, zipfile.ZipFile(damaged, "w") as after:
        for name in before.namelist():
            after.writestr(name, entry if name == "screen/effect.npy" else before.read(name))
    whole.write_bytes(damaged.getvalue())
    with pytest.raises(argen.InputError, match="cannot be read"):
        argen.load(whole)


def test_an_archive_larger_than_memory_is_refused(tmp_path, monkeypatch):
    path = argen.save(small_network(), tmp_path / "a.npz")
    monkeypatch.setattr("argen.files.archive.free_memory", lambda: 1000)
    with pytest.raises(argen.InputError, match="more than memory has room"):
        argen.load(path)


def test_frequencies_that_are_words_are_named():
    table = pd.DataFrame({"source": "a", "target": list("bcd"), "frequency": ["0.5", "abc", "2"]})
    with pytest.raises(argen.InputError, match="a share from 0 to 1, not 'abc', '2'"):
        stability_table(table)
    assert stability_table(table[:1])["frequency"].tolist() == [0.5]


def main(arguments: list[str]) -> int:
    """Print what comes of damaged files; returns 1 when any case is a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=int, help="of each kind of file")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    n_cases = n_faults = 0
    for kind in KINDS:
        found = run_cases(kind, options.cases, seed=options.seed)
        n_cases, n_faults = n_cases + sum(found.values()), n_faults + sum(faults(found).values())
        print(kind)
        for (way, what), n in sorted(found.items()):
            print(f"  {way:14} {what:28} {n:6,}")
    print(f"{n_cases:,} cases, {n_faults:,} faults")
    return int(n_faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
