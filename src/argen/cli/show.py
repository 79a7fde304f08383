"""``argen show``: a result in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from argen.checks import weak_points
from argen.cli import console
from argen.cli.reading import split_list
from argen.errors import InputError
from argen.network import CausalNetwork, load, pair


def show(
    result: Annotated[Path, Parameter(name="RESULT")],
    /,
    *,
    gene: str | None = None,
    pair: str | None = None,
) -> None:
    """Show a result: its summary, a gene's parents and children, or why two have no edge.

    Parameters
    ----------
    result
        Network file, or the results folder of argen fit.
    gene
        Show what is known of this gene alone.
    pair
        Show what is known of these two genes as causes of each other, as A,B, and why there is
        an edge or none.
    """
    if gene is not None and pair is not None:
        raise InputError("--gene shows one gene, and --pair two: expected one of these options.")
    network = load(result)
    if pair is not None:
        console.out.print(_about_pair(network, pair))
    elif gene is not None:
        _show_gene(network, gene)
    else:
        console.out.print(network.summary())


def _about_pair(network: CausalNetwork, typed: str) -> str:
    names = split_list(typed)
    if len(names) != 2:
        raise InputError(f"--pair {typed!r} is no pair: expected two genes with a comma, as A,B.")
    return pair(network, *names).summary()


def _show_gene(network: CausalNetwork, gene: str) -> None:
    columns = ["effect", "std_error", "ci_low", "ci_high", "log10_p", "status"]
    for title, end, table in (
        ("Parents", "source", network.parents(gene)),
        ("Children", "target", network.children(gene)),
    ):
        shown = table[[end, *columns]].to_string(index=False, float_format="%.3g")
        console.out.print(f"{title} of {gene}:" + (f"\n{shown}\n" if len(table) else " none\n"))
    console.out.print(f"Candidate parents: {', '.join(network.ancestors(gene)) or 'none'}")
    points = weak_points(network)
    at_gene = (points["source"] == gene) | (points["target"] == gene)
    if at_gene.any():
        console.out.print(
            "\nWhat speaks against them in the network itself (argen check sees more):"
        )
        for sentence in points.loc[at_gene, "sentence"]:
            console.out.print(f"- {sentence}")
