"""What a file may be, looked at before anything in it is believed.

Everything here asks what a file declares: links, storage, sizes, types, numbers of texts. No value
is read, so that what is wrong costs nothing.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from argen.errors import InputError, first_line
from argen.machine import free_memory
from argen.read.stored.heaps import check_heaps, check_texts
from argen.read.stored.texts import check_counts

# What compression may have made small. Counts never are by more than some hundred times.
_SMALL = 2**26
_MOST_TIMES = 5000
# Text in memory takes more than in a file.
_BYTES_OF_A_TEXT = 64
# A link may lead to what it is in, and so may parts be shared.
_DEEPEST, _MOST_PARTS = 32, 100_000
_SPARSE = ("csr_matrix", "csc_matrix")


def check_kind(path: Path) -> None:
    """Refuse what is neither a file nor a folder, such as a pipe, which may never end."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{str(path)!r} is neither a file nor a folder: expected AnnData.")


def check_hdf5(file: Any, path: Path) -> None:
    """Refuse an open file of HDF5 that leads to other files, or would keep its reader for ever."""
    import h5py

    groups, seen, texts = [file], set(), []
    while groups:
        group = groups.pop()
        for name in group:
            place = f"{group.name.rstrip('/')}/{name}"
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _leads_out(path, place, link.filename)
            if isinstance(link, h5py.SoftLink):  # within the file, where all else is looked at
                continue
            element = group[name]
            address = h5py.h5o.get_info(element.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(element, h5py.Group):
                groups.append(element)
            elif isinstance(element, h5py.Dataset):
                _check_storage(element, path, place)
                if element.dtype.kind == "O" and element.shape is not None:
                    texts.append(element)
    longest = check_heaps(file, path)
    for dataset in texts:
        check_texts(dataset, path, longest)


def _check_storage(dataset: Any, path: Path, place: str) -> None:
    layout = dataset.id.get_create_plist()
    if layout.get_external_count():
        raise _leads_out(path, place, os.fsdecode(layout.get_external(0)[0]))
    if dataset.is_virtual:
        raise _leads_out(path, place, dataset.virtual_sources()[0].file_name)


def _leads_out(path: Path, place: str, other: str) -> InputError:
    return InputError(
        f"{str(path)!r} takes {place!r} from another file, {other!r}: expected a file that is "
        "complete by itself. Read it with anndata and write it again."
    )


def check_zarr(path: Path) -> None:
    """Refuse a folder of zarr that leads out of itself, or would run what it holds."""
    whole = path.resolve()
    for folder, folders, files in os.walk(path):
        for name in [*folders, *files]:
            place = Path(folder, name)
            if place.is_symlink() and not place.resolve().is_relative_to(whole):
                raise _leads_out(path, str(place.relative_to(path)), os.readlink(place))
            check_kind(place)
        for name in files:
            if name in (".zarray", ".zmetadata", "zarr.json"):
                _check_codecs(path, Path(folder, name))


def _check_codecs(path: Path, described: Path) -> None:
    """Refuse pickled objects, which run code when they are read."""
    try:
        description = json.loads(described.read_bytes())
    except (ValueError, RecursionError) as error:
        place = str(described.relative_to(path))
        raise InputError(
            f"{str(path)!r} cannot be read: {place!r} is not JSON ({first_line(error)}). It is "
            "probably truncated or damaged; copy or write it again."
        ) from error
    if any("pickle" in text.lower() for text in _codecs(description)):
        raise InputError(
            f"{str(path)!r} holds pickled objects in {str(described.relative_to(path))!r}, which "
            "could run anything. Read it where you trust it, and write text and numbers."
        )


def _codecs(description: Any) -> Iterator[str]:
    """Names of codecs, wherever they stand in a description."""
    to_see = [description]
    while to_see:
        item = to_see.pop()
        if isinstance(item, dict):
            names = [item.get("id"), item.get("name")]
            yield from (name for name in names if isinstance(name, str))
            to_see += [value for key, value in item.items() if key != "attributes"]
        elif isinstance(item, list):
            to_see += item


def check_element(element: Any, name: str) -> None:
    """Refuse a part of a file that does not fit in memory, or is at odds with itself."""
    n_bytes = 0
    for number, (place, array) in enumerate(_arrays(element, name)):
        check_stored(array, place)
        n_bytes += _bytes(array)
        if number > _MOST_PARTS:
            raise InputError(
                f"{name} has more than {_MOST_PARTS:,} parts. Leave out what is not needed."
            )
    if n_bytes > free_memory():
        raise InputError(
            f"{name} takes {_in_words(n_bytes)} of memory, which this machine does not have free. "
            "Leave out what is not needed, or use a larger machine."
        )


def _arrays(element: Any, name: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if hasattr(element, "dtype"):
        yield name, element
        return
    if depth > _DEEPEST:
        raise InputError(
            f"{name[:200]}... has parts within parts without end. The file is damaged, or has a "
            "link to what the link is in; write it again."
        )
    kind = element.attrs.get("encoding-type")
    if kind in _SPARSE:
        check_sparse(element, name)
    if kind == "dataframe":
        _check_table(element, name)
    for part in element:
        yield from _arrays(element[part], f"{name}/{part}", depth + 1)


def check_stored(array: Any, name: str) -> None:
    """Refuse an array of which a file has next to nothing, or chunks that fill the memory."""
    if array.shape is None:
        return
    n_bytes = math.prod(array.shape) * array.dtype.itemsize
    chunks = getattr(array, "chunks", None)
    of_a_chunk = math.prod(chunks) * array.dtype.itemsize if chunks else 0
    if of_a_chunk > free_memory() // 4:
        raise InputError(
            f"{name} is stored in chunks of {_in_words(of_a_chunk)}, which do not fit in memory. "
            "Write it again with smaller ones."
        )
    if n_bytes > _SMALL and n_bytes > _MOST_TIMES * (stored := _stored_bytes(array)):
        raise InputError(
            f"{name} says that it holds {_in_words(n_bytes)}, but the file has {_in_words(stored)} "
            "of it. The file is damaged; write it again."
        )
    check_counts(array, name)


def check_sparse(group: Any, name: str) -> None:
    """Refuse a sparse matrix whose arrays cannot be those of its shape."""
    parts = {}
    for part in ("indptr", "indices", "data"):
        if part not in group or not hasattr(group[part], "dtype") or group[part].shape is None:
            raise damaged(name, f"it has no array {part!r}")
        parts[part] = array = group[part]
        if len(array.shape) != 1:
            raise damaged(name, f"{part!r} has {len(array.shape)} dimensions in place of one")
        if part != "data" and array.dtype.kind not in "iu":
            raise damaged(name, f"{part!r} holds {array.dtype} in place of whole numbers")
    shape = _shape(group, name)
    n_rows = shape[0] if group.attrs["encoding-type"] == "csr_matrix" else shape[1]
    if parts["indptr"].shape[0] != n_rows + 1:
        raise damaged(name, "its row pointers are not those of its shape")
    if parts["indices"].shape != parts["data"].shape:
        raise damaged(
            name,
            f"it has {parts['data'].shape[0]:,} values and {parts['indices'].shape[0]:,} indices",
        )


def _shape(group: Any, name: str) -> tuple[int, ...]:
    given = group.attrs.get("shape")
    shape = np.asarray([] if given is None else given)
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or (shape < 0).any():
        raise damaged(name, f"its shape is {given!r} in place of two whole numbers")
    return tuple(shape.tolist())


def _check_table(group: Any, name: str) -> None:
    """Refuse columns of different lengths before they are read: one could fill the memory."""
    lengths = {}
    for column in group:
        element = group[column]
        parts = {column: element} if hasattr(element, "dtype") else {
            f"{column}/{part}": element[part]
            for part in ("codes", "categories", "values", "mask")
            if part in element
        }  # fmt: skip
        for place, part in parts.items():
            if not hasattr(part, "dtype") or part.shape is None or len(part.shape) != 1:
                raise InputError(
                    f"{name} is not a table: its column {column!r} is no list of values. The file "
                    "is damaged; write it again."
                )
            if not place.endswith("/categories"):
                lengths[place] = part.shape[0]
    if len(set(lengths.values())) > 1:
        (first, n_first), (other, n_other) = sorted(lengths.items(), key=lambda item: item[1])[
            :: len(lengths) - 1
        ]
        raise InputError(
            f"{name} is not a table: its column {first!r} has {n_first:,} rows, and {other!r} has "
            f"{n_other:,}. The file is damaged; write it again."
        )


def damaged(name: str, why: object) -> InputError:
    """Return what is said of a sparse matrix that is none."""
    return InputError(
        f"{name} is not a valid sparse matrix: {why}. The file is damaged; write it again."
    )


def _bytes(array: Any) -> int:
    if array.shape is None:
        return 0
    least = 1 if array.dtype.kind in "buifc" else _BYTES_OF_A_TEXT
    return int(math.prod(array.shape)) * max(int(array.dtype.itemsize), least)


def _stored_bytes(array: Any) -> int:
    """Bytes that a file has of an array."""
    if hasattr(array, "id"):
        return int(array.id.get_storage_size())
    folder = Path(array.store.root, array.path)
    return sum(Path(at, name).stat().st_size for at, _, names in os.walk(folder) for name in names)


def _in_words(n_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if n_bytes < 1000 or unit == "TB":
            return f"{n_bytes:,.3g} {unit}"
        n_bytes /= 1000
    raise AssertionError("unreachable")
