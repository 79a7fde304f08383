"""The command line: parse, call, print."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TextIO

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError, validators
from rich.console import Console

from argen import __version__
from argen.blocks import Executor, SerialExecutor
from argen.checkpoint import Checkpoint
from argen.cli_analysis import add_analysis
from argen.cli_check import add_check
from argen.cli_evidence import add_evidence
from argen.cli_figures import add_figures
from argen.cli_options import (
    METHOD,
    MODEL,
    OUTPUT,
    RunOptions,
    ScreenOptions,
    covariates_of,
    exactly,
    gene_list,
    split_list,
)
from argen.cli_predict import add_predict
from argen.cli_study import study_app
from argen.config import InferenceConfig
from argen.errors import ArgenError, ArgenWarning, InputError, first_few
from argen.methods import Method
from argen.perturbseq import PerturbSeqData
from argen.progress import shown_progress
from argen.simulate import ScreenModel

EXIT_FAILURE, EXIT_BAD_INPUT = 1, 2
CHECKPOINT = "checkpoint"  # within the folder of the results

app = App(
    name="argen",
    help="Causal gene networks from Perturb-seq, robust to hidden confounders.",
    version=__version__,
    help_format="plaintext",
    help_epilogue="With --debug, anywhere on the line, a failure prints its traceback.",
    default_parameter=Parameter(negative=(), converter=exactly),
    suppress_keyboard_interrupt=False,
)
_out = Console(highlight=False, markup=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


@app.command
def fit(
    file: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    screen: ScreenOptions,
    config: Annotated[InferenceConfig, Parameter(name="*", group=METHOD)] = InferenceConfig(),
    method: Annotated[Method, Parameter(group=METHOD)] = "argen",
    run: RunOptions = RunOptions(),
    out: Annotated[Path, Parameter(group=OUTPUT)] = Path("argen_results"),
    no_report: Annotated[bool, Parameter(group=OUTPUT)] = False,
    quiet: Annotated[bool, Parameter(group=OUTPUT)] = False,
) -> None:
    """Infer the causal network of a screen and write the results folder.

    Parameters
    ----------
    file
        AnnData file (.h5ad) or zarr store with raw counts.
    method
        The method, or one to compare it with: regression on measured expression, the inverse of
        the total effects (dense or sparse), every descendant an edge, or random pairs.
    out
        Folder for the results; files of an earlier run are replaced.
    no_report
        Do not write report.html, the page that shows the network.
    quiet
        Print nothing but warnings and errors.
    """
    from argen import infer_by, write_report
    from argen.glm._compile import on_compiling

    if not quiet:
        on_compiling(lambda: _err.print("Compiling for this machine, once: about 20 seconds."))
    _make_folder(out)
    _refuse_to_begin_again(out, resume=run.resume)
    with _executor(run, config) as executor:
        data = _read(file, screen)
        if not quiet:
            _out.print(f"{data.summary()}\n")
        checkpoint = Checkpoint(out / CHECKPOINT, data.checksum())
        with _how_to_go_on(checkpoint), shown_progress(_err, quiet=quiet) as progress:
            network = infer_by(
                method,
                data,
                config,
                executor=executor,
                checkpoint=checkpoint,
                progress=progress,
                command=shlex.join(sys.argv),
            )
            network.write_results(out)
            if not no_report:
                write_report(network, out / "report.html")
    checkpoint.remove()
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
    network: Literal["paper", "random"] = "paper",
    n_cells: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 8000,
    hide: str = "",
    model: Annotated[ScreenModel, Parameter(name="*", group=MODEL)] = ScreenModel(),
) -> None:
    """Write a simulated screen as an AnnData file, with its truth.

    Parameters
    ----------
    out
        File to write (.h5ad); the true edges are in uns["truth"].
    seed
        Seed of the random numbers.
    network
        The eight-gene screen of the ARGEN paper, or a random one, of which the options below
        say what it is like.
    n_cells
        Of the paper's screen: cells before those of hidden genes are removed.
    hide
        Of the paper's screen: genes to hide, as X7,X8: the common causes of the others.
    """
    from argen import simulate_paper_screen, simulated_anndata, write_screen

    if out.suffix != ".h5ad" or not out.parent.is_dir():
        raise InputError(f"--out must be an .h5ad file in a folder that exists, not {str(out)!r}.")
    if network == "paper" and model != ScreenModel():
        raise InputError("The options of a random network are for --network random: add it.")
    if network == "random" and (hide or n_cells != 8000):
        raise InputError("--hide and --n-cells are for the screen of the paper: leave them out.")
    try:
        if network == "random":
            truth = write_screen(out, model, rng=seed)
            covariates = [f"x{number + 1}" for number in range(model.n_numeric)]
            covariates += ["batch"] if model.n_batches > 1 else []
            said = f"{len(truth.genes)} genes, {len(truth.to_frame())} edges among them"
        else:
            data, truth = simulate_paper_screen(
                rng=seed, n_cells=n_cells, hidden=tuple(split_list(hide))
            )
            simulated_anndata(data, truth).write_h5ad(out)
            covariates, said = ["L"], data.summary()
    except OSError as error:
        raise _cannot_write(out, error) from error
    columns = ["--target", "perturbation", "--control", "non-targeting"]
    columns += ["--library-size", "library_size"]
    columns += ["--covariates", ",".join(covariates)] if covariates else []
    fit_command = shlex.join(["argen", "fit", str(out), *columns])
    _out.print(f"{said}\n\nWrote {out}. Fit it with\n  {fit_command}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exits with 0 when done, 2 on bad input, 1 on failure."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    with _plain_warnings(), _ended_like_interrupted():
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


def _read(file: Path, screen: ScreenOptions) -> PerturbSeqData:
    from argen import read_perturbseq

    return read_perturbseq(
        file,
        target=screen.target,
        control=screen.control,
        library_size=screen.library_size,
        covariates=covariates_of(screen.covariates),
        layer=screen.layer,
        cells=screen.cells,
        nodes=gene_list(screen.nodes, "--nodes"),
        sinks="all" if screen.sinks == "all" else gene_list(screen.sinks, "--sinks"),
        min_sink_mean=screen.min_sink_mean,
        gene_symbols=screen.gene_symbols,
        min_cells=screen.min_cells,
        separator=screen.separator,
        target_names=screen.target_names,
        memory=screen.memory,
        scratch=screen.scratch,
        strict=screen.strict,
    )


@contextmanager
def _executor(run: RunOptions, config: InferenceConfig) -> Iterator[Executor]:
    """Find or start whoever computes, before anything is read."""
    if run.executor == "serial":
        if run.scheduler is not None or run.workers is not None:
            raise InputError("--scheduler and --workers are for --executor dask: add it.")
        yield SerialExecutor()
        return
    from argen.scale import DaskExecutor

    with DaskExecutor(
        scheduler=run.scheduler, n_workers=run.workers, threads_per_worker=config.threads or 1
    ) as executor:
        yield executor


def _refuse_to_begin_again(out: Path, *, resume: bool) -> None:
    n_blocks = Checkpoint(out / CHECKPOINT, "").n_finished()
    if n_blocks and not resume:
        raise InputError(
            f"{str(out / CHECKPOINT)!r} has {n_blocks} finished blocks of a run that was ended. "
            "Add --resume to go on with it, or delete that folder to begin again."
        )


@contextmanager
def _how_to_go_on(checkpoint: Checkpoint) -> Iterator[None]:
    """Say what is kept of a run that is ended, and how to go on."""
    try:
        yield
    except InputError:
        raise
    except BaseException:
        if n_blocks := checkpoint.n_finished():
            again = [a for a in sys.argv[1:] if a != "--resume"]
            _err.print(
                f"{n_blocks} finished blocks are kept in {checkpoint.folder}. To go on:\n"
                f"  {shlex.join(['argen', *again, '--resume'])}"
            )
        raise


@contextmanager
def _ended_like_interrupted() -> Iterator[None]:
    """Take the signal of batch systems that ends a process like an interrupt from the keyboard."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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


app.command(study_app(_out, lambda quiet: shown_progress(_err, quiet=quiet), _make_folder))
add_check(app, _out, _read, _make_folder, lambda: shown_progress(_err, quiet=False))
add_predict(app, _out, _cannot_write)
add_figures(app, _out, _read, _make_folder)
add_analysis(app, _out, _make_folder)
add_evidence(app, _out, _make_folder)
