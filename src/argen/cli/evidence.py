"""``argen evidence``: a network beside what is known from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from cyclopts import Parameter, validators

from argen.analysis import compare as compare_with
from argen.analysis import ranking, read_pairs
from argen.cli import console
from argen.cli.options import OUTPUT
from argen.files import write_table, writing
from argen.network import load
from argen.pvalues import p_of


def evidence(
    result: Annotated[Path, Parameter(name="RESULT")],
    pairs: Annotated[tuple[Path, ...], Parameter(name="PAIRS")],
    /,
    *,
    compare: tuple[Path, ...] = (),
    two_sided: bool = False,
    seed: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 1,
    out: Annotated[Path, Parameter(group=OUTPUT)] = Path("argen_evidence"),
) -> None:
    """Compare the edges of a network with tables of known pairs, and write the comparison.

    Parameters
    ----------
    result
        Network file, or the results folder of argen fit.
    pairs
        Tables of known pairs (.tsv, .csv, .txt, also .gz), such as those of SIGNOR, TRRUST
        or DoRothEA.
    compare
        Another result on the same genes, to be compared with the same pairs; repeat it for
        more.
    two_sided
        Test for fewer known pairs as well as for more.
    seed
        Of the random pairs.
    out
        Folder for the tables; files of the same names are replaced.
    """
    network = load(result)
    others = {str(path): load(path) for path in compare}
    alternative: Literal["two-sided", "greater"] = "two-sided" if two_sided else "greater"
    groups, rankings = [], []
    with console.results_in(out):
        for table in map(read_pairs, pairs):
            groups.append(
                compare_with(network, table, others=others, rng=seed, alternative=alternative)
            )
            rankings.append(ranking(network, table))
            _say(table.name, groups[-1])
        with writing(out, "evidence") as beside:
            for name, parts in (("evidence", groups), ("ranking", rankings)):
                whole = pd.concat(parts, ignore_index=True)
                write_table(whole, beside / f"{name}.tsv", float_format="%.6g")
    console.out.print(f"The tables are in {out}")


def _say(name: str, found: pd.DataFrame) -> None:
    """Print how many edges are among known pairs."""
    called = found.iloc[0]
    console.out.print(
        f"{name}: {called['n_known']} of {called['n_pairs']} edges are known, odds "
        f"ratio {called['odds_ratio']:.3g} ({p_of(called['p_value'])}); of "
        f"{called['n_signed']} with a known sign "
        f"{round(called['n_signed'] * np.nan_to_num(called['same_sign']))} agree",
    )
