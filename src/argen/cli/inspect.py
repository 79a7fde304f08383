"""``argen inspect``: what is in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from argen import inspection
from argen.cli import console


def inspect(
    file: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    modality: str | None = None,
    obs: Path | None = None,
) -> None:
    """Say what is in a file, what it looks like, and which command fits its network.

    Parameters
    ----------
    file
        AnnData or MuData (.h5ad, .h5mu, zarr), a file or folder of Cell Ranger, Matrix Market, or a
        table of counts.
    modality
        Modality of MuData with the counts of genes, where its name does not say so.
    obs
        Table of the cells beside the file, CSV, TSV or Parquet.
    """
    console.out.print(inspection.inspect(file, modality=modality, obs=obs).summary())
