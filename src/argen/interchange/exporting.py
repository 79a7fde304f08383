"""Files for other tools, by the name of their format."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from argen.errors import InputError, first_few, first_line
from argen.files import writing
from argen.interchange.cx2 import to_cx2
from argen.network import CausalNetwork, columns_stay, result_tables, to_anndata, to_mudata

Kind = Literal["cx2", "h5ad", "h5mu", "parquet"]


def export(
    network: CausalNetwork,
    kind: Kind,
    folder: str | Path,
    *,
    screen: str | Path | None = None,
) -> list[Path]:
    """Write a network in the format of another tool, and return the files.

    Parameters
    ----------
    kind
        "cx2": ``network.cx2`` for Cytoscape and NDEx; "parquet": every table of the results
        folder, for R (arrow) and others; "h5ad" and "h5mu": ``network.h5ad`` and
        ``network.h5mu``, AnnData and MuData with the keys of ``to_anndata``.
    folder
        Made where it is missing; files of the same names are replaced.
    screen
        AnnData or MuData file that gets the keys, its cells included. Without it "h5ad" and
        "h5mu" have the genes of the network and no cells.

    Raises
    ------
    InputError
        When the format is unknown, or needs a package that is not installed.
    """
    if kind not in get_args(Kind):
        raise InputError(f"kind must be one of {first_few(get_args(Kind), 4)}, not {kind!r}.")
    if screen is not None and kind not in ("h5ad", "h5mu"):
        raise InputError(f"screen is for h5ad and h5mu: {kind} holds no cells. Leave it out.")
    with writing(folder) as beside:
        path = beside / f"network.{kind}"
        if kind == "parquet":
            _write_parquet(network, beside)
        elif kind == "cx2":
            path.write_text(json.dumps(to_cx2(network), allow_nan=False), encoding="utf-8")
        elif kind == "h5ad":
            _write_h5ad(network, path, screen)
        else:
            _write_h5mu(network, path, screen)
        names = [path.name for path in sorted(beside.iterdir())]
    return [Path(folder) / name for name in names]


def _write_parquet(network: CausalNetwork, folder: Path) -> None:
    _require("pyarrow", "parquet")
    for name, table in result_tables(network).items():
        table.to_parquet(folder / f"{name}.parquet", engine="pyarrow", index=False)


def _write_h5ad(network: CausalNetwork, path: Path, screen: str | Path | None) -> None:
    from anndata import read_h5ad

    adata = None if screen is None else _read(read_h5ad, screen)
    to_anndata(network, adata).write_h5ad(path, compression="gzip")


def _write_h5mu(network: CausalNetwork, path: Path, screen: str | Path | None) -> None:
    _require("mudata", "mudata")
    from mudata import read_h5mu

    with columns_stay():
        mdata = None if screen is None else _read(read_h5mu, screen)
        to_mudata(network, mdata).write_h5mu(path)


def _read(read: Callable[[str], Any], screen: str | Path) -> Any:
    try:
        return read(os.fspath(screen))
    except Exception as error:  # whatever a reader raises
        raise InputError(
            f"The screen {str(screen)!r} cannot be read: {first_line(error)}. Expected the file "
            "that the network was inferred from, as AnnData for h5ad and MuData for h5mu."
        ) from error


def _require(package: str, extra: str) -> None:
    if find_spec(package) is None:
        raise InputError(
            f"This format needs the package {package}. Install it: pip install 'argen[{extra}]'."
        )
