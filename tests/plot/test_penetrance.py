"""Shares of working cells drawn: what is shown is what the network keeps."""

from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import argen
from argen import plot

mpl.use("agg")


@pytest.fixture(scope="module")
def partly(escaping_network) -> argen.CausalNetwork:
    """A network in whose first five perturbations cells escape; of the last nothing is known."""
    found, first = escaping_network.penetrance, np.arange(15) < 5
    p_value = np.append(found.p_value[:-1], np.nan)
    share = np.where(first, found.share, 1.0)
    high = np.where(first, np.minimum(found.ci_high, 0.9), found.ci_high)
    penetrance = replace(found, corrected=first, share=share, p_value=p_value, ci_high=high)
    return replace(escaping_network, penetrance=penetrance)


def test_the_table_has_the_smallest_share_first(partly):
    table = plot.penetrance_table(partly)
    assert len(table) == 14
    assert partly.nodes[-1] not in set(table["node"])
    assert set(table["node"][:5]) == set(partly.nodes[:5])
    assert table["penetrance"].is_monotonic_increasing


def test_drawn_are_the_rows_of_the_table(partly):
    ax = Figure().subplots()
    assert plot.draw_penetrance(partly, ax=ax) is ax
    table = plot.penetrance_table(partly)
    assert [label.get_text() for label in ax.get_xticklabels()] == table["node"].tolist()
    escaped, work = ax.lines[:2]
    np.testing.assert_allclose(escaped.get_ydata(), 100 * table["penetrance"][:5])
    np.testing.assert_allclose(work.get_ydata(), 100.0)
    ends = np.array([segment[:, 1] for segment in ax.collections[0].get_segments()])
    np.testing.assert_allclose(ends[:, 0], 100 * table["penetrance_low"][:5])
    np.testing.assert_allclose(ends[:, 1], 100 * table["penetrance_high"][:5])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["cells escape (5)", "all cells, as far as can be seen (9)"]


def test_shares_that_rest_on_other_perturbations_have_a_mark_of_their_own(escaping_network):
    found, ax = escaping_network.penetrance, Figure().subplots()
    high = np.where(np.arange(15) < 3, 1.0, 0.9)
    network = replace(escaping_network, penetrance=replace(found, ci_high=high))
    plot.draw_penetrance(network, ax=ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["cells escape (12)", "cells escape, by what the others have (3)"]
    table = plot.penetrance_table(network)
    own = table.loc[table["penetrance_borrowed"], "penetrance"]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), 100 * own)


def test_files_of_the_shares(partly, tmp_path):
    paths = plot.write_figures(partly, tmp_path, names=["penetrance"], file_format="svg")
    assert [path.name for path in paths] == ["penetrance.svg", "penetrance.tsv"]
    written = pd.read_csv(tmp_path / "penetrance.tsv", sep="\t")
    pd.testing.assert_frame_equal(written, plot.penetrance_table(partly))


def test_where_nothing_is_known_there_is_no_figure(paper_network, tmp_path):
    with pytest.raises(argen.InputError, match="not known: too few genes are lowered"):
        plot.draw_penetrance(paper_network)
    with pytest.raises(argen.InputError, match="not looked for"):
        plot.draw_penetrance(replace(paper_network, penetrance=None))
    with pytest.raises(argen.InputError, match="There is no figure 'penetrance'"):
        plot.write_figures(paper_network, tmp_path, names=["penetrance"])
