"""Balance of the cells' columns, in findings."""

from __future__ import annotations

import pandas as pd

from argen.checks.cells.balance import balance_findings, balance_quantiles, balance_table
from argen.checks.findings import Diagnostics, Found
from argen.data import PerturbSeqData


def check_balance(data: PerturbSeqData, others: pd.DataFrame) -> Diagnostics:
    """Test whether chance decided which cell got which perturbation."""
    found = Found()
    table = balance_table(data, others)
    found.tables["balance"] = table
    found.tables["balance_qq"] = balance_quantiles(table)
    found.findings += balance_findings(table)
    for role, rows in table.groupby("role", sort=False):
        found.measured.append(
            f"balance ({role}): {int(rows['unbalanced'].sum())} of "
            f"{int(rows['p_value'].notna().sum())} tests unbalanced, "
            f"{int((rows['p_value'] < 0.05).sum())} with p < .05"
        )
    return found.all()
