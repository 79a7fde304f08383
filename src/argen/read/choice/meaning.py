"""What the names in a target stand for: genes, guides of genes, or controls."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from argen.errors import InputError, first_few, nearest
from argen.read.options import ReadOptions
from argen.read.tables import GUIDE_COLUMNS, TARGET_COLUMNS, renaming

# Classes of Mixscape (Papalexi et al. 2021): in these cells a classifier saw no perturbation.
_NOT_PERTURBED = " NP"


@dataclass(frozen=True, slots=True)
class Meaning:
    """The gene that each name stands for, and which names are those of controls."""

    target: Mapping[str, str]  # name -> gene, of all that are no controls
    controls: Mapping[str, str]  # name -> entry of the option that it matches
    are_guides: bool

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        options: ReadOptions,
        known: Mapping[str, str],
        *,
        needed: Iterable[str] | None = None,
        table: str | None = None,
    ) -> Meaning:
        """Find out what names mean.

        Parameters
        ----------
        names
            All of them, those that are named in messages first.
        known
            Targets of guides, where the screen itself says them.
        needed
            Those that must mean something, which are those of cells in use; all when None.
        table
            Where the names are columns: of what, for messages.
        """
        target, are_guides = _targets(names, options, known)
        controls = _controls(options.control, names, target, table)
        if options.guides is not None:
            _refuse_unlisted(list(names if needed is None else needed), target, controls)
        meant = {name: target.get(name, name) for name in names if name not in controls}
        return cls(meant, controls, are_guides)


def _targets(
    names: Sequence[str], options: ReadOptions, known: Mapping[str, str]
) -> tuple[dict[str, str], bool]:
    """Return the targets of those names that have one, and whether names are guides."""
    if options.guides is not None:
        listed = renaming(options.guides, GUIDE_COLUMNS, TARGET_COLUMNS, "guides")
        return {name: listed[name] for name in names if name in listed}, True
    if options.guide_pattern is not None:
        return _by_pattern(names, options.guide_pattern)
    found = {name: known[name] for name in names if name in known}
    return found, bool(found)


def _by_pattern(names: Sequence[str], pattern: str) -> tuple[dict[str, str], bool]:
    rule = re.compile(pattern)
    group: str | int = "target" if "target" in rule.groupindex else 1
    matches = {name: rule.search(name) for name in names}
    found = {name: match[group] for name, match in matches.items() if match and match[group]}
    if not found:
        raise InputError(
            f"guide_pattern {pattern!r} finds no target in any label: expected it to fit labels "
            f"such as {first_few(names)}."
        )
    # Classes are no guides: what is seen in a cell must not choose the cells that are compared.
    are_classes = any(name.endswith(_NOT_PERTURBED) for name in found)
    return found, not are_classes


def _controls(
    control: Sequence[str], names: Sequence[str], target: Mapping[str, str], table: str | None
) -> dict[str, str]:
    """Return the names of controls, and the entry that each matches, by itself or its target."""
    found: dict[str, str] = {}
    targets = list(dict.fromkeys(target.values()))
    for entry in control:
        matched = set(matching(entry, names)) or {
            name for wanted in [set(matching(entry, targets))] for name in names
            if target.get(name) in wanted
        }  # fmt: skip
        if not matched:
            known = [*targets, *names]
            is_list = set(entry.split(",")) <= set(known)
            hint = " Name them one by one." if is_list else nearest(entry, known)
            if table is None:
                said, named = f"No cell has the control label {entry!r}.", "Labels"
            else:
                said, named = f"{table} has no column {entry!r} for the control.", "Columns"
            raise InputError(f"{said}{hint} {named}: {first_few(names, 8)}.")
        for name in matched:
            found.setdefault(name, entry)
    return found


def matching(entry: str, names: Iterable[str]) -> list[str]:
    """Return the name that is the entry or, where none is, those that it fits as a pattern."""
    known = list(names)
    if entry in known:
        return [entry]
    if "*" not in entry and "?" not in entry:
        return []
    rule = re.compile(re.escape(entry).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)
    return [name for name in known if rule.fullmatch(name)]


def _refuse_unlisted(
    names: Sequence[str], target: Mapping[str, str], controls: Mapping[str, str]
) -> None:
    unlisted = [name for name in names if name not in target and name not in controls]
    if unlisted:
        raise InputError(
            f"guides does not list {len(unlisted):,} of {len(names):,} guides of the screen "
            f"(first: {first_few(unlisted)}): expected the target of each. Add them, or name those "
            "that target nothing as control."
        )
