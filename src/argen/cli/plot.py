"""``argen plot``: the figures of a result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from argen.cli import console
from argen.cli.options import OUTPUT, Format
from argen.cli.reading import read_table, read_truth, split_list
from argen.network import load
from argen.plot import write_figures


def plot(
    result: Annotated[Path, Parameter(name="RESULT")],
    /,
    *,
    figures: str = "",
    gene: str | None = None,
    compare: tuple[Path, ...] = (),
    truth: Path | None = None,
    stability: Path | None = None,
    out: Annotated[Path, Parameter(group=OUTPUT)] = Path("argen_figures"),
    format_: Annotated[Format, Parameter(name="--format", group=OUTPUT)] = "pdf",
) -> None:
    """Draw figures of a result into a folder, each with a table of its numbers.

    Parameters
    ----------
    result
        Network file, or the results folder of argen fit.
    figures
        Figures by name, as network,forest; all when left out.
    gene
        Draw the network around this gene, and its effects.
    compare
        Another result on the same genes, to draw beside and against it; repeat it for more.
    truth
        Simulated screen (.h5ad) of the result, to draw estimates against the truth.
    stability
        Table (.tsv) with columns source, target and frequency.
    out
        Folder for figures and tables; files of the same names are replaced.
    format_
        Of the figures.
    """
    network = load(result)
    with console.results_in(out):
        paths = write_figures(
            network,
            out,
            names=split_list(figures) or None,
            gene=gene,
            others={str(path): load(path) for path in compare},
            truth=None if truth is None else read_truth(truth, network),
            stability=read_table(stability),
            file_format=format_,
        )
    drawn = ", ".join(path.name for path in paths if path.suffix != ".tsv")
    console.out.print(f"{drawn}, each with a table (.tsv), are in {out}")
