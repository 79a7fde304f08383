"""The guides of each gene compared, in findings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from argen.checks.findings import Diagnostics, Found
from argen.checks.guides.agreement import (
    agreement_table,
    exclusion_findings,
    explained_targets,
    guide_inflation,
    leave_one_out_table,
    overidentification_table,
)
from argen.checks.guides.by_guide import (
    FEWEST_CELLS,
    GuideEffects,
    compared_pairs,
    guide_effects,
    guide_table,
    joint_guide_effects,
    permuted_among_carriers,
    permuted_guides,
)
from argen.checks.guides.idle import idle_findings, own_effects
from argen.data import Guides, PerturbSeqData
from argen.errors import listed
from argen.network import CausalNetwork


def check_guides(
    network: CausalNetwork,
    data: PerturbSeqData,
    rng: np.random.Generator,
) -> Diagnostics:
    """Compare the guides of each gene."""
    found = Found()
    if data.guides is None:
        found.measured.append("guides: not compared, as the guides of the cells are not known")
        return found.all()
    of_guides, draw = _effects(data, data.guides, rng)
    pairs = compared_pairs(network, every_pair=of_guides.is_quick)
    inflation = guide_inflation(draw, network, pairs)
    agreement = agreement_table(of_guides, network.genes, pairs, inflation)
    targets, too_many = explained_targets(of_guides, network, pairs)
    explained = overidentification_table(targets, inflation)
    left_out = leave_one_out_table(of_guides, network, targets)
    found.tables["guides"] = guide_table(of_guides, network.genes, pairs)
    found.tables["guide_agreement"] = agreement
    found.tables["overidentification"] = explained
    found.tables["leave_one_guide_out"] = left_out
    found.tables["own_guides"] = own = own_effects(of_guides, network.nodes)
    found.findings += exclusion_findings(
        agreement, explained, left_out, escapes=network.escape_corrected
    )
    found.findings += idle_findings(own)
    if len(own):
        found.measured.append(
            f"guides on their own gene: {int(own['works'].sum())} of {len(own)} change it, "
            f"{int(own['idle'].sum())} surely less than half of what the others do"
        )
    if of_guides.too_few:
        found.measured.append(
            f"guides of fewer than {FEWEST_CELLS} cells, not compared: {listed(of_guides.too_few)}"
        )
    if not len(agreement):
        found.measured.append(
            f"guides: not compared, as no gene has two guides of {FEWEST_CELLS} cells or more"
        )
        return found.all()
    found.measured.append(
        f"guides: {len(of_guides.guides)} guides of {len(set(of_guides.node.tolist()))} nodes; "
        f"{int(agreement['disagree'].sum())} of {len(agreement)} pairs disagree, "
        f"{int((agreement['p_value'] < 0.05).sum())} with p < .05; "
        f"{int(explained['rejected'].sum())} of {len(explained)} targets unexplained; statistics "
        f"divided by {np.median(inflation.agreement):.2f} and "
        f"{np.median(inflation.overidentification):.2f} (median), as permuted guides ask for"
    )
    if too_many:
        found.measured.append(
            f"guides of targets with more than {of_guides.most_candidates} candidates, not "
            f"compared: {listed(too_many)}"
        )
    return found.all()


def _effects(
    data: PerturbSeqData, guides: Guides, rng: np.random.Generator
) -> tuple[GuideEffects, Callable[[], GuideEffects]]:
    """Return the effects of the guides, and what draws those of permuted guides."""
    if data.one_per_cell:
        labels = guides.labels()
        found = guide_effects(data, labels)
        return found, lambda: guide_effects(data, permuted_guides(data, labels, rng))
    n = data.n_nodes
    return joint_guide_effects(data, guides), lambda: joint_guide_effects(
        data, permuted_among_carriers(guides, n, rng)
    )
