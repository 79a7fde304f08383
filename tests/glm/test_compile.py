"""Compilation where nothing can be cached."""

import numba

from argen.glm._compile import compiled


def test_without_a_place_for_the_cache(monkeypatch):
    njit = numba.njit

    def without_cache(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr("argen.glm._compile.nb.njit", without_cache)

    @compiled()
    def double(x):
        return 2 * x

    # Compiling imports parts of numba that are cached themselves.
    monkeypatch.undo()
    assert double(2) == 4
