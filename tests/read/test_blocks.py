"""Counts are read once, in blocks: no block, format or place of the counts changes the data."""

import subprocess
import sys
from pathlib import Path
from threading import Lock
from time import sleep

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import argen
from argen.data.counts import StoredArray, Tile
from argen.read.counts.at_once import AtOnce, read_at_once
from argen.read.counts.scratch import TileStore, most_bytes
from argen.read.stored import matrices

HERE = Path(__file__).parent
FORMATS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}


def read(given, *, threads=None, **options):
    labels = {"target": "perturbation", "control": "non-targeting"}
    return argen.read_perturbseq(given, argen.ReadOptions(**(labels | options)), threads=threads)


def with_matrix(screen, matrix, **others):
    return AnnData(X=matrix, obs=screen.obs, var=screen.var, **others)


def in_files(data: argen.PerturbSeqData) -> bool:
    return all(isinstance(tile.cell, StoredArray) for tile in data.counts.tiles)


def write(adata: AnnData, path, suffix: str):
    path = path / f"screen{suffix}"
    adata.write_h5ad(path) if suffix == ".h5ad" else adata.write_zarr(path)
    return path


@pytest.mark.whole
@given(
    entries=st.integers(1, 2000),
    as_matrix=st.sampled_from(list(FORMATS.values())),
    memory=st.sampled_from([0, 2000, 10**9]),
    cells=st.sampled_from([None, "confident", "cycling"]),
    sinks=st.sampled_from([None, "all", ["GAPDH", "STAT1", "MYC"]]),
)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_blocks_and_places_do_not_matter(shared_screen, entries, as_matrix, memory, cells, sinks):
    expected = read(shared_screen, cells=cells, sinks=sinks)
    screen = with_matrix(shared_screen, as_matrix(shared_screen.X.toarray()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrices, "MOST_ENTRIES_OF_A_BLOCK", entries)
        data = read(screen, cells=cells, sinks=sinks, memory=memory)
    assert data.genes == expected.genes
    assert data.sha256 == expected.sha256
    assert in_files(data) == (memory < expected.counts.nbytes)
    row_sums = shared_screen[data.cells].X.sum(axis=1)
    np.testing.assert_array_equal(data.library_size, np.ravel(row_sums))


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data")
@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
@pytest.mark.parametrize("as_matrix", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("layer", [None, "counts", "raw"])
def test_files_agree_with_objects(screen, tmp_path, monkeypatch, suffix, as_matrix, layer):
    if suffix == ".zarr":
        pytest.importorskip("zarr")
    monkeypatch.setattr(matrices, "MOST_ENTRIES_OF_A_BLOCK", 300)
    counts = as_matrix(screen.X.toarray())
    if layer is None:
        given = with_matrix(screen, counts)
    elif layer == "counts":
        given = with_matrix(screen, screen.X.log1p(), layers={"counts": counts})
    else:
        given = with_matrix(screen, screen.X.log1p())
        given.raw = with_matrix(screen, counts)
    path = write(given, tmp_path, suffix)
    options = {"layer": layer, "cells": "confident", "covariates": ["lane"], "sinks": "all"}
    data = read(path, **options)
    assert data.sha256 == read(given, **options).sha256
    assert data.source == str(path)


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data")
@pytest.mark.parametrize("kind", ["object", "gzip", "lzf", "zarr"])
@pytest.mark.parametrize("as_matrix", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("memory", [0, 60_000, None])
def test_threads_do_not_matter(screen, tmp_path, monkeypatch, kind, as_matrix, memory):
    if kind == "zarr":
        pytest.importorskip("zarr")
    monkeypatch.setattr(matrices, "MOST_ENTRIES_OF_A_BLOCK", 200)
    given = with_matrix(screen, as_matrix(screen.X.toarray()))
    if kind in ("gzip", "lzf"):
        given.write_h5ad(tmp_path / "screen.h5ad", compression=kind)
        given = tmp_path / "screen.h5ad"
    elif kind == "zarr":
        given = write(given, tmp_path, ".zarr")
    one, *others = (
        read(given, sinks="all", cells="confident", memory=memory, threads=threads)
        for threads in (1, 2, 5)
    )
    for other in others:
        assert other.sha256 == one.sha256
        assert len(other.counts.tiles) == len(one.counts.tiles)
        for mine, its in zip(one.counts.tiles, other.counts.tiles, strict=True):
            for name in ("start", "cell", "count"):
                np.testing.assert_array_equal(getattr(its, name)[:], getattr(mine, name)[:])
        np.testing.assert_array_equal(other.library_size, one.library_size)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_first_block_with_an_error_is_told(screen, monkeypatch, threads):
    monkeypatch.setattr(matrices, "MOST_ENTRIES_OF_A_BLOCK", 60)
    counts = screen.X.toarray()
    counts[150, 2], counts[200, 1], counts[290, 0] = 0.5, 1.5, -1.0
    words = r"not integers in 1 entries .*'cell150', gene 'JAK2'"
    with pytest.raises(argen.InputError, match=words):
        read(with_matrix(screen, sparse.csr_matrix(counts)), sinks="all", threads=threads)


@pytest.mark.parametrize("threads", [0, 1.5, True, "two"])
def test_threads_that_are_no_number(screen, threads):
    with pytest.raises(argen.InputError, match="threads must be a whole number from 1"):
        read(screen, threads=threads)


def test_blocks_on_their_way_count_as_memory():
    """Never more than there is room for beside the tiles, and never fewer than one."""
    running, most, lock = 0, 0, Lock()

    def tile(number: int) -> Tile:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        sleep(0.002)
        with lock:
            running -= 1
        return Tile(10, np.array([0, 10]), np.arange(10, dtype=np.uint16), np.full(10, number))

    for room, expected in ((0, 1), (2_500, 2), (10**9, 4)):
        store, most = TileStore(room), 0
        with read_at_once(tile, range(30), AtOnce(4, (store,), 1000)) as tiles:
            for got in tiles:
                store.add(got)
        assert [int(got.count[:][0]) for got in store.tiles] == list(range(30))
        assert 1 <= most <= expected


def test_what_is_in_files_gives_the_same_network(screen, tmp_path):
    inside = argen.infer_network(read(screen, sinks="all"))
    outside = argen.infer_network(read(screen, sinks="all", memory=0))
    pd.testing.assert_frame_equal(inside.candidates, outside.candidates, check_exact=True)
    pd.testing.assert_frame_equal(inside.total_effects(), outside.total_effects())


def test_damage_that_shows_while_reading(screen, tmp_path):
    path = write(screen, tmp_path, ".h5ad")
    with h5py.File(path, "a") as file:
        indptr = file["X/indptr"][:]
        indptr[5] = indptr[6] + 1
        file["X/indptr"][:] = indptr
    with pytest.raises(argen.InputError, match="X is not a valid sparse matrix: its row pointers"):
        read(path)
    with h5py.File(path, "a") as file:
        del file["X"]
        file["X"] = np.zeros((299, 6))
        file["X"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    with pytest.raises(
        argen.InputError, match="X has 299 cells and 6 genes, but their tables list"
    ):
        read(path)


def test_counts_beyond_four_bytes(screen):
    counts = screen.X.toarray().astype(np.float64)
    counts[3, 1] = 2.0**32
    with pytest.raises(argen.InputError, match="X holds values above 4,294,967,295 in 1 entries"):
        read(with_matrix(screen, counts))


def test_a_directory_that_is_no_store(tmp_path):
    with pytest.raises(argen.InputError, match=r"is a directory: .*\.h5ad, or a zarr store"):
        read(tmp_path)


def test_a_store_of_something_else(tmp_path):
    zarr = pytest.importorskip("zarr")
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w").create_group("pixels")
    with pytest.raises(argen.InputError, match=r"is a zarr store but not AnnData: .* found pixels"):
        read(tmp_path / "a.zarr")


def test_files_that_cannot_be_kept(screen, monkeypatch):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("argen.data.counts.Tile.write", no_space)
    words = r"cannot be kept in files in '.*': No space left on device\. Name another folder as scr"
    with pytest.raises(argen.InputError, match=words):
        read(screen, memory=0)


@pytest.mark.parametrize(
    ("memory", "expected"),
    [("4 GB", 4 * 10**9), ("1.5MB", 1_500_000), (" 10 kb", 10_000), (17, 17), ("0 B", 0)],
)
def test_memory_in_words_and_numbers(memory, expected):
    assert most_bytes(memory) == expected


@pytest.mark.parametrize("memory", ["4", "much", "-1 GB", -1, 2.5, True])
def test_memory_that_is_no_amount(screen, memory):
    with pytest.raises(argen.InputError, match=r"memory must be text such as '4 GB', or a number"):
        read(screen, memory=memory)


def test_scratch_that_cannot_be_written(screen, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(argen.InputError, match=r"scratch .* cannot be written: .*another folder"):
        read(screen, scratch=tmp_path / "file" / "in")
    with pytest.raises(argen.InputError, match="scratch must be the path of a folder, not 3"):
        read(screen, scratch=3)


def test_tiles_are_kept_and_used_again(screen, tmp_path, monkeypatch):
    path, scratch = write(screen, tmp_path, ".h5ad"), tmp_path / "scratch"
    first = read(path, scratch=scratch, memory=0)
    kept = sorted(p.name for p in scratch.iterdir())
    assert len(kept) == 1
    assert in_files(first)

    def refuse(*_):
        raise AssertionError("the matrix was read again")

    with monkeypatch.context() as patch:
        patch.setattr("argen.read.selection.tile_counts", refuse)
        assert read(path, scratch=scratch, memory=0).sha256 == first.sha256
        inside = read(path, scratch=scratch)
        with pytest.raises(AssertionError):
            read(path, scratch=scratch, cells="confident")
    assert not in_files(inside)
    assert inside.sha256 == first.sha256
    np.testing.assert_array_equal(inside.library_size, first.library_size)

    screen.X.data[0] += 1
    write(screen, tmp_path, ".h5ad")
    changed = read(path, scratch=scratch)
    assert changed.sha256 == read(screen).sha256 != first.sha256


def damages(content: bytes) -> dict[str, bytes | None]:
    """What a disk, or a process that was ended, makes of a file."""
    flipped = bytearray(content)
    flipped[-5] ^= 4
    return {"flipped": bytes(flipped), "short": content[: len(content) // 2], "gone": None}


@pytest.mark.parametrize("memory", [0, "1 GB"])
@pytest.mark.parametrize("damage", ["flipped", "short", "gone"])
@pytest.mark.parametrize("name", ["tile0", "row_sums.npy", "starts.npy", "panel.npy", "tiles.json"])
def test_damaged_tiles_are_read_again(name, damage, memory, screen, tmp_path):
    path, scratch = write(screen, tmp_path, ".h5ad"), tmp_path / "scratch"
    first = read(path, scratch=scratch, memory=memory)
    [folder] = scratch.iterdir()
    content = damages((folder / name).read_bytes())[damage]
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.warns(argen.ArgenWarning, match=r"damaged: counts are read from the screen again"):
        again = read(path, scratch=scratch, memory=memory)
    assert again.sha256 == first.sha256
    np.testing.assert_array_equal(again.library_size, first.library_size)
    assert read(path, scratch=scratch, memory=memory).sha256 == first.sha256  # without a word


def test_tiles_that_are_cut_short_in_use_are_an_error(screen, tmp_path):
    data = read(write(screen, tmp_path, ".h5ad"), scratch=tmp_path / "scratch", memory=0)
    [folder] = (tmp_path / "scratch").iterdir()
    (folder / "tile0").write_bytes((folder / "tile0").read_bytes()[:100])
    with pytest.raises(argen.InputError, match="have been cut short"):
        data.counts.totals()
    (folder / "tile0").unlink()
    with pytest.raises(argen.InputError, match="cannot be read again"):
        data.counts.totals()


@pytest.mark.process
def test_objects_leave_nothing_behind(tmp_path):
    """The files of an object, and those without a named folder, go with the process."""
    lines = [
        "import sys, tempfile, pathlib",
        "sys.path.insert(0, sys.argv[2])",
        "from test_blocks import read, in_files",
        "from conftest import small_screen",
        "tempfile.tempdir = sys.argv[1]",
        "assert in_files(read(small_screen(), memory=0))",
        "assert in_files(read(small_screen(), memory=0, scratch=sys.argv[1] + '/named'))",
        "assert len(list(pathlib.Path(sys.argv[1]).iterdir())) == 2",
    ]
    command = [sys.executable, "-c", "\n".join(lines), str(tmp_path), str(HERE)]
    subprocess.run(command, check=True)
    assert [p.name for p in tmp_path.rglob("*")] == ["named"]


@pytest.mark.process
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs the peak that Linux tells"
)
@pytest.mark.parametrize("by_cells", [True, False], ids=["csr", "csc"])
def test_memory_is_bounded(tmp_path, by_cells):
    """A file of 12 million entries, some 100 MB, is read with little more than its blocks."""
    rng = np.random.default_rng(1)
    n_cells, n_genes = 30_000, 400
    shape = (n_cells, n_genes) if by_cells else (n_genes, n_cells)
    data = rng.integers(1, 9, n_cells * n_genes, dtype=np.uint8).astype(np.float32)
    indices = np.tile(np.arange(shape[1], dtype=np.int32), shape[0])
    counts = sparse.csr_matrix((data, indices, np.arange(shape[0] + 1) * shape[1]), shape=shape)
    labels = rng.choice([f"g{k}" for k in range(20)] + ["non-targeting"], n_cells)
    obs = pd.DataFrame({"perturbation": labels}, index=[f"c{i}" for i in range(n_cells)])
    var = pd.DataFrame(index=[f"g{k}" for k in range(n_genes)])
    path = tmp_path / "large.h5ad"
    AnnData(counts if by_cells else counts.T, obs=obs, var=var).write_h5ad(path)
    lines = [
        "import re, sys",
        "sys.path.insert(0, sys.argv[2])",
        "from test_blocks import matrices, read, in_files",
        "from conftest import small_screen",
        "matrices.MOST_ENTRIES_OF_A_BLOCK = 2**18",
        "read(small_screen())",
        "status = lambda: open('/proc/self/status').read()",
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', status())[1])",
        "before = peak()",
        "data = read(sys.argv[1], sinks='all', memory='1 MB')",
        "data.sha256",
        "assert in_files(data) and data.counts.nbytes > 30e6",
        "print(peak() - before)",
    ]
    command = [sys.executable, "-c", "\n".join(lines), str(path), str(HERE)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 110_000  # kB: twice the usual, half of what the whole would take


def test_backed_objects_in_blocks(screen, tmp_path, monkeypatch):
    monkeypatch.setattr(matrices, "MOST_ENTRIES_OF_A_BLOCK", 300)
    backed = anndata.read_h5ad(write(screen, tmp_path, ".h5ad"), backed="r")
    assert read(backed).sha256 == read(screen).sha256
    assert read(backed[:200]).sha256 == read(screen[:200]).sha256
    backed.file.close()
