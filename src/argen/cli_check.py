"""The command that checks what a network rests on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators
from rich.console import Console

from argen.cli_options import METHOD, OUTPUT, ScreenOptions, split_list
from argen.config import InferenceConfig
from argen.perturbseq import PerturbSeqData


def add_check(
    app: App,
    console: Console,
    read: Callable[[Path, ScreenOptions], PerturbSeqData],
    make_folder: Callable[[Path], None],
) -> None:
    """Add the command, which prints on a console.

    Parameters
    ----------
    read
        From a file and its options to the screen.
    make_folder
        Makes a folder, or says why it cannot be written.
    """

    @app.command
    def check(
        file: Annotated[Path, Parameter(name="FILE")],
        /,
        *,
        screen: ScreenOptions,
        config: Annotated[InferenceConfig, Parameter(name="*", group=METHOD)] = InferenceConfig(),
        guide: str | None = None,
        also: str = "",
        null_tests: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 10_000,
        seed: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 1,
        out: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    ) -> None:
        """Check whether the assumptions behind a network hold, and print what was found.

        Parameters
        ----------
        file
            AnnData file (.h5ad) or zarr store with raw counts.
        guide
            Column of obs with the guide of each cell, to compare the guides of a gene.
        also
            Further columns of obs, as A,B, that should be balanced over the perturbations.
        null_tests
            About how many null tests to make of each kind; 0: none.
        seed
            Seed of the null screens.
        out
            Folder for the summary, the table of each check, and the report of the network with
            the findings; no files when left out.
        """
        from argen import infer_network, write_report
        from argen.data.columns import read_columns
        from argen.diagnostics import check as check_screen

        if out is not None:
            make_folder(out)
        data = read(file, screen)
        network = infer_network(data, config)
        found = check_screen(
            data,
            network,
            guides=read_columns(file, [guide])[guide] if guide else None,
            others=read_columns(file, split_list(also)) if also else None,
            n_null_tests=null_tests,
            rng=seed,
        )
        console.print(found.summary())
        if out is not None:
            found.write(out)
            write_report(network, out / "report.html", diagnostics=found)
            console.print(f"\nThe tables, and report.html with network and findings, are in {out}")
