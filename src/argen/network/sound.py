"""Whether the parts of a network fit together, so that whatever a file holds is refused at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np

from argen.engine import Effects
from argen.errors import FitStatus
from argen.network.result import CausalNetwork

_NUMBER, _TRUTH, _WHOLE = "fiu", "b", "iu"
_COLUMNS = {
    **dict.fromkeys(("source", "target", "status"), "O"),
    **dict.fromkeys(("callable", "selected", "sink"), _TRUTH),
    **dict.fromkeys(
        ("effect", "std_error", "ci_low", "ci_high", "z", "p_value", "log10_p", "p_adjusted",
         "batch", "level", "p_held"), _NUMBER,
    ),
}  # fmt: skip
_MATRICES = {
    **dict.fromkeys(("effect", "std_error", "p_value", "log10_p", "p_adjusted"), _NUMBER),
    "is_descendant": _TRUTH, "status": _WHOLE,
}  # fmt: skip


def require_sound(network: CausalNetwork) -> None:
    """Raise a ValueError, which says what is wrong, where parts of a network do not fit."""
    genes, screen = network.genes, network.screen
    _require(all(isinstance(gene, str) for gene in genes), "genes are not names")
    _require(len(set(genes)) == len(genes), "genes are named twice")
    n_nodes, n_genes = len(screen.effect), len(genes)
    _require(n_nodes <= n_genes, "there are more nodes than genes")
    for name, kind in _MATRICES.items():
        _fits(f"screen/{name}", getattr(screen, name), kind, (n_nodes, n_genes))
    for field in fields(Effects):
        own = getattr(screen.knockdown, field.name)
        _fits(f"knockdown/{field.name}", own, _MATRICES[field.name], (n_nodes,))
    for statuses in (screen.status, screen.knockdown.status):
        _require(np.isin(statuses, list(FitStatus)).all(), "there are statuses that are none")
    _order(network, n_nodes, n_genes)
    _tables(network)
    _penetrance(network, n_nodes, n_genes)
    _programs(network, n_nodes)
    _record(network)


def _require(holds: bool | np.bool_, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _fits(name: str, array: Any, kinds: str, shape: tuple[int, ...]) -> None:
    fits = isinstance(array, np.ndarray) and array.shape == shape and array.dtype.kind in kinds
    _require(fits, f"{name!r} has another shape or type than is expected")


def _numbers_of(name: str, array: Any, end: int) -> None:
    """Numbers of genes or nodes: whole, and each below the end."""
    _fits(name, array, _WHOLE, (len(array),))
    _require(((array >= 0) & (array < end)).all(), f"{name!r} has numbers that are none of a gene")


def _order(network: CausalNetwork, n_nodes: int, n_genes: int) -> None:
    order = network.causal_order
    _numbers_of("order/order", order.order, n_genes)
    _require(np.array_equal(np.sort(order.order), np.arange(n_genes)), "the order lacks genes")
    _require((order.order[:n_nodes] < n_nodes).all(), "a sink is before a node in the order")
    for name in ("possible", "sure"):
        _fits(f"order/{name}", getattr(order, name), _TRUTH, (n_nodes, n_genes))


def _tables(network: CausalNetwork) -> None:
    table, genes = network.candidates, set(network.genes)
    for name, kinds in _COLUMNS.items():
        _require(table[name].dtype.kind in kinds, f"the column {name!r} is of another type")
    _require(genes.issuperset(table["target"]), "a candidate has a target that is no gene")
    _require(set(network.nodes).issuperset(table["source"]), "a candidate has a source, no node")
    statuses = set(FitStatus.__members__)
    _require(statuses.issuperset(table["status"]), "there are statuses that are none")


def _penetrance(network: CausalNetwork, n_nodes: int, n_genes: int) -> None:
    found = network.penetrance
    if found is None:
        return
    for field in fields(found):
        if field.name not in ("lowered", "guides", "screen_p_value"):
            kinds = _TRUTH if field.name == "corrected" else _NUMBER
            _fits(f"penetrance/{field.name}", getattr(found, field.name), kinds, (n_nodes,))
    for own in found.lowered:
        if own is not None:
            _numbers_of("penetrance/lowered_genes", own.genes, n_genes)
            for name in ("effect", "variance", "by_share"):
                array = getattr(own, name)
                _fits(f"penetrance/lowered_{name}", array, _NUMBER, (len(own.genes),))
    if found.guides is not None:
        _numbers_of("guides/node", found.guides.node, n_nodes)
        shape = (len(found.guides.names),)
        for field in fields(found.guides):
            if field.name not in ("names", "uneven_p_value"):
                _fits(f"guides/{field.name}", getattr(found.guides, field.name), _NUMBER, shape)


def _programs(network: CausalNetwork, n_nodes: int) -> None:
    found = network.programs
    if found is None:
        return
    genes, n_programs, n_tests = found.genes, len(found.share), len(found.strength)
    _require(len(genes) >= len(network.genes), "programs have fewer genes than the network")
    shapes: Iterable[tuple[str, tuple[int, ...]]] = (
        ("scores", (n_nodes, n_programs)), ("score_error", (n_nodes, n_programs)),
        ("loadings", (len(genes), n_programs)), ("loading_error", (len(genes), n_programs)),
        ("share", (n_programs,)), ("strength", (n_tests,)), ("chance", (n_tests,)),
        ("chance_sd", (n_tests,)), ("n_setting_off", (n_tests,)),
    )  # fmt: skip
    for name, shape in shapes:
        _fits(f"programs/{name}", getattr(found, name), _NUMBER, shape)


def _record(network: CausalNetwork) -> None:
    run, fits = network.provenance, network.screen.fits
    _require(isinstance(network.two_stages, bool), "'two_stages' is neither true nor false")
    _require(
        isinstance(fits, dict) and all(isinstance(n, int) for n in fits.values()),
        "'fits' are no numbers of fits",
    )
    _require(isinstance(run, dict), "the provenance is no record")
    for name in ("n_cells", "n_controls"):
        _require(isinstance(run.get(name), int), f"{name!r} of the provenance is no number")
