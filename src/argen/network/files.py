"""Files of a result: one network file, and a folder of tables for people and other tools.

The network file, format version 1, is a NumPy ``.npz`` archive without pickled objects:

- ``header``: JSON text with ``format``, ``version``, ``genes`` (the nodes, then the sinks),
  ``config``, ``provenance``, ``fits``, ``two_stages`` and the columns of the two tables;
- ``candidates/<column>`` and ``left_out/<column>``: one array per column of a table;
- ``screen/<field>``: matrices (n_nodes, n_genes), [source, target], and
  ``knockdown/<field>``: vectors (n_nodes,);
- ``order/order``, ``order/possible`` and ``order/sure``;
- ``penetrance/<field>``, where it was looked for: vectors (n_nodes,), ``screen_p_value``, and of
  lowered genes, one after another, ``lowered_node``, ``lowered_genes``, ``lowered_effect``,
  ``lowered_variance`` and ``lowered_by_share``;
- ``programs/<field>``, where response programs were looked for, and ``programs/genes``: the genes
  of the header, then those of the panel.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from argen.config import InferenceConfig
from argen.corrections import LoweredGenes, Penetrance, Programs
from argen.data import left_out_table
from argen.engine import Effects
from argen.errors import InputError
from argen.network.result import CausalNetwork
from argen.network.views import to_networkx
from argen.steps import CausalOrder, DescendantScreen

FORMAT, VERSION = "argen-network", 1
_TEXT_COLUMNS = ("source", "target", "status", "kind", "name", "reason")
_SCREEN_FIELDS = tuple(
    f.name for f in fields(DescendantScreen) if f.name not in ("genes", "knockdown", "fits")
)
_ORDER_FIELDS = tuple(f.name for f in fields(CausalOrder))
_EFFECT_FIELDS = tuple(f.name for f in fields(Effects))
_PENETRANCE_FIELDS = tuple(f.name for f in fields(Penetrance) if f.name != "lowered")
_LOWERED_FIELDS = tuple(f.name for f in fields(LoweredGenes))
_PROGRAM_FIELDS = tuple(f.name for f in fields(Programs) if f.name != "genes")


def save(network: CausalNetwork, path: str | Path) -> Path:
    """Write the network file; the path gets the suffix ``.npz`` when it has none."""
    path = Path(path)
    path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    tables = {"candidates": network.candidates, "left_out": network.left_out}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "genes": list(network.genes),
        "config": network.config.to_dict(),
        "provenance": network.provenance,
        "fits": network.screen.fits,
        "two_stages": network.two_stages,
        "tables": {name: list(table.columns) for name, table in tables.items()},
    }
    arrays: dict[str, Any] = {"header": np.array(json.dumps(header))}
    for name, table in tables.items():
        for column in table.columns:
            values = table[column].to_numpy()
            arrays[f"{name}/{column}"] = values.astype(str) if column in _TEXT_COLUMNS else values
    for field in _SCREEN_FIELDS:
        arrays[f"screen/{field}"] = getattr(network.screen, field)
    for field in _EFFECT_FIELDS:
        arrays[f"knockdown/{field}"] = getattr(network.screen.knockdown, field)
    for field in _ORDER_FIELDS:
        arrays[f"order/{field}"] = getattr(network.causal_order, field)
    if network.penetrance is not None:
        arrays |= _of_penetrance(network.penetrance)
    if network.programs is not None:
        for field in _PROGRAM_FIELDS:
            arrays[f"programs/{field}"] = getattr(network.programs, field)
        arrays["programs/genes"] = np.array(network.programs.genes, dtype=str)
    np.savez_compressed(path, **arrays)
    return path


def load(path: str | Path) -> CausalNetwork:
    """Read a network file.

    Raises
    ------
    InputError
        When the file is missing, is no network file, or comes from another version.
    """
    path = _network_file(Path(path))
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(str(arrays["header"]))
    except PermissionError as error:
        raise InputError(
            f"{str(path)!r} may not be read: ask for permission to read it."
        ) from error
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{str(path)!r} is not a network file: expected what argen.save or argen fit "
            "writes, network.npz or the folder that it is in."
        ) from error
    if header.get("format") != FORMAT or header.get("version", 0) > VERSION:
        raise InputError(
            f"{str(path)!r} has format {header.get('format')!r}, version "
            f"{header.get('version')!r}; this argen reads {FORMAT!r} up to version {VERSION}. "
            "Upgrade argen."
        )
    try:
        return _network(header, arrays)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{str(path)!r} was written by another version of argen and cannot be read by this "
            f"one: {error}. Fit again."
        ) from error


def _network(header: dict[str, Any], arrays: dict[str, Any]) -> CausalNetwork:
    tables = {}
    for name, columns in header["tables"].items():
        tables[name] = pd.DataFrame(
            {
                c: arrays[f"{name}/{c}"].astype(object) if c in _TEXT_COLUMNS
                else arrays[f"{name}/{c}"]
                for c in columns
            }
        )  # fmt: skip
    screen = DescendantScreen(
        genes=tuple(header["genes"]),
        fits=header["fits"],
        knockdown=Effects(**{f: arrays[f"knockdown/{f}"] for f in _EFFECT_FIELDS}),
        **{f: arrays[f"screen/{f}"] for f in _SCREEN_FIELDS},
    )
    return CausalNetwork(
        candidates=tables["candidates"],
        screen=screen,
        causal_order=CausalOrder(**{f: arrays[f"order/{f}"] for f in _ORDER_FIELDS}),
        config=InferenceConfig(**header["config"]),
        left_out=left_out_table(list(tables["left_out"].itertuples(index=False, name=None))),
        provenance=header["provenance"],
        penetrance=_penetrance(arrays),
        programs=_programs(arrays),
        two_stages=header.get("two_stages", _was_by_argen(header["provenance"])),
    )


def _of_penetrance(penetrance: Penetrance) -> dict[str, Any]:
    """Return the arrays of a file; lowered genes one after another, with the node of each."""
    arrays = {f"penetrance/{name}": getattr(penetrance, name) for name in _PENETRANCE_FIELDS}
    known = [(node, own) for node, own in enumerate(penetrance.lowered) if own is not None]
    nodes = [np.full(len(own.genes), node, dtype=np.int64) for node, own in known]
    arrays["penetrance/lowered_node"] = np.concatenate([np.empty(0, dtype=np.int64), *nodes])
    for name in _LOWERED_FIELDS:
        none = np.empty(0, dtype=np.int64 if name == "genes" else np.float64)
        parts = [getattr(own, name) for _, own in known]
        arrays[f"penetrance/lowered_{name}"] = np.concatenate([none, *parts])
    return arrays


def _penetrance(arrays: dict[str, Any]) -> Penetrance | None:
    """Return in how many cells guides work; None where it was not looked for."""
    if "penetrance/share" not in arrays:
        return None
    found = {name: arrays[f"penetrance/{name}"] for name in _PENETRANCE_FIELDS}
    found["screen_p_value"] = float(found["screen_p_value"])
    of_node = arrays["penetrance/lowered_node"]
    lowered: list[LoweredGenes | None] = [None] * len(found["share"])
    for node in np.unique(of_node).tolist():
        rows = of_node == node
        lowered[node] = LoweredGenes(
            **{name: arrays[f"penetrance/lowered_{name}"][rows] for name in _LOWERED_FIELDS}
        )
    return Penetrance(**found, lowered=lowered)


def _programs(arrays: dict[str, Any]) -> Programs | None:
    """Return the programs of a file; none where they were not looked for."""
    if "programs/scores" not in arrays:
        return None
    found = {name: arrays[f"programs/{name}"] for name in _PROGRAM_FIELDS}
    genes: list[str] = arrays["programs/genes"].tolist()
    return Programs(tuple(genes), **found | {"n_other_genes": int(found["n_other_genes"])})


def _was_by_argen(provenance: dict[str, Any]) -> bool:
    """Tell from the name of the method, as files of before 0.1.0 say nothing else."""
    return str(provenance.get("method", "argen")).startswith("argen")


def _network_file(path: Path) -> Path:
    """Return the file that a path stands for: itself, without its suffix, or its folder."""
    if os.path.isdir(path):
        if not os.path.exists(path / "network.npz"):
            raise InputError(
                f"The folder {str(path)!r} holds no network.npz: expected a results folder, of "
                "argen fit or argen.write_results."
            )
        return path / "network.npz"
    for candidate in (path, path.with_name(path.name + ".npz")):
        if os.path.exists(candidate):
            return candidate
    raise InputError(f"There is no file {str(path)!r}.")


def write_results(network: CausalNetwork, folder: str | Path) -> Path:
    """Write edges, candidates, descendants, order, knock-downs, graph, network and run.json.

    Tables are tab-separated with a header; numbers are written so that they read back equal.
    """
    import networkx

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in result_tables(network).items():
        table.to_csv(folder / f"{name}.tsv", sep="\t", index=False)
    networkx.write_graphml(to_networkx(network), folder / "network.graphml")
    save(network, folder / "network.npz")
    record = {"config": network.config.to_dict(), **network.provenance}
    (folder / "run.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
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
    if network.programs is not None:
        tables["programs"] = network.programs.to_frame()
        tables["program_scores"] = network.programs.scores_frame()
        tables["program_loadings"] = network.programs.loadings_frame()
    return tables
