"""A network as the objects of other packages."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from argen.errors import InputError, first_few
from argen.network.result import CausalNetwork

if TYPE_CHECKING:
    import igraph
    import networkx
    from anndata import AnnData
    from mudata import MuData

# Adjacency keys written into ``varp``: [source, target], 0 where no edge.
VARP_DIRECT, VARP_TOTAL = "argen_direct_effect", "argen_total_effect"


def to_networkx(network: CausalNetwork, *, candidates: bool = False) -> networkx.DiGraph:
    """Return a directed graph; nodes know their position in the order, edges their numbers.

    A sink is in it when it has an edge, with ``sink`` true and no position.

    Parameters
    ----------
    candidates
        Include the candidates that were not selected.
    """
    import networkx

    graph = networkx.DiGraph(name="argen")
    for position, gene in enumerate(network.order, start=1):
        graph.add_node(gene, position=position, sink=False)
    table = network.candidates if candidates else network.edges
    for row in table.to_dict("records"):
        ends = row.pop("source"), row.pop("target")
        if row.pop("sink"):
            graph.add_node(ends[1], sink=True)
        # GraphML knows no missing numbers: what is missing is left out.
        graph.add_edge(*ends, **{str(k): v for k, v in row.items() if v == v})
    return graph


def to_igraph(network: CausalNetwork, *, candidates: bool = False) -> igraph.Graph:
    """Return the graph of ``to_networkx`` for igraph; vertices have the gene as ``name``.

    Attributes that a vertex or an edge lacks are None.
    """
    import igraph

    graph = to_networkx(network, candidates=candidates)
    return igraph.Graph.from_networkx(graph, vertex_attr_hashable="name")


def to_anndata(network: CausalNetwork, adata: AnnData | None = None) -> AnnData:
    """Write the network into an AnnData object.

    Keys: ``varp["argen_direct_effect"]`` and ``varp["argen_total_effect"]``, sparse,
    [source, target], with the effects of the edges and of the descendants;
    ``var["argen_position"]``, place in the causal order (missing for genes that are no
    nodes); ``var["argen_sink"]``; ``uns["argen"]`` with the tables ``candidates`` and
    ``descendants``, the ``order``, ``config`` and ``provenance``.

    Parameters
    ----------
    adata
        A copy of it gets the keys; its ``var_names`` must contain the nodes and sinks. None:
        a new object with these as its variables.
    """
    from anndata import AnnData
    from scipy import sparse

    if adata is None:
        adata = AnnData(
            X=np.zeros((0, len(network.genes)), dtype=np.float32),
            var=pd.DataFrame(index=list(network.genes)),
        )
    missing = [gene for gene in network.genes if gene not in adata.var_names]
    if missing:
        raise InputError(
            f"The AnnData object lacks {len(missing)} of the network's genes: "
            f"{first_few(missing)}. Set var_names to the names that the network uses."
        )
    adata = adata.copy()
    columns = adata.var_names.get_indexer(list(network.genes))
    shape = (adata.n_vars, adata.n_vars)
    place = dict(zip(network.genes, columns, strict=True))
    edges = network.edges
    at = (edges["source"].map(place).to_numpy(), edges["target"].map(place).to_numpy())
    direct = sparse.csr_matrix((edges["effect"].to_numpy(), at), shape=shape)
    called = np.nonzero(network.screen.is_descendant)
    total = sparse.csr_matrix(
        (network.screen.effect[called], (columns[called[0]], columns[called[1]])), shape=shape
    )
    adata.varp[VARP_DIRECT], adata.varp[VARP_TOTAL] = direct, total
    position = np.full(adata.n_vars, np.nan)
    n_nodes = len(network.nodes)
    position[columns[:n_nodes]] = 1 + network.causal_order.position[:n_nodes]
    adata.var["argen_position"] = position
    adata.var["argen_sink"] = adata.var_names.isin(network.sinks)
    adata.uns["argen"] = {
        "candidates": network.candidates.copy(),
        "descendants": network.total_effects(),
        "order": np.array(network.order, dtype=object),
        "config": {k: v for k, v in network.config.to_dict().items() if v is not None},
        "provenance": {k: str(v) for k, v in network.provenance.items()},
    }
    return adata


def to_mudata(
    network: CausalNetwork, mdata: MuData | None = None, *, modality: str = "rna"
) -> MuData:
    """Write the network into a modality of a MuData object, with the keys of ``to_anndata``.

    Parameters
    ----------
    mdata
        A copy of it gets the keys. None: a new object with this one modality and no cells.
    modality
        The one with the gene counts.
    """
    from mudata import MuData

    if mdata is None:
        with columns_stay():
            return MuData({modality: to_anndata(network)})
    if modality not in mdata.mod:
        raise InputError(
            f"The MuData object has no modality {modality!r}, but {first_few(mdata.mod)}. Name "
            "the one with the gene counts."
        )
    mdata = mdata.copy()
    mdata.mod[modality] = to_anndata(network, mdata.mod[modality])
    with columns_stay():
        mdata.update()
    return mdata


def columns_stay() -> AbstractContextManager[object]:
    """Have MuData leave columns in their modalities, which it does by itself from 0.4 on."""
    import mudata

    if not hasattr(mudata, "set_options"):
        return nullcontext()
    stay: AbstractContextManager[object] = mudata.set_options(pull_on_update=False)
    return stay
