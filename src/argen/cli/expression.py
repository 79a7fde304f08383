"""``argen expression``: a child's expression under perturbation of its parent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from argen.cli import console
from argen.cli.options import INPUT, OUTPUT, Format
from argen.cli.reading import read_screen, recognised
from argen.network import load
from argen.plot import write_expression
from argen.read import ReadOptions


def expression(
    file: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    screen: Annotated[ReadOptions | None, Parameter(name="*", group=INPUT)] = None,
    result: Path,
    parent: str,
    child: str,
    out: Annotated[Path, Parameter(group=OUTPUT)] = Path("argen_figures"),
    format_: Annotated[Format, Parameter(name="--format", group=OUTPUT)] = "pdf",
) -> None:
    """Draw a child's expression under perturbation of its parent, and the reverse.

    Parameters
    ----------
    file
        Screen that the result was inferred from, as for argen fit.
    result
        Network file, or the results folder of argen fit.
    parent
        A perturbed gene.
    child
        Another one, that it acts on.
    out
        Folder for figure and table; files of the same names are replaced.
    format_
        Of the figure.
    """
    network = load(result)
    with console.results_in(out):
        data = read_screen(file, screen or recognised(file))
        paths = write_expression(network, data, parent, child, out, file_format=format_)
    console.out.print(f"{paths[0].name} and its table (.tsv) are in {out}")
