"""How commands show what checks have found."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from argen.checks import Diagnostics
from argen.cli import console
from argen.network import CausalNetwork
from argen.report import write_report


def show_findings(
    found: Diagnostics,
    network: CausalNetwork,
    out: Path | None,
    stability: pd.DataFrame | None = None,
) -> None:
    """Print the findings, and write tables and report into a folder where one is named."""
    console.out.print(found.summary())
    if out is not None:
        found.write(out)
        page = out / "report.html"
        write_report(network, page, diagnostics=found, stability=stability)
        console.out.print(f"\nThe tables, and report.html with network and findings, are in {out}")
