"""Where the tiles of counts are kept: in memory, or in files when they are many."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from argen.arrays import FloatArray, IntArray
from argen.data import GeneCounts, StoredArray, Tile
from argen.errors import InputError
from argen.machine import free_memory

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
# Changes whenever tiles of an earlier version must not be read.
_LAYOUT = 2
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

    def is_there(self) -> bool:
        """Whether an earlier reading left its tiles, all of them."""
        return self.folder.is_dir()

    def load(self, most_bytes: int) -> tuple[GeneCounts, FloatArray, IntArray]:
        """Return what was saved, the counts in memory when there is room."""
        tiles = []
        starts = np.load(self.folder / "starts.npy")
        index = json.loads((self.folder / "tiles.json").read_text())
        for number, (n_cells, name) in enumerate(index):
            start, path = starts[number], self.folder / f"tile{number}"
            n_entries, place = int(start[-1]), np.dtype(np.uint16)
            cell = StoredArray(path, 0, place, n_entries)
            count = StoredArray(path, n_entries * place.itemsize, np.dtype(name), n_entries)
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
            (beside / "tiles.json").write_text(json.dumps(rows))
            beside.rename(self.folder)
        except OSError as error:
            shutil.rmtree(beside, ignore_errors=True)
            if not self.folder.is_dir():  # another process may have been faster
                raise _cannot_keep(self.folder.parent, error) from error


def _cannot_keep(folder: Path | str, error: OSError) -> InputError:
    return InputError(
        f"Counts cannot be kept in files in {str(folder)!r}: {error.strerror or error}. Name "
        "another folder as scratch, or allow more memory."
    )
