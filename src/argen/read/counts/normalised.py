"""Counts, computed back from logarithms of normalised ones."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from argen.arrays import FloatArray
from argen.errors import InputError

# The smallest expression of a cell stands for as many counts at most.
_MOST_COUNTS = 100
# By which a number may miss its count: a part of one, and of the digits of single precision.
_TOLERANCE, _RELATIVE = 0.02, 1e-5


def counts_of_normalised(expression: FloatArray) -> tuple[sparse.csr_array, FloatArray]:
    """Return raw counts and relative depths from log(1 + counts / depth of the cell).

    Without the logarithm, the numbers of a cell are whole multiples of 1 / depth, which is found
    as the smallest of them, or a half, a third ... of it, whatever all are multiples of. This is
    exact unless the counts of a cell have a common divisor, or hardly any gene has counts.

    Parameters
    ----------
    expression
        (n_cells, n_genes), from 0 where nothing was counted.

    Returns
    -------
    Counts (n_cells, n_genes), whole numbers; and depths (n_cells,), whose ratios are those of the
    totals that cells were divided by, and NaN for cells without counts.

    Raises
    ------
    InputError
        When a cell's numbers are no multiples of one, as after scaling or batch correction.
    """
    values = sparse.csr_array(expression, dtype=np.float64)
    values.eliminate_zeros()
    if (values.data < 0).any() or not np.isfinite(values.data).all():
        raise InputError(
            "The matrix holds negative, missing or infinite numbers: expected logarithms of one "
            "plus normalised counts. Pass them as they were before scaling."
        )
    values.data = np.expm1(values.data)
    counts, depth = values.copy(), np.full(values.shape[0], np.nan)
    for cell in range(values.shape[0]):
        own = slice(values.indptr[cell], values.indptr[cell + 1])
        if own.start < own.stop:
            unit = _unit(values.data[own], cell)
            counts.data[own] = np.rint(values.data[own] / unit)
            depth[cell] = 1 / unit
    return counts, depth


def _unit(numbers: FloatArray, cell: int) -> float:
    """Return the largest number of which all are multiples."""
    smallest = numbers.min()
    for divisor in range(1, _MOST_COUNTS + 1):
        multiples = numbers * (divisor / smallest)
        missed = np.abs(multiples - np.rint(multiples))
        if (missed <= _TOLERANCE + _RELATIVE * multiples).all():
            return float(smallest / divisor)
    raise InputError(
        f"The numbers of cell {cell} are no multiples of one, so its counts cannot be computed "
        "back: expected log(1 + counts / depth). Pass raw counts, or the matrix before scaling."
    )
