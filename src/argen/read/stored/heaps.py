"""Texts of an HDF5 file, which are kept in heaps: a damaged one keeps the HDF5 library for ever.

A heap begins with ``GCOL``, its version and its size; then come objects, each with a head of 16
bytes, of which the first two are its number and the last eight its size. The object of number 0
is what is free: where its size is 0, as in zeros, the library never comes to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from argen.errors import InputError
from argen.glm import compiled
from argen.read.stored.chunks import decompressed, filters_undone

_SIGNATURE = b"GCOL\1\0\0\0"
_HEAD = _REFERENCE = 16
_BYTES_AT_ONCE = 2**24
# In larger files what is known to be numbers is not looked at.
_LOOKED_AT_WHOLE = 2**31


def check_heaps(file: Any, path: Path) -> int:
    """Refuse an open file with a heap that the library would not come out of.

    Returns
    -------
    The size of the largest, in bytes: no text is longer.
    """
    largest = 0
    with path.open("rb") as raw:
        for begin, end in _to_search(file, path.stat().st_size):
            for place in _found(raw, begin, end):
                raw.seek(place + 8)
                size = int.from_bytes(raw.read(8), "little")
                raw.seek(place)
                # Of a heap that is cut off the library says so itself.
                heap = np.frombuffer(raw.read(min(size, 2**32)), np.uint8)
                largest = max(largest, size) if len(heap) == size else largest
                if len(heap) == size and not _is_sound(heap):
                    raise InputError(
                        f"{str(path)!r} cannot be read: the texts at byte {place:,} are damaged. "
                        "Copy or write it again."
                    )
    return largest


def check_texts(dataset: Any, path: Path, longest: int) -> None:
    """Refuse a dataset with a text that is longer than any heap: its length is believed.

    In a dataset each text is its length in four bytes, the place of its heap in eight, and its
    number there in four.
    """
    for references in _references(dataset, path):
        whole = references[: len(references) // _REFERENCE * _REFERENCE]
        length = whole.reshape(-1, _REFERENCE)[:, :4].copy().view("<u4")
        if length.max(initial=0) > longest:
            raise InputError(
                f"{str(path)!r} cannot be read: {dataset.name!r} has a text of "
                f"{int(length.max()):,} bytes, where {longest:,} are the most. It is damaged; copy "
                "or write it again."
            )


def _references(dataset: Any, path: Path) -> Iterator[Any]:
    if dataset.chunks is None:
        if (offset := dataset.id.get_offset()) is not None:
            yield np.fromfile(path, np.uint8, count=_REFERENCE * dataset.size, offset=offset)
        return
    undo = filters_undone(dataset)
    if undo is not None:
        for number in range(dataset.id.get_num_chunks()):
            start = dataset.id.get_chunk_info(number).chunk_offset
            yield decompressed(dataset, start, undo, _REFERENCE)


def _to_search(file: Any, n_bytes: int) -> list[tuple[int, int]]:
    """Where heaps may be: everywhere, but for the numbers of datasets in a large file."""
    import h5py

    whole = [(0, n_bytes)]
    if n_bytes <= _LOOKED_AT_WHOLE or file.userblock_size:
        return whole
    numbers: list[tuple[int, int]] = []

    def look(_: str, element: Any) -> None:
        if not isinstance(element, h5py.Dataset) or element.dtype.kind not in "buif":
            return
        if element.chunks is None:
            if (offset := element.id.get_offset()) is not None:
                numbers.append((offset, element.id.get_storage_size()))
        elif hasattr(element.id, "chunk_iter"):
            element.id.chunk_iter(lambda chunk: numbers.append((chunk.byte_offset, chunk.size)))

    file.visititems(look)
    between, at = [], 0
    for begin, size in sorted(numbers):
        if begin > at:
            between.append((at, begin))
        at = max(at, begin + size)
    return [*between, (at, n_bytes)]


def _found(raw: BinaryIO, begin: int, end: int) -> Iterator[int]:
    """Places of the signature in a part of a file."""
    overlap = len(_SIGNATURE) - 1
    for start in range(begin, end, _BYTES_AT_ONCE):
        raw.seek(start)
        block = raw.read(min(_BYTES_AT_ONCE + overlap, end - start))
        place = block.find(_SIGNATURE)
        while place >= 0:
            yield start + place
            place = block.find(_SIGNATURE, place + 1)


@compiled()
def _is_sound(heap: Any) -> bool:
    """Whether the objects of a heap follow each other to its end."""
    at: Any
    at = _HEAD
    while at + _HEAD <= len(heap):
        number = np.int64(heap[at]) | np.int64(heap[at + 1]) << 8
        size: Any
        size = np.int64(0)
        for i in range(8):
            size |= np.int64(heap[at + 8 + i]) << 8 * i
        if size < 0 or size > len(heap):
            return False
        if number == 0:
            if size < _HEAD:
                return False
            at += size
        else:
            at += _HEAD + (size + 7) // 8 * 8
        if at > len(heap):
            return False
    return True
