"""``argen export``: a result for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from argen.cli import console
from argen.cli.options import OUTPUT
from argen.interchange import Kind
from argen.interchange import export as write
from argen.network import load


def export(
    result: Annotated[Path, Parameter(name="RESULT")],
    kind: Annotated[Kind, Parameter(name="FORMAT")],
    /,
    *,
    screen: Path | None = None,
    out: Annotated[Path, Parameter(group=OUTPUT)] = Path("argen_export"),
) -> None:
    """Write a result in the format of another tool: Cytoscape, AnnData, MuData, Parquet.

    Parameters
    ----------
    result
        Network file, or the results folder of argen fit.
    kind
        cx2 for Cytoscape and NDEx, parquet for R and others, h5ad for AnnData, h5mu for MuData.
    screen
        AnnData or MuData file of the screen, whose cells are to be in the h5ad or h5mu.
    out
        Folder for the files; files of the same names are replaced.
    """
    network = load(result)
    with console.results_in(out):
        paths = write(network, kind, out, screen=screen)
    console.out.print(f"{', '.join(path.name for path in paths)}: in {out}")
