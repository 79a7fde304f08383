"""Log effects of what cells carry on several genes at once, where cells carry several."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from argen.arrays import FloatArray, IntArray
from argen.checks.guides.group_effects import HALF_COUNT_VARIANCE, POOLED
from argen.data import PerturbSeqData
from argen.engine import joint_design, without_counts
from argen.errors import FitStatus
from argen.glm import JointFit, fit_jointly


@dataclass(frozen=True, slots=True)
class JointEffects:
    """Log rate ratios of genes by what cells carry, all else that they carry held fixed."""

    effect: FloatArray  # (n_groups, n_genes); NaN where the fit of the gene failed
    covariances: FloatArray  # (n_genes, n_genes, n_groups, n_groups): [g, h, a, b] is that of the
    #                          effect of a on g and of b on h

    @property
    def std_error(self) -> FloatArray:
        """Standard errors: (n_groups, n_genes)."""
        of_genes = np.arange(self.effect.shape[1])
        return np.sqrt(np.diagonal(self.covariances[of_genes, of_genes], axis1=1, axis2=2)).T

    def part(self, groups: IntArray, genes: IntArray) -> JointEffects:
        """Take some groups and genes."""
        chosen = self.covariances[np.ix_(genes, genes, groups, groups)]
        return JointEffects(self.effect[np.ix_(groups, genes)], chosen)

    def covariance(self, groups: IntArray, genes: IntArray, combination: FloatArray) -> FloatArray:
        """Covariance of ``effect[groups][:, genes] @ combination``: (n_chosen, n_chosen)."""
        chosen = self.covariances[np.ix_(genes, genes, groups, groups)]
        return np.asarray(np.einsum("ghab,g,h->ab", chosen, combination, combination))


@dataclass(frozen=True, slots=True)
class _GeneFit:
    """A gene on everything that cells carry."""

    joint: JointFit
    effect: FloatArray  # (n_groups,): that of half a count where there is none; NaN if it failed
    variance: FloatArray  # (n_cells,): of the counts


class JointFits:
    """Every gene on everything that cells carry, and on the covariates.

    A gene is fitted when it is first asked for.

    Parameters
    ----------
    carried
        (n_cells, n_groups): indicators of perturbations, or of guides.
    """

    def __init__(self, data: PerturbSeqData, carried: sparse.csc_array) -> None:
        self.data = data
        self.n_groups = carried.shape[1]
        self.design = joint_design(data, carried)
        self.fits: dict[int, _GeneFit] = {}

    def among(self, groups: IntArray, genes: IntArray) -> JointEffects:
        """Return the effects of some groups on some genes.

        With residuals r and rows W of the inverse information, the covariance of effects on genes g
        and h is ``W_g (sum_i r_ig r_ih x_i x_i') W_h'``, x_i being all that cell i carries. Half of
        each product gives way to one that is steadier where cells are few: variances
        ``mu + phi mu^2``, and correlations of residuals over all cells. A group without a count
        has half a one.
        """
        fits = [self._fit(gene) for gene in genes.tolist()]
        effect = np.array([fit.effect[groups] for fit in fits]).T
        root = np.sqrt([fit.variance for fit in fits])
        scaled = np.array([fit.joint.residual for fit in fits]) / np.where(root > 0.0, root, 1.0)
        length = np.linalg.norm(scaled, axis=1)
        scaled /= np.where(length > 0.0, length, 1.0)[:, None]
        correlation = scaled @ scaled.T
        found = np.zeros((len(genes), len(genes), len(groups), len(groups)))
        for g, one in enumerate(fits):
            for h, other in enumerate(fits[: g + 1]):
                weights = (1.0 - POOLED) * one.joint.residual * other.joint.residual
                weights += POOLED * correlation[g, h] * root[g] * root[h]
                left = one.joint.inverse[groups] @ self.design.information(weights)
                found[g, h] = left @ other.joint.inverse[groups].T
                found[h, g] = found[g, h].T
            found[g, g] += np.diag(HALF_COUNT_VARIANCE * one.joint.empty[groups])
        return JointEffects(effect, found)

    def _fit(self, gene: int) -> _GeneFit:
        if gene not in self.fits:
            data, design = self.data, self.design
            counts = data.counts.dense(np.array([gene]))[0]
            fit = fit_jointly(design, counts, data.offset, without_counts(data, counts))
            excess = float(np.sum(fit.residual**2 - fit.mean) / np.sum(fit.mean**2))
            variance = fit.mean + max(excess, 0.0) * fit.mean**2
            expected = design.by_column @ np.exp(design.predictor(fit.coefficients) + data.offset)
            effect = np.where(fit.empty, np.log(0.5 / expected), fit.effect)[: self.n_groups]
            failed = fit.status != FitStatus.OK
            self.fits[gene] = _GeneFit(fit, np.where(failed, np.nan, effect), variance)
        return self.fits[gene]
