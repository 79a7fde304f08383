"""The perturbations as instruments, in findings."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from argen.checks.findings import Diagnostics, Found
from argen.checks.instruments.anderson_rubin import (
    INTERVAL_COLUMNS,
    interval_rows,
    weak_instrument_findings,
)
from argen.checks.instruments.off_target import off_target_rows, off_target_table
from argen.checks.instruments.strength import (
    MOST_NODES,
    effective_cells,
    knockdown_findings,
    knockdown_table,
    most_candidates,
    strength_findings,
    strength_table,
)
from argen.checks.instruments.transcripts import transcript_findings
from argen.checks.instruments.two_stages import edges_by_target
from argen.data import PerturbSeqData
from argen.network import CausalNetwork, program_carriers
from argen.pvalues import critical_value


def check_knockdowns(network: CausalNetwork) -> Diagnostics:
    """Say what the network says by itself, and what each perturbation did to its own gene."""
    found = Found()
    found.findings += network.findings()
    _add_programs(found, network)
    _add_knockdown(found, _knockdowns(network), network)
    return found.all()


def check_instruments(
    network: CausalNetwork,
    data: PerturbSeqData,
    *,
    every_edge: bool,
) -> Diagnostics:
    """Say how strong the perturbations are, by themselves and given the others."""
    found = Found()
    knockdown = _knockdowns(network)
    knockdown.insert(1, "n_perturbed", data.n_perturbed)
    knockdown.insert(2, "effective_cells", effective_cells(data))
    found.findings += network.findings()
    _add_programs(found, network)
    _add_knockdown(found, knockdown, network)
    strength = strength_table(network, data)
    found.tables["strength"] = strength
    failed = set(knockdown.loc[knockdown["failed"], "node"])
    found.findings += strength_findings(strength, failed)
    most = min(MOST_NODES, most_candidates(data))
    if len(strength):
        found.measured.append(
            f"strength given the other candidates: conditional F from "
            f"{strength['conditional_f'].min():.3g} to {strength['conditional_f'].max():.3g} over "
            f"{len(strength)} {'candidates' if data.n_nodes <= most else 'edges'}"
        )
        if n_not := int(strength["conditional_f"].isna().sum()):
            found.measured.append(
                f"strength of {n_not} sources: not computed, as a first stage failed, or the "
                f"target has more than {most_candidates(data)} candidates"
            )
    doubtful = None if every_edge else strength[strength["weak"].astype(bool)]
    needed, intervals = tables_of_edges(network, data, doubtful)
    found.tables["off_target_needed"] = needed
    if needed["needed"].notna().any():
        least = needed.sort_values("needed", key=abs).to_dict("records")[0]
        found.measured.append(
            "off-target effects that would explain an edge away: from "
            f"{abs(least['needed']):.2f} in log fold change ({least['source']} on "
            f"{least['target']})"
        )
    found.tables["weak_instruments"] = intervals
    found.findings += weak_instrument_findings(intervals)
    if len(intervals):
        n_signed = int(intervals["one_sign"].sum())
        found.measured.append(
            f"Anderson-Rubin intervals: {n_signed} of {len(intervals)} "
            f"{'' if every_edge else 'weak '}edges keep their sign"
        )
    return found.all()


def tables_of_edges(
    network: CausalNetwork, data: PerturbSeqData, doubtful: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what would explain each edge away, and intervals that need no strong instruments.

    The two stages of a target are fitted once for both.

    Parameters
    ----------
    doubtful
        Rows with source and target: intervals of these edges alone; of all edges when None.
    """
    pairs = (
        None if doubtful is None else set(zip(doubtful["source"], doubtful["target"], strict=True))
    )
    needed, intervals = [], []
    bound = critical_value(network.config.confidence) ** 2
    for of_target in edges_by_target(network, data):
        needed += off_target_rows(network, of_target)
        edges = of_target.edges
        chosen = [
            pairs is None or pair in pairs
            for pair in zip(edges["source"], edges["target"], strict=True)
        ]
        intervals += interval_rows(replace(of_target, edges=edges[chosen]), bound)
    return off_target_table(network, needed), pd.DataFrame(intervals, columns=INTERVAL_COLUMNS)


def _add_programs(found: Found, network: CausalNetwork) -> None:
    """Say how it was decided how many response programs there are."""
    if network.programs is not None:
        found.tables["programs"] = network.programs.to_frame()
        found.tables["program_carriers"] = program_carriers(network.programs, network.screen)
    found.measured.append(f"response programs: {network.programs_line()}")


def _knockdowns(network: CausalNetwork) -> pd.DataFrame:
    """Return effects in the cells where guides work, where these are known."""
    confidence = network.config.confidence
    return knockdown_table(network.screen, confidence=confidence, penetrance=network.penetrance)


def _add_knockdown(found: Found, knockdown: pd.DataFrame, network: CausalNetwork) -> None:
    found.tables["knockdown"] = knockdown
    found.findings += [*knockdown_findings(knockdown), *transcript_findings(knockdown)]
    remaining = knockdown["percent_remaining"]
    found.measured.append(
        f"knock-down: {remaining.min():.0f} to {remaining.max():.0f} % of each gene's expression "
        f"left (median {remaining.median():.0f} %)"
    )
    found.measured.append(f"penetrance: {network.penetrance_line()}")
    guides = network.guide_strengths()
    if guides is not None:
        found.tables["guide_strengths"] = guides
