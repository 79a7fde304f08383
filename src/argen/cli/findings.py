"""How commands show what checks have found."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from argen.checks import Diagnostics
from argen.cli import console
from argen.errors import shown
from argen.files import writing
from argen.network import CausalNetwork
from argen.report import write_report

# Edges whose weakest points are printed.
MOST_PRINTED = 10


def show_findings(
    found: Diagnostics,
    network: CausalNetwork,
    out: Path | None,
    stability: pd.DataFrame | None = None,
) -> None:
    """Print the findings, and write tables and report into a folder where one is named."""
    console.out.print(found.summary())
    if len(found.tables.get("weak_points", ())):
        console.out.print(weakest_points(network, found.tables["weak_points"]))
    if out is not None:
        with writing(out, "check") as beside:
            found.write(beside)
            page = beside / "report.html"
            write_report(
                network, page, diagnostics=found, stability=stability, title="Checks of a network"
            )
        console.out.print(f"\nThe tables, and report.html with network and findings, are in {out}")


def weakest_points(network: CausalNetwork, points: pd.DataFrame) -> str:
    """Return the weakest point of the most significant edges, a line each."""
    pair = ["source", "target"]
    ranked = network.edges[[*pair, "log10_p"]].merge(points, on=pair).sort_values("log10_p")
    lines = [f"- {shown(sentence)}" for sentence in ranked["sentence"].head(MOST_PRINTED)]
    more = f"and {len(points) - MOST_PRINTED} more in weak_points.tsv, which --out writes"
    head = "\nWhat speaks most against each edge, the most significant edge first:"
    return "\n".join([head, *lines, *([more] if len(points) > MOST_PRINTED else [])])
