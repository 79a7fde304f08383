"""How strong an off-target effect would have to be to explain an edge away."""

from __future__ import annotations

import numpy as np
import pandas as pd

from argen.checks.instruments.weak import two_stages
from argen.data import PerturbSeqData
from argen.engine import Genes, ParentJob
from argen.network import CausalNetwork
from argen.pvalues import critical_value


def off_target_table(network: CausalNetwork, data: PerturbSeqData) -> pd.DataFrame:
    """Return how strong an off-target effect would have to be to explain each edge away.

    If the perturbation of source k acts on the target directly by d, in log fold change, then
    ``Pi' theta = delta`` becomes ``Pi' theta = delta - d e_k``, so that the effect is too large by
    ``w d``, ``w = (Pi'^-1)_kk``. ``needed`` is the d that leaves no effect, ``theta_k / w``, and
    ``needed_for_interval`` the one that lets the interval reach 0; both also as the percentage
    by which the guide alone would change the target. ``total_effect`` is all that the
    perturbation does to the target.
    """
    genes, number = Genes(data), {gene: i for i, gene in enumerate(network.genes)}
    margin, rows = critical_value(network.config.confidence), []
    for name, edges in network.edges.groupby("target", sort=False):
        target = number[str(name)]
        candidates = network.causal_order.candidates(target)
        stages = two_stages(genes, ParentJob(target, candidates), network.config.model_share)
        weights = np.full(len(candidates), np.nan)
        if stages is not None:
            weights = np.diagonal(np.linalg.solve(stages.pi, np.eye(len(candidates))))
        places = {source: k for k, source in enumerate(candidates.tolist())}
        for edge in edges.to_dict("records"):
            source = number[edge["source"]]
            # Other methods call pairs that are no candidates in the order.
            weight = float(weights[places[source]]) if source in places else np.nan
            left = max(abs(edge["effect"]) - margin * edge["std_error"], 0.0)
            needed = edge["effect"] / weight
            least = np.sign(edge["effect"]) * left / weight
            total = network.screen.effect[source, target]
            rows.append((edge["source"], edge["target"], edge["effect"], total, needed, least))
    columns = ["source", "target", "effect", "total_effect", "needed", "needed_for_interval"]
    table = pd.DataFrame(rows, columns=columns)
    for column in ("needed", "needed_for_interval"):
        table[f"{column}_percent"] = 100.0 * np.expm1(table[column].astype(float))
    return table
