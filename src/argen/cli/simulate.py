"""``argen simulate``: a screen with a known network."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from argen.cli import console
from argen.cli.options import MODEL
from argen.cli.reading import split_list
from argen.errors import InputError
from argen.files import writing_file
from argen.simulate import ScreenModel, simulate_paper_screen, simulated_anndata, write_screen


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
    if out.suffix != ".h5ad" or not out.parent.is_dir():
        raise InputError(f"--out must be an .h5ad file in a folder that exists, not {str(out)!r}.")
    if network == "paper" and model != ScreenModel():
        raise InputError("The options of a random network are for --network random: add it.")
    if network == "random" and (hide or n_cells != 8000):
        raise InputError("--hide and --n-cells are for the screen of the paper: leave them out.")
    if network == "random":
        truth = write_screen(out, model, rng=seed)
        covariates = [f"x{number + 1}" for number in range(model.n_numeric)]
        covariates += ["batch"] if model.n_batches > 1 else []
        said = f"{len(truth.genes)} genes, {len(truth.to_frame())} edges among them"
    else:
        data, truth = simulate_paper_screen(
            rng=seed, n_cells=n_cells, hidden=tuple(split_list(hide))
        )
        with writing_file(out) as beside:
            simulated_anndata(data, truth).write_h5ad(beside)
        covariates, said = ["L"], data.summary()
    columns = ["--target", "perturbation", "--control", "non-targeting"]
    columns += ["--library-size", "library_size"]
    columns += ["--covariates", ",".join(covariates)] if covariates else []
    columns += ["--guide", "guide"] if network == "random" and model.n_guides > 1 else []
    fit_command = shlex.join(["argen", "fit", str(out), *columns])
    console.out.print(f"{said}\n\nWrote {out}. Fit it with\n  {fit_command}")
