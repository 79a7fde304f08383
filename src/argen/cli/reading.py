"""From what was typed to what the commands work on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from argen.cli.options import ScreenOptions
from argen.data import PerturbSeqData
from argen.errors import InputError
from argen.network import CausalNetwork
from argen.read import read_perturbseq
from argen.simulate import Truth


def read_screen(file: Path, screen: ScreenOptions) -> PerturbSeqData:
    """Read the screen that the options describe."""
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


def split_list(text: str) -> list[str]:
    """Return the parts of a list with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def covariates_of(text: str) -> str | list[str]:
    """Return a formula as it is, and columns as a list."""
    return text.strip() if text.strip().startswith("~") else split_list(text)


def gene_list(text: str | None, option: str) -> list[str] | None:
    """Genes from a file with one a line, or from a list with commas."""
    if text is None:
        return None
    if not os.path.isfile(text):  # unlike Path.is_file, False for a list too long to be a path
        if "," not in text:
            raise InputError(
                f"{option} {text!r} is neither a file nor a list with commas, as A,B: expected at "
                "least two genes."
            )
        return split_list(text)
    try:
        lines = Path(text).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{option} {text!r} cannot be read: {error}. Expected plain text in UTF-8 with one "
            "gene a line."
        ) from error
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


def read_table(path: Path | None) -> pd.DataFrame | None:
    """Read a table of pairs of genes, if one is named."""
    if path is None:
        return None
    try:
        # Names such as NA or 007 are text.
        return pd.read_csv(
            path, sep="\t", dtype={"source": str, "target": str}, keep_default_na=False
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be read as a table: {error}.") from error
