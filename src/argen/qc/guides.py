"""What each guide does to the gene that it targets, and whether the guides of a gene agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from argen.checks import guide_effects
from argen.data import PerturbSeqData
from argen.pvalues import adjust, two_sided

GUIDE_ALPHA = 0.05
_COLUMNS = ["candidate", "guide", "n_cells", "effect", "std_error", "p_value"]


def guide_knockdowns(data: PerturbSeqData) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the effect of each guide on its own gene, and one row a node that has guides.

    The first has candidate, guide, n_cells, effect, std_error, p_value, p_adjusted over all guides,
    and ``works``, whether that is below ``GUIDE_ALPHA``. The second has candidate, n_guides,
    n_guides_working, and ``guides_p_value``, of all guides doing the same: with effects d_g and
    their variances v_g but for what the controls add, which is the same for all::

        Q = sum_g (d_g - d)^2 / v_g,   d = sum_g d_g / v_g / sum_g 1 / v_g

    is chi-square with one degree of freedom for each guide but one. Both are empty where guides are
    not known or cells carry several perturbations. Guides of fewer than ten cells have no part.
    """
    rows: list[tuple[str, str, int, float, float, float]] = []
    nodes: list[tuple[str, int, float]] = []
    if data.guides is not None and data.one_per_cell:
        found = guide_effects(data, data.guides.labels())
        for node in np.unique(found.node).tolist():
            own = np.array([g for g in found.of(np.array([node])) if found.guides[g] != ""])
            if not len(own):  # the guides of its cells are not known
                continue
            effects = found.among(own, np.array([node]))
            effect, variance = effects.effect[:, 0], effects.cross[:, 0, 0]
            std_error = np.sqrt(variance[:-1] + variance[-1])
            p_value = two_sided(effect / std_error)[0]
            names = [found.guides[g] for g in own.tolist()]
            numbers = zip(names, found.n_cells[own], effect, std_error, p_value, strict=True)
            rows += [(data.nodes[node], *each) for each in numbers]
            weight = 1.0 / variance[:-1]
            statistic = np.sum(weight * (effect - np.sum(weight * effect) / weight.sum()) ** 2)
            same = float(chdtrc(len(own) - 1, statistic)) if len(own) > 1 else np.nan
            nodes.append((data.nodes[node], len(own), same))
    guides = pd.DataFrame(rows, columns=_COLUMNS)
    guides["p_adjusted"] = adjust(guides["p_value"].to_numpy(dtype=np.float64), "bh")
    guides["works"] = guides["p_adjusted"] < GUIDE_ALPHA
    table = pd.DataFrame(nodes, columns=["candidate", "n_guides", "guides_p_value"])
    working = guides.groupby("candidate")["works"].sum().reindex(table["candidate"]).to_numpy()
    table.insert(2, "n_guides_working", working.astype(np.int64))
    return guides, table
