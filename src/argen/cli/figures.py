"""The commands that show a result: figures and the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from cyclopts import App, Parameter
from rich.console import Console

from argen.cli.options import OUTPUT, ScreenOptions, split_list
from argen.data.perturbseq import PerturbSeqData
from argen.errors import InputError
from argen.network.result import CausalNetwork
from argen.simulate.truth import Truth

Format = Literal["pdf", "svg", "png"]


def add_figures(
    app: App,
    console: Console,
    read: Callable[[Path, ScreenOptions], PerturbSeqData],
    make_folder: Callable[[Path], None],
) -> None:
    """Add the commands, which print on a console.

    Parameters
    ----------
    read
        From a file and its options to the screen.
    make_folder
        Makes a folder, or says why it cannot be written.
    """

    @app.command
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
        from argen import write_report

        network = CausalNetwork.load(result)
        folder = result if result.is_dir() else result.parent
        out = out or folder / "report.html"
        make_folder(out.parent)
        page = write_report(network, out, stability=_table(stability), title=title)
        console.print(f"The report is {page}")

    @app.command
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
        from argen.plot.files import write_figures

        network = CausalNetwork.load(result)
        make_folder(out)
        paths = write_figures(
            network,
            out,
            names=split_list(figures) or None,
            gene=gene,
            others={str(path): CausalNetwork.load(path) for path in compare},
            truth=None if truth is None else read_truth(truth, network),
            stability=_table(stability),
            file_format=format_,
        )
        drawn = ", ".join(path.name for path in paths if path.suffix != ".tsv")
        console.print(f"{drawn}, each with a table (.tsv), are in {out}")

    @app.command
    def expression(
        file: Annotated[Path, Parameter(name="FILE")],
        /,
        *,
        screen: ScreenOptions,
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
            AnnData file (.h5ad) or zarr store that the result was inferred from.
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
        from argen.plot.files import write_expression

        network = CausalNetwork.load(result)
        make_folder(out)
        paths = write_expression(network, read(file, screen), parent, child, out,
                                 file_format=format_)  # fmt: skip
        console.print(f"{paths[0].name} and its table (.tsv) are in {out}")


def read_truth(path: Path, network: CausalNetwork) -> Truth:
    """Read the true effects of a simulated screen, among the genes of a network.

    Raises
    ------
    InputError
        When the file has no truth, or lacks genes of the network.
    """
    import h5py
    from anndata.io import read_elem

    try:
        with h5py.File(path) as file:
            table = read_elem(file["uns/truth"])
            genes = tuple(read_elem(file["var"]).index)
    except (OSError, KeyError) as error:
        raise InputError(
            f"{str(path)!r} has no true effects: expected a file of argen simulate."
        ) from error
    number = {gene: i for i, gene in enumerate(genes)}
    direct = np.zeros((len(genes), len(genes)))
    at = tuple(table[end].map(number).to_numpy(dtype=np.int64) for end in ("source", "target"))
    direct[at] = table["effect"]
    kept = Truth(genes, direct).keep(network.genes)
    place = [kept.genes.index(gene) for gene in network.genes]
    return Truth(network.genes, kept.direct[np.ix_(place[: len(network.nodes)], place)])


def _table(path: Path | None) -> pd.DataFrame | None:
    if path is None:
        return None
    try:
        # Names such as NA or 007 are text.
        return pd.read_csv(
            path, sep="\t", dtype={"source": str, "target": str}, keep_default_na=False
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be read as a table: {error}.") from error
