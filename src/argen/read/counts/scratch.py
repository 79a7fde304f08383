"""Where the tiles of counts are kept: in memory, or in files when they are many."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import warnings
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from argen.arrays import FloatArray, IntArray
from argen.data import GeneCounts, StoredArray, Tile
from argen.errors import ArgenWarning, InputError
from argen.files import reading
from argen.machine import free_memory

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
# Changes whenever tiles of an earlier version must not be read.
_LAYOUT = 3
# What else is in the folder, with the checksum of each file, and of itself.
_INDEX = "tiles.json"
_BYTES_AT_ONCE = 2**22
# Removed when the process ends.
_temporary: list[tempfile.TemporaryDirectory[str]] = []


def most_bytes(memory: object) -> int:
    """Return how many bytes of counts may be in memory; half of what is free when None."""
    if memory is None:
        return free_memory() // 2
    if isinstance(memory, int) and not isinstance(memory, bool) and memory >= 0:
        return memory
    if isinstance(memory, str):
        parts = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B)\s*", memory.upper())
        if parts:
            return int(float(parts[1]) * _UNITS[parts[2]])
    raise InputError(f"memory must be text such as '4 GB', or a number of bytes, not {memory!r}.")


def _writable_folder(folder: Path) -> Path:
    """Make the folder that the user named if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        raise InputError(
            f"scratch {str(folder)!r} cannot be written: {error}. Name another folder."
        ) from error
    return folder


def temporary_folder(parent: Path | None) -> Path:
    """Make a folder that goes when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="argen-", dir=parent)
    _temporary.append(folder)
    return Path(folder.name)


@dataclass
class TileStore:
    """Tiles as they come: in memory until they are too many, then all in files."""

    most_bytes: int
    parent: Path | None = None
    tiles: list[Tile] = field(default_factory=list)
    folder: Path | None = None
    _nbytes: int = 0
    _n_moved: int = 0

    @classmethod
    def of(cls, memory: str | int | None, scratch: str | Path | None) -> TileStore:
        """Take the limit and the folder that the user named."""
        folder = None if scratch is None else _writable_folder(Path(scratch))
        return cls(most_bytes(memory), folder)

    def another(self) -> TileStore:
        """Return an empty one with the same limit and folder."""
        return TileStore(self.most_bytes, self.parent)

    def add(self, tile: Tile) -> None:
        """Append a tile."""
        self.tiles.append(tile)
        self._nbytes += tile.nbytes
        if self._nbytes > self.most_bytes:
            self._move()

    @property
    def room(self) -> int:
        """Bytes that are left in memory."""
        return self.most_bytes if self._n_moved else self.most_bytes - self._nbytes

    def clear(self) -> None:
        """Forget the tiles, and remove their files."""
        self.tiles = []
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _move(self) -> None:
        try:
            self.folder = self.folder or temporary_folder(self.parent)
            for number in range(self._n_moved, len(self.tiles)):
                self.tiles[number] = self.tiles[number].write(self.folder / f"tile{number}")
        except OSError as error:
            raise _cannot_keep(self.folder or tempfile.gettempdir(), error) from error
        self._n_moved = len(self.tiles)


@dataclass(frozen=True)
class Kept:
    """Tiles that a user keeps in a folder, for one file and one choice of cells and genes."""

    folder: Path

    @classmethod
    def of(cls, scratch: Path, *key: Any) -> Kept:
        """Name the folder by everything that its tiles depend on."""
        digest = hashlib.sha256(repr(_LAYOUT).encode())
        for part in key:
            digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
            digest.update(b"\0")
        return cls(scratch / f"argen-{digest.hexdigest()[:32]}")

    def load(self, most_bytes: int) -> tuple[GeneCounts, FloatArray, IntArray] | None:
        """Return what an earlier reading left, the counts in memory when there is room.

        None where it left nothing, or where that is not what it left: then a warning says so, and
        it is removed.
        """
        if not self.folder.is_dir():
            return None
        try:
            with reading(self.folder, "counts that were kept"):
                return self._load(most_bytes)
        except InputError as error:
            warnings.warn(
                f"{error} They are damaged: counts are read from the screen again.",
                ArgenWarning,
                stacklevel=2,
            )
            shutil.rmtree(self.folder, ignore_errors=True)
            return None

    def _load(self, most_bytes: int) -> tuple[GeneCounts, FloatArray, IntArray]:
        checksum, _, text = (self.folder / _INDEX).read_text("utf-8").partition(" ")
        if checksum != f"{zlib.crc32(text.encode()):08x}":
            raise ValueError(f"{_INDEX!r} is damaged")
        index = json.loads(text)
        for name, checked in index["files"].items():
            if _checksum(self.folder / name) != checked:
                raise ValueError(f"{name!r} is damaged")
        tiles = []
        starts = np.load(self.folder / "starts.npy")
        for number, (n_cells, dtype) in enumerate(index["tiles"]):
            start, path = starts[number], self.folder / f"tile{number}"
            n_entries, place = int(start[-1]), np.dtype(np.uint16)
            cell = StoredArray(path, 0, place, n_entries)
            count = StoredArray(path, n_entries * place.itemsize, np.dtype(dtype), n_entries)
            tiles.append(Tile(n_cells, start, cell, count))
        counts = GeneCounts(tuple(tiles), starts.shape[1] - 1)
        if counts.nbytes <= most_bytes:
            counts = counts.block(np.arange(counts.n_genes))
        return counts, np.load(self.folder / "row_sums.npy"), np.load(self.folder / "panel.npy")

    def save(self, counts: GeneCounts, row_sums: FloatArray, panel: IntArray) -> None:
        """Write everything beside, and move it into place when it is complete.

        Parameters
        ----------
        panel
            Columns that were chosen by their counts.
        """
        beside = Path(tempfile.mkdtemp(prefix="argen-unfinished-", dir=self.folder.parent))
        try:
            stored = counts.to_folder(beside)
            starts = [tile.start for tile in counts.tiles]
            shape = len(starts), counts.n_genes + 1
            np.save(beside / "starts.npy", np.array(starts, dtype=np.int64).reshape(shape))
            np.save(beside / "row_sums.npy", row_sums)
            np.save(beside / "panel.npy", panel)
            rows = [(tile.n_cells, tile.count.dtype.name) for tile in stored.tiles]
            checksums = {path.name: _checksum(path) for path in sorted(beside.iterdir())}
            text = json.dumps({"tiles": rows, "files": checksums})
            (beside / _INDEX).write_text(f"{zlib.crc32(text.encode()):08x} {text}", "utf-8")
            beside.rename(self.folder)
        except OSError as error:
            shutil.rmtree(beside, ignore_errors=True)
            if not self.folder.is_dir():  # another process may have been faster
                raise _cannot_keep(self.folder.parent, error) from error


def _checksum(path: Path) -> list[int]:
    """Bytes and CRC-32 of a file, which takes a quarter of a second for 1 GB in memory."""
    n_bytes = found = 0
    with path.open("rb") as file:
        while part := file.read(_BYTES_AT_ONCE):
            n_bytes, found = n_bytes + len(part), zlib.crc32(part, found)
    return [n_bytes, found]


def _cannot_keep(folder: Path | str, error: OSError) -> InputError:
    return InputError(
        f"Counts cannot be kept in files in {str(folder)!r}: {error.strerror or error}. Name "
        "another folder as scratch, or allow more memory."
    )
