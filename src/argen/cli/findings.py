"""How commands show what checks have found."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from argen.checks import Diagnostics
from argen.cli import console
from argen.files import writing
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
        with writing(out, "check") as beside:
            found.write(beside)
            page = beside / "report.html"
            write_report(network, page, diagnostics=found, stability=stability)
        console.out.print(f"\nThe tables, and report.html with network and findings, are in {out}")
