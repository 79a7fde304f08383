"""What edges say of each other, in findings."""

from __future__ import annotations

import numpy as np
import pandas as pd

from argen.checks.edges.direction import (
    direction_findings,
    direction_line,
    direction_table,
    feedback_table,
    groups_table,
)
from argen.checks.edges.validation import (
    MOST_ENTRIES,
    concordance_findings,
    concordance_line,
    concordance_table,
    implied_findings,
    implied_line,
    implied_table,
)
from argen.checks.findings import Diagnostics, Found
from argen.errors import InputError
from argen.network import CausalNetwork


def check_edges(network: CausalNetwork) -> Diagnostics:
    """Say which edges might point the other way, and whether the edges add up."""
    found, direction = Found(), check_direction(network)
    _add_validation(found, network, direction.tables["feedback"].query("sure"))
    return direction.joined(found.all())


def check_direction(network: CausalNetwork) -> Diagnostics:
    """Say which edges might point the other way."""
    tables = {
        "feedback": feedback_table(network),
        "direction": direction_table(network),
        "groups": groups_table(network),
    }
    findings = direction_findings(tables["direction"])
    return Diagnostics.of(findings, tables, [direction_line(*tables.values())])


def _add_validation(found: Found, network: CausalNetwork, both_ways: pd.DataFrame) -> None:
    n_candidates = network.candidates.groupby("target").size()
    of_edges = network.edges["target"].map(n_candidates).to_numpy(dtype=np.int64)
    entries = int((of_edges**2).sum())
    try:
        if entries > MOST_ENTRIES:
            raise InputError("edges have too many candidates beside them.")
        implied = implied_table(network)
    except InputError as error:
        found.measured.append(f"total effects that the edges imply: not computed: {error}")
    else:
        found.tables["implied"] = implied
        found.findings += implied_findings(implied, both_ways)
        found.measured.append(implied_line(implied))
    concordance = concordance_table(network)
    found.tables["concordance"] = concordance
    found.findings += concordance_findings(concordance)
    found.measured.append(concordance_line(concordance))
