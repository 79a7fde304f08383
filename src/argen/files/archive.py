"""Archives of NumPy arrays (``.npz``) that are read with nothing taken on trust."""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from argen.machine import free_memory


def write_archive(path: Path, arrays: Mapping[str, Any], *, compressed: bool) -> None:
    """Write arrays, none of objects."""
    import numpy as np

    save = np.savez_compressed if compressed else np.savez
    with path.open("wb") as file:
        save(file, **arrays)


def read_archive(path: Path) -> dict[str, Any]:
    """Read all arrays of an archive.

    ``numpy.load`` trusts what an array says of its shape and type, and then compares the checksum
    of an entry only if it was read to its end. Here both must agree with the bytes that are there.

    Raises
    ------
    Exception
        Of whatever kind, as damage may have it: call it within ``reading``.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        n_bytes = sum(entry.file_size for entry in entries)
        if n_bytes > free_memory():
            raise ValueError(f"it says that it holds {n_bytes:,} bytes, more than memory has room")
        return {
            entry.filename.removesuffix(".npy"): _array(archive.read(entry)) for entry in entries
        }


def _array(content: bytes) -> Any:
    """Return the array of an entry, in memory of its own."""
    import numpy as np
    from numpy.lib import format as npy

    headers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    file = io.BytesIO(content)
    version = npy.read_magic(file)
    if version not in headers:
        raise ValueError(f"it has an array of the format {version}")
    shape, by_columns, dtype = headers[version](file)
    begin = file.tell()
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - begin:
        raise ValueError("it has an array of another size or type than it says")
    if dtype.itemsize == 0 or math.prod(shape) == 0:
        return np.zeros(shape, dtype)
    flat = np.frombuffer(content, dtype, offset=begin)
    array = flat.reshape(shape[::-1]).T if by_columns else flat.reshape(shape)
    return array.copy(order="K")


def digest(arrays: Mapping[str, Any], *more: str) -> str:
    """Return a checksum of named arrays, with their types and shapes, and of some text."""
    import numpy as np

    found = hashlib.sha256()
    for text in more:
        found.update(f"{len(text)} {text}\0".encode("utf-8", "surrogatepass"))
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {array.dtype.str} {np.shape(arrays[name])}\0".encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()
