"""The screen of cells that carry several perturbations: all of them in one regression."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Self

import numpy as np
from scipy import sparse

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.config import InferenceConfig
from argen.data import GeneCounts, PerturbSeqData
from argen.engine.counts import OnCounts
from argen.engine.joint_test import JointTest
from argen.engine.protocol import Effects, Fitted
from argen.engine.threads import in_threads
from argen.errors import FitStatus
from argen.glm import JointDesign, fit_jointly
from argen.pvalues import two_sided


class JointScreener(OnCounts):
    """Fits each target on all perturbations at once, and tests each of them.

    The log mean of a target is linear in the perturbations of a cell, whatever their number, so
    that an effect is that of carrying one rather than not, all else that the cell carries held
    fixed. Cells that carry nothing are not needed.
    """

    def __init__(self, data: PerturbSeqData) -> None:
        self.data = data
        self.design = joint_design(data, data.perturbations)
        self.test = JointTest(data, self.design)

    def on(self, data: PerturbSeqData) -> Self:
        """Return the same preparations, with the counts of ``data``, which else is the same."""
        other = copy(self)
        other.data = data
        return other

    def genes_of(self, block: IntArray) -> IntArray:
        """Return the targets."""
        return block

    def total_effects(self, targets: IntArray) -> Fitted:
        """Effects of every perturbation on a block of targets: (n_nodes, n_targets) each.

        Each target is fitted by one thread, so no bit depends on their number.
        """
        found = Effects.missing(len(targets), self.data.n_nodes)
        in_threads(partial(self._fit, found, self.data.counts.block(targets)), range(len(targets)))
        return Fitted(found.transposed(), {"joint": found.effect.size})

    def _fit(self, found: Effects, block: GeneCounts, row: int) -> None:
        """Fill in a row, that of one of the targets."""
        counts = block.dense(np.array([row]))[0]
        if not counts.any():
            return
        n, data, effect, status = self.data.n_nodes, self.data, found.effect[row], found.status[row]
        fit = fit_jointly(self.design, counts, data.offset, without_counts(data, counts))
        effect[:], status[:] = fit.effect[:n], fit.status
        if fit.status != FitStatus.OK:
            effect[np.isfinite(effect)] = np.nan
        status[np.isnan(effect) & (status == FitStatus.OK)] = FitStatus.NOT_IDENTIFIED
        status[np.isneginf(effect)] = FitStatus.ZERO_COUNTS_PERTURBED
        has_all = data.perturbations.T @ counts == counts.sum()
        effect[has_all], status[has_all] = np.inf, FitStatus.ZERO_COUNTS_CONTROL
        std_error = np.sqrt(fit.variances(self.design)[:n])
        found.std_error[row] = np.where(np.isfinite(effect), std_error, np.nan)
        deviate = np.where(np.isnan(effect), np.nan, self.test.deviates(counts, fit))
        found.p_value[row], found.log10_p[row] = two_sided(deviate)


def joint_design(data: PerturbSeqData, carried: sparse.csc_array) -> JointDesign:
    """Lay out a regression on what cells carry and on the covariates.

    Parameters
    ----------
    carried
        (n_cells, n): indicators, of perturbations or of guides, to which those of the levels of
        covariates are added.
    """
    block = data.regressors
    levels = [codes[:, None] == np.arange(1, codes.max() + 1) for codes in block.factors]
    indicators = sparse.hstack([carried, *map(sparse.csc_array, levels)], format="csc")
    return JointDesign(indicators, np.column_stack([np.ones(data.n_cells), block.numeric]))


def without_counts(data: PerturbSeqData, counts: FloatArray) -> BoolArray:
    """Say which cells are of a level of a covariate without a count: (n_cells,)."""
    found = np.zeros(len(counts), dtype=bool)
    for codes in data.regressors.factors:
        found |= (np.bincount(codes, weights=counts) == 0.0)[codes]
    return found


def joint_applies(data: PerturbSeqData, config: InferenceConfig) -> bool:
    """Whether the saddlepoint test is asked for, and cells carry several perturbations."""
    return config.test_of_screen == "saddlepoint" and not data.one_per_cell
