"""What the grid of the study declares: screens to simulate, and methods to try on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, get_args

from argen.config import InferenceConfig
from argen.errors import InputError, first_few, nearest
from argen.method import Method
from argen.simulate import ScreenModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A named way to simulate screens."""

    name: str
    model: ScreenModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A method with its options."""

    method: Method = "argen"
    config: InferenceConfig = InferenceConfig(threads=1)  # the grid runs on processes
    knows_ancestors: bool = False
    """Whether it is told the true ancestors, which no method can be outside of a study."""


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {name: Variant(method=name) for name in get_args(Method)}
    | {
        "published": Variant(config=InferenceConfig(rule="published", threads=1)),
        "published-strict-screen": Variant(
            config=InferenceConfig(rule="published", screen_alpha=0.001, threads=1)
        ),
        "wald-parents": Variant(config=InferenceConfig(parent_test="wald", threads=1)),
        "no-corrections": Variant(config=InferenceConfig(penetrance="full", programs=0, threads=1)),
        "oracle-shrunk": Variant(
            config=InferenceConfig(rule="published", errors="shrunk", threads=1),
            knows_ancestors=True,
        ),
        "oracle": Variant(
            config=InferenceConfig(rule="published", threads=1), knows_ancestors=True
        ),
    }
)
"""Methods by the name that they have in the tables: every method as it is, and variants of ours."""

_WEAK_GUIDES = {"knockdown": (0.3, 2.5), "n_guides": 3, "guide_strength_sd": 0.5}
_MANY_GENES = {"n_sinks": 300, "dispersion": 0.3}

# One thing is changed at a time, from a screen with hidden confounding of middling strength; those
# with programs are to be compared with "no-program".
_CHANGES: dict[str, dict[str, Any]] = {
    "base": {},
    "no-confounding": {"n_factors": 0},
    "strong-confounding": {"factor_effect": 1.0},
    "cell-states": {"n_states": 4, "state_effect": 1.0},
    "hidden-genes": {"n_hidden_genes": 0.5},  # of the number of nodes
    "shallow": {"mean_count": 0.5},
    "deep": {"mean_count": 8.0},
    "few-cells": {"cells_per_node": 50},
    "many-cells": {"cells_per_node": 400},
    "overdispersed": {"dispersion": 1.0},
    "incomplete-penetrance": {"penetrance": 0.6},
    "scale-free": {"graph": "scale-free"},
    "few-controls": {"n_controls": 300},
    "failed-guides": {"failed": 0.2},
    "off-target": {"off_target": 0.2},
    "feedback": {"n_feedback": 0.1},  # of the number of nodes
    "dense": {"n_parents": 3.0},
    "escape": {"penetrance": 0.7},
    "escape-varies": {
        "penetrance": 0.7,
        "penetrance_sd": 1.0,
        "n_guides": 3,
        "guide_penetrance_sd": 0.5,
    },
    "weak-guides": _WEAK_GUIDES,
    "weak-and-escaping": {**_WEAK_GUIDES, "penetrance": 0.8},
    "no-program": _MANY_GENES,
    "program": {**_MANY_GENES, "n_programs": 1, "program_effect": 0.2},
    "program-strong": {**_MANY_GENES, "n_programs": 1, "program_effect": 0.4},
    "two-programs": {**_MANY_GENES, "n_programs": 2, "program_effect": 0.2},
    "doublets": {"doublets": 0.08},
    "ambient": {"ambient": 0.1},
    "depth-falls": {"depth_effect": 0.1},
    "saturation": {"saturation": 0.5},
}
_SIZES = (8, 30, 100)
_OF_LARGE = (
    "base", "no-confounding", "strong-confounding", "hidden-genes", "shallow", "few-cells",
    "overdispersed", "incomplete-penetrance",
)  # fmt: skip


def declared_grid() -> tuple[Setting, ...]:
    """Return the settings: 29 ways to be, at 8, 30 and 100 nodes, and 8 of them at 200."""
    found = [(n_nodes, change) for n_nodes in _SIZES for change in _CHANGES]
    found += [(200, change) for change in _OF_LARGE]
    return tuple(_setting(n_nodes, change) for n_nodes, change in found)


def _setting(n_nodes: int, change: str) -> Setting:
    base = ScreenModel(n_nodes=n_nodes, cells_per_node=200, n_controls=2000, n_batches=3)
    values = dict(_CHANGES[change])
    for name in ("n_hidden_genes", "n_feedback"):
        if name in values:
            values[name] = round(values[name] * n_nodes)
    return Setting(name=f"p{n_nodes}-{change}", model=replace(base, **values))


def chosen_settings(names: Iterable[str] | None = None) -> tuple[Setting, ...]:
    """Return the declared settings of some names; all when None."""
    declared = {setting.name: setting for setting in declared_grid()}
    chosen = _chosen("settings", names, declared)
    return tuple(declared[name] for name in chosen)


def chosen_variants(names: Iterable[str] | None = None) -> dict[str, Variant]:
    """Return the variants of some names; all when None."""
    return {name: VARIANTS[name] for name in _chosen("methods", names, VARIANTS)}


def _chosen(what: str, names: Iterable[str] | None, known: Mapping[str, Any]) -> list[str]:
    chosen = list(known) if names is None else list(dict.fromkeys(names))
    if unknown := [name for name in chosen if name not in known]:
        raise InputError(
            f"{what} has {first_few(unknown)}, which is not declared."
            f"{nearest(unknown[0], known)} Declared are {first_few(known, len(known))}."
        )
    return chosen
