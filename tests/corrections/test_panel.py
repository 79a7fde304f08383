"""Response programs are found in a panel as in sinks, and nothing else hangs on it."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import argen
from argen.corrections import FEWEST_GENES, Programs, estimate_corrections
from argen.data import Panel, PerturbSeqData
from argen.steps import screen_descendants, screen_panel
from tests.screens import assert_same_network

N_NODES, N_OTHERS = 16, 90
# Cells that escape are found in sinks too, of which there are none here.
CONFIG = argen.InferenceConfig(penetrance="full")


def screen_with(**model) -> PerturbSeqData:
    """A screen whose other genes are sinks."""
    asked = argen.ScreenModel(
        n_nodes=N_NODES, n_sinks=N_OTHERS, cells_per_node=80, n_controls=500, mean_count=3.0,
        failed=0.0, **model,
    )  # fmt: skip
    return argen.simulate_screen(asked, rng=2)[0]


def into_panel(data: PerturbSeqData, n_sinks: int = 0) -> PerturbSeqData:
    """Put all sinks but the first few into a panel."""
    n = data.n_nodes + n_sinks
    others = np.arange(n, data.n_genes)
    panel = Panel(data.genes[n:], data.counts.block(others))
    return replace(data.take(genes=np.arange(n)), panel=panel)


@pytest.fixture(scope="module")
def with_sinks():
    return screen_with(n_programs=1, program_effect=0.5)


@pytest.fixture(scope="module")
def through_sinks(with_sinks):
    return argen.infer_network(with_sinks, CONFIG)


@pytest.mark.parametrize("n_sinks", [0, 30])
def test_the_same_network_as_with_sinks(with_sinks, through_sinks, n_sinks, tmp_path):
    data = into_panel(with_sinks, n_sinks)
    network = argen.infer_network(data, CONFIG)
    assert network.programs.n_programs == through_sinks.programs.n_programs == 1
    assert network.genes == with_sinks.genes[: N_NODES + n_sinks]
    assert network.programs.genes == with_sinks.genes
    assert network.programs.nodes == network.nodes
    for field in fields(Programs):
        mine, its = (getattr(n.programs, field.name) for n in (network, through_sinks))
        np.testing.assert_array_equal(mine, its, err_msg=field.name)
    among, its = (n.candidates[~n.candidates["sink"]] for n in (network, through_sinks))
    pd.testing.assert_frame_equal(
        among.reset_index(drop=True), its.reset_index(drop=True), check_exact=True
    )
    again = argen.load(argen.write_results(network, tmp_path))
    assert again.programs.genes == network.programs.genes
    pd.testing.assert_frame_equal(
        again.programs.loadings_frame(), through_sinks.programs.loadings_frame()
    )


def test_effects_are_those_on_sinks(with_sinks):
    config = replace(CONFIG, inflation=1.3)
    whole = screen_descendants(with_sinks, config)
    effect, std_error = screen_panel(into_panel(with_sinks), config)
    np.testing.assert_array_equal(effect, whole.effect[:, N_NODES:])
    np.testing.assert_array_equal(std_error, whole.std_error[:, N_NODES:])


def test_nothing_changes_unless_a_program_is_found():
    data = into_panel(screen_with())
    network = argen.infer_network(data, CONFIG)
    assert network.programs.n_programs == 0
    assert network.programs.n_other_genes > FEWEST_GENES
    assert_same_network(network, argen.infer_network(replace(data, panel=None), CONFIG))


def test_it_is_not_looked_at_in_vain(with_sinks):
    data, stages = into_panel(with_sinks), set()
    network = argen.infer_network(
        data, replace(CONFIG, programs=0), progress=lambda stage, *_: stages.add(stage)
    )
    assert network.programs is None
    assert stages == {"screen", "parents", "mediators"}
    without = argen.infer_network(replace(data, panel=None), replace(CONFIG, programs=0))
    assert_same_network(network, without)
    several = data.perturbations.tolil()
    several[data.cells_of(0), 1] = 1
    several = sparse.csc_array(several)
    data = replace(data, perturbations=several)
    screen = screen_descendants(data)
    assert estimate_corrections(data, screen, argen.InferenceConfig()).programs is None


def test_genes_of_it_that_escape_are_corrected_too():
    """With cells that escape, effects on the panel are those of the cells where guides work."""
    data = screen_with(n_programs=1, program_effect=0.5, penetrance=0.6)
    found = estimate_corrections(
        into_panel(data, 40),
        screen_descendants(into_panel(data, 40)),
        argen.InferenceConfig(programs=1),
    )
    assert found.penetrance.corrected.any()
    assert found.programs.loadings.shape == (data.n_genes, 1)
    np.testing.assert_array_equal(
        found.corrections.loadings, found.programs.loadings[: N_NODES + 40]
    )


def test_a_run_goes_on_where_the_panel_was_screened(with_sinks, tmp_path, monkeypatch):
    monkeypatch.setattr("argen.steps.descendants.BLOCK_OF_TARGETS", 20)
    data, seen = into_panel(with_sinks), []

    class EndedError(Exception):
        pass

    def progress(stage, done, total):
        seen.append((stage, done))
        if stage == "panel" and 0 < done < total:
            raise EndedError

    with pytest.raises(EndedError):
        argen.infer_network(data, CONFIG, checkpoint=tmp_path / "kept", progress=progress)
    assert list((tmp_path / "kept").glob("argen-panel-*.npz"))
    other = replace(data, panel=replace(data.panel, genes=data.panel.genes[::-1]))
    with pytest.raises(argen.InputError, match=r"the input .* has changed"):
        argen.infer_network(other, CONFIG, checkpoint=tmp_path / "kept")
    network = argen.infer_network(data, CONFIG, checkpoint=tmp_path / "kept")
    assert_same_network(network, argen.infer_network(data, CONFIG))
