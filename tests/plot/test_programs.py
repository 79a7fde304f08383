"""Response programs drawn: what is shown is what the network keeps, and nothing without one."""

from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import argen
from argen import plot
from argen.plot.style import shown_name
from tests.networks import HOSTILE

mpl.use("agg")
# What fonts lack depends on the machine; the text itself is looked at.
pytestmark = pytest.mark.filterwarnings("ignore:Glyph")


def panels():
    """Two axes of a figure of their own."""
    return list(Figure(figsize=(8, 5), layout="constrained").subplots(1, 2))


def names_of(ax) -> list[str]:
    """Return the names along the axis of an upper and a lower end."""
    return [label.get_text() for label in ax.get_yticklabels()]


def test_the_table_has_the_strongest_of_each_with_intervals(program_network):
    table = plot.programs_table(program_network, n_perturbations=5, n_genes=7)
    programs = program_network.programs
    assert table["what"].tolist() == ["perturbation"] * 5 + ["gene"] * 7
    for what, genes, value, error in (
        ("perturbation", programs.nodes, programs.scores, programs.score_error),
        ("gene", programs.genes, programs.loadings, programs.loading_error),
    ):
        rows = table[table["what"] == what].set_index("name")
        ranked = np.argsort(-np.abs(value[:, 0]))[: len(rows)]
        assert list(rows.index) == [genes[k] for k in ranked]
        np.testing.assert_array_equal(rows["value"], value[ranked, 0])
        half_width = 1.959963984540054 * error[ranked, 0]
        np.testing.assert_allclose(rows["ci_high"] - rows["value"], half_width)
        np.testing.assert_allclose(rows["value"] - rows["ci_low"], half_width)
    assert table["node"].tolist() == [name in program_network.nodes for name in table["name"]]


def test_drawn_are_the_names_of_the_table_and_the_share(program_network):
    axes = panels()
    assert plot.draw_programs(program_network, axes=axes) == axes
    table = plot.programs_table(program_network)
    for ax, what in zip(axes, ("perturbation", "gene"), strict=True):
        assert names_of(ax) == table.loc[table["what"] == what, "name"].tolist()
    share = program_network.programs.share[0]
    assert f"Response program 1: {100 * share:.0f} %" in axes[0].get_title()
    assert "15 of 20 perturbations" in axes[0].get_xlabel()
    assert "20 of 140 genes" in axes[1].get_xlabel()
    hollow = [len(line.get_xdata()) for line in axes[1].lines if line.get_mfc() == "white"]
    assert sum(hollow) == table.loc[table["what"] == "gene", "node"].sum()


def test_hostile_names_are_text(program_network):
    names = (*HOSTILE, *program_network.genes[len(HOSTILE) :])
    programs = replace(program_network.programs, genes=names)
    screen = replace(program_network.screen, genes=names)
    network, axes = replace(program_network, programs=programs, screen=screen), panels()
    plot.draw_programs(network, axes=axes)
    axes[0].figure.canvas.draw()
    drawn = plot.programs_table(network, n_genes=0)["name"]
    assert len(set(drawn) & set(HOSTILE)) > 5
    assert names_of(axes[0]) == [shown_name(name) for name in drawn]


def test_files_of_a_program(program_network, tmp_path):
    paths = plot.write_figures(program_network, tmp_path, names=["program_1"], file_format="svg")
    assert [path.name for path in paths] == ["program_1.svg", "program_1.tsv"]
    written = pd.read_csv(tmp_path / "program_1.tsv", sep="\t")
    pd.testing.assert_frame_equal(written, plot.programs_table(program_network))
    assert "Response program 1" in (tmp_path / "program_1.svg").read_text("utf-8")


@pytest.mark.parametrize("program", [0, 2])
def test_a_program_that_is_not_there_is_refused(program_network, program):
    with pytest.raises(argen.InputError, match=f"no response program {program} .* 1 taken out"):
        plot.draw_programs(program_network, program)


def test_without_a_program_there_is_no_figure_and_it_is_said_why(paper_network, tmp_path):
    with pytest.raises(argen.InputError, match="not looked for: 0 other genes, 50 needed"):
        plot.draw_programs(paper_network)
    with pytest.raises(argen.InputError, match="There is no figure 'program_1'"):
        plot.write_figures(paper_network, tmp_path, names=["program_1"])
