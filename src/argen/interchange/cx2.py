"""A network as CX2, the format of Cytoscape and NDEx.

Specification: Cytoscape Exchange Format, version 2.0, one JSON array of aspects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from argen.network import CausalNetwork, to_networkx
from argen.plot import NEGATIVE, POSITIVE, layered_layout

# Between neighbours of the layered layout, in pixels of Cytoscape.
_SPACING = 90.0
_TYPES = {bool: "boolean", int: "long", float: "double", str: "string"}


def to_cx2(network: CausalNetwork) -> list[dict[str, Any]]:
    """Return the selected edges as CX2, to be written by ``json.dump``.

    Nodes and edges have the attributes of ``to_networkx``; genes stand in layers in causal order,
    and positive and negative effects have colours and arrowheads that differ.
    """
    graph = to_networkx(network)
    place = layered_layout(network).place
    genes = [gene for gene in graph if gene in place]
    number = {gene: i for i, gene in enumerate(genes)}
    nodes = [
        {"id": number[gene], "x": place[gene][0] * _SPACING, "y": -place[gene][1] * _SPACING,
         "v": {"name": gene} | _plain(graph.nodes[gene])}
        for gene in genes
    ]  # fmt: skip
    edges = [
        {"id": i, "s": number[source], "t": number[target],
         "v": {"interaction": "activates" if row["effect"] > 0 else "represses"} | _plain(row)}
        for i, (source, target, row) in enumerate(graph.edges(data=True))
    ]  # fmt: skip
    about = {
        "name": "argen",
        "description": network.summary(),
        "input": str(network.provenance.get("source", "")),
        "argen": str(network.provenance.get("versions", {}).get("argen", "")),
    }
    declared = {
        "networkAttributes": {name: {"d": "string"} for name in about},
        "nodes": _declared(nodes),
        "edges": _declared(edges),
    }
    aspects: list[tuple[str, list[Any]]] = [
        ("attributeDeclarations", [declared]),
        ("networkAttributes", [about]),
        ("nodes", nodes),
        ("edges", edges),
        ("visualProperties", [_STYLE]),
    ]
    sizes = [{"name": name, "elementCount": len(parts)} for name, parts in aspects]
    return [
        {"CXVersion": "2.0", "hasFragments": False},
        {"metaData": sizes},
        *({name: parts} for name, parts in aspects),
        {"status": [{"success": True}]},
    ]


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JSON can hold: numbers of Python, none that is infinite."""
    values = {name: getattr(v, "item", lambda v=v: v)() for name, v in attributes.items()}
    return {
        name: v for name, v in values.items()
        if not pd.isna(v) and not (isinstance(v, float) and np.isinf(v))
    }  # fmt: skip


def _declared(elements: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for element in elements:
        for name, value in element["v"].items():
            found.setdefault(name, {"d": _TYPES[type(value)]})
    return found


_STYLE = {
    "default": {
        "node": {
            "NODE_SHAPE": "round-rectangle", "NODE_WIDTH": 70, "NODE_HEIGHT": 28,
            "NODE_BACKGROUND_COLOR": "#FFFFFF", "NODE_BORDER_COLOR": "#666666",
            "NODE_BORDER_WIDTH": 1, "NODE_LABEL_FONT_SIZE": 12, "NODE_LABEL_COLOR": "#000000",
        },
        "edge": {"EDGE_WIDTH": 2, "EDGE_TARGET_ARROW_SHAPE": "triangle"},
    },
    "nodeMapping": {
        "NODE_LABEL": {"type": "PASSTHROUGH", "definition": {"attribute": "name", "type": "string"}}
    },
    "edgeMapping": {
        name: {
            "type": "DISCRETE",
            "definition": {
                "attribute": "interaction", "type": "string",
                "map": [{"v": "activates", "vp": up}, {"v": "represses", "vp": down}],
            },
        }
        for name, up, down in (
            ("EDGE_LINE_COLOR", POSITIVE, NEGATIVE),
            ("EDGE_TARGET_ARROW_COLOR", POSITIVE, NEGATIVE),
            ("EDGE_TARGET_ARROW_SHAPE", "triangle", "tee"),
        )
    },
}  # fmt: skip
