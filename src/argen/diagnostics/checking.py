"""All checks of a run, one after another."""

from __future__ import annotations

import pandas as pd

from argen.design import Design, build_design
from argen.diagnostics import relevance
from argen.diagnostics.findings import Diagnostics, Finding
from argen.network import CausalNetwork
from argen.perturbseq import PerturbSeqData
from argen.pipeline import infer_network


def check(data: PerturbSeqData, network: CausalNetwork | None = None) -> Diagnostics:
    """Check what the network of a screen rests on.

    Relevance: every perturbation's effect on its own gene, and how well the perturbations tell
    each candidate from the others (``argen.diagnostics.relevance``).

    Parameters
    ----------
    data
        The screen.
    network
        What ``infer_network`` made of it; inferred with the default options when None.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=4000)
    >>> found = argen.diagnostics.check(data)
    >>> int(found.tables["knockdown"]["failed"].sum())
    0
    """
    network = network or infer_network(data)
    design = build_design(data)
    found = _Found([], {}, [])
    _check_relevance(found, design, network, data)
    return Diagnostics.of(found.findings, found.tables, found.measured)


class _Found:
    """What the checks have said so far."""

    def __init__(
        self, findings: list[Finding], tables: dict[str, pd.DataFrame], measured: list[str]
    ) -> None:
        self.findings = findings
        self.tables = tables
        self.measured = measured


def _check_relevance(
    found: _Found, design: Design, network: CausalNetwork, data: PerturbSeqData
) -> None:
    knockdown = relevance.knockdown_table(network, data.n_perturbed)
    found.tables["knockdown"] = knockdown
    found.findings += relevance.knockdown_findings(knockdown)
    left = knockdown["percent_remaining"]
    found.measured.append(
        f"knock-down: {left.min():.0f} to {left.max():.0f} % of each gene's expression left "
        f"(median {left.median():.0f} %)"
    )
    if not design.one_per_cell or design.n_nodes > relevance.MOST_NODES:
        why = (
            f"there are more than {relevance.MOST_NODES} nodes"
            if design.one_per_cell
            else "cells carry several perturbations"
        )
        found.measured.append(f"strength given the other candidates: not computed, as {why}")
        return
    strength = relevance.strength_table(network, relevance.node_effects(design))
    found.tables["strength"] = strength
    failed = set(knockdown.loc[knockdown["failed"], "node"])
    found.findings += relevance.strength_findings(strength, failed)
    if len(strength):
        found.measured.append(
            f"strength given the other candidates: conditional F from "
            f"{strength['conditional_f'].min():.3g} to {strength['conditional_f'].max():.3g} over "
            f"{len(strength)} candidates"
        )
