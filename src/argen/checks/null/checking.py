"""Null screens of a screen, in findings."""

from __future__ import annotations

import numpy as np

from argen.checks.findings import Diagnostics, Found
from argen.checks.null.calibration import (
    DIRECT,
    calibration_findings,
    calibration_quantiles,
    calibration_table,
    null_screens,
)
from argen.data import PerturbSeqData
from argen.errors import InputError, counted
from argen.network import CausalNetwork


def check_null_screens(
    network: CausalNetwork,
    data: PerturbSeqData,
    n_tests: int,
    rng: np.random.Generator,
) -> Diagnostics:
    """Test p-values on null screens of the screen itself."""
    found = Found()
    if n_tests == 0:
        return found.all()
    config, left = network.config, np.exp(network.screen.knockdown.effect)
    try:
        screens = null_screens(data, config, n_tests=n_tests, rng=rng, left=left)
    except InputError as error:
        found.measured.append(f"null screens: not computed: {error}")
        return found.all()
    table = calibration_table(screens)
    found.tables["calibration"] = table
    found.tables["calibration_qq"] = calibration_quantiles(screens)
    found.findings += calibration_findings(screens, config)
    if "controls" not in set(table["kind"]):
        found.measured.append(
            "null screens (controls): not computed, as half of the controls are fewer than the "
            "cells of any perturbation"
            if data.one_per_cell
            else "null screens (controls): not computed, as cells carry several perturbations"
        )
    for row in table.to_dict("records"):
        found.measured.append(
            f"null screens ({row['kind']}): {row['verdict']}: "
            f"{counted(row['n_tests'], 'test')} of {row['tests']}, "
            f"median chi-square {row['inflation']:.3f} times what is expected, p < .05 in "
            f"{100 * row['share_below_0.05']:.2f} %, p < .001 in "
            f"{100 * row['share_below_0.001']:.3f} %; a false "
            f"{'edge' if row['tests'] == DIRECT else 'descendant'} in "
            f"{100 * row['screens_with_any']:.1f} % of {counted(row['n_screens'], 'screen')}"
        )
    return found.all()
