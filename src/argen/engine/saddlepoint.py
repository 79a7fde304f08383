"""The saddlepoint test of a perturbation, whichever way the controls were fitted."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.special import bdtr, bdtrc, ndtri

from argen.arrays import FloatArray, IntArray
from argen.config import InferenceConfig
from argen.data import PerturbSeqData
from argen.engine.protocol import Effects
from argen.glm import (
    CONSTANT_SHARE,
    FEWEST_COUNTS,
    LARGEST_DISPERSION,
    LEAST_DISPERSION,
    ResidualLayout,
    compare_groups,
    deviates,
)
from argen.pvalues import two_sided


class SaddlepointTest:
    """Compares the log residuals of perturbed cells with those of the controls.

    See ``argen.glm._saddlepoint`` for the algebra. Each cell carries one perturbation at most.
    """

    def __init__(self, data: PerturbSeqData, controls: IntArray, perturbed: IntArray) -> None:
        """Lay out the cells: the controls by stratum, then those of each perturbation as given.

        Parameters
        ----------
        controls, perturbed
            Cells without a perturbation, and those of one after those of another.
        """
        stratum, levels = data.regressors.strata()
        controls = controls[np.argsort(stratum[controls], kind="stable")]
        self.cells = np.concatenate([controls, perturbed])
        sizes = np.append(len(controls), np.diff(data.perturbations.indptr))
        start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        numeric = np.column_stack([data.regressors.numeric, data.offset])[self.cells]
        self.layout = residual_layout(start, stratum[self.cells], levels, numeric)
        self.exposure = np.exp(data.offset[self.cells])

    def deviates(
        self,
        counts: FloatArray,
        mean: FloatArray,
        offset: FloatArray | None = None,
        offset_variance: FloatArray | None = None,
    ) -> FloatArray:
        """Return the normal deviate of every perturbation's effect on a target: (n_nodes,).

        NaN where nothing can be said: no count among the controls, or no cells.

        Parameters
        ----------
        counts, mean
            (n_cells,) in the sequence of ``cells``: counts of the target, and what the fit of
            the controls expects; 0 where a level of a covariate has no count among them.
        offset, offset_variance
            (n_nodes,): the log rate of each perturbation's cells, over the controls', without
            an effect, and the variance of that; 0 when None.
        """
        start, layout, exposure = self.layout.start, self.layout, self.exposure
        if offset is not None:  # as if these cells had been exposed more, or less
            of_groups = np.append(0.0, offset)
            factor = np.repeat(np.exp(of_groups), np.diff(start))
            mean, exposure, means = mean * factor, exposure * factor, layout.means.copy()
            means[-1] += of_groups
            layout = layout._replace(means=means)
        total = counts[: start[1]].sum()
        if total < FEWEST_COUNTS:
            # What covariates do is left to the regression of log residuals, which are bounded: a
            # slope of the mean from so few counts, carried on to other cells, has no limit.
            mean = exposure * (total / exposure[: start[1]].sum())
        shift, scale, error, deviate = np.full((4, len(start) - 2), np.nan)
        residuals = np.empty(start[1])
        variance = compare_groups(layout, counts, mean, shift, scale, error, residuals)
        if offset_variance is not None and variance > 0.0:
            error += self._slopes(counts, mean) ** 2 * offset_variance
        if variance > 0.0:
            kinds, sizes = np.arange(len(start) - 1), np.diff(start)[1:].astype(np.float64)
            deviates(kinds, sizes, scale, shift, error, residuals, variance, deviate)
        return self._limited(deviate, counts, exposure) if total < FEWEST_COUNTS else deviate

    def _slopes(self, counts: FloatArray, mean: FloatArray) -> FloatArray:
        """How the sum of a group's log residuals falls with its log mean: (n_nodes,).

        ``n mu / (mu + a)``, with mu the mean of the group and a as in ``argen.glm._saddlepoint``.
        """
        y, mu = counts[: self.layout.start[1]], mean[: self.layout.start[1]]
        excess = np.sum((y - mu) ** 2 - mu) / np.sum(mu**2)
        a = 1.0 / np.clip(excess, LEAST_DISPERSION, LARGEST_DISPERSION)
        total, n_cells = self._sums(mean)[1:], np.diff(self.layout.start)[1:]
        return np.asarray(n_cells * total / np.maximum(total + n_cells * a, 1e-300))

    def _sums(self, values: FloatArray) -> FloatArray:
        """Sum over the cells of each group: (1 + n_nodes,), the controls first."""
        sums = np.add.reduceat(np.append(values, 0.0), self.layout.start[:-1])
        return np.where(np.diff(self.layout.start) > 0, sums, 0.0)

    def _limited(self, deviate: FloatArray, counts: FloatArray, exposure: FloatArray) -> FloatArray:
        """Limit deviates to those of binomial tests of a group's counts given both sides' counts.

        So few counts of the controls do not tell how many there should be.
        """
        sums, exposure = self._sums(counts), self._sums(exposure)
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
    start: IntArray, stratum: IntArray, levels: IntArray, numeric: FloatArray
) -> ResidualLayout:
    """Lay out groups of cells, with the products of their covariates and exposure.

    Parameters
    ----------
    start
        (n_groups + 1,): group g are the cells ``start[g]:start[g + 1]``.
    stratum, levels
        (n_cells,), by which the first group is sorted, and (n_factors, n_strata).
    numeric
        (n_cells, n_numeric): covariates and the log exposure.
    """
    n_levels = levels.max(axis=1, initial=0)
    first = np.cumsum(n_levels) - n_levels
    columns = np.where(levels > 0, first[:, None] + levels - 1, -1)
    n_cells, n_controls, sizes = len(stratum), start[1], np.diff(start)
    of_cells = columns[:, stratum]
    _, cell = present = np.nonzero(of_cells >= 0)
    shape = n_cells, int(n_levels.sum())
    indicators = sparse.csr_array((np.ones(len(cell)), (cell, of_cells[present])), shape)
    member = sparse.csr_array((np.ones(n_cells), np.arange(n_cells), start), (len(sizes), n_cells))
    sums = np.hstack([(member @ indicators).toarray(), member @ numeric])
    means = sums / np.maximum(sizes, 1)[:, None]
    centred = numeric - np.repeat(means[:, shape[1] :], sizes, axis=0)
    # A column that is constant within groups is rounding now.
    largest = CONSTANT_SHARE * (n_cells + np.sum(numeric**2, axis=0))
    centred[:, np.sum(centred**2, axis=0) <= largest] = 0.0

    def products(cells: slice, groups: slice) -> FloatArray:
        own, some, counts = indicators[cells], centred[cells], sums[groups, : shape[1]]
        between = (own.T @ own).toarray() - counts.T @ means[groups, : shape[1]]
        across = own.T @ some
        return np.block([[between, across], [across.T, some.T @ some]])

    return ResidualLayout(
        start=start,
        control_start=np.searchsorted(stratum[:n_controls], np.arange(levels.shape[1] + 1)),
        stratum=stratum.astype(np.uint32),
        columns=columns,
        numeric=np.ascontiguousarray(centred.T),
        n_indicators=shape[1],
        means=np.ascontiguousarray(means.T),
        of_controls=products(slice(n_controls), slice(1)),
        of_all=products(slice(None), slice(None)),
    )
