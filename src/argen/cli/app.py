"""The command line: which commands there are, and how all of them end."""

from __future__ import annotations

import gc
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from cyclopts import (
    App,
    CycloptsError,
    MissingArgumentError,
    Parameter,
    UnusedCliTokensError,
)

from argen import __version__
from argen.cli import console
from argen.cli.options import exactly
from argen.errors import ArgenError, ArgenWarning, first_few

EXIT_FAILURE, EXIT_BAD_INPUT = 1, 2
# Objects between two looks for garbage. Imports make many and leave hardly any: at the usual 700,
# looking takes a tenth of a short command.
SELDOM = 100_000

# Each with what its help begins with: its module is imported when it is called.
COMMANDS = {
    "inspect": "Say what is in a file, what it looks like, and which command fits its network.",
    "qc": "Look at every candidate node of a screen, choose nodes by rules, and write the tables.",
    "fit": "Infer the causal network of a screen and write the results folder.",
    "show": "Show a result: its summary, a gene's parents and children, or why two have no edge.",
    "check": "Check whether the assumptions behind a network hold, and print what was found.",
    "stability": (
        "Infer the network again from resampled cells, and print how often edges come back."
    ),
    "predict": "Predict the log fold changes of all genes under an intervention on some nodes.",
    "report": "Write the report of a result: one page to open in a browser, without a network.",
    "plot": "Draw figures of a result into a folder, each with a table of its numbers.",
    "expression": "Draw a child's expression under perturbation of its parent, and the reverse.",
    "export": "Write a result in the format of another tool: Cytoscape, AnnData, MuData, Parquet.",
    "analyse": (
        "Find modules, hubs, layers and enriched gene sets of a network, and write the tables."
    ),
    "evidence": (
        "Compare the edges of a network with tables of known pairs, and write the comparison."
    ),
    "simulate": "Write a simulated screen as an AnnData file, with its truth.",
}
STUDIES = {
    "paper": (
        "Rerun the simulation of the ARGEN paper, and print its table beside the published one."
    ),
    "grid": "Run methods on a declared grid of simulated screens.",
}

app = App(
    name="argen",
    help="Causal gene networks from Perturb-seq, robust to hidden confounders.",
    version=__version__,
    help_format="plaintext",
    help_epilogue="With --debug, anywhere on the line, a failure prints its traceback.",
    default_parameter=Parameter(negative=(), converter=exactly),
    suppress_keyboard_interrupt=False,
)
study = App(name="study", help="Simulation studies: the paper's, and a grid of settings.")
app.command(study)
for _name, _says in COMMANDS.items():
    app.command(f"argen.cli.{_name}:{_name}", name=_name, help=_says)
for _name, _says in STUDIES.items():
    study.command(f"argen.cli.study:{_name}", name=_name, help=_says)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exits with 0 when done, 2 on bad input, 1 on failure."""
    gc.set_threshold(SELDOM)
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    with _plain_warnings(), _ended_like_interrupted():
        try:
            app(arguments, exit_on_error=False, print_error=False)
        except CycloptsError as error:
            console.err.print(f"error: {_what_is_wrong(error)}")
            sys.exit(EXIT_BAD_INPUT)
        except ArgenError as error:
            console.err.print(f"error: {error}")
            sys.exit(EXIT_BAD_INPUT)
        except KeyboardInterrupt:
            console.err.print("interrupted")
            sys.exit(EXIT_FAILURE)
        except Exception as error:
            console.err.print(f"argen failed: {type(error).__name__}: {error}")
            console.err.print(
                traceback.format_exc() if debug else "Run again with --debug for the traceback."
            )
            sys.exit(EXIT_FAILURE)


def _what_is_wrong(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError):
        return (
            f"Unexpected {first_few(error.unused_tokens or ())}. Write lists with commas and "
            "without spaces, as A,B, and put what holds spaces in quotes."
        )
    if isinstance(error, MissingArgumentError) and "--target" in str(error):
        return f"{error} argen inspect FILE says which columns there are, and proposes a command."
    return str(error)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print argen's own warnings as one line each, and others as Python does."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", ArgenWarning)

        def show_one(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, ArgenWarning):
                console.err.print(f"warning: {message}")
            else:
                text = warnings.formatwarning(message, category, filename, lineno, line)
                console.err.print(text.rstrip())

        warnings.showwarning = show_one
        yield


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
