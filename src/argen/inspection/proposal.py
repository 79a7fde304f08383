"""What a fit is to be told of a screen that was recognised."""

from __future__ import annotations

from typing import Any

import pandas as pd

from argen.errors import counted
from argen.inspection.candidates import Candidate
from argen.inspection.parts import Parts
from argen.read import MatrixLook, ReadOptions, in_query, shell_patterns

# More control labels than this are written as patterns, where that is shorter.
_MOST_LISTED = 3


def proposal(parts: Parts, counts: MatrixLook, target: Candidate) -> ReadOptions:
    """Return what a fit is to be told."""
    given: dict[str, Any] = {"target": target.name, "control": control_entries(target)}
    if target.is_table:
        given["target_names"] = target.names_key
    if target.joined is not None:
        given["separator"] = target.joined.separator
    if target.rule is not None:
        given["guide_pattern"] = target.rule.pattern
    if target.renamed:
        given["match_genes"] = "close"
    given["gene_symbols"] = target.symbols
    given["layer"] = counts.layer
    given["round"] = counts.is_nearly_raw
    given["guide"] = None if parts.guide is None else parts.guide.name
    given["library_size"] = None if parts.depth is None else parts.depth.name
    given["covariates"] = _covariates(parts)
    given["cells"] = _cells(parts, target)
    return ReadOptions(**{name: value for name, value in given.items() if value is not None})


def _covariates(parts: Parts) -> str | tuple[str, ...] | None:
    columns = [parts.mito] if parts.mito is not None else []
    columns += parts.batches
    if not columns:
        return None
    is_number = pd.api.types.is_numeric_dtype
    numbers = {one.name for one in parts.batches if is_number(parts.obs[one.name])}
    plain = all("," not in one.name and one.name == one.name.strip() for one in columns)
    if plain and not numbers:
        return tuple(one.name for one in columns)
    terms = [
        f"C({in_query(one.name)})" if one.name in numbers else in_query(one.name) for one in columns
    ]
    return f"~ {' + '.join(terms)}"


def _cells(parts: Parts, target: Candidate) -> str | None:
    """Return the filter without which reading refuses the file."""
    conditions = []
    if target.n_missing:
        conditions.append(f"{in_query(target.name)}.notna()")
        parts.notes.findings.append(
            f"obs[{target.name!r}] is missing in {counted(target.n_missing, 'cell')}, left out."
        )
    if parts.depth is not None and (n_zero := int((parts.obs[parts.depth.name] <= 0).sum())):
        conditions.append(f"{in_query(parts.depth.name)} > 0")
        parts.notes.findings.append(
            f"obs[{parts.depth.name!r}] is 0 in {counted(n_zero, 'cell')}, left out."
        )
    return " and ".join(conditions) or None


def control_entries(target: Candidate) -> tuple[str, ...]:
    """Return the labels of controls, as patterns where these are many."""
    found = target.controls.found
    if len(found) <= _MOST_LISTED:
        return found
    # Patterns are for the parts of labels, among which a control that has the separator is not.
    separator = None if target.joined is None else target.joined.separator
    whole = {label for label in found if separator is not None and separator in label}
    every = {part for own in target.parts.values() for part in own}
    others = [label for label in found if label not in whole]
    return (*sorted(whole), *shell_patterns(others, {*target.sizes.index, *others, *every}))
