"""Chunks that threads decompress have the values that HDF5 reads, whatever the filters."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from h5py._objects import phil

from argen.read.stored import chunks
from argen.read.stored.chunks import ChunkedDataset, decompressed, unlocked

LENGTH = 5000
FILTERS = {
    "gzip": {"compression": "gzip"},
    "lzf": {"compression": "lzf"},
    "shuffled gzip": {"compression": "gzip", "shuffle": True},
    "shuffled lzf": {"compression": "lzf", "shuffle": True},
    "shuffled": {"shuffle": True},
    "none": {},
}
UNKNOWN = {"checksums": {"fletcher32": True}, "scaled": {"scaleoffset": 0}}


def values_of(dtype, shape) -> np.ndarray:
    """Many small numbers, long runs, and a stretch that does not compress."""
    rng = np.random.default_rng(3)
    values = rng.poisson(1.5, shape).astype(dtype)
    values[100:2000] = 1
    values[2500:3000] = rng.integers(0, 120, values[2500:3000].shape).astype(dtype)
    return values


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as opened:
        yield opened


def written(file: h5py.File, values: np.ndarray, length: int, **filters) -> h5py.Dataset:
    each = (length, 3)[: values.ndim]
    return file.create_dataset("x", data=values, chunks=each, **filters)


@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("dtype", ["f4", ">f4", "f8", "i4", "i8", "u1", "f2", bool])
@pytest.mark.parametrize("shape", [(LENGTH,), (LENGTH, 7)], ids=["vector", "matrix"])
def test_every_slice_is_that_of_the_dataset(file, monkeypatch, filters, dtype, shape):
    dataset = written(file, values_of(dtype, shape), 333, **filters)
    threaded = unlocked(dataset)
    assert isinstance(threaded, ChunkedDataset)
    assert (threaded.dtype, threaded.shape) == (dataset.dtype, dataset.shape)
    slices = [slice(0, 1), slice(332, 334), slice(100, 4000), slice(4995, None), slice(None)]
    expected = [dataset[part] for part in slices]

    def refuse(*_):
        raise AssertionError("HDF5 decompressed a chunk")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", refuse)
    for part, of_dataset in zip(slices, expected, strict=True):
        found = threaded[part]
        assert found.dtype == of_dataset.dtype
        np.testing.assert_array_equal(found, of_dataset)
    assert len(threaded[slice(7, 7)]) == 0


@pytest.mark.parametrize("filters", UNKNOWN.values(), ids=UNKNOWN)
def test_other_filters_are_left_to_hdf5(file, filters):
    dataset = written(file, values_of("i4", LENGTH), 333, **filters)
    assert unlocked(dataset) is dataset


def test_what_has_no_chunks_is_left_as_it_is(file):
    values = values_of("f4", LENGTH)
    assert unlocked(values) is values
    dataset = file.create_dataset("x", data=values)
    assert unlocked(dataset) is dataset


def test_large_chunks_are_left_to_hdf5(file, monkeypatch):
    dataset = written(file, values_of("f4", LENGTH), 1000, compression="gzip")
    assert isinstance(unlocked(dataset), ChunkedDataset)
    monkeypatch.setattr(chunks, "_MOST_BYTES_OF_A_CHUNK", 3999)
    assert unlocked(dataset) is dataset


def test_values_stored_in_another_type_are_left_to_hdf5(file):
    narrow = h5py.h5t.STD_I32LE.copy()
    narrow.set_precision(20)
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk((100,))
    space = h5py.h5s.create_simple((LENGTH,))
    h5py.h5d.create(file.id, b"x", narrow, space, layout)
    assert isinstance(unlocked(file["x"]), h5py.Dataset)


def test_chunks_that_were_never_written(file):
    dataset = file.create_dataset(
        "x", (1000,), "f4", chunks=(100,), compression="gzip", fillvalue=7
    )
    dataset[250:260] = 1
    np.testing.assert_array_equal(unlocked(dataset)[0:1000], dataset[:])


def test_chunks_that_do_not_compress_are_stored_without(file):
    values = np.random.default_rng(0).integers(0, 256, LENGTH, dtype=np.uint8)
    dataset = written(file, values, 100, compression="lzf")
    assert dataset.id.read_direct_chunk((0,))[0] == 1  # the filter was left out
    np.testing.assert_array_equal(unlocked(dataset)[0:LENGTH], values)


@pytest.mark.parametrize("compression", ["gzip", "lzf"])
def test_a_damaged_chunk_is_what_hdf5_says_it_is(file, compression):
    dataset = written(file, values_of("f4", LENGTH), 500, compression=compression)
    _, stored = dataset.id.read_direct_chunk((500,))
    dataset.id.write_direct_chunk((500,), b"\xff" * 8 + stored[8:])
    np.testing.assert_array_equal(unlocked(dataset)[1000:], dataset[1000:])
    with pytest.raises(OSError, match=r"filter returned failure|inflate|LZF"):
        unlocked(dataset)[0:1000]


@pytest.mark.parametrize(
    "stored",
    [[5, 1, 2], [32], [0, 7, 32, 9], [0, 7, 224], [31] + [0] * 32, [0, 7, 224, 255, 0]],
    ids=[
        "copy past the end",
        "no distance",
        "too far back",
        "no length",
        "too much to copy",
        "too much to repeat",
    ],
)
def test_no_damage_leads_out_of_the_arrays(stored):
    assert chunks._unpack(np.array(stored, np.uint8), np.empty(20, np.uint8)) == -1


def test_no_two_threads_are_in_hdf5_when_chunks_are_fetched():
    """Some versions of h5py take their lock in all calls but this, and two at once end Python."""
    found = []

    def is_free() -> bool:
        taken = phil.acquire(blocking=False)
        if taken:
            phil.release()
        return taken

    def fetched(start):
        with ThreadPoolExecutor(1) as other:
            found.append(other.submit(is_free).result())
        return 0, bytes(8)

    dataset = SimpleNamespace(chunks=(8,), id=SimpleNamespace(read_direct_chunk=fetched))
    assert decompressed(dataset, (0,), (), 1).tolist() == [0] * 8
    assert found == [False]
    assert is_free()
