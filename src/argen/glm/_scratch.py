"""New arrays of compiled code, from one place: each kind of them takes its time to compile."""

from __future__ import annotations

import numpy as np

from argen.glm._compile import inner, loops
from argen.glm._series import FAST


@inner()
def vector(n):
    """``np.zeros(n)``."""
    out = unset(n)
    out[:] = 0.0
    return out


@inner()
def matrix(n, m):
    """``np.zeros((n, m))``."""
    out = unset_matrix(n, m)
    out[:, :] = 0.0
    return out


@inner()
def cube(n, m, k):
    """``np.zeros((n, m, k))``."""
    out = unset_cube(n, m, k)
    out[:, :, :] = 0.0
    return out


@inner()
def unset(n):
    """``np.empty(n)``, for vectors as long as there are cells."""
    return np.empty(n)


@inner()
def unset_matrix(n, m):
    """``np.empty((n, m))``."""
    return np.empty((n, m))


@inner()
def unset_cube(n, m, k):
    """``np.empty((n, m, k))``."""
    return np.empty((n, m, k))


@inner()
def unset_integers(n):
    """``np.empty(n, np.int64)``."""
    return np.empty(n, np.int64)


@inner()
def booleans(n):
    """``np.zeros(n, np.bool_)``."""
    out = np.empty(n, np.bool_)
    out[:] = False
    return out


@loops()
def copy_to(out, values):
    """``out[:] = values``, without the words for an error that cannot occur."""
    for i in range(out.shape[0]):
        out[i] = values[i]


@loops(fastmath=FAST)
def sum_of(values):
    """``np.sum(values)`` of a vector."""
    summed = 0.0
    for i in range(values.shape[0]):
        summed += values[i]
    return summed


@loops()
def count_of(flags):
    """How many are true."""
    n = 0
    for i in range(flags.shape[0]):
        if flags[i]:
            n += 1
    return n


@inner()
def product(left, right):
    """``left @ right``."""
    return np.dot(left, right)


@inner()
def product_of_rows(left, right):
    """``left @ right.T``."""
    return np.dot(left, right.T)


@inner()
def product_of_columns(left, right):
    """``left.T @ right``."""
    return np.dot(left.T, right)
