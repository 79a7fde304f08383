"""``argen fit``: from a file to a network, its tables and its report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from argen.checks import weak_points
from argen.cli import console
from argen.cli.options import INPUT, METHOD, OUTPUT, RunOptions
from argen.cli.reading import announce_compiling, as_typed, read_screen
from argen.config import InferenceConfig
from argen.errors import InputError, WriteError
from argen.files import write_table, writing
from argen.method import Method, infer_by
from argen.network import CausalNetwork, write_results
from argen.read import ReadOptions
from argen.report import write_report
from argen.run import Checkpoint, DaskExecutor, Executor, SerialExecutor

CHECKPOINT = "checkpoint"  # within the folder of the results


def fit(
    file: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    screen: Annotated[ReadOptions | None, Parameter(name="*", group=INPUT)] = None,
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
        Screen with raw counts: AnnData, MuData, output of Cell Ranger, or a table of counts.
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
    with console.results_in(out):
        _refuse_to_begin_again(out, resume=run.resume)
        announce_compiling(quiet=quiet)
        network = _fitted(file, screen, config, method, run, out, report=not no_report, quiet=quiet)
    if not quiet:
        console.out.print(
            f"{network.summary()}\n\nThe results are in {out}. weak_points.tsv is provisional: it "
            "rests on the network alone, and argen check looks at cells, guides and null screens."
        )


def _fitted(
    file: Path,
    screen: ReadOptions | None,
    config: InferenceConfig,
    method: Method,
    run: RunOptions,
    out: Path,
    *,
    report: bool,
    quiet: bool,
) -> CausalNetwork:
    """Read, infer, and write all results at once; the finished blocks are kept until then."""
    with _executor(run, config) as executor:
        screen, typed = as_typed(file, screen, quiet=quiet)
        data = read_screen(file, screen, config.threads)
        if not quiet:
            console.out.print(f"{data.summary()}\n")
        checkpoint = Checkpoint(out / CHECKPOINT, data.sha256)
        with _how_to_go_on(checkpoint), console.progress(quiet=quiet) as progress:
            network = infer_by(
                method,
                data,
                config,
                executor=executor,
                checkpoint=checkpoint,
                progress=progress,
                command=shlex.join(typed),
            )
            with writing(out, "results") as beside:
                write_results(network, beside)
                write_table(weak_points(network), beside / "weak_points.tsv")
                if report:
                    write_report(network, beside / "report.html")
    checkpoint.remove()
    return network


@contextmanager
def _executor(run: RunOptions, config: InferenceConfig) -> Iterator[Executor]:
    """Find or start whoever computes, before anything is read."""
    if run.executor == "serial":
        if run.scheduler is not None or run.workers is not None:
            raise InputError("--scheduler and --workers are for --executor dask: add it.")
        yield SerialExecutor()
        return
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
    except BaseException as error:
        if isinstance(error, InputError) and not isinstance(error, WriteError):
            raise
        if n_blocks := checkpoint.n_finished():
            again = [a for a in sys.argv[1:] if a != "--resume"]
            console.err.print(
                f"{n_blocks} finished blocks are kept in {checkpoint.folder}. To go on:\n"
                f"  {shlex.join(['argen', *again, '--resume'])}"
            )
        raise
