"""Response programs among checks: how many were decided on, and stages that are without them."""

from __future__ import annotations

import numpy as np
import pandas as pd

import argen
from argen.checks.instruments.two_stages import edges_by_target


def test_a_check_has_the_tests_of_programs(program_screen, program_network):
    for found in (
        argen.check(program_network),
        argen.check(program_network, program_screen, n_null_tests=0),
    ):
        pd.testing.assert_frame_equal(found.tables["programs"], program_network.programs.to_frame())
        assert f"response programs: {program_network.programs_line()}" in found.measured


def test_where_nothing_was_looked_for_that_is_said(paper_screen):
    network = argen.infer_network(paper_screen[0], argen.InferenceConfig(programs=0))
    found = argen.check(network)
    assert "programs" not in found.tables
    assert "response programs: not looked for, as the options say" in found.measured


def test_edges_are_judged_by_the_effects_that_they_have(program_screen, program_network):
    n_judged = 0
    for of_target in edges_by_target(program_network, program_screen):
        if of_target.stages is None:
            continue
        effects = of_target.stages.effects()
        for edge in of_target.edges.itertuples():
            n_judged += 1
            np.testing.assert_allclose(effects[of_target.place[edge.source]], edge.effect)
    assert n_judged > 10
