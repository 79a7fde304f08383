"""``argen study``: simulation studies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from argen.cli import console
from argen.cli.reading import split_list
from argen.errors import InputError
from argen.files import writing
from argen.study import (
    chosen_settings,
    chosen_variants,
    grid_summary,
    run_grid,
    run_paper_study,
    write_grid_figure,
    write_grid_page,
    write_paper_figures,
)

Number = Annotated[int, Parameter(validator=validators.Number(gte=0))]


def paper(
    *,
    out: Path = Path("argen_study"),
    replicates: Number = 100,
    seed: Number = 1,
    workers: int | None = None,
    quiet: bool = False,
) -> None:
    """Rerun the simulation of the ARGEN paper, and print its table beside the published one.

    Writes estimates.tsv, table.tsv, proportions.tsv, and the figures networks.png and
    effects.png, which need matplotlib.

    Parameters
    ----------
    out
        Folder for tables and figures; files of an earlier run are replaced.
    replicates
        Screens to simulate; the paper has 100.
    seed
        Seed of the random numbers.
    workers
        Processes; one for each core that may be used when left out. No number depends on it.
    quiet
        Print no progress.
    """
    with console.results_in(out):
        with console.progress(quiet=quiet) as progress:
            result = run_paper_study(
                n_replicates=replicates, seed=seed, workers=workers, progress=progress
            )
        with writing(out, "study") as beside:
            result.write(beside)
            figures = _drawn(lambda: write_paper_figures(result, beside))
    console.out.print(f"{result.summary()}\n\nThe tables {figures} in {out}")


def grid(
    *,
    out: Path = Path("argen_grid"),
    settings: str = "",
    methods: str = "",
    replicates: Number = 20,
    seed: Number = 1,
    workers: int | None = None,
    quiet: bool = False,
) -> None:
    """Run methods on a declared grid of simulated screens.

    Writes grid.tsv, one row per setting, replicate and method; summary.tsv, means with
    Monte-Carlo errors; grid.md, the main measures to read; and the figure grid.png, which
    needs matplotlib. A run that was ended goes on with the same command.

    Parameters
    ----------
    out
        Folder for tables and figure, and for the rows that are done.
    settings
        Settings by name, as A,B; all when left out.
    methods
        Methods by name, as A,B; all when left out.
    replicates
        Screens to simulate in each setting.
    seed
        Seed of the random numbers.
    workers
        Processes; one for each core that may be used when left out. No number depends on it.
    quiet
        Print no progress.
    """
    chosen = chosen_settings(split_list(settings) or None)
    variants = chosen_variants(split_list(methods) or None)
    with console.results_in(out):
        with console.progress(quiet=quiet) as progress:
            table = run_grid(
                out, chosen, variants,
                n_replicates=replicates, seed=seed, workers=workers, progress=progress,
            )  # fmt: skip
        summary = grid_summary(table)
        write_grid_page(summary, out)
        figures = _drawn(lambda: write_grid_figure(summary, out))
    shown = summary[summary["measure"].isin(["f1", "false_discovery_proportion"])]
    console.out.print(shown.to_string(index=False, float_format="%.3f"))
    console.out.print(f"\nThe tables {figures} in {out}")


def _drawn(draw: Callable[[], object]) -> str:
    """Draw figures where they can be, and say so, or how they could be."""
    try:
        draw()
    except InputError as error:
        return f"are written, without figures ({error})"
    return "and figures are"
