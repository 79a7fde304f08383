"""What each guide does to the gene that it targets, and whether the guides of a gene agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from argen.checks import guide_effects, own_effects
from argen.data import PerturbSeqData

_OF_GUIDES = [
    "candidate", "guide", "n_cells", "effect", "std_error", "p_value", "p_adjusted", "works",
    "of_others", "idle",
]  # fmt: skip


def guide_knockdowns(data: PerturbSeqData) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the effect of each guide on its own gene, and one row a node that has guides.

    The first is that of ``checks.own_effects``, with ``candidate`` for the node. The second has
    candidate, n_guides, n_guides_working, and ``guides_p_value``, of all guides doing the same:
    with effects d_g and their variances v_g but for what the controls add, the same for all::

        Q = sum_g (d_g - d)^2 / v_g,   d = sum_g d_g / v_g / sum_g 1 / v_g

    is chi-square with one degree of freedom for each guide but one. Both are empty where guides are
    not known or cells carry several perturbations. Guides of fewer than ten cells have no part.
    """
    columns = ["candidate", "n_guides", "n_guides_working", "guides_p_value"]
    if data.guides is None or not data.one_per_cell:
        return pd.DataFrame(columns=_OF_GUIDES), pd.DataFrame(columns=columns)
    found = guide_effects(data, data.guides.labels())
    guides = own_effects(found, data.nodes).rename(columns={"node": "candidate"})
    rows = []
    for name, own in guides.groupby("candidate", sort=False):
        node = data.nodes.index(str(name))
        places = [g for g in found.of(np.array([node])) if found.guides[g] != ""]
        effects = found.among(np.array(places), np.array([node]))
        # What they share, of the controls, is no part of how they differ.
        covariance = effects.covariance(np.arange(len(own)), np.array([0]), np.ones(1))
        contrasts = np.eye(len(own))[1:] - np.eye(len(own))[0]
        left = contrasts @ effects.effect[:, 0]
        statistic = left @ np.linalg.solve(contrasts @ covariance @ contrasts.T, left)
        same = float(chdtrc(len(own) - 1, statistic)) if len(own) > 1 else np.nan
        rows.append((name, len(own), int(own["works"].sum()), same))
    return guides, pd.DataFrame(rows, columns=columns)
