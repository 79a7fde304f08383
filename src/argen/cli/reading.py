"""From what was typed to what the commands work on."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from argen.cli import console
from argen.data import PerturbSeqData
from argen.errors import InputError
from argen.files import reading
from argen.glm import on_compiling
from argen.inspection import flags, inspect, visible
from argen.network import CausalNetwork
from argen.read import ReadOptions, read_perturbseq
from argen.simulate import Truth

# What compiling takes on one core of a laptop.
COMPILING = "about 20 s"


def read_screen(file: Path, typed: ReadOptions, threads: int | None = None) -> PerturbSeqData:
    """Read the screen that the options describe, whose lists are what was typed, as A,B."""
    covariates, nodes, sinks = typed.covariates, typed.nodes, typed.sinks
    if not isinstance(covariates, str):  # which is a formula
        covariates = [name for text in covariates for name in split_list(text)]
    if nodes is not None:
        nodes = gene_list(nodes, "--nodes")
    if sinks is not None and sinks != "all":
        sinks = gene_list(sinks, "--sinks")
    options = replace(typed, covariates=covariates, nodes=nodes, sinks=sinks)
    return read_perturbseq(file, options, threads=threads)


def recognised(file: Path, *, quiet: bool = False) -> ReadOptions:
    """Return the options that a file speaks for by itself, and print them.

    Raises
    ------
    InputError
        When something is missing or could be two things.
    """
    found = inspect(file)
    asked = [*found.missing, *found.questions]
    if found.options is None or asked:
        listed = "".join(f"\n- {visible(text)}" for text in asked)
        raise InputError(
            f"Without --target and the other columns, a file must say them by itself.{listed}\n"
            f"{found.command() or 'argen inspect shows the columns.'}"
        )
    if not quiet:
        console.out.print(f"Taken as recognised (argen inspect says why):\n{found.command()}\n")
    return found.options


def as_typed(
    file: Path, screen: ReadOptions | None, *, quiet: bool = False
) -> tuple[ReadOptions, list[str]]:
    """Return how a file is to be read, and the words of this command that say so.

    Where no column was named the words are those that were typed, and what was recognised.
    """
    if screen is not None:
        return screen, [*sys.argv]
    found = recognised(file, quiet=quiet)
    return found, [*sys.argv, *(word for pair in flags(found) for word in pair if word)]


def announce_compiling(*, quiet: bool = False) -> None:
    """Have it said at the terminal, once, when a first run waits for the compiler."""
    if console.err.is_terminal and not quiet:
        on_compiling(lambda: console.err.print(f"compiling for this machine, once: {COMPILING}"))


def split_list(text: str) -> list[str]:
    """Return the parts of a list with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def gene_list(texts: Sequence[str], option: str) -> list[str]:
    """Genes from files with one a line, or from lists with commas."""
    return [gene for text in texts for gene in _genes_of(text, option)]


def _genes_of(text: str, option: str) -> list[str]:
    if not os.path.isfile(text):  # unlike Path.is_file, False for a list too long to be a path
        if "," not in text:
            raise InputError(
                f"{option} {text!r} is neither a file nor a list with commas, as A,B: expected at "
                "least two genes."
            )
        return split_list(text)
    with reading(text, f"plain text in UTF-8 with one gene a line, as {option}"):
        lines = Path(text).read_text("utf-8-sig").split("\n")
    return [line.strip() for line in lines if line.strip()]


def read_truth(path: Path, network: CausalNetwork) -> Truth:
    """Read the true effects of a simulated screen, among the genes of a network.

    Raises
    ------
    InputError
        When the file has no truth, or lacks genes of the network.
    """
    import h5py
    from anndata.io import read_elem

    with reading(path, "a file of argen simulate, with its true effects"):
        with h5py.File(path) as file:
            table = read_elem(file["uns/truth"])
            genes = tuple(read_elem(file["var"]).index)
        number = {gene: i for i, gene in enumerate(genes)}
        direct = np.zeros((len(genes), len(genes)))
        at = tuple(table[end].map(number).to_numpy(dtype=np.int64) for end in ("source", "target"))
        direct[at] = table["effect"]
    kept = Truth(genes, direct).keep(network.genes)
    place = [kept.genes.index(gene) for gene in network.genes]
    return Truth(network.genes, kept.direct[np.ix_(place[: len(network.nodes)], place)])


def read_table(path: Path | None) -> pd.DataFrame | None:
    """Read a table of pairs of genes, if one is named."""
    if path is None:
        return None
    # Names such as NA or 007 are text.
    types = {"source": str, "target": str}
    with reading(path, "a table by tabs, with the columns source, target and frequency"):
        return pd.read_csv(path, sep="\t", dtype=types, keep_default_na=False)
