"""The commands that check what a network rests on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

from cyclopts import App, Parameter, validators
from rich.console import Console

from argen.blocks import Progress
from argen.cli_options import METHOD, OUTPUT, ScreenOptions, split_list
from argen.config import InferenceConfig
from argen.errors import InputError, first_few, nearest
from argen.network import CausalNetwork
from argen.perturbseq import PerturbSeqData

if TYPE_CHECKING:
    import pandas as pd

    from argen.diagnostics import Diagnostics


def add_check(
    app: App,
    console: Console,
    read: Callable[[Path, ScreenOptions], PerturbSeqData],
    make_folder: Callable[[Path], None],
    progress: Callable[[], AbstractContextManager[Progress | None]],
) -> None:
    """Add the commands, which print on a console.

    Parameters
    ----------
    read
        From a file and its options to the screen.
    make_folder
        Makes a folder, or says why it cannot be written.
    progress
        Opens what shows how far a command is.
    """

    @app.command
    def check(
        file: Annotated[Path, Parameter(name="FILE")],
        /,
        *,
        screen: ScreenOptions | None = None,
        config: Annotated[InferenceConfig, Parameter(name="*", group=METHOD)] = InferenceConfig(),
        guide: str | None = None,
        also: str = "",
        every_edge: bool = False,
        held_out: str = "",
        sensitivity: bool = False,
        other_sizes: str = "",
        null_tests: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 10_000,
        seed: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 1,
        out: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    ) -> None:
        """Check whether the assumptions behind a network hold, and print what was found.

        Parameters
        ----------
        file
            AnnData file (.h5ad) or zarr store with raw counts; or a network file or results
            folder of argen fit, of which only what needs no cells is checked.
        guide
            Column of obs with the guide of each cell, to compare the guides of a gene.
        also
            Further columns of obs, as A,B, that should be balanced over the perturbations.
        every_edge
            Give every edge an Anderson-Rubin interval, rather than those of weak candidates.
        held_out
            Perturbations to leave out one at a time and predict from the rest: "nodes" for
            those of all nodes, "guides" for every guide of them, or labels, as A,B, also of
            genes that are not measured.
        sensitivity
            Infer the network again under other choices: levels, covariates and batches left out,
            cells filtered, each gene hidden.
        other_sizes
            Further columns of obs with a library size, as A,B, to take in turn with --sensitivity.
        null_tests
            About how many null tests to make of each kind; 0: none.
        seed
            Seed of the null screens.
        out
            Folder for the summary, the table of each check, and the report of the network with
            the findings; no files when left out.
        """
        from argen import infer_network
        from argen.diagnostics import check as check_screen
        from argen.diagnostics import check_result
        from argen.diagnostics import sensitivity as vary

        _refuse_alone(held_out, guide, other_sizes, sensitivity=sensitivity)
        if out is not None:
            make_folder(out)
        if is_result(file):
            _refuse_input_options(file, screen)
            network = CausalNetwork.load(file)
            show(check_result(network), network, out)
            return
        screen = screen or _refuse_screen(file)
        data = read(file, screen)
        of_guides = _columns(file, [guide] if guide else [])
        guides = None if of_guides is None else of_guides[guide]
        network = infer_network(data, config)
        found = check_screen(
            data,
            network,
            guides=guides,
            others=_columns(file, split_list(also)),
            every_edge=every_edge,
            n_null_tests=null_tests,
            rng=seed,
        )
        if held_out:
            found = found.joined(_leave_out(held_out, file, data, read, screen, config, guides))
        if sensitivity:
            sizes = _columns(file, split_list(other_sizes))
            found = found.joined(vary(data, network, library_sizes=sizes))
        show(found, network, out)

    @app.command
    def stability(
        file: Annotated[Path, Parameter(name="FILE")],
        /,
        *,
        screen: ScreenOptions,
        config: Annotated[InferenceConfig, Parameter(name="*", group=METHOD)] = InferenceConfig(),
        resamples: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 100,
        scheme: Literal["subsample", "bootstrap"] = "subsample",
        fraction: Annotated[float, Parameter(validator=validators.Number(gt=0, lt=1))] = 0.5,
        seed: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 1,
        out: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    ) -> None:
        """Infer the network again from resampled cells, and print how often edges come back.

        Parameters
        ----------
        file
            AnnData file (.h5ad) or zarr store with raw counts.
        resamples
            How many times.
        scheme
            Part of the cells without repeats, or as many as there are with repeats.
        fraction
            Of the cells of each perturbation, and of the controls, in a subsample.
        seed
            Of the draws.
        out
            Folder for the tables, and the report of the network with the stability of each
            edge; no files when left out.
        """
        from argen import infer_network
        from argen.diagnostics import stability as resample

        if out is not None:
            make_folder(out)
        data = read(file, screen)
        network = infer_network(data, config)
        with progress() as shown:
            found = resample(
                data, network, n_resamples=resamples, scheme=scheme, fraction=fraction, rng=seed,
                progress=shown,
            )  # fmt: skip
        show(found, network, out, found.tables["stability"])

    def show(
        found: Diagnostics,
        network: CausalNetwork,
        out: Path | None,
        stability: pd.DataFrame | None = None,
    ) -> None:
        from argen import write_report

        console.print(found.summary())
        if out is not None:
            found.write(out)
            page = out / "report.html"
            write_report(network, page, diagnostics=found, stability=stability)
            console.print(f"\nThe tables, and report.html with network and findings, are in {out}")


def _columns(file: Path, names: list[str]) -> pd.DataFrame | None:
    """Read some columns of obs; None without any."""
    from argen.data.columns import read_columns

    return read_columns(file, names) if names else None


def _refuse_alone(held_out: str, guide: str | None, other_sizes: str, *, sensitivity: bool) -> None:
    """Refuse an option that needs another one."""
    if held_out == "guides" and not guide:
        raise InputError("--held-out guides needs the column of the guides: add --guide.")
    if other_sizes and not sensitivity:
        raise InputError("--other-sizes has choices of --sensitivity: add it.")


def _leave_out(
    held: str,
    file: Path,
    data: PerturbSeqData,
    read: Callable[[Path, ScreenOptions], PerturbSeqData],
    screen: ScreenOptions,
    config: InferenceConfig,
    guides: pd.Series | None,
) -> Diagnostics:
    """Predict what is left out: all nodes, all guides, or some labels."""
    from argen.data.columns import read_columns
    from argen.diagnostics import held_out

    if held == "guides":
        return held_out(data, config, guides=guides)
    named = data.nodes if held == "nodes" else split_list(held)
    labels = [name for name in named if name not in data.nodes]
    if not labels:
        return held_out(data, config, held=named)
    of_cells = read_columns(file, [screen.target])[screen.target]
    _refuse_unknown(labels, of_cells)
    # Their cells are read as controls, and take no part in any fit.
    data = read(file, replace(screen, control=(*screen.control, *labels)))
    return held_out(data, config, held=named, labels=of_cells)


def is_result(path: Path) -> bool:
    """Whether a path is a network file, or the results folder of a run."""
    return path.suffix == ".npz" or (path / "network.npz").is_file()


def _refuse_input_options(result: Path, screen: ScreenOptions | None) -> None:
    if screen is not None:
        raise InputError(
            f"{str(result)!r} is a result, which has no cells to read with --target: check it "
            "without the options of the input, or check the file of the screen."
        )


def _refuse_screen(file: Path) -> NoReturn:
    raise InputError(
        f"{str(file)!r} is no result of argen fit: to check a screen, add --target and the other "
        "options of argen fit."
    )


def _refuse_unknown(names: list[str], labels: pd.Series) -> None:
    known = [str(label) for label in labels.unique()]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"--held-out {first_few(unknown)}: no node and no label.{nearest(unknown[0], known)} "
            'Expected "nodes", "guides", or labels as A,B.'
        )
