"""Balance of the cells' columns, and composition of their counts, in findings."""

from __future__ import annotations

import pandas as pd

from argen.checks.cells.balance import balance_findings, balance_quantiles, balance_table
from argen.checks.cells.composition import composition_findings, composition_table
from argen.checks.findings import Diagnostics, Found
from argen.data import PerturbSeqData


def check_cells(data: PerturbSeqData, others: pd.DataFrame) -> Diagnostics:
    """Test whether chance decided which cell got which perturbation, and look at the sizes."""
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
    composition = composition_table(data)
    found.tables["composition"] = composition
    found.findings += composition_findings(composition)
    most = composition["lent"].abs().max()
    if most > 0:
        found.measured.append(
            f"composition: the loss of one gene moves all others by at most {100 * most:.2g} %"
        )
    return found.all()
