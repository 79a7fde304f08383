"""Log effects of groups of cells on several genes at once, and regressions among them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, Self

import numpy as np
from scipy.special import chdtrc

from argen.arrays import FloatArray, IntArray
from argen.data import PerturbSeqData
from argen.errors import FitStatus
from argen.glm import GroupedGene, GroupFit, group_layout

# Share of the covariances that is pooled over groups: as in ``errors="shrunk"``.
POOLED = 0.5
# Variance of the log of half a count, of Poisson counts.
HALF_COUNT_VARIANCE = 2.0
# Weights follow the coefficients until these move by less than this many standard errors.
SETTLED, MOST_ROUNDS = 1e-3, 50


class EffectsOfGroups(Protocol):
    """Log effects of groups of cells, or of what cells carry, on several genes."""

    @property
    def effect(self) -> FloatArray:
        """Effects: (n_groups, n_genes)."""

    @property
    def std_error(self) -> FloatArray:
        """Their standard errors: (n_groups, n_genes)."""

    def part(self, groups: IntArray, genes: IntArray) -> Self:
        """Take some groups and genes."""

    def covariance(self, groups: IntArray, genes: IntArray, combination: FloatArray) -> FloatArray:
        """Covariance of ``effect[groups][:, genes] @ combination``: (n_chosen, n_chosen)."""


class FitsOfGroups(Protocol):
    """Fits of genes on groups of cells, or on what cells carry, as they are asked for."""

    n_groups: int

    def among(self, groups: IntArray, genes: IntArray) -> EffectsOfGroups:
        """Return the effects of some groups on some genes."""


@dataclass(frozen=True, slots=True)
class GroupEffects:
    """Log rates of genes in groups of cells against the controls, covariates held fixed."""

    effect: FloatArray  # (n_groups, n_genes); NaN where the fit of the gene failed
    cross: FloatArray  # (n_groups + 1, n_genes, n_genes): covariances over genes of the log rate
    #                    in a group, the controls last; groups are independent of each other

    @property
    def std_error(self) -> FloatArray:
        """Standard errors: (n_groups, n_genes)."""
        spread = np.diagonal(self.cross, axis1=1, axis2=2)
        return np.asarray(np.sqrt(spread[:-1] + spread[-1]))

    def part(self, groups: IntArray, genes: IntArray) -> GroupEffects:
        """Take some groups and genes."""
        kept = np.append(groups, len(self.cross) - 1)
        return GroupEffects(
            self.effect[np.ix_(groups, genes)], self.cross[np.ix_(kept, genes, genes)]
        )

    def covariance(self, groups: IntArray, genes: IntArray, combination: FloatArray) -> FloatArray:
        """Covariance of ``effect[groups][:, genes] @ combination``: (n_chosen, n_chosen)."""
        chosen = self.part(groups, genes).cross
        variances = np.einsum("gab,a,b->g", chosen, combination, combination)
        return np.asarray(np.diag(variances[:-1]) + variances[-1])


@dataclass(frozen=True, slots=True)
class EffectRegression:
    """Effects of groups on one gene as a combination of those on other genes."""

    coefficients: FloatArray  # (n_regressors,)
    std_error: FloatArray  # (n_regressors,)
    statistic: float  # of the test that the combination leaves nothing but noise
    df: int  # more groups than regressors

    @property
    def p_value(self) -> float:
        """Upper tail of chi-square; NaN without degrees of freedom."""
        return float(chdtrc(self.df, self.statistic)) if self.df > 0 else np.nan


@dataclass(frozen=True, slots=True)
class _GeneFit:
    """A gene with an intercept for each group."""

    groups: GroupFit
    used: FloatArray  # (n_strata,): 0 for a stratum without counts
    dispersion: float  # moment estimate over all cells

    @property
    def worked(self) -> bool:
        """Whether every group has a log rate."""
        return self.groups.status == FitStatus.OK and bool(np.isfinite(self.groups.log_rates).all())


class GroupFits:
    """Every gene with an intercept for each group, the slopes of covariates shared.

    A gene is fitted when it is first asked for; of its cells nothing is kept.

    Parameters
    ----------
    group
        (n_cells,) codes of the groups from 0; the largest code is that of the controls.
    """

    def __init__(self, data: PerturbSeqData, group: IntArray) -> None:
        block = data.regressors
        self.n_groups = int(group.max())
        self.counts = data.counts
        self.layout, cells = group_layout(
            group, self.n_groups + 1, data.offset, block.factors, block.numeric
        )
        self.place = np.argsort(cells)
        self.fits: dict[int, _GeneFit] = {}

    def among(self, groups: IntArray, genes: IntArray) -> GroupEffects:
        """Return the effects of some groups on some genes.

        With residuals ``r = y - mu`` the covariance of two genes in a group is that of
        ``r / sum(mu)``, summed over its cells, times ``n / (n - 1)``. Half of it gives way to one
        that is steadier where cells are few: variances ``mu + phi mu^2``, phi from all cells,
        and correlations of ``r / sqrt(mu + phi mu^2)`` over all these groups. What the slopes add
        is left out, which is small as they come from all cells.

        Parameters
        ----------
        groups
            In increasing sequence.
        genes
            Columns of the counts.
        """
        kept = np.append(groups, self.n_groups)
        sizes = np.diff(self.layout.start)[kept]
        start = np.append(0, np.cumsum(sizes))
        cells = np.repeat(self.layout.start[kept] - start[:-1], sizes) + np.arange(start[-1])
        effect = np.full((len(groups), len(genes)), np.nan)
        noise, scaled = np.zeros((2, len(cells), len(genes)))
        error = np.zeros((len(kept), len(genes)))
        halves = np.zeros((len(kept), len(genes)), dtype=bool)
        for g, gene in enumerate(genes.tolist()):
            counts, fit = self._fit(gene)
            if not fit.worked:
                continue
            effect[:, g] = fit.groups.coefficients[groups]
            halves[:-1, g] = fit.groups.is_half[groups]
            residual, mean = self._residuals(fit, counts, kept, cells)
            total = np.add.reduceat(mean, start[:-1])
            variance = mean + fit.dispersion * mean**2
            noise[:, g] = residual / np.repeat(total, sizes)
            scaled[:, g] = residual / np.sqrt(np.where(variance > 0.0, variance, 1.0))
            error[:, g] = np.sqrt(np.add.reduceat(variance, start[:-1])) / total
        length = np.linalg.norm(scaled, axis=0)
        scaled /= np.where(length > 0.0, length, 1.0)
        correlation = scaled.T @ scaled
        cross = np.empty((len(kept), len(genes), len(genes)))
        for number, (a, b) in enumerate(pairwise(start.tolist())):
            own, pooled = (np.where(halves[number], 0.0, x) for x in (noise[a:b], error[number]))
            cross[number] = (1.0 - POOLED) * own.T @ own * ((b - a) / max(b - a - 1, 1))
            cross[number] += POOLED * correlation * np.outer(pooled, pooled)
            cross[number] += np.diag(HALF_COUNT_VARIANCE * halves[number])
        return GroupEffects(effect, cross)

    def _fit(self, gene: int) -> tuple[FloatArray, _GeneFit]:
        """Return the counts of a gene, in the sequence of the layout, and its fit."""
        counts = np.empty(len(self.place))
        self.counts.scatter(gene, self.place, counts)
        if gene not in self.fits:
            prepared = GroupedGene(self.layout, counts)
            found = prepared.fit(np.arange(self.n_groups), halved=self.n_groups)
            fit = _GeneFit(found, prepared.gene.used, 0.0)
            if fit.worked:
                every = np.arange(self.n_groups + 1), np.arange(len(counts))
                residual, mean = self._residuals(fit, counts, *every)
                excess = float(np.sum(residual**2 - mean) / np.sum(mean**2))
                fit = replace(fit, dispersion=max(excess, 0.0))
            self.fits[gene] = fit
        return counts, self.fits[gene]

    def _residuals(
        self, fit: _GeneFit, counts: FloatArray, groups: IntArray, cells: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return ``y - mu`` and mu of the cells of some groups, one group after another."""
        layout, groups_fit = self.layout, fit.groups
        log_rate = np.append(groups_fit.log_rates[1:], groups_fit.log_rates[0])[groups]
        gamma = np.append(groups_fit.gamma[: layout.n_indicators], 0.0)
        of_levels, stratum = gamma[layout.columns].sum(axis=1), layout.stratum[cells]
        slopes, usable = groups_fit.gamma[layout.n_indicators :], fit.used[stratum]
        log_rates = of_levels[stratum] + slopes @ layout.numeric[:, cells]
        log_rates += np.repeat(log_rate, np.diff(layout.start)[groups])
        mean = layout.size[cells] * np.exp(log_rates) * usable
        return counts[cells] * usable - mean, mean


