"""Damaged files of every format: read as they are now, or one clear error.

More cases than the tests have, by outcome: ``python -m tests.hostile.test_formats 3000``.
"""

from __future__ import annotations

import collections
import gzip
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import argen
from tests.hostile.damage import WAYS
from tests.read.layouts import (
    GUIDES,
    called,
    mudata_of,
    quiet,
    screen_parts,
    write_cell_ranger,
)

CRISPR = "outs/crispr_analysis"
MEX = "outs/filtered_feature_bc_matrix"
BY_COUNTS: dict[str, Any] = {"target": "guides"}
BY_LABELS: dict[str, Any] = {"target": "guide", "cells": "guide.notna()"}
# What is damaged, what is read, and how.
FILES = {
    f"{MEX}.h5": (f"{MEX}.h5", BY_COUNTS),
    "screen.h5mu": ("screen.h5mu", {"target": "guide", "gene_symbols": "symbol"}),
    f"{MEX}/matrix.mtx.gz": (MEX, BY_COUNTS),
    f"{MEX}/features.tsv.gz": (MEX, BY_COUNTS),
    f"{MEX}/barcodes.tsv.gz": (MEX, BY_COUNTS),
    f"{CRISPR}/protospacer_calls_per_cell.csv": (
        "outs",
        {"target": "feature_call", "cells": "num_features > 0"},
    ),
    f"{CRISPR}/feature_reference.csv": ("outs", BY_COUNTS),
    "counts.csv": ("counts.csv", BY_LABELS),
    "counts.parquet": ("counts.parquet", BY_LABELS),
    "cells.csv": ("counts.csv", BY_LABELS),
    "guides.csv": ("counts.csv", BY_LABELS),
}


def write_files(folder: Path) -> None:
    """Write one experiment in all formats."""
    parts = screen_parts()
    counts, genes, _, guides, cells = parts
    write_cell_ranger(folder / "outs", parts)
    with quiet():
        mudata_of(parts).write(folder / "screen.h5mu")
    names = [f"{name}.{k}" if name == "TWIN" else name for k, name in enumerate(genes["symbol"])]
    table = pd.DataFrame(counts, index=cells.index, columns=names)
    table.to_csv(folder / "counts.csv")
    table.to_parquet(folder / "counts.parquet")
    known = cells.assign(guide=called(parts))
    known[known["guide"] != ""].to_csv(folder / "cells.csv")
    listed = pd.DataFrame({"guide": GUIDES, "target": guides["target_gene_name"]})
    listed.to_csv(folder / "guides.csv", index=False)


def outcome(folder: Path, given: str, options: dict[str, Any], whole: str | None) -> str:
    """Read, and say what came of it."""
    options = {"control": "Non-Targeting", "min_cells": 5} | options
    if options["target"] == "guide" and given.startswith("counts"):
        options |= {"obs": folder / "cells.csv", "guides": folder / "guides.csv"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = argen.read_perturbseq(folder / given, argen.ReadOptions(**options), threads=1)
    except argen.InputError as error:
        return "UNPRINTABLE" if {"\n", "\x1b"} & set(str(error)) else "refused"
    except Exception as error:  # what is looked for
        return f"TRACEBACK: {type(error).__name__}: {error!s:.200}"
    return "same" if data.sha256 == whole else data.sha256 if whole is None else "as it is now"


def run_cases(n_cases: int, seed: int = 1) -> collections.Counter[tuple[str, str]]:
    """Damage one file after another, that of text in gzip also inside of it."""
    found: collections.Counter[tuple[str, str]] = collections.Counter()
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder)
        whole = {file: outcome(folder, *FILES[file], None) for file in FILES}
        for number in range(n_cases):
            file = list(FILES)[number % len(FILES)]
            content = (folder / file).read_bytes()
            way = WAYS[str(rng.choice(list(WAYS)))]
            if file.endswith(".gz") and rng.random() < 0.5:
                damaged = gzip.compress(way(gzip.decompress(content), rng))
            else:
                damaged = way(content, rng)
            (folder / file).write_bytes(damaged)
            found[file, outcome(folder, *FILES[file], whole[file])] += 1
            (folder / file).write_bytes(content)
    return found


@pytest.mark.process
def test_damaged_files_of_every_format():
    found = run_cases(20 * len(FILES))
    faults = [what for _, what in found if what.startswith(("TRACEBACK", "UNPRINTABLE"))]
    assert not faults
    for file in FILES:  # otherwise the damage would be none
        assert found[file, "refused"] > 0


if __name__ == "__main__":
    for (file, what), n in sorted(run_cases(int(sys.argv[1]), *map(int, sys.argv[2:])).items()):
        print(f"{file:50} {what:20} {n:6,}")
