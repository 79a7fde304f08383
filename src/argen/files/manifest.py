"""Which files of a folder were written together, with their checksums.

``argen_files.json`` is written last, when all that it lists is in place::

    {"format": "argen-files", "version": 1,
     "files": {"edges.tsv": {"part": "results", "n_bytes": 1234, "sha256": "..."}, ...}}

A part is what one command writes. It is replaced as a whole: files of the part that a later run
does not write are removed. What is not listed is not argen's.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

# Of ``together``: files that are yet to be moved into place.
COMPLETE = ".argen-complete"
MANIFEST = "argen_files.json"
_FORMAT, _VERSION = "argen-files", 1
# Seconds to wait, and times, for a run that is just moving its files into place.
_PAUSE, _TRIES = 0.05, 20

Entries = dict[str, dict[str, Any]]


def read_manifest(folder: Path) -> Entries:
    """Return what is listed in a folder; nothing where the list is absent or damaged."""
    try:
        record = json.loads((folder / MANIFEST).read_bytes())
        listed = record["files"] if record["format"] == _FORMAT else {}
        return {name: entry for name, entry in listed.items() if _is_sound(name, entry)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _is_sound(name: str, entry: Any) -> bool:
    """Whether an entry can be one of argen's: above all, names lead nowhere else."""
    is_plain = name not in ("", ".", "..", MANIFEST) and not set(name) & set("/\\\0")
    return is_plain and isinstance(entry, dict) and {"part", "sha256"} <= entry.keys()


def write_manifest(folder: Path, entries: Entries) -> Path:
    """Write the list into a folder."""
    record = {"format": _FORMAT, "version": _VERSION, "files": dict(sorted(entries.items()))}
    path = folder / MANIFEST
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return path


def entry_of(path: Path, part: str) -> dict[str, Any]:
    """Return what the list says of a file."""
    return {"part": part, "n_bytes": path.stat().st_size, "sha256": _checksum(path)}


def of_other_runs(folder: Path) -> list[str]:
    """Return the files that are not those that the list names: of another run, edited or damaged.

    Files that are absent belong to no other run, and are not named.
    """
    found: list[str] = []
    for _ in range(_TRIES):
        # What is yet to be moved is read where it is.
        complete = folder / COMPLETE
        listed = complete if (complete / MANIFEST).is_file() else folder
        entries = read_manifest(listed)
        found = [
            name
            for name, entry in entries.items()
            if _differs(complete / name if (complete / name).exists() else folder / name, entry)
        ]
        moving = complete.exists() or read_manifest(listed) != entries
        if not found or not moving:
            break
        time.sleep(_PAUSE)
    return sorted(found)


def _differs(path: Path, entry: dict[str, Any]) -> bool:
    try:
        same_size = path.stat().st_size == entry.get("n_bytes")
        return not (same_size and _checksum(path) == entry["sha256"])
    except OSError:
        return False


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
