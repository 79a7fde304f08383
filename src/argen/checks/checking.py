"""All checks of a run, one after another."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from argen.checks.again import sensitivity
from argen.checks.cells import balance as exogeneity
from argen.checks.cells.alignment import guides_of, others_of, refuse_others_network
from argen.checks.edges import direction, validation
from argen.checks.findings import Diagnostics, Finding, listed
from argen.checks.guides import agreement as exclusion
from argen.checks.guides import by_guide
from argen.checks.instruments import strength as relevance
from argen.checks.instruments import weak
from argen.checks.null import calibration
from argen.data.design import Design, build_design
from argen.data.perturbseq import PerturbSeqData
from argen.errors import InputError
from argen.method.pipeline import infer_network
from argen.network.result import CausalNetwork


def check(
    data: PerturbSeqData,
    network: CausalNetwork | None = None,
    *,
    guides: pd.Series | None = None,
    others: pd.DataFrame | None = None,
    every_edge: bool = False,
    n_null_tests: int = 10_000,
    rng: np.random.Generator | int = 1,
) -> Diagnostics:
    """Check what the network of a screen rests on.

    Calibration: p-values of null screens. Relevance: every perturbation's effect on its own gene,
    how well the perturbations tell each candidate from the others, and intervals that hold where
    they hardly do. Exogeneity: balance of covariates, library size and other columns over the
    perturbations. Exclusion: whether the guides of a gene agree. Direction: feedback, and edges
    that might point the other way. Validation: whether the edges add up to the total effects, and
    agree with interventions on the right end alone.

    Parameters
    ----------
    data
        The screen.
    network
        What ``infer_network`` made of it; inferred with the default options when None.
    guides
        Guide of each cell, such as ``adata.obs["guide"]``, found by the cell's identifier;
        without it exclusion cannot be checked, nor whether the cells of a guide go together.
    others
        Columns that are not covariates and might have to be, such as ``adata.obs[["lane"]]``:
        one row a cell, found by its identifier.
    every_edge
        Give every edge an interval for weak instruments, rather than those of weak candidates.
    n_null_tests
        About how many null tests of each kind to make; 0: no calibration.
    rng
        Generator or seed of the null screens and of permuted guides.

    Raises
    ------
    InputError
        When the network is of another screen; when a cell has no row, or several, among the other
        columns or guides, or misses a value; when a column has more than 100 levels.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=4000)
    >>> found = argen.checks.check(data, n_null_tests=1000)
    >>> int(found.tables["knockdown"]["failed"].sum())
    0
    """
    labels = None if guides is None else guides_of(guides, data)
    others = others_of(pd.DataFrame(index=data.cells) if others is None else others, data.cells)
    if network is None:
        network = infer_network(data)
    refuse_others_network(data, network)
    design = build_design(data)
    found = _Found()
    rng = np.random.default_rng(rng)
    if n_null_tests:
        _check_calibration(found, data, network, n_null_tests, rng, labels)
    found.findings += relevance.left_out_findings(network.left_out)
    _check_relevance(found, design, network, data, every_edge=every_edge)
    _check_balance(found, design, data, others)
    if labels is None:
        found.measured.append("guides: not compared, as no column of guides was given")
    else:
        _check_exclusion(found, design, network, labels, rng)
    _check_direction(found, network)
    _check_validation(found, network)
    return Diagnostics.of(found.findings, found.tables, found.measured)


def check_result(network: CausalNetwork) -> Diagnostics:
    """Check what can be checked of a network without the cells that it was inferred from.

    Knock-downs, feedback, and whether the edges agree with the total effects. ``check`` does more.
    """
    found = _Found()
    found.findings += relevance.left_out_findings(network.left_out)
    _check_knockdown(found, relevance.knockdown_table(network))
    _check_direction(found, network)
    _check_validation(found, network)
    found.measured.append(
        "calibration, balance, strength given the other candidates, guides: not checked, as they "
        "need the cells"
    )
    return Diagnostics.of(found.findings, found.tables, found.measured)


@dataclass
class _Found:
    """What the checks have said so far."""

    findings: list[Finding] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    measured: list[str] = field(default_factory=list)


def _check_calibration(
    found: _Found,
    data: PerturbSeqData,
    network: CausalNetwork,
    n_tests: int,
    rng: np.random.Generator,
    guides: pd.Series | None,
) -> None:
    config, left = network.config, np.exp(network.screen.knockdown.effect)
    try:
        screens = calibration.null_screens(
            data, config, n_tests=n_tests, rng=rng, left=left, guides=guides
        )
    except InputError as error:
        found.measured.append(f"null screens: not computed: {error}")
        return
    table = calibration.calibration_table(screens)
    found.tables["calibration"] = table
    found.tables["calibration_qq"] = calibration.calibration_quantiles(screens)
    found.findings += calibration.calibration_findings(
        screens, config, one_per_cell=data.one_per_cell
    )
    if "controls" not in set(table["kind"]):
        found.measured.append(
            "null screens (controls): not computed, as half of the controls are fewer than the "
            "cells of any perturbation"
        )
    for row in table.to_dict("records"):
        found.measured.append(
            f"null screens ({row['kind']}): {row['n_tests']:,} tests of {row['tests']}, median "
            f"chi-square {row['inflation']:.3f} times what is expected, p < .05 in "
            f"{100 * row['share_below_0.05']:.2f} %, p < .001 in "
            f"{100 * row['share_below_0.001']:.3f} %; a false "
            f"{'edge' if row['tests'] == calibration.DIRECT else 'descendant'} in "
            f"{100 * row['screens_with_any']:.1f} % of {row['n_screens']} screens"
        )


def _check_knockdown(found: _Found, knockdown: pd.DataFrame) -> None:
    found.tables["knockdown"] = knockdown
    found.findings += relevance.knockdown_findings(knockdown)
    left = knockdown["percent_remaining"]
    found.measured.append(
        f"knock-down: {left.min():.0f} to {left.max():.0f} % of each gene's expression left "
        f"(median {left.median():.0f} %)"
    )


def _check_relevance(
    found: _Found,
    design: Design,
    network: CausalNetwork,
    data: PerturbSeqData,
    *,
    every_edge: bool,
) -> None:
    knockdown = relevance.knockdown_table(network)
    knockdown.insert(1, "n_perturbed", data.n_perturbed)
    knockdown.insert(2, "effective_cells", relevance.effective_cells(design))
    _check_knockdown(found, knockdown)
    if not design.one_per_cell:
        found.measured.append(
            "strength given the other candidates: not computed, as cells carry several "
            "perturbations"
        )
        return
    few = design.n_nodes <= relevance.MOST_NODES
    strength = (
        relevance.strength_table(network, relevance.node_effects(design))
        if few
        else weak.strength_of_edges(network, design)
    )
    found.tables["strength"] = strength
    failed = set(knockdown.loc[knockdown["failed"], "node"])
    found.findings += relevance.strength_findings(strength, failed)
    if len(strength):
        found.measured.append(
            f"strength given the other candidates: conditional F from "
            f"{strength['conditional_f'].min():.3g} to {strength['conditional_f'].max():.3g} over "
            f"{len(strength)} {'candidates' if few else 'edges'}"
        )
        if n_not := int(strength["conditional_f"].isna().sum()):
            found.measured.append(
                f"strength of {n_not} sources: not computed, as a first stage failed, or the "
                f"target has more than {weak.MOST_CANDIDATES} candidates"
            )
    needed = sensitivity.off_target_table(network, design)
    found.tables["off_target_needed"] = needed
    if needed["needed"].notna().any():
        least = needed.sort_values("needed", key=abs).to_dict("records")[0]
        found.measured.append(
            "off-target effects that would explain an edge away: from "
            f"{abs(least['needed']):.2f} in log fold change ({least['source']} on "
            f"{least['target']})"
        )
    doubtful = None if every_edge else strength[strength["weak"].astype(bool)]
    intervals = weak.weak_instrument_table(network, design, only=doubtful)
    found.tables["weak_instruments"] = intervals
    found.findings += weak.weak_instrument_findings(intervals)
    if len(intervals):
        n_signed = int(intervals["one_sign"].sum())
        found.measured.append(
            f"Anderson-Rubin intervals: {n_signed} of {len(intervals)} "
            f"{'' if every_edge else 'weak '}edges keep their sign"
        )


def _check_balance(
    found: _Found, design: Design, data: PerturbSeqData, others: pd.DataFrame
) -> None:
    table = exogeneity.balance_table(design, data.covariates, others)
    found.tables["balance"] = table
    found.tables["balance_qq"] = exogeneity.balance_quantiles(table)
    found.findings += exogeneity.balance_findings(table)
    for role, rows in table.groupby("role", sort=False):
        found.measured.append(
            f"balance ({role}): {int(rows['unbalanced'].sum())} of "
            f"{int(rows['p_value'].notna().sum())} tests unbalanced, "
            f"{int((rows['p_value'] < 0.05).sum())} with p < .05"
        )


def _check_exclusion(
    found: _Found,
    design: Design,
    network: CausalNetwork,
    guides: pd.Series,
    rng: np.random.Generator,
) -> None:
    if not design.one_per_cell:
        found.measured.append("guides: not compared, as cells carry several perturbations")
        return
    of_guides = by_guide.guide_effects(design, guides)
    pairs = by_guide.compared_pairs(network)
    inflation = exclusion.guide_inflation(design, guides, network, pairs, rng)
    agreement = exclusion.agreement_table(of_guides, network.genes, pairs, inflation)
    targets, too_many = exclusion.explained_targets(of_guides, network, pairs)
    explained = exclusion.overidentification_table(targets, inflation)
    left_out = exclusion.leave_one_out_table(of_guides, network, targets)
    found.tables["guides"] = by_guide.guide_table(of_guides, network.genes, pairs)
    found.tables["guide_agreement"] = agreement
    found.tables["overidentification"] = explained
    found.tables["leave_one_guide_out"] = left_out
    found.findings += exclusion.exclusion_findings(agreement, explained, left_out)
    if of_guides.too_few:
        found.measured.append(
            f"guides of fewer than {by_guide.FEWEST_CELLS} cells, not compared: "
            f"{listed(of_guides.too_few)}"
        )
    if not len(agreement):
        found.measured.append(
            f"guides: not compared, as no gene has two guides of {by_guide.FEWEST_CELLS} cells "
            "or more"
        )
        return
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
            f"guides of targets with more than {exclusion.MOST_CANDIDATES} candidates, not "
            f"compared: {listed(too_many)}"
        )


def _check_direction(found: _Found, network: CausalNetwork) -> None:
    tables = {
        "feedback": direction.feedback_table(network),
        "direction": direction.direction_table(network),
        "groups": direction.groups_table(network),
    }
    found.tables |= tables
    found.findings += direction.direction_findings(*tables.values())
    found.measured.append(direction.direction_line(*tables.values()))


def _check_validation(found: _Found, network: CausalNetwork) -> None:
    n_candidates = network.candidates.groupby("target").size()
    entries = int((network.edges["target"].map(n_candidates) ** 2).sum())
    try:
        if entries > validation.MOST_ENTRIES:
            raise InputError("edges have too many candidates beside them.")
        implied = validation.implied_table(network)
    except InputError as error:
        found.measured.append(f"total effects that the edges imply: not computed: {error}")
    else:
        found.tables["implied"] = implied
        found.findings += validation.implied_findings(implied)
        found.measured.append(validation.implied_line(implied))
    concordance = validation.concordance_table(network)
    found.tables["concordance"] = concordance
    found.findings += validation.concordance_findings(concordance)
    found.measured.append(validation.concordance_line(concordance))
