"""Inspection of a file: from what it holds to the options of a fit, or to questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from argen.errors import first_few, listed
from argen.inspection import names, roles
from argen.inspection.candidates import Candidate, GeneSpace, candidates
from argen.inspection.choice import choose_matrix, choose_target
from argen.inspection.notes import Notes
from argen.inspection.parts import Parts
from argen.inspection.proposal import proposal
from argen.inspection.result import Inspection
from argen.inspection.tables import (
    column_table,
    control_table,
    guesses_of,
    matrix_table,
    target_table,
)
from argen.read import OpenAnnData, look_at_matrices, open_screen, refusal

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def inspect(
    path_or_anndata: str | Path | AnnData | MuData,
    *,
    modality: str | None = None,
    obs: str | Path | None = None,
) -> Inspection:
    """Look at a screen: what is in it, what it looks like, and how to fit it.

    Columns are recognised by what they hold, then by the names that public files and tools give
    them. Only the tables of cells and genes, tables of guides and the first cells of each matrix
    are read.

    Parameters
    ----------
    path_or_anndata
        A file, folder or object that ``read_perturbseq`` takes.
    modality
        Modality of MuData with the counts of genes, where its name does not say so.
    obs
        Table of the cells beside the file, CSV, TSV or Parquet.

    Raises
    ------
    InputError
        When the file cannot be opened.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=2000)
    >>> found = argen.inspect(argen.simulated_anndata(data, truth))
    >>> found.guess("target"), found.guess("control"), found.questions
    ('perturbation', 'non-targeting', ())
    """
    beside: dict[str, Any] = {"modality": modality, "obs": obs}
    with open_screen(path_or_anndata, **beside) as opened:
        return _inspected(opened, {name: at for name, at in beside.items() if at is not None})


def _inspected(opened: OpenAnnData, beside: Mapping[str, Any]) -> Inspection:
    notes = Notes()
    opened = replace(opened, obs=_usable(opened.obs, notes))
    followed = names.conventions(opened)
    looks = look_at_matrices(opened)
    counts = choose_matrix(looks, notes)
    genes = opened.var if counts is None else counts.genes
    _check_gene_names(genes, notes)
    found = candidates(opened, GeneSpace.of(genes), notes)
    target = choose_target(found, notes)
    parts = Parts(opened, counts, target, found, notes)
    guesses = guesses_of(parts)
    notes.findings += [
        *_about_names(target),
        *_about_mixscape(opened, target),
        *roles.filters(opened.obs),
        *roles.strata(opened.obs),
    ]
    options = None
    if counts is not None and target is not None and not (notes.missing or parts.is_unsettled):
        options = replace(proposal(parts, counts, target), **beside)
        refused = refusal(opened, options)
        if refused is not None:
            notes.missing.append(f"Something that reading needs. It would say: {refused}")
            options = None
    return Inspection(
        source=opened.source,
        n_cells=len(opened.obs),
        n_genes=len(genes),
        conventions=tuple(f"{one.name} ({one.evidence})" for one in followed),
        guesses=tuple(guesses),
        matrices=matrix_table(looks),
        columns=column_table(opened, guesses),
        targets=target_table(target),
        controls=control_table(target),
        missing=tuple(notes.missing),
        questions=tuple(notes.questions),
        findings=tuple(notes.findings),
        options=options,
    )


def _about_names(target: Candidate | None) -> list[str]:
    """Say which targets would be genes by another spelling."""
    if target is None or target.renamed or not target.close:
        return []
    pairs = [f"{label!r} for {gene}" for label, gene in target.close.items()]
    return [
        f"Targets that differ from a measured gene in case or version alone: {listed(pairs)}. "
        "match_genes='close' takes them for it."
    ]


def _about_mixscape(opened: OpenAnnData, target: Candidate | None) -> list[str]:
    """Say what becomes of cells in which a classifier saw no perturbation."""
    classes = next((n for n in map(str, opened.obs) if names.plain(n) == "mixscape_class"), None)
    if target is None or classes is None:
        return []
    called = opened.obs[classes].astype(str)
    n_escaped, n_seen = (int(called.str.endswith(end).sum()) for end in (" NP", " KO"))
    return [
        f"Mixscape sees no perturbation in {n_escaped:,} of {n_escaped + n_seen:,} cells with a "
        "guide (NP). They stay among the cells of their gene: a fit estimates in what share of "
        "them guides work, and chosen by what is seen in them they would be no instrument."
    ]


def _usable(obs: pd.DataFrame, notes: Notes) -> pd.DataFrame:
    """Leave out columns that share a name, or hold lists and the like."""
    columns = {}
    for name in dict.fromkeys(obs.columns):
        values = obs[name]
        if isinstance(values, pd.DataFrame):
            notes.findings.append(f"obs has more than one column {str(name)!r}: none is used.")
            continue
        try:
            values.nunique()
            columns[str(name)] = values
        except TypeError:
            notes.findings.append(f"obs[{str(name)!r}] holds neither numbers nor text.")
    return pd.DataFrame(columns, index=obs.index)


def _check_gene_names(genes: pd.DataFrame, notes: Notes) -> None:
    index = pd.Index(genes.index.astype(str))
    repeated = index[index.duplicated()].unique()
    if len(repeated):
        notes.missing.append(
            f"Names of genes that are theirs alone: {len(repeated)} occur more than once "
            f"({first_few(repeated)}). Make them unique with adata.var_names_make_unique()."
        )
