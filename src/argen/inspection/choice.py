"""Which matrix holds the counts, and which column or table says what cells carry."""

from __future__ import annotations

import numpy as np

from argen.errors import first_few
from argen.inspection import names
from argen.inspection.candidates import Candidate, crossed
from argen.inspection.notes import Notes
from argen.read import MatrixLook

_COUNTS = ("counts", "raw_counts", "raw", "umi", "umis", "umi_counts", "count")
# Whole numbers that are no counts of genes, or of a part of the reads.
_OTHER_LAYERS = ("spliced", "unspliced", "ambiguous", "matrix", "guide_assignment")
# Columns that differ in fewer cells say the same.
_SAME = 0.01


def choose_matrix(looks: list[MatrixLook], notes: Notes) -> MatrixLook | None:
    """Choose X where it holds raw counts, else what does; ask where two that differ do."""
    raw = [
        look for look in looks
        if look.is_raw and names.plain(look.layer or "") not in _OTHER_LAYERS
        and "0 and 1 alone" not in look.holds
    ]  # fmt: skip
    nearly = [look for look in looks if look.is_nearly_raw]
    if not raw and nearly:
        notes.findings.append(
            f"{nearly[0].name} holds {nearly[0].holds}: it is rounded, and how many is said."
        )
        return nearly[0]
    if not raw:
        held = "; ".join(f"{look.name} holds {look.holds}" for look in looks)
        notes.missing.append(f"Raw counts: {held}. Go back to the counts of the pipeline.")
        return None
    named = [look for look in raw if names.plain(look.layer or "") in _COUNTS]
    best = raw[0] if raw[0].layer is None or not named else named[0]
    for other in raw:
        if len(other.genes) == len(best.genes) and _differ(best, other):
            notes.questions.append(
                f"Which holds the raw counts, {best.name} ({best.holds}) or {other.name} "
                f"({other.holds})? Both are whole numbers, and they differ."
            )
    return best


def _differ(one: MatrixLook, other: MatrixLook) -> bool:
    if one.row_sums is None or other.row_sums is None:
        return one.holds != other.holds
    return not np.array_equal(one.row_sums, other.row_sums)


def choose_target(found: list[Candidate], notes: Notes) -> Candidate | None:
    """Choose what names the targets: genes before guides, a usual name before any other.

    Another that names measured genes too, in other cells, is asked about where its name is as good.
    """
    usable = [candidate for candidate in found if _names_genes(candidate)]
    if not usable:
        _say_what_was_looked_at(found, notes)
        return None
    best = min(usable, key=_order)
    for other in usable:
        if other is best or other.is_table or best.is_table:
            continue
        share = disagreement(best, other)
        if share <= _SAME:
            continue
        differ = f"in {share:.0%} of the cells"
        if other.is_of_guides and not best.is_of_guides:
            notes.findings.append(
                f"The guides in obs[{other.name!r}] are of another target than "
                f"obs[{best.name!r}] says {differ}."
            )
        elif _rank(other) < 99 or _rank(best) == 99:
            notes.questions.append(
                f"Which names the targets, {_described(best)} or {_described(other)}? They differ "
                f"{differ}."
            )
        else:
            notes.findings.append(
                f"obs[{other.name!r}] names measured genes too, others {differ}; "
                f"obs[{best.name!r}] was taken for its name."
            )
    return best


def _names_genes(candidate: Candidate) -> bool:
    n_targets = len(candidate.targets())
    return len(candidate.measured) > 1 and (
        len(candidate.measured) >= n_targets / 5
        or (_rank(candidate) < 99 and bool(candidate.controls.found))
    )


def _rank(candidate: Candidate) -> int:
    place = names.rank(candidate.name, names.TARGET)
    return 99 if place is None else place


def _order(candidate: Candidate) -> tuple[bool, bool, bool, int, int, str]:
    # A table of 0 and 1 says more than labels that join or name guides, and less than labels.
    is_plain = not candidate.is_table and candidate.joined is None and not candidate.is_of_guides
    return (
        candidate.largest > 1,
        not is_plain and not candidate.is_table,
        candidate.is_of_guides,
        _rank(candidate),
        -len(candidate.measured),
        candidate.name,
    )


def _described(candidate: Candidate) -> str:
    return f"obs[{candidate.name!r}] ({len(candidate.measured)} measured genes)"


def disagreement(one: Candidate, other: Candidate) -> float:
    """Return in what share of the cells two columns name different genes, or controls."""
    if one.codes is None or other.codes is None:
        return 0.0
    keys = [_meaning(candidate) for candidate in (one, other)]
    n_said = n_other = 0
    for first, second, size in zip(*crossed(one.codes, other.codes), strict=True):
        said, also = keys[0][first], keys[1][second]
        if said is None or also is None:
            continue
        n_said += int(size)
        n_other += int(size) * (said != also)
    return n_other / n_said if n_said else 0.0


def _meaning(candidate: Candidate) -> list[frozenset[int] | None]:
    """Genes that each label names; an empty set for controls, None where nothing is known."""
    controls = candidate.is_control()
    meaning: list[frozenset[int] | None] = []
    for label in candidate.sizes.index:
        own = candidate.parts[label]
        genes = frozenset(
            candidate.measured[target] for target in own if target in candidate.measured
        )
        meaning.append(genes if controls[label] or len(genes) == len(own) > 0 else None)
    return meaning


def _say_what_was_looked_at(found: list[Candidate], notes: Notes) -> None:
    named = [candidate for candidate in found if _rank(candidate) < 99 or candidate.controls.found]
    for candidate in named[:3]:
        where = "obsm" if candidate.is_table else "obs"
        targets = list(candidate.targets().index)
        notes.missing.append(
            f"Targets: of the {len(targets)} in {where}[{candidate.name!r}] "
            f"({first_few(targets)}), {len(candidate.measured)} are measured genes; a network "
            "needs two."
        )
    if not named:
        notes.missing.append(
            "Targets: no column of obs and no table of obsm names two measured genes. Looked at: "
            f"{first_few((candidate.name for candidate in found), 8) or 'no column of text'}."
        )
