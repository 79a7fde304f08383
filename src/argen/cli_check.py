"""The command that checks what a network rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter, validators
from rich.console import Console

from argen.cli_options import METHOD, OUTPUT, ScreenOptions, split_list
from argen.config import InferenceConfig
from argen.errors import InputError, first_few, nearest
from argen.perturbseq import PerturbSeqData

if TYPE_CHECKING:
    import pandas as pd


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
        held_out: str = "",
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
        held_out
            Perturbations to leave out one at a time and predict from the rest: "nodes" for
            those of all nodes, "guides" for every guide of them, or labels, as A,B, also of
            genes that are not measured.
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
        from argen.diagnostics import held_out as hold_out

        if held_out == "guides" and not guide:
            raise InputError("--held-out guides needs the column of the guides: add --guide.")
        if out is not None:
            make_folder(out)
        data = read(file, screen)
        guides = read_columns(file, [guide])[guide] if guide else None
        network = infer_network(data, config)
        found = check_screen(
            data,
            network,
            guides=guides,
            others=read_columns(file, split_list(also)) if also else None,
            n_null_tests=null_tests,
            rng=seed,
        )
        if held_out == "guides":
            found = found.joined(hold_out(data, config, guides=guides))
        elif held_out:
            named = data.nodes if held_out == "nodes" else split_list(held_out)
            labels = [name for name in named if name not in data.nodes]
            of_cells = read_columns(file, [screen.target])[screen.target] if labels else None
            if of_cells is not None:
                _refuse_unknown(labels, of_cells)
                # Their cells are read as controls, and take no part in any fit.
                data = read(file, replace(screen, control=(*screen.control, *labels)))
            found = found.joined(hold_out(data, config, held=named, labels=of_cells))
        console.print(found.summary())
        if out is not None:
            found.write(out)
            write_report(network, out / "report.html", diagnostics=found)
            console.print(f"\nThe tables, and report.html with network and findings, are in {out}")


def _refuse_unknown(names: list[str], labels: pd.Series) -> None:
    known = [str(label) for label in labels.unique()]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"--held-out {first_few(unknown)}: no node and no label.{nearest(unknown[0], known)} "
            'Expected "nodes", "guides", or labels as A,B.'
        )
