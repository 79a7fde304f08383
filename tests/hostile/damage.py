"""Ways to damage a file: given bytes and random numbers, each returns other bytes."""

from collections.abc import Callable

import numpy as np


def flip_bits(content: bytes, rng: np.random.Generator, *, n_bits: int = 1) -> bytes:
    """Turn over some bits, anywhere."""
    damaged = bytearray(content)
    for place in rng.integers(8 * len(damaged), size=n_bits if damaged else 0).tolist():
        damaged[place // 8] ^= 1 << place % 8
    return bytes(damaged)


def truncate(content: bytes, rng: np.random.Generator) -> bytes:
    """Keep the beginning alone, of any length."""
    return content[: int(rng.integers(len(content) + 1))]


def zero_block(content: bytes, rng: np.random.Generator, *, most_bytes: int = 300) -> bytes:
    """Put zeros in place of some bytes that follow each other, as a disk may return them."""
    return _replaced(content, rng, bytes(int(rng.integers(1, most_bytes))))


def scramble_block(content: bytes, rng: np.random.Generator, *, most_bytes: int = 300) -> bytes:
    """Put random bytes in place of some that follow each other."""
    return _replaced(content, rng, rng.bytes(int(rng.integers(1, most_bytes))))


def _replaced(content: bytes, rng: np.random.Generator, block: bytes) -> bytes:
    begin = int(rng.integers(len(content) + 1))
    block = block[: len(content) - begin]
    return content[:begin] + block + content[begin + len(block) :]


WAYS: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "flipped bit": flip_bits,
    "flipped bits": lambda content, rng: flip_bits(content, rng, n_bits=20),
    "truncated": truncate,
    "zeros": zero_block,
    "random bytes": scramble_block,
}
