"""Slices of an HDF5 dataset, decompressed by whichever thread asks for them.

HDF5 does everything under one lock, so that its filters use one core. Here it hands out chunks as
they are in the file, and the filters that AnnData uses are undone outside of the lock.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from argen.errors import InputError
from argen.glm import compiled

# What a thread may hold of a larger chunk would not fit what a block is said to take.
_MOST_BYTES_OF_A_CHUNK = 2**24

Bytes: TypeAlias = NDArray[np.uint8]
Undo: TypeAlias = Callable[[Bytes, int, int], Bytes]
"""Called with what a filter wrote, and the bytes of the chunk and of one value."""


@dataclass(frozen=True, slots=True)
class ChunkedDataset:
    """A dataset of HDF5 that is cut into chunks, of which rows are read."""

    dataset: Any
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    undo: tuple[Undo, ...]  # one for each filter, in the order in which they were applied

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        begin, end, _ = rows.indices(self.shape[0])
        values = np.empty((max(end - begin, 0), *self.shape[1:]), self.dtype)
        if not values.size:
            return values
        length, *widths = self.chunks
        starts = range(begin // length * length, end, length)
        for start in product(starts, *map(range, [0] * len(widths), self.shape[1:], widths)):
            first, *columns = (slice(at, at + c) for at, c in zip(start, self.chunks, strict=True))
            low, high = max(first.start, begin), min(first.stop, end)
            part = values[(slice(low - begin, high - begin), *columns)]
            chunk = self._chunk(start)
            if chunk is None:  # HDF5 knows what it is, or says what is wrong
                part[...] = self.dataset[(slice(low, high), *columns)]
            else:
                inside = (slice(low - first.start, None), *[slice(None)] * len(columns))
                part[...] = chunk[inside][tuple(map(slice, part.shape))]
        return values

    def _chunk(self, start: tuple[int, ...]) -> NDArray[Any] | None:
        """Decompress the chunk that starts there; None when it is not as expected."""
        try:
            values = decompressed(self.dataset, start, self.undo, self.dtype.itemsize)
            return values.view(self.dtype).reshape(self.chunks)
        except InputError:
            raise
        except (OSError, RuntimeError, ValueError, zlib.error):
            return None


def decompressed(
    dataset: Any, start: tuple[int, ...], undo: tuple[Undo, ...], itemsize: int
) -> Bytes:
    """Return the bytes of the chunk that starts there."""
    from h5py._objects import phil

    n_bytes = math.prod(dataset.chunks) * itemsize
    # HDF5 is not for several threads, and before 3.16 h5py takes its lock in all calls but this.
    with phil:
        left_out, stored = dataset.id.read_direct_chunk(start)
    values = np.frombuffer(stored, np.uint8)
    for number in reversed(range(len(undo))):
        if not left_out >> number & 1:
            values = undo[number](values, n_bytes, itemsize)
    return values


def filters_undone(dataset: Any) -> tuple[Undo, ...] | None:
    """How to undo each filter of a dataset, in the order in which they are applied, if known."""
    import h5py

    known = {
        h5py.h5z.FILTER_DEFLATE: _inflated,
        h5py.h5z.FILTER_SHUFFLE: _unshuffled,
        h5py.h5z.FILTER_LZF: _unpacked,
    }
    layout = dataset.id.get_create_plist()
    codes = [layout.get_filter(number)[0] for number in range(layout.get_nfilters())]
    return tuple(known[code] for code in codes) if set(codes) <= set(known) else None


def unlocked(values: Any) -> Any:
    """Return a dataset of HDF5 such that threads decompress it beside each other, if known how."""
    import h5py

    if not isinstance(values, h5py.Dataset) or values.chunks is None:
        return values
    as_in_memory = values.dtype.kind in "buif" and (
        values.id.get_type() == h5py.h5t.py_create(values.dtype, logical=True)
    )
    small = math.prod(values.chunks) * values.dtype.itemsize <= _MOST_BYTES_OF_A_CHUNK
    undo = filters_undone(values)
    if not (as_in_memory and small) or undo is None:
        return values
    return ChunkedDataset(values, values.shape, values.chunks, values.dtype, undo)


def _inflated(stored: Bytes, n_bytes: int, _: int) -> Bytes:
    # No more than a chunk may hold, since a few bytes can become a great many.
    values = zlib.decompressobj().decompress(stored.data, n_bytes + 1)
    if len(values) > n_bytes:
        raise InputError(
            "A chunk of the counts holds more than it may. The file is damaged; write it again."
        )
    return np.frombuffer(values, np.uint8)


def _unshuffled(stored: Bytes, _: int, itemsize: int) -> Bytes:
    """Undo the filter that puts the first bytes of all values first, and so on."""
    return np.ascontiguousarray(stored.reshape(itemsize, -1).T).ravel()


def _unpacked(stored: Bytes, n_bytes: int, _: int) -> Bytes:
    values = np.empty(n_bytes, np.uint8)
    if _unpack(stored, values) != n_bytes:
        raise ValueError("not compressed by LZF")
    return values


@compiled()
def _unpack(stored: Bytes, out: Bytes) -> int:
    """Decompress LZF; returns how many bytes came out, or -1 when they are damaged.

    A byte below 32 is followed by so many bytes plus one to be copied; any other begins a
    repetition of what came out before: its length in three bits, or the next byte, and
    how far back it is in 13.
    """
    length: Any
    at, n_out = 0, 0
    while at < len(stored):
        control = np.int64(stored[at])  # no longer of eight bits, so that sums do not wrap
        at += 1
        if control < 32:
            length = control + 1
            if at + length > len(stored) or n_out + length > len(out):
                return -1
            for i in range(length):
                out[n_out + i] = stored[at + i]
            at += length
        else:
            length = (control >> 5) + 2
            if length == 9 and at < len(stored):
                length += np.int64(stored[at])
                at += 1
            if at >= len(stored):
                return -1
            back = ((control & 31) << 8) + np.int64(stored[at]) + 1
            at += 1
            if back > n_out or n_out + length > len(out):
                return -1
            for i in range(length):
                out[n_out + i] = out[n_out - back + i]
        n_out += length
    return n_out
