"""What commands print of checks."""

from __future__ import annotations

import pytest

import argen
from argen.cli.findings import MOST_PRINTED, show_findings
from tests.networks import HOSTILE, made_up_network


@pytest.mark.parametrize("n_edges", [3, MOST_PRINTED, 15])
def test_the_weakest_point_of_each_edge_is_printed(n_edges, capsys):
    network = made_up_network(13, n_edges, names=HOSTILE)
    found = argen.check(network)
    show_findings(found, network, None)
    printed = capsys.readouterr().out
    after = printed.split("the most significant edge first:\n")[1].splitlines()
    edges = network.edges.sort_values("log10_p")
    points = found.tables["weak_points"].set_index(["source", "target"])["sentence"]
    assert [line for line in after if line.startswith("- ")] == [
        f"- {argen.errors.shown(points[pair])}"
        for pair in edges[["source", "target"]].head(10).itertuples(index=False, name=None)
    ]
    assert ("and 5 more in weak_points.tsv" in after[-1]) == (n_edges == 15)


def test_without_edges_there_is_no_weakest_point(capsys):
    network = made_up_network(6, 4)
    network.candidates["selected"] = False
    show_findings(argen.check(network), network, None)
    assert "What speaks most against" not in capsys.readouterr().out
