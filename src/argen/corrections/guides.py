"""Guides as instruments of their own: how strong each one is, and in how many cells it works.

With T_kj the effect of perturbation k on gene j by a guide of mean strength, guide g of k has, in
the cells where it works, the log rates ``log rho_gj = s_g T_kj`` over those of controls: a linear
network passes on what the guide does to its own gene. So each gene that k lowers says the same of
s_g, and a regression of log rho_g on their mean, each gene with its precision, estimates it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import chdtrc, ndtr

from argen.arrays import FloatArray, IntArray
from argen.corrections.mixture import AtShare
from argen.corrections.shares import interval, normal_by_moments, pooled_shares
from argen.data import PerturbSeqData
from argen.engine import UnevenGuides
from argen.pvalues import critical_value

# Of the test that guides differ in strength at all.
LEVEL_OF_UNEVEN = 0.001
# A guide that seems to do nothing, or the contrary, has so much of the mean.
LEAST_STRENGTH = 0.05
_Z = critical_value(0.95)


@dataclass(frozen=True, slots=True, eq=False)
class GuidesOfCells:
    """Which guide each cell carries; several of one gene together are one."""

    names: tuple[str, ...]  # (n_guides,)
    code: IntArray  # (n_cells,), -1: none that is known

    @classmethod
    def of(cls, data: PerturbSeqData) -> GuidesOfCells | None:
        """Return the guides of the perturbed cells; None where they are not known."""
        if data.guides is None or not data.one_per_cell:
            return None
        labels = data.guides.labels()
        known = (labels != "") & ~data.controls
        names, code = np.unique(labels[known].astype(str), return_inverse=True)
        of_cell = np.full(data.n_cells, -1)
        of_cell[known] = code
        return cls(tuple(names.tolist()), of_cell)


@dataclass(frozen=True, slots=True, eq=False)
class GuideStrengths:
    """What cells say of each guide of the genes with several: (n_guides,) each.

    ``strength`` is 1 in the mean over the cells of a gene. Where guides are not sure to differ, by
    ``uneven_p_value``, it is 1 for all; ``own_strength`` is what the cells of the guide say
    by themselves, with its standard error.
    """

    names: tuple[str, ...]
    node: IntArray
    n_cells: IntArray
    strength: FloatArray
    own_strength: FloatArray
    std_error: FloatArray
    penetrance: FloatArray  # 1 where the cells of the guide are not called to escape
    ci_low: FloatArray
    ci_high: FloatArray
    p_value: FloatArray  # of a penetrance of 1, one-sided
    uneven_p_value: float  # of all strengths of the screen being alike

    @property
    def uneven(self) -> bool:
        """Whether guides differ, so that the strong ones count for more."""
        return self.uneven_p_value < LEVEL_OF_UNEVEN

    def to_frame(self, nodes: tuple[str, ...]) -> pd.DataFrame:
        """Return one row per guide, those of a node together."""
        return pd.DataFrame(
            {
                "node": [nodes[k] for k in self.node.tolist()],
                "guide": list(self.names),
                "n_cells": self.n_cells,
                "strength": self.strength,
                "own_strength": self.own_strength,
                "own_strength_error": self.std_error,
                "penetrance": self.penetrance,
                "penetrance_low": self.ci_low,
                "penetrance_high": self.ci_high,
                "penetrance_p_value": self.p_value,
            }
        )


@dataclass(frozen=True, slots=True)
class GuidesOfGene:
    """The equations of one perturbation, solved with rates of their own for its guides."""

    node: int
    codes: IntArray  # (n_guides,), -1 for those of few cells together
    n_cells: IntArray  # (n_guides,)
    z: FloatArray  # (n_guides, len(SHARES)) standardized equations of each guide alone
    at: AtShare  # at the share of the gene


def strengths_of(
    log_left: FloatArray, variance: FloatArray, parts: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the strengths of the guides of a gene, of mean 1, and their variances.

    Genes vary together, so that what they say of a guide does not add up: its variance is that from
    the gene that alone would say most.

    Parameters
    ----------
    log_left, variance
        (n_guides, n_low) log rates of working cells over controls, and what is unsure about them.
    parts
        (n_guides,) of the cells of the gene, of sum 1.
    """
    mean = parts @ log_left
    information = mean**2 / variance
    strength = np.sum(mean * log_left / variance, axis=1) / information.sum(axis=1)
    scale = parts @ strength
    return strength / scale, 1.0 / (information.max(axis=1) * scale**2)


def deviation_variance(variance: FloatArray, parts: FloatArray) -> FloatArray:
    """Variance of strengths about their mean, which is 1: (n_guides,)."""
    return np.asarray(variance * (1.0 - 2.0 * parts) + parts**2 @ variance)


