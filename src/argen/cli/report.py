"""``argen report``: the page of a result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from argen.cli import console
from argen.cli.options import OUTPUT
from argen.cli.reading import read_table
from argen.network import load
from argen.report import write_report


def report(
    result: Annotated[Path, Parameter(name="RESULT")],
    /,
    *,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"], group=OUTPUT)] = None,
    stability: Path | None = None,
    title: str = "Causal gene network",
) -> None:
    """Write the report of a result: one page to open in a browser, without a network.

    Parameters
    ----------
    result
        Network file, or the results folder of argen fit.
    out
        File to write (.html); report.html beside the network file when left out.
    stability
        Table (.tsv) with columns source, target and frequency, the share of resamples that
        have the edge.
    title
        Heading of the page.
    """
    network = load(result)
    folder = result if result.is_dir() else result.parent
    out = out or folder / "report.html"
    with console.results_in(out.parent):
        page = write_report(network, out, stability=read_table(stability), title=title)
    console.out.print(f"The report is {page}")
