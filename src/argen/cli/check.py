"""``argen check``: what a network rests on."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import pandas as pd
from cyclopts import Parameter, validators

from argen import checks
from argen.cli import console
from argen.cli.findings import show_findings
from argen.cli.options import CHECKS, INPUT, METHOD, OUTPUT
from argen.cli.reading import announce_compiling, as_typed, read_screen, split_list
from argen.config import InferenceConfig
from argen.data import PerturbSeqData
from argen.errors import InputError, first_few, nearest
from argen.method import infer_network
from argen.network import CausalNetwork, load
from argen.read import ReadOptions, read_columns, read_labels
from argen.run import Progress


@Parameter(name="*", group=CHECKS)
@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """What to check of a screen.

    Parameters
    ----------
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
        Seed of the null screens and of permuted guides.
    """

    also: str = ""
    every_edge: bool = False
    held_out: str = ""
    sensitivity: bool = False
    other_sizes: str = ""
    null_tests: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 10_000
    seed: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 1

    def refuse_alone(self) -> None:
        """Refuse an option that needs another one."""
        if self.other_sizes and not self.sensitivity:
            raise InputError("--other-sizes has choices of --sensitivity: add it.")


def check(
    file: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    screen: Annotated[ReadOptions | None, Parameter(name="*", group=INPUT)] = None,
    config: Annotated[InferenceConfig, Parameter(name="*", group=METHOD)] = InferenceConfig(),
    options: CheckOptions = CheckOptions(),
    out: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
) -> None:
    """Check whether the assumptions behind a network hold, and print what was found.

    Parameters
    ----------
    file
        Screen with raw counts, as for argen fit; or a network file or results folder of argen
        fit, of which only what needs no cells is checked.
    out
        Folder for the summary, the table of each check, and the report of the network with
        the findings; no files when left out.
    """
    if is_result(file):
        _refuse_for_result(file, screen, config, options)
        network = load(file)
        with console.results_in(out):
            show_findings(checks.check(network), network, out)
        return
    options.refuse_alone()
    with console.results_in(out):
        screen, typed = as_typed(file, screen)
        announce_compiling()
        data = read_screen(file, screen, config.threads)
        if options.held_out == "guides" and data.guides is None:
            raise InputError("--held-out guides needs the guides of the cells: add --guide.")
        columns = _Columns.read(file, screen, options)
        with console.progress() as shown:
            network, further = _infer_and_vary(
                data, config, options, columns, shown, shlex.join(typed)
            )
            if options.held_out:
                further.append(_leave_out(file, data, screen, config, options))
        show_findings(_check(data, network, options, columns, further), network, out)


@dataclass(frozen=True)
class _Columns:
    """Further columns of the cells; None where none was named."""

    others: pd.DataFrame | None
    sizes: pd.DataFrame | None

    @classmethod
    def read(cls, file: Path, screen: ReadOptions, options: CheckOptions) -> _Columns:
        """Read what the options name."""
        named = (split_list(options.also), split_list(options.other_sizes))
        others, sizes = (read_columns(file, names, screen) if names else None for names in named)
        return cls(others, sizes)


def _infer_and_vary(
    data: PerturbSeqData,
    config: InferenceConfig,
    options: CheckOptions,
    columns: _Columns,
    progress: Progress | None,
    command: str,
) -> tuple[CausalNetwork, list[checks.Diagnostics]]:
    """Infer the network, and again under other choices where that is asked for."""
    network = infer_network(data, config, progress=progress, command=command)
    if not options.sensitivity:
        return network, []
    return network, [
        checks.sensitivity(network, data, library_sizes=columns.sizes, progress=progress)
    ]


def _check(
    data: PerturbSeqData,
    network: CausalNetwork,
    options: CheckOptions,
    columns: _Columns,
    further: list[checks.Diagnostics],
) -> checks.Diagnostics:
    """Run all other checks: last, as null screens take the longest, and names may be wrong."""
    return checks.check(
        network, data, others=columns.others, every_edge=options.every_edge,
        n_null_tests=options.null_tests, rng=options.seed, further=further,
    )  # fmt: skip


def _leave_out(
    file: Path,
    data: PerturbSeqData,
    screen: ReadOptions,
    config: InferenceConfig,
    options: CheckOptions,
) -> checks.Diagnostics:
    """Predict what is left out: all nodes, all guides, or some labels."""
    held = options.held_out
    if held == "guides":
        return checks.held_out(data, config, by_guide=True)
    named = data.nodes if held == "nodes" else split_list(held)
    labels = [name for name in named if name not in data.nodes]
    if not labels:
        return checks.held_out(data, config, held=named)
    of_cells = read_labels(file, screen)
    _refuse_unknown(labels, of_cells)
    # Their cells are read as controls, and take no part in any fit.
    data = read_screen(file, replace(screen, control=(*screen.control, *labels)), config.threads)
    return checks.held_out(data, config, held=named, labels=of_cells)


def is_result(path: Path) -> bool:
    """Whether a path is a network file, or the results folder of a run."""
    return path.suffix == ".npz" or (path / "network.npz").is_file()


def _refuse_for_result(
    result: Path, screen: ReadOptions | None, config: InferenceConfig, options: CheckOptions
) -> None:
    changed = [f.name for f in fields(options) if getattr(options, f.name) != f.default]
    given = [*(["target"] if screen is not None else []), *changed]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(
            f"{str(result)!r} is a result, which has no cells for {names}: check it without "
            "these options, or check the file of the screen."
        )
    if config != InferenceConfig():
        raise InputError(
            f"{str(result)!r} is a result, whose options of the method are what they are: check "
            "it without others, or infer again with argen fit."
        )


def _refuse_unknown(names: list[str], labels: pd.Series) -> None:
    known = [str(label) for label in labels.unique()]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"--held-out {first_few(unknown)}: no node and no label.{nearest(unknown[0], known)} "
            'Expected "nodes", "guides", or labels as A,B.'
        )
