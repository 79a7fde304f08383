"""How loops are compiled: cached on disk where there is a place for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba as nb


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function; without a writable cache folder it is compiled anew in every process.

    A read-only installation and a home that cannot be written, as in some containers, must
    not keep the package from being imported.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            loop: Callable[..., Any] = nb.njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:
            loop = nb.njit(nogil=True, **options)(function)
        return loop

    return decorate
