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
from argen.corrections.by_guide import (
    AllAtOne,
    EquationsOfScreen,
    GuideEquations,
    GuidesOfCells,
)
from argen.corrections.mixture import FEW_SHARES, SHARES, AtShare, filled
from argen.corrections.shares import interval, normal_by_moments
from argen.data import PerturbSeqData
from argen.engine import UnevenGuides, in_threads
from argen.pvalues import critical_value

# Of the test that guides differ in strength at all.
LEVEL_OF_UNEVEN = 0.001
# A guide that seems to do nothing, or the contrary, has so much of the mean.
LEAST_STRENGTH = 0.05
_Z = critical_value(0.95)


@dataclass(frozen=True, slots=True, eq=False)
class GuideStrengths:
    """What cells say of each guide of the genes with several: (n_guides,) each.

    ``n_cells`` of the last guide of a gene has the cells of guides of too few with it, where these
    are too few together as well.

    ``strength`` is 1 in the mean over the cells of a gene. Where guides are not sure to differ, by
    ``uneven_p_value``, or cells escape, it is 1 for all; ``own_strength`` is what the cells of the
    guide say by themselves, with its standard error. ``penetrance`` is what the cells of the guide
    say by themselves, and 1 where cells of the screen are not called to escape.
    """

    names: tuple[str, ...]
    node: IntArray
    n_cells: IntArray
    strength: FloatArray
    own_strength: FloatArray
    std_error: FloatArray
    penetrance: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    p_value: FloatArray  # of a penetrance of 1, one-sided
    uneven_p_value: float  # of all strengths of the screen being alike; NaN where cells escape

    @property
    def uneven(self) -> bool:
        """Whether guides differ, so that the strong ones count for more."""
        return bool((self.strength != 1.0).any())

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
    screen: EquationsOfScreen, at_one: AllAtOne, *, escape: bool
) -> GuideStrengths | None:
    """Say how strong each guide is and in what share of its cells it works.

    That strengths are alike is tested by the sum of their squared deviations from 1, each over its
    variance. Where they are not, their variance between guides is found by moments, and each is
    shrunk to 1 by what is left of it. Where cells escape, guides that work in fewer cells, if
    only by chance, seem weaker: there is no test then, and all are taken to be alike.

    Parameters
    ----------
    at_one
        What the equations of guides are at share 1.
    escape
        Whether cells escape in this screen at all.
    """
    genes = [k for k, (_, at) in at_one.items() if at.guides]
    if screen.guides is None or not genes:
        return None
    carried = [screen.guides_of(k) for k in genes]
    n_cells = [np.array([len(place) for _, place in own]) for own in carried]
    parts = [own / own.sum() for own in n_cells]
    found = [
        strengths_of(
            np.stack([at.log_left for at in at_one[k][1].guides]),
            np.stack([at.gene_variance for at in at_one[k][1].guides]),
            part,
        )
        for k, part in zip(genes, parts, strict=True)
    ]
    deviation = [own - 1.0 for own, _ in found]
    unsure = [
        deviation_variance(variance, part) for (_, variance), part in zip(found, parts, strict=True)
    ]
    p_value, between = _between(np.concatenate(deviation), np.concatenate(unsure), len(genes))
    strength = [np.ones(len(part)) for part in parts]
    if between > 0.0 and not escape:
        strength = [
            _shrunken(off, variance, between, part)
            for off, variance, part in zip(deviation, unsure, parts, strict=True)
        ]
    shares = SHARES if escape else FEW_SHARES

    def profiles(k: int) -> FloatArray:
        prepared, at = at_one[k]
        return _profiles(screen.by_guide(k, prepared), at, shares)

    z = np.concatenate(in_threads(profiles, genes))
    low, high = np.array([interval(row, _Z) for row in z]).T
    code = np.concatenate([[guide for guide, _ in own] for own in carried])
    named = code >= 0
    return GuideStrengths(
        names=tuple(screen.guides.names[k] for k in code[named].tolist()),
        node=np.repeat(genes, [len(own) for own in carried])[named],
        n_cells=np.concatenate(n_cells)[named],
        strength=np.concatenate(strength)[named],
        own_strength=1.0 + np.concatenate(deviation)[named],
        std_error=np.sqrt(np.concatenate([variance for _, variance in found]))[named],
        penetrance=np.array([_likeliest(row) if escape else 1.0 for row in z])[named],
        ci_low=low[named],
        ci_high=high[named],
        p_value=ndtr(z[:, 0])[named],
        uneven_p_value=np.nan if escape else p_value,
    )


def _profiles(equations: GuideEquations, at_one: AtShare, shares: FloatArray) -> FloatArray:
    """Standardized equations of each guide alone, at ``SHARES``: (n_guides, len(SHARES))."""
    pairs = zip(equations.guides, at_one.guides, strict=True)
    return np.array([filled(guide.profile(shares, at), shares) for guide, at in pairs])


def _likeliest(z: FloatArray) -> float:
    """Share at which an equation holds, 1 if it is not contradicted by more cells."""
    if z[0] >= 0.0:
        return 1.0
    below = int(np.argmax(z >= 0.0)) if (z >= 0.0).any() else len(z) - 1
    return float(np.interp(0.0, z[below - 1 : below + 1], SHARES[below - 1 : below + 1]))


def _shrunken(
    deviation: FloatArray, variance: FloatArray, between: float, parts: FloatArray
) -> FloatArray:
    """Shrink the strengths of the guides of a gene to 1, by how unsure they are."""
    strength = np.maximum(1.0 + deviation * between / (between + variance), LEAST_STRENGTH)
    return np.asarray(strength / (parts @ strength))


def _between(deviation: FloatArray, variance: FloatArray, n_genes: int) -> tuple[float, float]:
    """Test whether strengths differ; returns p and, where it is small, their variance, else 0."""
    statistic = float(np.sum(deviation**2 / variance))
    p_value = float(chdtrc(len(deviation) - n_genes, statistic))
    if not p_value < LEVEL_OF_UNEVEN:
        return p_value, 0.0
    return p_value, normal_by_moments(deviation, variance)[1]


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