def group_effects(data: PerturbSeqData, group: IntArray, genes: IntArray) -> GroupEffects:
    """Return the effects of all groups on some genes (see ``GroupFits``)."""
    fits = GroupFits(data, group)
    return fits.among(np.arange(fits.n_groups), genes)


def regress_effects(
    effects: EffectsOfGroups, outcome: int, regressors: IntArray, groups: IntArray
) -> EffectRegression:
    """Explain the effects of groups on one gene by their effects on others.

    With d the effects on the outcome and P those on the regressors, both with errors::

        theta = argmin u' W^-1 u,   u = d - P theta,   W = Cov(u) at theta

    where W follows theta until both settle. If d = P theta for some theta, then the least
    ``u' W^-1 u`` is chi-square with as many degrees of freedom as there are more groups than
    regressors (minimum distance; Hansen 1982 for general moments).

    Parameters
    ----------
    outcome, regressors
        Columns of ``effects``.
    groups
        Rows of ``effects``, at least as many as regressors.
    """
    genes = np.append(outcome, regressors)
    observed, design = effects.effect[groups, outcome], effects.effect[np.ix_(groups, regressors)]
    theta, spread = np.zeros(len(regressors)), np.zeros((0, 0))
    for _ in range(MOST_ROUNDS):
        weights = effects.covariance(groups, genes, np.append(1.0, -theta))
        root = np.linalg.cholesky(weights)
        left, right = np.linalg.solve(root, design), np.linalg.solve(root, observed)
        before, theta = theta, np.linalg.lstsq(left, right, rcond=None)[0]
        spread = np.linalg.pinv(left.T @ left)
        if (np.abs(theta - before) <= SETTLED * np.sqrt(np.diagonal(spread))).all():
            break
    weights = effects.covariance(groups, genes, np.append(1.0, -theta))
    rest = observed - design @ theta
    statistic = float(rest @ np.linalg.solve(weights, rest))
    return EffectRegression(
        theta, np.sqrt(np.diagonal(spread)), statistic, len(groups) - len(regressors)
    )
