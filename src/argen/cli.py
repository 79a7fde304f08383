"""The command line: parse, call, print."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TextIO

from cyclopts import App, CycloptsError, Group, Parameter, UnusedCliTokensError, validators
from rich.console import Console

from argen import __version__
from argen.blocks import Progress
from argen.config import InferenceConfig
from argen.errors import ArgenError, ArgenWarning, InputError, first_few

EXIT_FAILURE, EXIT_BAD_INPUT = 1, 2

_INPUT = Group("Input columns", sort_key=1)
_METHOD = Group("Method", sort_key=2)
_OUTPUT = Group("Output", sort_key=3)

app = App(
    name="argen",
    help="Causal gene networks from Perturb-seq, robust to hidden confounders.",
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)
_out = Console(highlight=False, markup=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


@Parameter(name="*", group=_INPUT)
@dataclass(frozen=True, kw_only=True)
class ScreenOptions:
    """Where a screen's labels, depth and covariates are.

    Parameters
    ----------
    target
        Column of obs with the perturbed gene of each cell, or table of obsm with a column of
        0 and 1 for each perturbed gene.
    control
        Label of the control cells in that column; repeat it for several. Not needed when the
        target is a table of obsm, where cells without any perturbation are the controls.
    library_size
        Column of obs with the depth of each cell; the row sums when left out.
    covariates
        Columns of obs, as A,B, or a formula, as "~ A + C(B)".
    cells
        Cells to use: a boolean column of obs, or a pandas query.
    layer
        Layer with the raw counts, or "raw"; X when left out.
    gene_symbols
        Column of var with gene symbols to show and to match labels with.
    nodes
        Genes of the network, as A,B, or a file with one a line; when left out, every gene
        both perturbed and measured.
    sinks
        Genes that are targets without being nodes, as A,B, a file with one a line, or "all"
        for every measured gene.
    min_sink_mean
        Fewest counts of a sink, in the mean over cells.
    min_cells
        Fewest perturbed cells of a node.
    separator
        What joins the genes in the label of a cell with several perturbations, such as "+".
    target_names
        Names of the columns when the target is a table of obsm: a key of uns.
    memory
        How much memory the counts may take, such as "4 GB"; half of what is free when left out.
    scratch
        Folder for counts that do not fit in memory, used again in the next run.
    strict
        Stop where genes would be dropped with a warning.
    """

    target: str
    control: tuple[str, ...] = ()
    library_size: str | None = None
    covariates: str = ""
    cells: str | None = None
    layer: str | None = None
    gene_symbols: str | None = None
    nodes: str | None = None
    sinks: str | None = None
    min_sink_mean: float = 0.0
    min_cells: int = 10
    separator: str | None = None
    target_names: str | None = None
    memory: str | None = None
    scratch: Path | None = None
    strict: bool = False


@app.command
def fit(
    file: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    screen: ScreenOptions,
    config: Annotated[InferenceConfig, Parameter(name="*", group=_METHOD)] = InferenceConfig(),
    out: Annotated[Path, Parameter(group=_OUTPUT)] = Path("argen_results"),
    quiet: Annotated[bool, Parameter(group=_OUTPUT)] = False,
) -> None:
    """Infer the causal network of a screen and write the results folder.

    Parameters
    ----------
    file
        AnnData file (.h5ad) or zarr store with raw counts.
    out
        Folder for the results; files of an earlier run are replaced.
    quiet
        Print nothing but warnings and errors.
    """
    from argen import infer_network, read_perturbseq

    data = read_perturbseq(
        file,
        target=screen.target,
        control=screen.control,
        library_size=screen.library_size,
        covariates=_covariates(screen.covariates),
        layer=screen.layer,
        cells=screen.cells,
        nodes=_gene_list(screen.nodes, "--nodes"),
        sinks="all" if screen.sinks == "all" else _gene_list(screen.sinks, "--sinks"),
        min_sink_mean=screen.min_sink_mean,
        gene_symbols=screen.gene_symbols,
        min_cells=screen.min_cells,
        separator=screen.separator,
        target_names=screen.target_names,
        memory=screen.memory,
        scratch=screen.scratch,
        strict=screen.strict,
    )
    _make_folder(out)
    if not quiet:
        _out.print(f"{data.summary()}\n")
    with _progress_bar(quiet) as progress:
        network = infer_network(data, config, progress=progress, command=shlex.join(sys.argv))
    network.write_results(out)
    if not quiet:
        _out.print(f"{network.summary()}\n\nThe results are in {out}")


@app.command
def show(result: Annotated[Path, Parameter(name="RESULT")], /, *, gene: str | None = None) -> None:
    """Show a result: its summary, or the parents and children of a gene.

    Parameters
    ----------
    result
        Network file, or the results folder of argen fit.
    gene
        Show what is known of this gene alone.
    """
    from argen import CausalNetwork

    network = CausalNetwork.load(result)
    if gene is None:
        _out.print(network.summary())
        return
    columns = ["effect", "std_error", "ci_low", "ci_high", "log10_p", "status"]
    for title, end, table in (
        ("Parents", "source", network.parents(gene)),
        ("Children", "target", network.children(gene)),
    ):
        shown = table[[end, *columns]].to_string(index=False, float_format="%.3g")
        _out.print(f"{title} of {gene}:" + (f"\n{shown}\n" if len(table) else " none\n"))
    _out.print(f"Candidate parents: {', '.join(network.ancestors(gene)) or 'none'}")


@app.command
def simulate(
    *,
    out: Path,
    seed: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 1,
    n_cells: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 8000,
    hide: str = "",
) -> None:
    """Write the eight-gene screen of the ARGEN paper as an AnnData file, with its truth.

    Parameters
    ----------
    out
        File to write (.h5ad); the true edges are in uns["truth"].
    seed
        Seed of the random numbers.
    n_cells
        Cells before those of hidden genes are removed.
    hide
        Genes to hide, as X7,X8: the common causes of the others.
    """
    from argen import simulate_paper_screen, simulated_anndata

    if out.suffix != ".h5ad" or not out.parent.is_dir():
        raise InputError(f"--out must be an .h5ad file in a folder that exists, not {str(out)!r}.")
    data, truth = simulate_paper_screen(rng=seed, n_cells=n_cells, hidden=tuple(_split(hide)))
    try:
        simulated_anndata(data, truth).write_h5ad(out)
    except OSError as error:
        raise _cannot_write(out, error) from error
    fit_command = shlex.join(
        ["argen", "fit", str(out), "--target", "perturbation", "--control", "non-targeting",
         "--library-size", "library_size", "--covariates", "L"]
    )  # fmt: skip
    _out.print(f"{data.summary()}\n\nWrote {out}. Fit it with\n  {fit_command}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exits with 0 when done, 2 on bad input, 1 on failure."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    with _plain_warnings():
        try:
            app(arguments, exit_on_error=False, print_error=False)
        except CycloptsError as error:
            _err.print(f"error: {_what_is_wrong(error)}")
            sys.exit(EXIT_BAD_INPUT)
        except ArgenError as error:
            _err.print(f"error: {error}")
            sys.exit(EXIT_BAD_INPUT)
        except KeyboardInterrupt:
            _err.print("interrupted")
            sys.exit(EXIT_FAILURE)
        except Exception as error:
            _err.print(f"argen failed: {type(error).__name__}: {error}")
            _err.print(
                traceback.format_exc() if debug else "Run again with --debug for the traceback."
            )
            sys.exit(EXIT_FAILURE)


def _what_is_wrong(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError):
        return (
            f"Unexpected {first_few(error.unused_tokens or ())}. Write lists with commas and "
            "without spaces, as A,B, and put what holds spaces in quotes."
        )
    return str(error)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print argen's own warnings as one line each; leave the others as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", ArgenWarning)
        show_other = warnings.showwarning

        def show_one(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, ArgenWarning):
                _err.print(f"warning: {message}")
            else:
                show_other(message, category, filename, lineno, file, line)

        warnings.showwarning = show_one
        yield


@contextmanager
def _progress_bar(quiet: bool) -> Iterator[Progress | None]:
    if quiet or not _err.is_terminal:
        yield None
        return
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    with Bar(console=_err, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)

        yield report


def _make_folder(folder: Path) -> None:
    """Find out whether results can be written, before they are computed."""
    if os.path.isfile(folder):
        raise InputError(f"--out {str(folder)!r} is a file: expected a folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(path: Path, error: OSError) -> InputError:
    why = os.strerror(error.errno) if error.errno else error
    return InputError(f"--out {str(path)!r} cannot be written: {why}. Name another place.")


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _covariates(text: str) -> str | list[str]:
    return text.strip() if text.strip().startswith("~") else _split(text)


def _gene_list(text: str | None, option: str) -> list[str] | None:
    """Genes from a file with one a line, or from a list with commas."""
    if text is None:
        return None
    if not os.path.isfile(text):  # unlike Path.is_file, False for a list too long to be a path
        if "," not in text:
            raise InputError(
                f"{option} {text!r} is neither a file nor a list with commas, as A,B: expected at "
                "least two genes."
            )
        return _split(text)
    try:
        lines = Path(text).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{option} {text!r} cannot be read: {error}. Expected plain text in UTF-8 with one "
            "gene a line."
        ) from error
    return [line.strip() for line in lines if line.strip()]
