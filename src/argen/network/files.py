"""The network file.

Format version 1 is a NumPy ``.npz`` archive without pickled objects:

- ``header``: JSON text with ``format``, ``version``, ``genes`` (the nodes, then the sinks),
  ``config``, ``provenance``, ``fits``, ``two_stages``, the columns of the two tables, and
  ``sha256``, a checksum of genes and arrays;
- ``candidates/<column>`` and ``left_out/<column>``: one array per column of a table;
- ``screen/<field>``: matrices (n_nodes, n_genes), [source, target], and
  ``knockdown/<field>``: vectors (n_nodes,);
- ``order/order``, ``order/possible`` and ``order/sure``;
- ``penetrance/<field>``, where it was looked for: vectors (n_nodes,), ``screen_p_value``, and of
  lowered genes, one after another, ``lowered_node``, ``lowered_genes``, ``lowered_effect``,
  ``lowered_variance`` and ``lowered_by_share``, and ``guides/<field>``, where guides are known:
  vectors (n_guides,), and ``uneven_p_value``;
- ``programs/<field>``, where response programs were looked for, and ``programs/genes``: the genes
  of the header, then those of the panel.
"""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from argen.config import InferenceConfig
from argen.corrections import GuideStrengths, LoweredGenes, Penetrance, Programs
from argen.data import left_out_table
from argen.engine import Effects
from argen.errors import ArgenWarning, InputError, first_few
from argen.files import (
    digest,
    of_other_runs,
    read_archive,
    read_manifest,
    reading,
    where_it_is,
    write_archive,
    writing_file,
)
from argen.network.result import CausalNetwork
from argen.network.sound import require_sound
from argen.steps import CausalOrder, DescendantScreen

FORMAT, VERSION = "argen-network", 1
_TEXT_COLUMNS = ("source", "target", "status", "kind", "name", "reason")
_SCREEN_FIELDS = tuple(
    f.name for f in fields(DescendantScreen) if f.name not in ("genes", "knockdown", "fits")
)
_ORDER_FIELDS = tuple(f.name for f in fields(CausalOrder))
_EFFECT_FIELDS = tuple(f.name for f in fields(Effects))
_PENETRANCE_FIELDS = tuple(
    f.name for f in fields(Penetrance) if f.name not in ("lowered", "guides")
)
_GUIDE_FIELDS = tuple(f.name for f in fields(GuideStrengths))
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
    arrays = _arrays(network)
    header["sha256"] = digest(arrays, *network.genes)
    with writing_file(path) as beside:
        everything = {"header": np.array(json.dumps(header)), **arrays}
        write_archive(beside, everything, compressed=True)
    return path


def _arrays(network: CausalNetwork) -> dict[str, Any]:
    """Return everything but the header."""
    arrays: dict[str, Any] = {}
    for name, table in (("candidates", network.candidates), ("left_out", network.left_out)):
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
    return {name: np.asarray(array) for name, array in arrays.items()}


def load(path: str | Path) -> CausalNetwork:
    """Read a network file.

    Raises
    ------
    InputError
        When the file is missing, damaged or no network file, or comes from another version.

    Warns
    -----
    ArgenWarning
        When files beside it are not those that were written with it.
    """
    path = _network_file(Path(path))
    expected = "a network file, which argen.save or argen fit writes, or the folder that it is in"
    with reading(path, expected):
        arrays = read_archive(where_it_is(path))
        header = json.loads(str(arrays.pop("header")))
        form, version = header.get("format"), header.get("version")
    if form != FORMAT or version not in range(1, VERSION + 1):
        raise InputError(
            f"{str(path)!r} has format {form!r}, version {version!r}; this argen reads "
            f"{FORMAT!r} up to version {VERSION}. Upgrade argen."
        )
    with reading(path, "what this version of argen writes. Fit again"):
        network = _network(header, arrays)
        require_sound(network)
        # Files of before 0.1.0 have none.
        if header.get("sha256", found := digest(arrays, *network.genes)) != found:
            raise ValueError("its arrays are not those that were written")
    _warn_of_others(path.parent)
    return network


def _warn_of_others(folder: Path) -> None:
    """Say which files of a folder do not belong together."""
    if others := of_other_runs(folder):
        warnings.warn(
            f"{len(others)} of the files in {str(folder)!r} are not as they were written together, "
            f"but of another run, edited or damaged: {first_few(others)}.",
            ArgenWarning,
            stacklevel=3,
        )


def _network(header: dict[str, Any], arrays: dict[str, Any]) -> CausalNetwork:
    tables = {}
    for name, columns in header["tables"].items():
        # As objects, of which pandas makes what it made of the names that an inference gave it.
        of_name = {c: np.asarray(arrays[f"{name}/{c}"]) for c in columns}
        tables[name] = pd.DataFrame(
            {c: v.astype(object) if c in _TEXT_COLUMNS else v for c, v in of_name.items()}
        )
        if any(values.shape != (len(tables[name]),) for values in of_name.values()):
            raise ValueError(f"columns of {name!r} have other lengths")
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
    if penetrance.guides is not None:
        arrays |= {f"guides/{name}": getattr(penetrance.guides, name) for name in _GUIDE_FIELDS}
        arrays["guides/names"] = np.array(penetrance.guides.names, dtype=str)
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
    return Penetrance(**found, lowered=lowered, guides=_guides(arrays))


def _guides(arrays: dict[str, Any]) -> GuideStrengths | None:
    """Return what is known of each guide; None where guides are not known."""
    if "guides/names" not in arrays:
        return None
    found = {name: arrays[f"guides/{name}"] for name in _GUIDE_FIELDS}
    found["names"] = tuple(found["names"].tolist())
    found["uneven_p_value"] = float(found["uneven_p_value"])
    return GuideStrengths(**found)


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
        if not os.path.exists(where_it_is(path / "network.npz")):
            if any(entry["part"] == "check" for entry in read_manifest(path).values()):
                raise InputError(
                    f"The folder {str(path)!r} holds checks of a network, and not the network: "
                    "expected the folder of argen fit, which argen fit SCREEN --out FOLDER writes "
                    "of the same screen and options."
                )
            raise InputError(
                f"The folder {str(path)!r} holds no network.npz: expected a results folder, of "
                "argen fit or argen.write_results."
            )
        return path / "network.npz"
    for candidate in (path, path.with_name(path.name + ".npz")):
        if os.path.exists(candidate):
            return candidate
    raise InputError(f"There is no file {str(path)!r}.")
