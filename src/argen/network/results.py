"""The results folder: tables for people and other tools, the graph, and the network file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from argen.errors import shown
from argen.files import write_table, writing
from argen.network.files import save
from argen.network.result import CausalNetwork
from argen.network.views import to_networkx

# What no XML may hold, in whatever way it is written.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_results(network: CausalNetwork, folder: str | Path) -> Path:
    """Write edges, candidates, descendants, order, knock-downs, graph, network and run.json.

    Tables are tab-separated with a header; numbers are written so that they read back equal. The
    files of an earlier run are replaced all at once, or not at all; others in the folder stay.

    Raises
    ------
    WriteError
        When something cannot be written; the folder is then as it was.
    InputError
        When another process writes into the folder.
    """
    folder = Path(folder)
    with writing(folder, "results") as beside:
        for name, table in result_tables(network).items():
            write_table(table, beside / f"{name}.tsv")
        _write_graph(network, beside / "network.graphml")
        save(network, beside / "network.npz")
        record = {"config": network.config.to_dict(), **network.provenance}
        text = json.dumps(record, indent=2) + "\n"
        (beside / "run.json").write_text(text, encoding="utf-8")
    return folder


def result_tables(network: CausalNetwork) -> dict[str, pd.DataFrame]:
    """Return the tables of a results folder, by the names of their files."""
    order = pd.DataFrame({"position": np.arange(1, len(network.order) + 1), "gene": network.order})
    tables = {
        "edges": network.edges,
        "candidates": network.candidates,
        "descendants": network.total_effects(),
        "order": order,
        "knockdown": network.knockdowns(),
        "left_out": network.left_out,
        "unusual_fits": network.unusual_fits(),
    }
    guides = network.guide_strengths()
    if guides is not None:
        tables["guide_strengths"] = guides
    if network.programs is not None:
        tables["programs"] = network.programs.to_frame()
        tables["program_scores"] = network.programs.scores_frame()
        tables["program_loadings"] = network.programs.loadings_frame()
    return tables


def _write_graph(network: CausalNetwork, path: Path) -> None:
    """Write the selected edges as GraphML; names that no XML can hold are escaped in it."""
    import networkx

    graph = to_networkx(network)
    taken, renamed = set(graph.nodes), {}
    for name in graph.nodes:
        if _NOT_XML.search(name):
            new = _NOT_XML.sub(lambda found: shown(found[0]), name)
            while new in taken:
                new += "'"
            taken.add(new)
            renamed[name] = new
    networkx.write_graphml(networkx.relabel_nodes(graph, renamed), path)
