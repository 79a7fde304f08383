"""``argen stability``: how often edges come back in resampled cells."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from argen import checks
from argen.cli import console
from argen.cli.findings import show_findings
from argen.cli.options import INPUT, METHOD, OUTPUT
from argen.cli.reading import announce_compiling, as_typed, read_screen
from argen.config import InferenceConfig
from argen.method import infer_network
from argen.read import ReadOptions


def stability(
    file: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    screen: Annotated[ReadOptions | None, Parameter(name="*", group=INPUT)] = None,
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
        Screen with raw counts, as for argen fit.
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
    with console.results_in(out):
        announce_compiling()
        screen, typed = as_typed(file, screen)
        data = read_screen(file, screen, config.threads)
        network = infer_network(data, config, command=shlex.join(typed))
        with console.progress() as shown:
            found = checks.stability(
                network, data, n_resamples=resamples, scheme=scheme, fraction=fraction, rng=seed,
                progress=shown,
            )  # fmt: skip
        show_findings(found, network, out, found.tables["stability"])
