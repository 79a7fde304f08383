"""Figures: what they show, and what they ask for."""

import sys

import pandas as pd
import pytest

import argen
from argen.study import PaperStudy
from argen.study.figures import (
    draw_effects,
    draw_networks,
    new_figure,
    write_grid_figure,
    write_paper_figures,
)
from argen.study.paper import published_estimates

pytestmark = pytest.mark.whole


@pytest.fixture
def study() -> PaperStudy:
    """Two replicates in which estimates are those published, and one edge too many is selected."""
    rows = published_estimates().rename(columns={"published_mean": "effect"})
    rows = rows[["method", "setting", "source", "target", "effect"]].assign(true=0.5, selected=True)
    false = rows[rows["target"] == "X5"].assign(source="X1", true=0.0)
    both = pd.concat([rows, false])
    return PaperStudy(pd.concat([both.assign(replicate=0), both.assign(replicate=1)]))


def test_networks_show_true_and_false_edges(study):
    axes = draw_networks(study, new_figure(4, 4).add_subplot(), method="argen", setting="omitted")
    colours = [text.arrow_patch.get_edgecolor() for text in axes.texts if text.get_text() == ""]
    assert len(colours) == 7
    assert len(set(colours)) == 2
    assert {text.get_text() for text in axes.texts} == {"", *(f"X{j}" for j in range(1, 7))}


def test_effects_have_a_box_per_edge_and_setting(study):
    axes = draw_effects(study, new_figure(4, 4).add_subplot(), method="naive")
    assert len(axes.patches) == 12
    assert axes.get_xticklabels()[0].get_text() == "X1 → X2"


def test_files(study, tmp_path):
    for path in write_paper_figures(study, tmp_path):
        assert path.read_bytes().startswith(b"\x89PNG")
    summary = pd.DataFrame(
        {"setting": ["a", "b"] * 2, "method": ["m", "m", "n", "n"], "measure": "f1",
         "mean": 0.5, "error": [0.1, float("nan"), 0.1, 0.1]}
    )  # fmt: skip
    assert write_grid_figure(summary, tmp_path).stat().st_size > 10_000


def test_matplotlib_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(argen.InputError, match=r"pip install 'argen\[plot\]'"):
        new_figure(1, 1)
