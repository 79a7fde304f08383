"""Finished blocks on disk, so that a run that was ended can go on.

A checkpoint folder holds, for each stage that has begun, ``argen-<stage>.json``, which says what
its blocks are computed from, and ``argen-<stage>-<number>.npz`` for every finished block: NumPy
archives without pickled objects, each with a checksum of what it holds, of its place, and of what
it is computed from. Files are written under another name and then renamed, so that each is either
whole or absent.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from argen.arrays import IntArray
from argen.config import InferenceConfig
from argen.engine import Effects, Engine, Fitted
from argen.errors import ArgenWarning, InputError, WriteError
from argen.files import digest, read_archive, reading, write_archive, writing_file

_FINISHED = re.compile(r"argen-[a-z]+-\d{6}\.npz")
_OWN = re.compile(r"argen-[a-z]+(-\d{6}\.npz|\.json)|\.argen-\d+-[0-9a-f]{8}\.(npz|json)")
_EFFECT_FIELDS = tuple(f.name for f in fields(Effects))
# What can change the last bits of a result.
_LIBRARIES = ("argen", "numpy", "scipy", "numba")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder with the finished blocks of a run.

    Parameters
    ----------
    folder
        Made when the first stage begins.
    input_sha256
        ``PerturbSeqData.sha256`` of the input.
    """

    folder: Path
    input_sha256: str

    def stage(
        self, name: str, config: InferenceConfig, engine: Engine, blocks: Iterable[IntArray]
    ) -> StageCheckpoint:
        """Open a stage: begin it, or go on where an earlier run was ended.

        Parameters
        ----------
        blocks
            Numbers that tell each block from all others.

        Raises
        ------
        InputError
            When the folder cannot be written, or has finished blocks of another run.
        """
        options = {k: v for k, v in config.to_dict().items() if k != "threads"}
        made_of = {"input": self.input_sha256, "engine": type(engine).__qualname__}
        made_of |= {f"option {name}": str(value) for name, value in options.items()}
        made_of |= {f"version of {library}": version(library) for library in _LIBRARIES}
        made_of |= {"blocks": _digest(blocks)}
        stage = StageCheckpoint(self.folder, name, json.dumps(made_of, sort_keys=True))
        stage.begin(made_of)
        return stage

    def n_finished(self) -> int:
        """Count the finished blocks of all stages."""
        return sum(_FINISHED.fullmatch(path.name) is not None for path in self._files())

    def remove(self) -> None:
        """Delete what runs have put into the folder, and the folder when nothing else is in it."""
        for path in self._files():
            if _OWN.fullmatch(path.name):
                path.unlink(missing_ok=True)
        with suppress(OSError):  # there is more in it, or a lock on it
            self.folder.rmdir()

    def _files(self) -> list[Path]:
        return list(self.folder.iterdir()) if self.folder.is_dir() else []


@dataclass(frozen=True, slots=True)
class StageCheckpoint:
    """The finished blocks of one stage."""

    folder: Path
    name: str
    made_of: str  # what its blocks are computed from

    def begin(self, made_of: dict[str, str]) -> None:
        """Write what the blocks are computed from, or compare it with what is written."""
        manifest = self.folder / f"argen-{self.name}.json"
        n_finished = len(list(self.folder.glob(f"argen-{self.name}-*.npz")))
        if n_finished == 0:
            self._write(manifest, made_of)
            return
        with reading(manifest, "the record of a run. Delete the folder to begin again"):
            before = json.loads(manifest.read_text("utf-8"))
            changes = [
                _change(what, before.get(what), now)
                for what, now in made_of.items()
                if before.get(what) != now
            ]
        if changes:
            raise InputError(
                f"The unfinished run in {str(self.folder)!r}, with {n_finished} blocks of the "
                f"stage {self.name!r}, was another one: {'; '.join(changes)}. Give what it was "
                "given to go on, or delete the folder to begin again."
            )

    def finished(self, n_blocks: int) -> dict[int, Fitted]:
        """Return the results of the blocks that are done; a damaged file counts as none."""
        found = {}
        for number in range(n_blocks):
            path = self._path(number)
            if not path.exists():
                continue
            try:
                with reading(path, "a finished block"):
                    arrays = read_archive(path)
                    if str(arrays.pop("checksum")) != self._checksum(number, arrays):
                        raise ValueError("it is not as it was written, or of another run")
                    fits = json.loads(str(arrays.pop("fits")))
                    found[number] = Fitted(Effects(**arrays), fits)
            except InputError as error:
                warnings.warn(f"{error} Its block is computed again.", ArgenWarning, stacklevel=2)
        return found

    def keep(self, number: int, result: Fitted) -> None:
        """Write the result of a block."""
        arrays: dict[str, Any] = {name: getattr(result.effects, name) for name in _EFFECT_FIELDS}
        arrays["fits"] = np.array(json.dumps(result.fits))
        arrays["checksum"] = np.array(self._checksum(number, arrays))
        self._write(self._path(number), arrays)

    def _checksum(self, number: int, arrays: dict[str, Any]) -> str:
        return digest(arrays, self.name, str(number), self.made_of)

    def _path(self, number: int) -> Path:
        return self.folder / f"argen-{self.name}-{number:06d}.npz"

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        """Write arrays, or a record, so that the file is whole or absent whatever ends."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with writing_file(path) as beside:
                if path.suffix == ".npz":
                    write_archive(beside, content, compressed=False)
                else:
                    beside.write_text(json.dumps(content, indent=2), encoding="utf-8")
        except OSError as error:
            raise WriteError.of(path, error) from error


def _digest(blocks: Iterable[IntArray]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(f"{len(block)} ".encode())
        digest.update(np.ascontiguousarray(block, dtype=np.int64).tobytes())
    return digest.hexdigest()


def _change(what: str, before: str | None, now: str) -> str:
    if what == "input":
        return "the input (counts, labels, library size or covariates) has changed"
    if what == "blocks":
        return "its genes, or what the screen found for them, have changed"
    return f"{what} was {before} and is {now}"
