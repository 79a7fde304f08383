"""Texts of a zarr store: how many a chunk says it has is believed, and room made for them.

A chunk begins with their number in four bytes; then come the texts, each after its length in four.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from argen.errors import InputError

_NUMBER = 4  # bytes of each number
_ROWS_AT_ONCE = 2**16


def check_counts(array: Any, name: str) -> None:
    """Refuse an array of zarr with a chunk that says it has more texts than it can.

    The array is read with a codec in place of that of texts, which looks at the number alone; so
    zarr undoes compression and finds chunks within chunks as it will.
    """
    metadata = getattr(array, "metadata", None)
    if metadata is None:  # HDF5, or a package zarr that is older than 3
        return
    is_old = metadata.zarr_format == 2
    part = "filters" if is_old else "codecs"
    codecs = getattr(metadata, part) or ()
    if not _has_texts(codecs):
        return
    import zarr

    ways = _of_filters(math.prod(array.chunks), name) if is_old else _of_codecs(name)
    counting = replace(metadata, **{part: [_counting(codec, ways) for codec in codecs]})
    looked_at = zarr.Array(zarr.AsyncArray(metadata=counting, store_path=array.store_path))
    if not array.shape:
        looked_at[()]
        return
    n_rows = array.chunks[0] * max(_ROWS_AT_ONCE // array.chunks[0], 1)
    for start in range(0, array.shape[0], n_rows):
        looked_at[start : start + n_rows]


def _has_texts(codecs: Iterable[Any]) -> bool:
    return any(_is_of_texts(codec) or _has_texts(getattr(codec, "codecs", ())) for codec in codecs)


def _is_of_texts(codec: Any) -> bool:
    """Whether a codec, of either version of zarr, is one of texts or other values of any length."""
    return type(codec).__name__.startswith("VLen")


def _counting(codec: Any, ways: dict[str, Any]) -> Any:
    """Return a codec in which these ways of decoding are in place of those of texts."""
    if hasattr(codec, "codecs"):  # of chunks within chunks
        return replace(codec, codecs=tuple(_counting(inner, ways) for inner in codec.codecs))
    if not _is_of_texts(codec):
        return codec
    kind = type(codec)
    return type(kind.__name__, (kind,), ways)()  # zarr looks at the name


def _of_filters(n_values: int, name: str) -> dict[str, Any]:
    """Ways of decoding in version 2 of the format."""

    def decode(_: Any, chunk: Any, out: Any = None) -> Any:
        _check_count(chunk, n_values, name)
        return np.full(n_values, "", dtype=object)

    return {"decode": decode}


def _of_codecs(name: str) -> dict[str, Any]:
    """Ways of decoding in version 3."""

    def at_once(_: Any, chunk: Any, spec: Any) -> Any:
        _check_count(chunk.as_numpy_array(), math.prod(spec.shape), name)
        nothing = np.zeros(spec.shape, spec.dtype.to_native_dtype())
        return spec.prototype.nd_buffer.from_numpy_array(nothing)

    async def in_turn(_: Any, chunk: Any, spec: Any) -> Any:
        return at_once(_, chunk, spec)

    return {"_decode_sync": at_once, "_decode_single": in_turn}


def _check_count(chunk: Any, n_values: int, name: str) -> None:
    content = np.frombuffer(chunk, np.uint8)
    count = int.from_bytes(content[:_NUMBER].tobytes(), "little")
    most = max(min(n_values, len(content) // _NUMBER - 1), 0)
    if count > most:
        raise InputError(
            f"{name} cannot be read: a chunk of it says that it has {count:,} texts, where "
            f"{most:,} are the most. It is damaged; copy or write it again."
        )
