"""What is brought along with a screen is checked before anything is computed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import argen
from argen.checks import check, held_out, sensitivity, stability
from argen.checks.cells.columns import MOST_LEVELS, others_of
from argen.data import only_cells
from tests.screens import guided


@pytest.fixture(scope="module")
def data():
    model = argen.ScreenModel(n_nodes=5, n_parents=1.0, cells_per_node=40, n_controls=200)
    return argen.simulate_screen(model, rng=1)[0]


@pytest.fixture(scope="module")
def network(data):
    return argen.infer_network(data)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"others": ["lane"]},
            r"columns of the cells, such as adata.obs\[\['lane'\]\], not 'list'",
        ),
        ({"others": pd.DataFrame({"lane": [1]})}, "cells have no row"),
    ],
)
def test_what_is_no_column_is_refused_at_once(data, network, options, words):
    with pytest.raises(argen.InputError, match=words):
        check(network, data, **options)
    with pytest.raises(argen.InputError, match="not 'list'"):
        sensitivity(network, data, library_sizes=["size"])


def test_guides_may_be_unknown_in_controls(data):
    text = [f"g{n}-{k % 2}" if n >= 0 else "" for k, n in enumerate(data.node_of_cell)]
    labelled = guided(data, text)
    assert (labelled.guides.labels()[data.controls] == "").all()
    found = check(argen.infer_network(labelled), labelled, n_null_tests=100)
    assert not found.tables["guide_agreement"].empty
    assert "non-targeting guides" not in set(found.tables["calibration"]["kind"])


def test_guides_that_are_not_known_are_said_to_be_unknown(data, network):
    said = check(network, data, n_null_tests=0).summary()
    assert "guides: not compared, as the guides of the cells are not known" in said
    with pytest.raises(argen.InputError, match=r"as those of the cells are not known: name their"):
        held_out(data, by_guide=True)


def test_one_column_may_come_by_itself_and_levels_have_a_limit(data, network):
    lane = pd.Series(np.arange(data.n_cells) % 3, index=data.cells, name="lane")
    assert list(others_of(lane, data.cells).columns) == ["lane"]
    many = pd.Series([f"l{k}" for k in range(data.n_cells)], index=data.cells, name="barcode")
    with pytest.raises(argen.InputError, match=f"'barcode' .* has 400 levels: .* {MOST_LEVELS}"):
        check(network, data, others=many)


def test_a_network_of_another_screen_is_refused(data):
    other = argen.infer_network(argen.simulate_paper_screen(rng=1, n_cells=1000)[0])
    for use in (check, sensitivity, stability):
        with pytest.raises(argen.InputError, match=r"8 nodes .* the screen 5 .* inferred from"):
            use(other, data)
    with pytest.raises(argen.InputError, match=r"InferenceConfig\(...\), not 'CausalNetwork'"):
        held_out(data, other)


def test_a_network_of_the_same_genes_from_other_cells_is_refused(data, network):
    fewer = only_cells(data, np.arange(1, data.n_cells))
    for use in (check, sensitivity, stability):
        with pytest.raises(argen.InputError, match=r"400 cells of .*, and the screen has 399"):
            use(network, fewer)


def test_without_the_screen_there_are_no_options(network):
    with pytest.raises(argen.InputError, match="nothing to do for 'others'"):
        argen.check(network, others=pd.DataFrame())


@pytest.mark.whole
def test_networks_of_other_methods_are_inferred_by_these_again(data):
    for method in ("screen", "naive", "inverse-sparse"):
        network = argen.infer_by(method, data)
        found = stability(network, data, n_resamples=3, fraction=0.98).tables["stability"]
        assert (found.loc[found["edge"], "frequency"] > 0.5).mean() > 0.6
        assert sensitivity(network, data).tables["scenarios"]["n_shared"].max() >= 1


def test_a_network_whose_method_is_not_known_is_refused_at_once(data, network):
    odd = dataclasses.replace(network, provenance=network.provenance | {"method": "by hand"})
    for use in (sensitivity, stability):
        with pytest.raises(argen.InputError, match=r"made by 'by hand', which cannot be run again"):
            use(odd, data)


def test_sensitivity_without_an_edge():
    model = argen.ScreenModel(n_nodes=3, n_parents=0, failed=1.0, cells_per_node=15, assignment=0.0)
    data, _ = argen.simulate_screen(model, rng=2)
    found = sensitivity(argen.infer_network(data), data)
    assert found.tables["survival"].empty
    assert "no edge is called" in found.summary()
