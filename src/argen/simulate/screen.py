"""Random screens in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from argen.arrays import FloatArray
from argen.data import GeneCounts, Guides, PerturbSeqData, left_out_table
from argen.errors import InputError
from argen.simulate.model import ScreenModel
from argen.simulate.plan import ScreenPlan, plan_screen
from argen.simulate.profile import ScreenProfile
from argen.simulate.truth import Truth

CONTROL_GUIDE = "control"


def simulate_screen(
    model: ScreenModel | None = None,
    *,
    rng: np.random.Generator | int,
    direct: Any = None,
    profile: ScreenProfile | None = None,
) -> tuple[PerturbSeqData, Truth]:
    """Simulate a screen with a random network, and everything that can be in a screen's way.

    The model is that of ``ScreenModel``. Guides of failed, incomplete or off-target effect,
    hidden confounders and hidden genes are in the counts, and the truth is what an analysis of
    the measured genes should find: where genes are hidden, paths through them are direct effects.

    Parameters
    ----------
    model
        Options; the defaults of ``ScreenModel`` when None.
    rng
        Generator or seed; the same counts for the same one.
    direct
        Direct effects to use instead of random ones, (n_acting, n_acting + n_sinks), [source,
        target]; the genes that act are the nodes, then the hidden ones.
    profile
        From ``like``: means and dispersions of genes, group sizes, library sizes and covariates
        of a real screen, in place of those of the model.

    Examples
    --------
    >>> import argen
    >>> model = argen.ScreenModel(n_nodes=10, n_parents=1, n_hidden_genes=2)
    >>> data, truth = argen.simulate_screen(model, rng=1)
    >>> data
    PerturbSeqData(3,000 cells, 10 nodes, 0 sinks)
    >>> truth.direct.shape
    (10, 10)
    """
    plan = planned(model, rng, direct, profile)
    counts = sparse.vstack([plan.block(number) for number in range(plan.n_blocks)])
    cells = plan.cells
    data = PerturbSeqData(
        counts=GeneCounts.from_matrix(counts),
        genes=plan.truth.genes,
        n_nodes=len(plan.truth.nodes),
        n_measured=len(plan.truth.genes),
        cells=cell_names(plan),
        perturbations=cells.perturbations(len(plan.truth.nodes)),
        library_size=plan.library_size,
        library_size_source="simulated",
        covariates=cells.covariates,
        formula=cells.formula,
        left_out=left_out_table([]),
        source=plan.source,
        guides=guides_of(plan),
    )
    return data, plan.truth


def cell_names(plan: ScreenPlan) -> pd.Index:
    """Return a name for each cell: (n_cells,)."""
    return pd.Index([f"cell{number}" for number in range(len(plan.cells.node_of_cell))])


def guides_of(plan: ScreenPlan) -> Guides | None:
    """Return the guides of the cells, as g1_2 or control; None where a node has but one."""
    n_guides, cells = plan.equations.penetrance.shape[1], plan.cells
    if n_guides == 1:
        return None
    node = cells.node_of_cell
    if cells.more is None:
        nodes = np.array([*plan.truth.nodes, ""], dtype=object)[node]
        numbers = (cells.guide_of_cell + 1).astype(str).astype(object)
        labels = np.where(node < 0, CONTROL_GUIDE, nodes + "_" + numbers)
        return Guides.of_labels(labels, node)
    names = [f"{name}_{guide + 1}" for name in plan.truth.nodes for guide in range(n_guides)]
    more = cells.more.tocoo()
    first = np.where(node < 0, len(names), node * n_guides + cells.guide_of_cell)
    guide = np.concatenate([first, more.col.astype(np.int64) * n_guides + more.data - 1])
    cell, shape = np.concatenate([np.arange(len(node)), more.row]), (len(node), len(names) + 1)
    carried = sparse.csc_array((np.ones(len(cell), dtype=np.int8), (cell, guide)), shape=shape)
    carried.sort_indices()
    node_of_guide = np.append(np.repeat(np.arange(len(plan.truth.nodes)), n_guides), -1)
    return Guides((*names, CONTROL_GUIDE), node_of_guide, carried)


def planned(
    model: ScreenModel | None,
    rng: np.random.Generator | int,
    direct: Any,
    profile: ScreenProfile | None,
) -> ScreenPlan:
    """Check the network that is given, if any, and draw everything but the counts."""
    model = model or ScreenModel()
    if direct is not None:
        direct = _checked_effects(model, direct)
    return plan_screen(model, np.random.default_rng(rng), direct=direct, profile=profile)


def _checked_effects(model: ScreenModel, direct: Any) -> FloatArray:
    n_acting = model.n_nodes + model.n_hidden_genes
    expected = (n_acting, n_acting + model.n_sinks)
    effects = np.array(direct, dtype=np.float64)
    if effects.shape != expected or not np.isfinite(effects).all():
        raise InputError(
            f"direct must be a finite matrix {expected} for the {model.n_nodes} nodes, "
            f"{model.n_hidden_genes} hidden genes and {model.n_sinks} sinks of the model, not "
            f"one of shape {effects.shape}."
        )
    if np.diagonal(effects).any():
        raise InputError("direct must have zeros on its diagonal: no gene acts on itself.")
    echo = np.abs(np.linalg.eigvals(effects[:, :n_acting])).max()
    has_cycle = Truth(tuple(map(str, range(expected[1]))), effects).has_cycle
    if has_cycle and model.saturation:
        raise InputError("direct has a cycle: saturation must be 0 with feedback.")
    if has_cycle and echo >= 1:
        raise InputError(
            f"direct has a cycle in which effects grow (spectral radius {echo:.2g}): weaken it."
        )
    return effects
