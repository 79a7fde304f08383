"""Compiled series in the change of the slopes, which stand for sums over controls."""

from __future__ import annotations

import math

import numpy as np

from argen.glm._compile import inlined, loops

# Sums may be reassociated, so that they use vector instructions; the bits still depend on
# nothing but the data, because every sum is taken by one thread in one order.
FAST = {"reassoc", "contract", "nsz"}

# Largest remainder of a series that is let pass, relative to the sum that it stands for.
SERIES_REMAINDER = 1e-9
# The same for the sums in the variance, whose square root is taken.
VARIANCE_REMAINDER = 1e-8

_LOG2_E = 1.4426950408889634
_LN2_HIGH = 0.693147180369123816490  # ln 2 in two parts, so that x - k ln 2 keeps its bits
_LN2_LOW = 1.90821492927058770002e-10
_HALF_ROOT_BITS = 0x3FE6A09E667F3BCD  # of root 2 / 2 as a number of 64 bits


@inlined(fastmath={"contract"})
def _seven_terms(x, p):
    """Sum Taylor's series of exp(x) to degree 6, with ``p x^7`` for what follows."""
    p = p * x + 1.0 / 720.0
    p = p * x + 1.0 / 120.0
    p = p * x + 1.0 / 24.0
    p = p * x + 1.0 / 6.0
    p = p * x + 0.5
    p = p * x + 1.0
    return p * x + 1.0


@inlined(fastmath={"contract"})
def _twelve_terms(x, p):
    """Sum Taylor's series of exp(x) to degree 11, with ``p x^12`` for what follows."""
    p = p * x + 1.0 / 39916800.0
    p = p * x + 1.0 / 3628800.0
    p = p * x + 1.0 / 362880.0
    p = p * x + 1.0 / 40320.0
    return _seven_terms(x, p * x + 1.0 / 5040.0)


@loops(fastmath={"contract"})
def exponentials(x, out, scratch):
    """``out = exp(x)`` in vector instructions: Taylor to degree 13 on |r| <= ln 2 / 2, times 2^k.

    Within two units in the last place for -700 < x < 700; beyond, as at the end.
    """
    for i in range(x.shape[0]):
        value = min(max(x[i], -700.0), 700.0)
        k = math.floor(value * _LOG2_E + 0.5)
        r = (value - k * _LN2_HIGH) - k * _LN2_LOW
        out[i] = _twelve_terms(r, (1.0 / 6227020800.0) * r + 1.0 / 479001600.0)
        scratch[i] = (np.int64(k) + 1023) << 52
    scale = scratch.view(np.float64)
    for i in range(x.shape[0]):
        out[i] *= scale[i]


@loops(fastmath={"contract"})
def logarithms(x, out, scratch):
    """``out = log(x)`` of positive numbers that are not subnormal, in vector instructions.

    With ``x = 2^k m``, m within a factor of root 2 of 1, f = m - 1 and s = f / (2 + f)::

        log x = k ln 2 + 2 s + 2 s^3 / 3 + 2 s^5 / 5 + ...,     |s| <= 0.172

    up to ``s^19``, what is left out being 2e-17. ``scratch`` gets k; it is not ``out``.
    """
    bits, reduced = x.view(np.int64), out.view(np.int64)
    for i in range(x.shape[0]):
        k = (bits[i] - _HALF_ROOT_BITS) >> 52
        scratch[i] = k
        reduced[i] = bits[i] - (k << 52)
    for i in range(x.shape[0]):
        f = out[i] - 1.0
        s = f / (2.0 + f)
        z = s * s
        p = 2.0 / 19.0
        p = p * z + 2.0 / 17.0
        p = p * z + 2.0 / 15.0
        p = p * z + 2.0 / 13.0
        p = p * z + 2.0 / 11.0
        p = p * z + 2.0 / 9.0
        p = p * z + 2.0 / 7.0
        p = p * z + 2.0 / 5.0
        p = p * z + 2.0 / 3.0
        # 2 s = f - s f, so that f keeps its bits.
        k = float(scratch[i])
        out[i] = k * _LN2_HIGH + (f + (s * (z * p - f) + k * _LN2_LOW))


# Where no exponent is larger, twelve terms are enough: 0.5^13 / 13! is 2e-14.
SHORT_EXPONENT = 0.5


@loops(fastmath={"contract"})
def short_exponentials(x, out):
    """``out = exp(x)`` for ``|x| <= SHORT_EXPONENT``: Taylor to degree 12."""
    for i in range(x.shape[0]):
        out[i] = _twelve_terms(x[i], 1.0 / 479001600.0)


# And here seven: 0.0625^8 / 8! is 6e-15.
TINY_EXPONENT = 0.0625


@loops(fastmath={"contract"})
def tiny_exponentials(x, out):
    """``out = exp(x)`` for ``|x| <= TINY_EXPONENT``: Taylor to degree 7."""
    for i in range(x.shape[0]):
        out[i] = _seven_terms(x[i], 1.0 / 5040.0)


