"""Quality control of a screen, and which of its candidates become nodes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.checks import Diagnostics, check_cells, knockdown_table, others_of
from argen.config import InferenceConfig
from argen.corrections import Penetrance, estimate_penetrance
from argen.data import PerturbSeqData, require_screen
from argen.errors import InputError, first_few
from argen.files import write_table, writing
from argen.network import penetrance_line
from argen.qc.candidates import measured_candidates, other_candidates
from argen.qc.cells import batch_table, cells_without_controls, doublet_like
from argen.qc.choice import NodeChoice, reasons_against
from argen.qc.findings import quality_findings, quality_lines
from argen.qc.guides import guide_knockdowns
from argen.run import Checkpoint, Executor, Progress
from argen.steps import DescendantScreen, screen_descendants

NODES_FILE = "nodes.txt"


@dataclass(frozen=True, slots=True, eq=False)
class QualityControl:
    """What is known of every candidate node, and which of them were chosen."""

    candidates: pd.DataFrame
    """One row for everything that was perturbed: candidate, chosen, reason (why it is no node),
    and what was measured; see the formats page for the columns."""
    diagnostics: Diagnostics
    """Findings, and the tables batches, balance, guides and doublet_like."""
    n_cells: int
    """Cells that are left with the chosen nodes: controls, and those that carry nothing else."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """The chosen candidates, for ``ReadOptions(nodes=...)``."""
        return tuple(self.candidates.loc[self.candidates["chosen"], "candidate"])

    def summary(self) -> str:
        """Return the findings in words, and what was measured."""
        return self.diagnostics.summary()

    def __str__(self) -> str:
        return self.summary()

    def write(self, folder: str | Path) -> Path:
        """Write candidates.tsv, nodes.txt, summary.txt and the other tables; returns the folder."""
        odd = [node for node in self.nodes if node.strip().splitlines() != [node]]
        if odd:
            raise InputError(
                f"{NODES_FILE} cannot list names with line breaks, or spaces at an end: "
                f"{first_few(odd)}. Rename these genes, or choose nodes in Python."
            )
        with writing(folder, "qc") as beside:
            self.diagnostics.write(beside)
            write_table(self.candidates, beside / "candidates.tsv", float_format="%.6g")
            lines = "".join(f"{node}\n" for node in self.nodes)
            (beside / NODES_FILE).write_text(lines, encoding="utf-8")
        return Path(folder)


def quality_control(
    data: PerturbSeqData,
    choice: NodeChoice | None = None,
    *,
    among: Mapping[str, Collection[str]] | None = None,
    others: pd.DataFrame | None = None,
    config: InferenceConfig | None = None,
    executor: Executor | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> QualityControl:
    """Look at every candidate node of a screen, and choose nodes by rules.

    The descendant screen is computed, as it is in ``infer_network``: an effect of each perturbation
    on its own gene, the number of genes that it has an effect on, and in what share of its cells it
    works. Beside these stand cells, expression in controls, guides that agree or do not, batches
    without controls, balance of covariates, and cells that look like two. No cell is left out.

    A gene that is left out becomes a hidden one: where it stands between two nodes, the edge
    between these is direct in the network of the nodes.

    Parameters
    ----------
    data
        Of all candidates: from ``read_perturbseq`` without ``nodes``.
    choice
        The rules; ``NodeChoice()`` when None.
    among
        Genes that may be nodes, by what they are called, such as those of a chromosome or of a gene
        set: ``{"chromosome 21": adata.var_names[adata.var["chromosome"] == "21"]}``. A node is in
        all of these groups.
    others
        Columns that are not covariates, of which balance, and controls in each level, are to be
        looked at too: one row a cell, found by its identifier.
    config
        Options of the screen.
    executor, checkpoint, progress
        As in ``infer_network``.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=4000)
    >>> found = argen.quality_control(data, argen.NodeChoice(min_knockdown=0.5))
    >>> len(found.nodes)
    8
    """
    require_screen(data)
    config, choice = config or InferenceConfig(), choice or NodeChoice()
    others = others_of(pd.DataFrame(index=data.cells) if others is None else others, data.cells)
    screen = screen_descendants(
        data, config, executor=executor, checkpoint=checkpoint, progress=progress
    )
    penetrance = _penetrance(data, screen, config)
    knockdown = knockdown_table(screen, confidence=config.confidence, penetrance=penetrance)
    balance = check_cells(data, others)
    guides, of_guides = guide_knockdowns(data)
    doubtful = doublet_like(data, others)
    table = measured_candidates(data, screen, knockdown)
    table["cells_without_controls"] = cells_without_controls(data, others)
    table["unbalanced"] = _unbalanced(table["candidate"], balance.tables["balance"])
    table["doublet_like"] = _share_of(data, doubtful["number"].to_numpy())
    if len(of_guides):
        table = table.merge(of_guides, on="candidate", how="left")
    reasons = reasons_against(table, choice, among or {})
    table.insert(1, "chosen", reasons == "")
    table.insert(2, "reason", reasons)
    candidates = _with_others(table, other_candidates(data.left_out))
    tables = {
        "guides": guides,
        "batches": batch_table(data, others),
        "doublet_like": doubtful.drop(columns="number"),
    }
    said = quality_findings(data, candidates, knockdown, tables)
    lines = quality_lines(data, candidates, knockdown, tables)
    lines.append(f"penetrance: {penetrance_line(penetrance, config)}")
    left = _cells_left(data, table["chosen"].to_numpy(dtype=bool))
    found = Diagnostics.of(said, tables, lines).joined(balance)
    return QualityControl(candidates, found, left)


def _with_others(table: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Put what cannot be a node after the measured candidates; nothing was measured of it."""
    if not len(others):
        return table
    rows = others.assign(chosen=False, unbalanced="", status="").to_dict("records")
    return pd.DataFrame([*table.to_dict("records"), *rows], columns=table.columns)


def _penetrance(
    data: PerturbSeqData, screen: DescendantScreen, config: InferenceConfig
) -> Penetrance | None:
    """Estimate in how many cells guides work, where a fit would."""
    wanted = config.wanted_penetrance == "auto" and config.family == "poisson"
    return estimate_penetrance(data, screen) if wanted and data.one_per_cell else None


def _unbalanced(candidates: pd.Series, balance: pd.DataFrame) -> list[str]:
    """Name the columns that each perturbation is unbalanced in, with commas between."""
    odd = balance[balance["unbalanced"]]
    columns = {node: ",".join(rows) for node, rows in odd.groupby("node")["column"]}
    return [columns.get(node, "") for node in candidates]


def _share_of(data: PerturbSeqData, cells: IntArray) -> FloatArray:
    """Return the share of the cells of each perturbation that is among some cells: (n_nodes,)."""
    among = np.zeros(data.n_cells, dtype=np.int64)
    among[cells] = 1
    return np.asarray((data.perturbations.T @ among) / data.n_perturbed)


def _cells_left(data: PerturbSeqData, chosen: BoolArray) -> int:
    """Count the cells that carry nothing but chosen candidates."""
    carries_other = np.zeros(data.n_cells, dtype=bool)
    carries_other[data.perturbations[:, np.flatnonzero(~chosen)].indices] = True
    return int((~carries_other).sum())
