"""All checks of a run, one after another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from argen.checks.cells import check_cells, others_of, refuse_others_network
from argen.checks.edges import check_edges
from argen.checks.findings import Diagnostics
from argen.checks.guides import check_guides
from argen.checks.instruments import check_instruments, check_knockdowns
from argen.checks.null import check_null_screens
from argen.checks.weak_points import NONE, not_looked_at, weak_points
from argen.data import PerturbSeqData
from argen.errors import InputError
from argen.network import CausalNetwork

NEED_CELLS = (
    "calibration, balance, strength given the other candidates, guides: not checked, as they need "
    "the cells"
)


def check(
    network: CausalNetwork,
    data: PerturbSeqData | None = None,
    *,
    others: pd.DataFrame | None = None,
    every_edge: bool = False,
    n_null_tests: int = 10_000,
    rng: np.random.Generator | int = 1,
    further: Sequence[Diagnostics] = (),
) -> Diagnostics:
    """Check what a network rests on: findings, and the tables behind them.

    Calibration: p-values of null screens. Relevance: every perturbation's effect on its own gene,
    how well the perturbations tell each candidate from the others, and intervals that hold where
    they hardly do. Exogeneity: balance of covariates, library size and other columns over the
    perturbations. Exclusion: whether the guides of a gene agree. Direction: feedback, and edges
    that might point the other way. Validation: whether the edges add up to the total effects, and
    agree with interventions on the right end alone. Last, the weakest point of each edge.

    Parameters
    ----------
    network
        What ``infer_network`` made of the screen.
    data
        The screen. Without it, what needs no cells is checked: knock-downs, direction, and
        whether the edges add up. Where its guides are not known, exclusion is not checked, nor
        whether the cells of a guide go together.
    others
        Columns that are not covariates and might have to be, such as ``adata.obs[["lane"]]``:
        one row a cell, found by its identifier.
    every_edge
        Give every edge an interval for weak instruments, rather than those of weak candidates.
    n_null_tests
        About how many null tests of each kind to make; 0: no calibration.
    rng
        Generator or seed of the null screens and of permuted guides.
    further
        Of ``sensitivity``, ``stability`` and ``held_out``: joined with the rest, so that the
        weakest point of each edge (table ``weak_points``) takes them into account.

    Raises
    ------
    InputError
        When the network is of another screen; when a cell has no row, or several, among the other
        columns, or misses a value; when a column has more than 100 levels; when other columns
        come without the screen.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=4000)
    >>> found = argen.check(argen.infer_network(data), data, n_null_tests=1000)
    >>> int(found.tables["knockdown"]["failed"].sum())
    0
    """
    if data is None:
        if others is not None:
            raise InputError(
                "Without the screen there is nothing to do for 'others': give the screen that the "
                "network was inferred from, as check(network, data, ...)."
            )
        found = check_knockdowns(network).joined(check_edges(network))
        found = found.joined(Diagnostics.of([], {}, [NEED_CELLS]), *further)
        return _with_weak_points(network, found)
    others = others_of(pd.DataFrame(index=data.cells) if others is None else others, data.cells)
    refuse_others_network(network, data)
    rng = np.random.default_rng(rng)
    found = check_null_screens(network, data, n_null_tests, rng).joined(
        check_instruments(network, data, every_edge=every_edge),
        check_cells(data, others),
        check_guides(network, data, rng),
        check_edges(network),
        *further,
    )
    return _with_weak_points(network, found)


def _with_weak_points(network: CausalNetwork, found: Diagnostics) -> Diagnostics:
    """Add the weakest point of each edge, and count them."""
    table = weak_points(network, found)
    counts = table.sort_values("rank", kind="stable")["weak_point"].value_counts(sort=False)
    said = ", ".join(f"{name} {n}" for name, n in counts.items() if name != NONE)
    line = f"weakest points of {len(table)} edges: none found in {counts.get(NONE, 0)}"
    line += f"; {said}" if said else ""
    if missing := not_looked_at(found.tables):
        line += f"; not looked at yet: {missing}"
    return found.joined(Diagnostics.of([], {"weak_points": table}, [line]))