@inlined()
def length_of(e, n_numeric):
    """|e|, of the numeric covariates."""
    squared = 0.0
    for t in range(n_numeric):
        squared += e[t] * e[t]
    return math.sqrt(squared)


@inlined(fastmath=FAST)
def exponentials_of_sums(begin, end, e, z, largest_norm, exponent, out, scratch):
    """``out = exp(e'z_i)`` of some cells, in which ``|z_i|`` is at most ``largest_norm``.

    With as many terms as the largest of them needs; ``exponent`` and ``scratch`` are room.
    """
    n, length = end - begin, length_of(e, z.shape[0])
    if length == 0.0:
        out[:n] = 1.0
        return
    length *= largest_norm
    row = z[0, begin:end]
    for i in range(n):
        exponent[i] = e[0] * row[i]
    for t in range(1, z.shape[0]):
        row = z[t, begin:end]
        for i in range(n):
            exponent[i] += e[t] * row[i]
    if length <= TINY_EXPONENT:
        tiny_exponentials(exponent[:n], out)
    elif length <= SHORT_EXPONENT:
        short_exponentials(exponent[:n], out)
    else:
        exponentials(exponent[:n], out, scratch)


@inlined(fastmath=FAST)
def exp_coefficients(e, parent, variable, power, n_terms, out):
    """Coefficients of ``exp(e'z)``."""
    out[0] = 1.0
    for a in range(1, n_terms):
        out[a] = out[parent[a]] * e[variable[a]] / power[a]


@inlined()
def degree_of_means(length, largest, norms, highest, remainder):
    """Smallest degree at which the series of the means may be cut for this remainder, or -1.

    With coefficients up to ``D - 1`` the first moments lack at most
    ``sum w |z| |e'z|^D / D! exp(max |e'z|)``, and ``|e'z| <= |e| |z|``.
    """
    bound = math.exp(length * largest)
    for degree in range(1, highest + 1):
        bound *= length / degree
        if bound * norms[degree + 1] <= remainder:
            return degree
    return -1


@inlined()
def degree_of_squares(length, largest, norms, ratio, highest):
    """Like ``_degree_of_means`` for the sums of the variance: ``exp(2 e'z)`` and two more z."""
    bound = math.exp(2.0 * length * largest) * ratio
    for degree in range(highest + 1):
        bound *= 2.0 * length / (degree + 1)
        if bound * max(norms[degree + 1], norms[degree + 3] / norms[2]) <= VARIANCE_REMAINDER:
            return degree
    return -1


@inlined(fastmath=FAST)
def add_moments(table, coefficients, minus, n_coefficients, n_terms, sums):
    """``sums[b, s] = sum w exp(e'z) z^b`` over the cells of a stratum, b as far as sums go."""
    sums[:, :] = 0.0
    for a in range(n_terms):
        for b in range(sums.shape[0]):
            at = minus[a, b]
            if 0 <= at < n_coefficients:
                coefficient = coefficients[at]
                for s in range(sums.shape[1]):
                    sums[b, s] += coefficient * table[a, s]


@inlined(fastmath=FAST)
def second_moments(table, coefficients, minus, n_coefficients, n_terms, rate, contracted, second):
    """``second[t, v] = sum_s rate_s sum w exp(e'z) z_t z_v`` over the controls, t <= v.

    Strata are summed before the series is, of which one sum is then left for each monomial.
    """
    n_numeric = second.shape[0]
    if n_numeric == 0:
        return
    for a in range(1 + n_numeric, n_terms):
        total = 0.0
        for s in range(rate.shape[0]):
            total += rate[s] * table[a, s]
        contracted[a] = total
    b = 1 + n_numeric  # the row of z_0^2, and then of z_0 z_1, ..., z_1^2, ...
    for t in range(n_numeric):
        for v in range(t, n_numeric):
            total = 0.0
            for a in range(1 + n_numeric, n_terms):
                at = minus[a, b]
                if 0 <= at < n_coefficients:
                    total += coefficients[at] * contracted[a]
            second[t, v] = total
            b += 1


@inlined(fastmath=FAST)
def weighted_coefficients(a, coefficients, minus, n_coefficients, weight, n_numeric):
    """Coefficients of ``z^a`` in ``f``, ``(c'z) f`` and ``(c'z)^2 f``, those of f being given."""
    constant = coefficients[a] if a < n_coefficients else 0.0
    linear, quadratic, b = 0.0, 0.0, 1 + n_numeric
    for t in range(n_numeric):
        at = minus[a, 1 + t]
        if 0 <= at < n_coefficients:
            linear += weight[t] * coefficients[at]
        for v in range(t, n_numeric):
            at = minus[a, b]
            if 0 <= at < n_coefficients:
                double = 1.0 if t == v else 2.0
                quadratic += double * weight[t] * weight[v] * coefficients[at]
            b += 1
    return constant, linear, quadratic
