"""How strong an off-target effect would have to be to explain an edge away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from argen.checks.instruments.two_stages import EdgesOfTarget
from argen.network import CausalNetwork
from argen.pvalues import critical_value

_COLUMNS = ["source", "target", "effect", "needed", "needed_for_interval"]


def off_target_rows(network: CausalNetwork, of_target: EdgesOfTarget) -> list[tuple[Any, ...]]:
    """Return how strong an off-target effect would have to be to explain each edge away.

    If the perturbation of source k acts on the target directly by d, in log fold change, then
    ``Pi' theta = delta`` becomes ``Pi' theta = delta - d e_k``, so that the effect is too large by
    ``w d``, ``w = (Pi'^-1)_kk``. ``needed`` is the d that leaves no effect, ``theta_k / w``, and
    ``needed_for_interval`` the one that lets the interval reach 0.
    """
    stages, rows = of_target.stages, []
    margin = critical_value(network.config.confidence)
    weights = np.full(len(of_target.place), np.nan)
    if stages is not None:
        weights = np.diagonal(np.linalg.solve(stages.pi, np.eye(len(weights))))
    for edge in of_target.edges.to_dict("records"):
        source, target, effect = edge["source"], edge["target"], edge["effect"]
        k = of_target.place.get(source)
        weight = np.nan if k is None else float(weights[k])
        beyond = np.sign(effect) * max(abs(effect) - margin * edge["std_error"], 0.0)
        rows.append((source, target, effect, effect / weight, beyond / weight))
    return rows


def off_target_table(network: CausalNetwork, rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Return rows of edges as a table.

    Also in percent, by which the guide alone would change the target; ``total_effect`` is all
    that the perturbation does to it.
    """
    table, number = (
        pd.DataFrame(rows, columns=_COLUMNS),
        {g: i for i, g in enumerate(network.genes)},
    )
    at = tuple(table[end].map(number).to_numpy(dtype=np.int64) for end in ("source", "target"))
    table.insert(3, "total_effect", network.screen.effect[at])
    with np.errstate(over="ignore"):  # hopeless instruments: no finite effect would do
        for column in ("needed", "needed_for_interval"):
            table[f"{column}_percent"] = 100.0 * np.expm1(table[column].astype(float))
    return table
