"""Screens in files, and ways to damage what stands in them."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from tests.hostile.damage import WAYS

GENES = ["STAT1", "JAK2", "MYC", "ACTB", "GAPDH", "é\u202e"]
FORMATS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}

Way = Callable[[Path, np.random.Generator], None]
"""Damages a file or a store in place."""


def write_screens(folder: Path) -> list[Path]:
    """Write a small screen in every format: matrices as in FORMATS, in HDF5 and zarr."""
    paths = []
    for name, as_matrix in FORMATS.items():
        screen = _screen(as_matrix)
        paths += [folder / f"{name}.h5ad", folder / f"{name}-gzip.h5ad"]
        screen.write_h5ad(paths[-2])
        screen.write_h5ad(paths[-1], compression="gzip")
        for version in (2, 3):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what the next anndata will do by itself
                with anndata.settings.override(zarr_write_format=version):
                    paths.append(folder / f"{name}-{version}.zarr")
                    screen.write_zarr(paths[-1])
    return paths


def _screen(as_matrix: Callable[[Any], Any]) -> anndata.AnnData:
    rng = np.random.default_rng(20)
    labels = rng.permutation(np.repeat(["non-targeting", "STAT1", "JAK2", "MYC"], [60, 30, 30, 30]))
    obs = pd.DataFrame(
        {
            "perturbation": labels,
            "total_umi": rng.integers(50, 100, len(labels)),
            "p_mito": rng.uniform(0.01, 0.2, len(labels)),
            "lane": pd.Categorical(rng.choice(["L1", "L2"], len(labels))),
            "confident": rng.random(len(labels)) < 0.9,
            "score": pd.array(rng.integers(0, 5, len(labels)), dtype="Int64"),
        },
        index=[f"cell{i}" for i in range(len(labels))],
    )
    counts = rng.poisson(2.0, (len(labels), len(GENES))).astype(np.float32)
    var = pd.DataFrame({"symbol": GENES}, index=GENES)
    screen = anndata.AnnData(X=as_matrix(counts), obs=obs, var=var)
    screen.raw = screen
    screen.layers["counts"] = as_matrix(counts)
    carried = pd.get_dummies(pd.Series(labels, index=obs.index))[["STAT1", "JAK2", "MYC"]]
    screen.obsm["table"] = carried.astype(np.int8)
    screen.obsm["sparse"] = sparse.csr_matrix(carried.to_numpy().astype(np.int8))
    screen.uns["names"] = np.array(carried.columns, dtype=object)
    return screen


# Options with which each is read; those of the target are put in.
READINGS: dict[str, dict[str, Any]] = {
    "labels": {"target": "perturbation", "control": "non-targeting", "covariates": ["p_mito"]},
    "raw": {"target": "perturbation", "control": "non-targeting", "layer": "raw"},
    "layer": {
        "target": "perturbation", "control": "non-targeting", "layer": "counts",
        "covariates": "~ C(lane) + log(total_umi)", "cells": "confident and score.notna()",
    },
    "table": {"target": "table", "library_size": "total_umi"},
    "sparse": {"target": "sparse", "target_names": "names", "gene_symbols": "symbol"},
}  # fmt: skip


def damage_bytes(path: Path, rng: np.random.Generator) -> str:
    """Damage the bytes of a file, or of some file of a store; returns how."""
    way = str(rng.choice(list(WAYS)))
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        path = files[rng.integers(len(files))]
    path.write_bytes(WAYS[way](path.read_bytes(), rng))
    return way


def damage_structure(path: Path, rng: np.random.Generator) -> str:
    """Change an element of a file or store as a program could; returns how."""
    ways = IN_ZARR if path.is_dir() else IN_HDF5
    name = str(rng.choice(list(ways)))
    ways[name](path, rng)
    return name


def _element(file: h5py.File, rng: np.random.Generator, kind: type | None = None) -> str:
    """Choose a part of a file, more often one that is read."""
    names: list[str] = []
    file.visititems(
        lambda name, part: names.append(name) if isinstance(part, kind or object) else None
    )
    near = [name for name in names if name.split("/")[0] in ("X", "obs", "var", "obsm")]
    return str(rng.choice(near if near and rng.random() < 0.7 else names))


def _edit(change: Callable[[h5py.File, str, np.random.Generator], None], kind: Any = None) -> Way:
    def way(path: Path, rng: np.random.Generator) -> None:
        with h5py.File(path, "r+") as file:
            change(file, _element(file, rng, kind), rng)

    return way


def _put(file: h5py.File, name: str, value: Any, **options: Any) -> None:
    """Replace an element, with its attributes."""
    attributes = dict(file[name].attrs)
    del file[name]
    dataset = file.create_dataset(name, data=value, **options)
    for key, item in attributes.items():
        dataset.attrs[key] = item


def _retype(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    values = file[name][...]
    if values.dtype == object:
        _put(file, name, np.arange(values.size).reshape(values.shape))
        return
    kind = str(rng.choice(["f2", ">f4", ">i8", "f8", "u1", "i4", "bool", "c16", "text", "half"]))
    if kind == "text":
        _put(file, name, values.astype(str).astype(object), dtype=h5py.string_dtype())
    elif kind == "half":
        _put(file, name, values.astype(np.float64) + 0.5)
    else:
        _put(file, name, values.astype(kind))


def _reshape(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    values = np.atleast_1d(file[name][...])
    other = [
        values[:-1], values[:0], np.concatenate([values, values[-1:]]), values[None],
        values[..., None], values.ravel()[:1].reshape(()), values[::-1],
    ][rng.integers(7)]  # fmt: skip
    options = {"dtype": h5py.string_dtype()} if values.dtype == object else {}
    _put(file, name, other, **options)


def _huge(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    attributes, dtype = dict(file[name].attrs), file[name].dtype
    del file[name]
    n = 10 ** int(rng.integers(7, 13))
    dataset = file.create_dataset(name, (n,), dtype=dtype, chunks=(min(n, 10**6),))
    for key, item in attributes.items():
        dataset.attrs[key] = item


def _values(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    values = file[name][...]
    if values.size == 0:
        return
    flat = values.reshape(-1)
    place = int(rng.integers(flat.size))
    if values.dtype == object:
        flat[place] = str(
            rng.choice(["", "\x1b[31m", "a\nb", "\0"[:0], "n" * 10**5, "../../x", "é"])
        )
        _put(file, name, values, dtype=h5py.string_dtype())
        return
    if values.dtype == bool:
        flat[place] = not flat[place]
    elif values.dtype.kind == "f":
        flat[place] = rng.choice(
            [np.nan, np.inf, -1.0, 2.0**32, 0.5, 1e300 if values.itemsize > 4 else 1e30]
        )
    else:
        limits = np.iinfo(values.dtype)
        flat[place] = rng.choice([limits.min, limits.max, -1 if limits.min else 0, 7])
    file[name][...] = values


def _attribute(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    attributes = file[name].attrs
    keys = list(attributes)
    if not keys:
        return
    key = str(rng.choice(keys))
    del attributes[key]
    match int(rng.integers(7)):
        case 0:
            attributes[key] = str(rng.choice(["dict", "array", "csr_matrix", "dataframe", "nope"]))
        case 1:
            attributes[key] = "99.0"
        case 2:
            attributes[key] = np.array([[1.5, np.nan]])
        case 3:
            attributes[key] = h5py.Empty("f4")
        case 4:
            attributes[key] = np.array([2**62, 2**62])
        case 5:
            attributes[key] = "../../secret"


def _link(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    del file[name]
    match int(rng.integers(5)):
        case 0:
            file[name] = h5py.SoftLink("/" + str(rng.choice(list(file))))
        case 1:
            file[name] = h5py.SoftLink("/nowhere")
        case 2:
            file[name] = h5py.SoftLink("/" + name)
        case 3:
            file[name] = h5py.ExternalLink("../outside.h5ad", "/" + name)
        case 4:
            file[name] = file[name.rsplit("/", 1)[0]] if "/" in name else file["/"]


def _virtual(file: h5py.File, name: str, _: np.random.Generator) -> None:
    old = file[name]
    shape, dtype, attributes = old.shape, old.dtype, dict(old.attrs)
    if not shape or dtype.kind == "O":
        return
    del file[name]
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource("../outside.h5ad", name, shape=shape)
    dataset = file.create_virtual_dataset(name, layout)
    for key, item in attributes.items():
        dataset.attrs[key] = item


def _external(file: h5py.File, name: str, _: np.random.Generator) -> None:
    old = file[name]
    shape, dtype, attributes = old.shape, old.dtype, dict(old.attrs)
    if not shape or dtype.kind == "O":
        return
    del file[name]
    dataset = file.create_dataset(
        name, shape, dtype, external=[("../outside.bin", 0, h5py.h5f.UNLIMITED)]
    )
    for key, item in attributes.items():
        dataset.attrs[key] = item


def _remove(file: h5py.File, name: str, _: np.random.Generator) -> None:
    del file[name]


def _rename(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    file.move(name, name + str(rng.choice(["x", " ", "\n", "\x1b[2J", "é"])))


def _group(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    del file[name]
    if rng.random() < 0.5:
        file.create_group(name)
    else:
        file[name] = [3, "text", h5py.Empty("f4"), np.zeros((2, 2, 2))][rng.integers(4)]


IN_HDF5: dict[str, Way] = {
    "removed": _edit(_remove),
    "renamed": _edit(_rename),
    "of another kind": _edit(_group),
    "of another type": _edit(_retype, h5py.Dataset),
    "of another shape": _edit(_reshape, h5py.Dataset),
    "huge": _edit(_huge, h5py.Dataset),
    "another value": _edit(_values, h5py.Dataset),
    "another attribute": _edit(_attribute),
    "a link": _edit(_link),
    "virtual": _edit(_virtual, h5py.Dataset),
    "external": _edit(_external, h5py.Dataset),
}


def _a_file(path: Path, rng: np.random.Generator, *names: str) -> Path:
    files = [file for file in path.rglob("*") if file.is_file()]
    return sorted(file for file in files if not names or file.name in names)[
        rng.integers(sum(not names or file.name in names for file in files))
    ]


def _described(change: Callable[[dict[str, Any], np.random.Generator], None]) -> Way:
    def way(path: Path, rng: np.random.Generator) -> None:
        file = _a_file(path, rng, "zarr.json", ".zarray", ".zattrs")
        description = json.loads(file.read_text())
        change(description, rng)
        file.write_text(json.dumps(description))
        # Which would otherwise be believed in its place.
        for summary in (path / ".zmetadata",):
            summary.unlink(missing_ok=True)

    return way


def _another_number(description: dict[str, Any], rng: np.random.Generator) -> None:
    for key in ("shape", "chunks"):
        if description.get(key):
            description[key][0] = int(rng.choice([0, 1, 7, 10**6, 10**12, 2**62, -1]))
            return


def _another_text(description: dict[str, Any], rng: np.random.Generator) -> None:
    key = str(rng.choice(sorted(description))) if description else "x"
    description[key] = [None, "x", "|O", 10**20, [], {}, "../.."][rng.integers(7)]


def _pickle(description: dict[str, Any], _: np.random.Generator) -> None:
    if "filters" in description:
        description["filters"] = [{"id": "pickle", "protocol": 4}]
        description["dtype"] = "|O"
    elif "codecs" in description:
        description["codecs"] = [{"name": "numcodecs.pickle", "configuration": {}}]


def _remove_file(path: Path, rng: np.random.Generator) -> None:
    _a_file(path, rng).unlink()


def _to_outside(path: Path, rng: np.random.Generator) -> None:
    file = _a_file(path, rng)
    file.unlink()
    file.symlink_to(path.parent.parent / "outside.bin")


def _swap(path: Path, rng: np.random.Generator) -> None:
    one, other = _a_file(path, rng), _a_file(path, rng)
    shutil.copy(one, path / "swap")
    if one != other:
        shutil.copy(other, one)
        shutil.copy(path / "swap", other)
    (path / "swap").unlink()


def _pipe(path: Path, rng: np.random.Generator) -> None:
    file = _a_file(path, rng)
    file.unlink()
    os.mkfifo(file)


IN_ZARR: dict[str, Way] = {
    "removed": _remove_file,
    "swapped": _swap,
    "a link": _to_outside,
    "a pipe": _pipe,
    "another number": _described(_another_number),
    "another text": _described(_another_text),
    "pickled": _described(_pickle),
}
