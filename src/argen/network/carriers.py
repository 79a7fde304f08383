"""Whether a response program is what one node does, and so the network itself."""

from __future__ import annotations

import numpy as np
import pandas as pd

from argen.corrections import Programs
from argen.steps import DescendantScreen

# A node whose likeness is larger may carry the program. In simulated screens the largest of all
# nodes was 0.55 to 0.85 for programs around the network, and 0.97 or more where a node that acts on
# most genes was taken for one.
LARGEST_LIKENESS = 0.9


def program_carriers(programs: Programs, screen: DescendantScreen) -> pd.DataFrame:
    """Return how much each program looks like what one node does: program, node, likeness.

    If a program were what node j does, perturbation k would set it off as strongly as it changes
    j, its own perturbation included: s_k in proportion to R_kj, the total effect before programs
    were taken out. The likeness is the cosine of the two, without its sign; the most alike first.
    """
    nodes, n = programs.nodes, len(programs.nodes)
    effects = screen.effect[:, :n].copy()
    np.fill_diagonal(effects, screen.knockdown.effect)
    effects += programs.scores @ programs.loadings[:n].T
    known = np.isfinite(effects)
    effects[~known] = 0.0
    parts = []
    for c in range(programs.n_programs):
        score = np.where(known, programs.scores[:, [c]], 0.0)
        scale = np.sqrt((effects**2).sum(axis=0) * (score**2).sum(axis=0))
        likeness = np.abs((effects * score).sum(axis=0)) / np.maximum(scale, 1e-300)
        part = pd.DataFrame({"program": c + 1, "node": nodes, "likeness": likeness})
        parts.append(part.sort_values("likeness", ascending=False, kind="stable"))
    columns = ["program", "node", "likeness"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
