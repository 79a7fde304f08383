"""Monomials of the numeric covariates, which carry the expansions of the screen."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from argen.arrays import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Monomials:
    """All products ``z^a`` of ``n_variables`` variables up to a degree, by increasing degree.

    ``exp(e'z) = sum_a coefficient_a(e) z^a`` with ``coefficient_a = prod_t e_t^a_t / a_t!``, so
    that ``coefficient_a = coefficient_parent(a) e_variable(a) / power(a)``. Multiplying a
    series by ``z_t`` moves the coefficient of ``z^a`` up to the one above it; ``below[a, t]``
    is the place of ``z^a / z_t``, or -1. Differentiating the series by ``e_t`` is the same move.
    """

    exponents: IntArray  # (n_monomials, n_variables)
    parent: IntArray  # (n_monomials,)
    variable: IntArray  # (n_monomials,)
    power: FloatArray  # (n_monomials,)
    minus: IntArray  # (n_monomials, n_up_to[2])
    n_up_to: IntArray  # (degree + 1,): how many have at most this degree

    def powers(self, z: FloatArray) -> FloatArray:
        """All products of each column of z (n_variables, n): (n_monomials, n)."""
        powers = np.ones((len(self.exponents), z.shape[1]))
        for a in range(1, len(powers)):
            powers[a] = powers[self.parent[a]] * z[self.variable[a]]
        return powers

    def norm_shares(self) -> FloatArray:
        """Coefficients of ``|z|^0, |z|^2, |z|^4, ...``, by the multinomial theorem."""
        shares = np.zeros((self.degree // 2 + 1, len(self.exponents)))
        for i, a in enumerate((self.exponents // 2).tolist()):
            if (self.exponents[i] % 2 == 0).all():
                shares[sum(a), i] = math.factorial(sum(a)) / math.prod(map(math.factorial, a))
        return shares

    @property
    def degree(self) -> int:
        """Largest degree."""
        return len(self.n_up_to) - 1


def monomials(n_variables: int, degree: int) -> Monomials:
    """List the monomials of so many variables up to a degree."""
    exponents = [
        a
        for total in range(degree + 1)
        for a in itertools.product(range(total, -1, -1), repeat=n_variables)
        if sum(a) == total
    ]
    place = {a: i for i, a in enumerate(exponents)}
    n_low = sum(1 for a in exponents if sum(a) <= 2)
    minus = np.full((len(exponents), n_low), -1, dtype=np.int64)
    parent = np.zeros(len(exponents), dtype=np.int64)
    variable = np.zeros(len(exponents), dtype=np.int64)
    power = np.ones(len(exponents))
    for i, a in enumerate(exponents):
        for b in range(n_low):
            rest = tuple(x - y for x, y in zip(a, exponents[b], strict=True))
            minus[i, b] = place.get(rest, -1)
        for t in range(n_variables):
            if a[t]:
                below = (*a[:t], a[t] - 1, *a[t + 1 :])
                parent[i], variable[i], power[i] = place[below], t, a[t]
    n_up_to = [
        math.comb(n_variables + total, total) if n_variables else 1 for total in range(degree + 1)
    ]
    return Monomials(
        np.array(exponents, dtype=np.int64).reshape(len(exponents), n_variables),
        parent,
        variable,
        power,
        minus,
        np.array(n_up_to, dtype=np.int64),
    )
