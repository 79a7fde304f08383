"""``argen predict``: what a network says of interventions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from argen.cli import console
from argen.cli.options import OUTPUT
from argen.errors import InputError
from argen.files import write_table, writing_file
from argen.network import CausalNetwork, Change, load
from argen.network import predict as predicted


def predict(
    result: Annotated[Path, Parameter(name="RESULT")],
    /,
    *,
    knock_down: tuple[str, ...] = (),
    knock_out: tuple[str, ...] = (),
    over_express: tuple[str, ...] = (),
    confidence: Annotated[float | None, Parameter(validator=validators.Number(gt=0, lt=1))] = None,
    out: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
) -> None:
    """Predict the log fold changes of all genes under an intervention on some nodes.

    Parameters
    ----------
    result
        Network file, or the results folder of argen fit.
    knock_down
        Node, as GENE=0.2 with the fraction of its expression that remains, or as GENE: what
        its perturbation did to it in the screen. Repeat it for several.
    knock_out
        Node, of which 1 % remains.
    over_express
        Node, as GENE=2 with the fold of its expression.
    confidence
        Coverage of the intervals; that of the run when left out.
    out
        File for the table (.tsv) of all genes.
    """
    network = load(result)
    changes = _changes(network, knock_down, knock_out, over_express)
    table = predicted(network, changes, confidence=confidence)
    moved = table[(table["effect"] != 0.0) & ~table["intervened"]]
    strongest = moved.loc[moved["effect"].abs().sort_values(ascending=False).index]
    console.out.print(
        f"{len(moved)} of {int((~table['intervened']).sum())} other genes change (effect: "
        "natural log of the fold change)"
    )
    if len(moved):
        columns = ["gene", "effect", "std_error", "ci_low", "ci_high", "fold_change"]
        shown = strongest[columns].head(20)
        console.out.print(shown.to_string(index=False, float_format="%.3g"))
    if len(moved) > 20:
        console.out.print(f"and {len(moved) - 20} more")
    if out is not None:
        with writing_file(out) as beside:
            write_table(table, beside)
        console.out.print(f"\nThe table is in {os.fspath(out)}")


def _changes(
    network: CausalNetwork,
    knock_down: Sequence[str],
    knock_out: Sequence[str],
    over_express: Sequence[str],
) -> dict[str, Change]:
    """Return what becomes of which node."""
    found: list[tuple[str, Change]] = [(gene, "knock-out") for gene in knock_out]
    for text in knock_down:
        gene, fold = _gene_and_fold(network, text)
        if fold is not None and not 0.0 < fold < 1.0:
            raise InputError(
                f"--knock-down {text!r}: expected the fraction that remains, above 0 and below 1, "
                "as GENE=0.2. For nothing left there is --knock-out, for more --over-express."
            )
        found.append((gene, "measured" if fold is None else fold))
    for text in over_express:
        gene, fold = _gene_and_fold(network, text)
        if fold is None or not 1.0 < fold < float("inf"):
            raise InputError(
                f"--over-express {text!r}: expected the fold of its expression, above 1, as GENE=2."
            )
        found.append((gene, fold))
    if not found:
        raise InputError(
            "There is nothing to predict: add --knock-down, --knock-out or --over-express."
        )
    changes: dict[str, Change] = {}
    for gene, change in found:
        if gene in changes:
            raise InputError(f"{gene!r} is named twice: expected one intervention on each node.")
        changes[gene] = change
    return changes


def _gene_and_fold(network: CausalNetwork, text: str) -> tuple[str, float | None]:
    """Split GENE=FOLD; a gene's name may have an equals sign itself."""
    gene, sign, number = text.rpartition("=")
    if text in network.genes or not sign:
        return text, None
    try:
        return gene, float(number)
    except ValueError:
        raise InputError(
            f"{text!r}: expected a number behind the equals sign, not {number!r}."
        ) from None
