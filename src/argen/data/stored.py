"""Vectors of which slices are read when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from argen.arrays import UnsignedArray
from argen.errors import InputError


@dataclass(frozen=True, slots=True)
class StoredArray:
    """A vector in a file.

    It is read, not mapped: mapped pages would count as memory of the process.
    """

    path: Path
    offset: int  # bytes
    dtype: np.dtype[Any]
    size: int

    def __getitem__(self, part: slice) -> UnsignedArray:
        begin, end, _ = part.indices(self.size)
        offset, count = self.offset + begin * self.dtype.itemsize, max(end - begin, 0)
        try:
            found = np.fromfile(self.path, self.dtype, count=count, offset=offset)
        except OSError as error:
            raise InputError(f"Counts that were kept cannot be read again: {error}.") from error
        if len(found) < count:
            raise InputError(
                f"Counts that were kept have been cut short: {str(self.path)!r} ends before "
                f"{offset + count * self.dtype.itemsize:,} bytes. Read the screen again."
            )
        return found

    def part(self, begin: int, end: int) -> StoredArray:
        """Return some of it, which stays in the file."""
        return StoredArray(
            self.path, self.offset + begin * self.dtype.itemsize, self.dtype, end - begin
        )


@dataclass(frozen=True, slots=True)
class ChainedArray:
    """One vector after another, each where it is."""

    first: Sliced
    second: Sliced

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that holds the numbers of both."""
        return np.result_type(self.first.dtype, self.second.dtype)

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.first.size + self.second.size

    def __getitem__(self, part: slice) -> UnsignedArray:
        (begin, end, _), n = part.indices(self.size), self.first.size
        if end <= n:
            return self.first[begin:end]
        if begin >= n:
            return self.second[begin - n : end - n]
        return np.concatenate([self.first[begin:n], self.second[: end - n]])


Sliced: TypeAlias = UnsignedArray | StoredArray | ChainedArray


def stretch(array: Sliced, begin: int, end: int) -> Sliced:
    """Return some of a vector, without reading what is in a file."""
    return array.part(begin, end) if isinstance(array, StoredArray) else array[begin:end]
