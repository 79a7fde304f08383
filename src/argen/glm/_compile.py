"""How loops are compiled: cached on disk where there is a place for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba as nb


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function; without a writable cache folder it is compiled anew in every process.

    A read-only installation and a home that cannot be written, as in some containers, must
    not keep the package from being imported.

    Loops that may reassociate sums are compiled into whoever calls them. As functions of their
    own they exist in several versions, each with its sequence of additions, and which of them
    runs depends on what was compiled in this process and what was loaded from the cache.
    """
    if "fastmath" in options:
        options = {"forceinline": True, **options}

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            loop: Callable[..., Any] = nb.njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:
            loop = nb.njit(nogil=True, **options)(function)
        return loop

    return decorate
