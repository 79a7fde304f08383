"""The saddlepoint test of a perturbation, whichever way the controls were fitted."""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr, bdtrc, ndtri

from argen.arrays import FloatArray, IntArray
from argen.config import InferenceConfig
from argen.data import CovariateBlock, PerturbSeqData
from argen.engine.protocol import Effects
from argen.glm import FEWEST_COUNTS, ResidualLayout, compare_groups, deviates
from argen.pvalues import two_sided


class SaddlepointTest:
    """Compares the log residuals of perturbed cells with those of the controls.

    See ``argen.glm._saddlepoint`` for the algebra. Each cell carries one perturbation at most.
    """

    def __init__(self, data: PerturbSeqData, controls: IntArray, perturbed: IntArray) -> None:
        """Lay out the cells: the controls, then those of each perturbation, in the sequence given.

        Parameters
        ----------
        controls, perturbed
            Cells without a perturbation, and those of one after those of another.
        """
        self.cells = np.concatenate([controls, perturbed])
        sizes = np.append(len(controls), np.diff(data.perturbations.indptr))
        start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.layout = residual_layout(start, self.cells, data.offset, data.regressors)
        self.exposure = np.exp(data.offset[self.cells])

    def deviates(self, counts: FloatArray, mean: FloatArray) -> FloatArray:
        """Return the normal deviate of every perturbation's effect on a target: (n_nodes,).

        NaN where nothing can be said: no count among the controls, or no cells.

        Parameters
        ----------
        counts, mean
            (n_cells,) in the sequence of ``cells``: counts of the target, and what the fit of
            the controls expects; 0 where a level of a covariate has no count among them.
        """
        start = self.layout.start
        total = counts[: start[1]].sum()
        if total < FEWEST_COUNTS:
            # What covariates do is left to the regression of log residuals, which are bounded: a
            # slope of the mean from so few counts, carried on to other cells, has no limit.
            mean = self.exposure * (total / self.exposure[: start[1]].sum())
        shift, scale, error, deviate = np.full((4, len(start) - 2), np.nan)
        residuals = np.empty(start[1])
        variance = compare_groups(self.layout, counts, mean, shift, scale, error, residuals)
        if variance > 0.0:
            deviates(start, shift, scale, error, residuals, variance, deviate)
        return self._limited(deviate, counts) if total < FEWEST_COUNTS else deviate

    def _limited(self, deviate: FloatArray, counts: FloatArray) -> FloatArray:
        """Limit deviates to those of binomial tests of a group's counts given both sides' counts.

        So few counts of the controls do not tell how many there should be.
        """
        first = self.layout.start[:-1]
        sums, exposure = (
            np.where(np.diff(self.layout.start) > 0, np.add.reduceat(np.append(v, 0.0), first), 0.0)
            for v in (counts, self.exposure)
        )
        own, n = sums[1:], (sums[0] + sums[1:]).astype(np.int64)
        share = exposure[1:] / (exposure[0] + exposure[1:])
        tail = np.minimum(bdtr(own, n, share), bdtrc(own - 1.0, n, share))
        largest = -ndtri(np.minimum(tail, 0.5))
        return np.asarray(np.clip(deviate, -largest, largest))


def saddlepoint_applies(data: PerturbSeqData, config: InferenceConfig) -> bool:
    """Whether the test is asked for, and each cell carries one perturbation at most."""
    return config.test_of_screen == "saddlepoint" and data.one_per_cell


def with_deviates(found: Effects, deviate: FloatArray) -> None:
    """Replace p-values by those of normal deviates, where there are both: (n_nodes, n_targets)."""
    tested = np.isfinite(deviate) & np.isfinite(found.p_value)
    found.p_value[tested], found.log10_p[tested] = two_sided(deviate[tested])


def residual_layout(
    start: IntArray, cells: IntArray, offset: FloatArray, block: CovariateBlock
) -> ResidualLayout:
    """Lay out groups of cells, with the products of their covariates and exposure.

    Parameters
    ----------
    start
        (n_groups + 1,): group g is ``cells[start[g]:start[g + 1]]``.
    cells
        Rows of ``offset``, the log exposure, and of the covariates.
    """
    n_indicators = sum(int(codes.max(initial=0)) for codes in block.factors)
    columns, first = np.full((len(block.factors), len(cells)), -1), 0
    for f, codes in enumerate(block.factors):
        levels = codes[cells]
        columns[f] = np.where(levels > 0, first + levels - 1, -1)
        first += int(codes.max(initial=0))
    numeric = np.column_stack([block.numeric, offset])[cells]
    n_groups, n_columns = len(start) - 1, n_indicators + numeric.shape[1]
    means, products = np.zeros((n_groups, n_columns)), np.zeros((n_groups, n_columns, n_columns))
    for g in range(n_groups):
        part = slice(start[g], start[g + 1])
        own = np.zeros((start[g + 1] - start[g], n_columns))
        for column in columns[:, part]:
            has = np.flatnonzero(column >= 0)
            own[has, column[has]] = 1.0
        own[:, n_indicators:] = numeric[part]
        if len(own):
            means[g] = own.mean(axis=0)
        own -= means[g]
        products[g] = own.T @ own
        numeric[part] = own[:, n_indicators:]
    return ResidualLayout(
        start=start,
        columns=columns,
        numeric=np.ascontiguousarray(numeric.T),
        n_indicators=n_indicators,
        means=means,
        products=products,
    )
