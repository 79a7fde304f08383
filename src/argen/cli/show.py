"""``argen show``: a result in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from argen.cli import console
from argen.network import load


def show(result: Annotated[Path, Parameter(name="RESULT")], /, *, gene: str | None = None) -> None:
    """Show a result: its summary, or the parents and children of a gene.

    Parameters
    ----------
    result
        Network file, or the results folder of argen fit.
    gene
        Show what is known of this gene alone.
    """
    network = load(result)
    if gene is None:
        console.out.print(network.summary())
        return
    columns = ["effect", "std_error", "ci_low", "ci_high", "log10_p", "status"]
    for title, end, table in (
        ("Parents", "source", network.parents(gene)),
        ("Children", "target", network.children(gene)),
    ):
        shown = table[[end, *columns]].to_string(index=False, float_format="%.3g")
        console.out.print(f"{title} of {gene}:" + (f"\n{shown}\n" if len(table) else " none\n"))
    console.out.print(f"Candidate parents: {', '.join(network.ancestors(gene)) or 'none'}")