def measure_guides(
    genes: list[GuidesOfGene], names: tuple[str, ...], *, escape: bool
) -> GuideStrengths | None:
    """Say how strong each guide is and in what share of its cells it works.

    That strengths are alike is tested by the sum of their squared deviations from 1, each over its
    variance. Where they are not, their variance between guides is found by moments, and each is
    shrunk to 1 by what is left of it.

    Parameters
    ----------
    names
        Of all guides of the screen, by code.
    escape
        Whether cells escape in this screen at all.
    """
    if not genes:
        return None
    parts = [gene.n_cells / gene.n_cells.sum() for gene in genes]
    found = [
        strengths_of(
            np.stack([at.log_left for at in gene.at.guides]),
            np.stack([at.gene_variance for at in gene.at.guides]),
            part,
        )
        for gene, part in zip(genes, parts, strict=True)
    ]
    deviation = [own - 1.0 for own, _ in found]
    unsure = [
        deviation_variance(variance, part) for (_, variance), part in zip(found, parts, strict=True)
    ]
    p_value, between = _between(np.concatenate(deviation), np.concatenate(unsure), len(genes))
    strength = []
    for off, variance, part in zip(deviation, unsure, parts, strict=True):
        shrunk = np.maximum(1.0 + off * between / (between + variance), LEAST_STRENGTH)
        strength.append(shrunk / (part @ shrunk))
    code = np.concatenate([gene.codes for gene in genes])
    named = code >= 0
    mean, low, high, of_share = _penetrance(np.concatenate([gene.z for gene in genes]), escape)
    node = np.repeat([gene.node for gene in genes], [len(gene.codes) for gene in genes])
    return GuideStrengths(
        names=tuple(names[k] for k in code[named].tolist()),
        node=node[named],
        n_cells=np.concatenate([gene.n_cells for gene in genes])[named],
        strength=np.concatenate(strength)[named],
        own_strength=1.0 + np.concatenate(deviation)[named],
        std_error=np.sqrt(np.concatenate([variance for _, variance in found]))[named],
        penetrance=mean[named],
        ci_low=low[named],
        ci_high=high[named],
        p_value=of_share[named],
        uneven_p_value=p_value,
    )


def _between(deviation: FloatArray, variance: FloatArray, n_genes: int) -> tuple[float, float]:
    """Test whether strengths differ; returns p and, where it is small, their variance, else 0."""
    statistic = float(np.sum(deviation**2 / variance))
    p_value = float(chdtrc(len(deviation) - n_genes, statistic))
    if not p_value < LEVEL_OF_UNEVEN:
        return p_value, 0.0
    return p_value, normal_by_moments(deviation, variance)[1]


def _penetrance(
    z: FloatArray, escape: bool
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return shares, their intervals and p-values, from standardized equations of each guide."""
    low, high = np.array([interval(row, _Z) for row in z]).T
    mean = np.ones(len(z))
    if escape:
        shares = pooled_shares(z)
        called, margin = shares.works < 0.5, _Z * shares.std_error
        mean[called] = shares.mean[called]
        low = np.where(called, np.maximum(mean - margin, 0.0), low)
        high = np.where(called, np.minimum(mean + margin, 1.0), high)
    return mean, low, high, np.asarray(ndtr(z[:, 0]))


def uneven_guides(data: PerturbSeqData, found: GuideStrengths | None) -> UnevenGuides | None:
    """Return how guides are weighed; None where they are not known, or alike as far as one knows.

    Guides of which nothing was found, those of few cells and of genes that tell nothing, have
    strength 1.
    """
    guides = GuidesOfCells.of(data)
    if found is None or guides is None or not found.uneven:
        return None
    pairs = zip(found.node.tolist(), found.names, strict=True)
    known = dict(zip(pairs, found.strength.tolist(), strict=True))
    weight_of_cell, groups = np.ones(data.n_cells), []
    for node in range(data.n_nodes):
        cells = data.cells_of(node)
        code, place = np.unique(guides.code[cells], return_inverse=True)
        exposure = np.bincount(place, data.library_size[cells], len(code))
        part = exposure / exposure.sum()
        named = [guides.names[k] if k >= 0 else "" for k in code.tolist()]
        strength = np.array([known.get((node, name), 1.0) for name in named])
        strength = strength / (part @ strength)
        weight_of_cell[cells] = (strength / (part @ strength**2))[place]
        groups.append((strength, part))
    most = max(len(part) for _, part in groups)
    strengths, parts = np.ones((data.n_nodes, most)), np.zeros((data.n_nodes, most))
    for node, (strength, part) in enumerate(groups):
        strengths[node, : len(part)], parts[node, : len(part)] = strength, part
    return UnevenGuides(strengths, parts, weight_of_cell)
