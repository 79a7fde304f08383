"""The parts of a screen that are recognised, and the questions that they raise."""

from __future__ import annotations

import numpy as np

from argen.errors import counted, first_few
from argen.inspection import roles
from argen.inspection.candidates import Candidate
from argen.inspection.notes import Notes
from argen.inspection.roles import Column
from argen.read import MatrixLook, OpenAnnData, kind_of_label


class Parts:
    """The parts of a screen that were recognised, one after another."""

    def __init__(
        self,
        opened: OpenAnnData,
        counts: MatrixLook | None,
        target: Candidate | None,
        found: list[Candidate],
        notes: Notes,
    ) -> None:
        self.obs, self.counts, self.target, self.notes = opened.obs, counts, target, notes
        # Two columns that both could be the targets, or two matrices: nothing can be proposed.
        self.is_unsettled = bool(notes.questions)
        self.guide = self._guide(found)
        self.n_controls = 0 if target is None else int(target.control_cells().sum())
        if target is not None:
            self._ask_about_controls(target)
        self.depth = self._depth()
        self.mito = roles.mito_share(self.obs)
        taken = {part.name for part in (target, self.guide, self.depth) if part is not None}
        self.batches, said = roles.batches(self.obs, target, self.n_controls, taken)
        notes.findings += said
        if self.mito is not None:
            notes.findings.append(
                f"obs[{self.mito.name!r}] is proposed as a covariate, as is usual: it says how "
                "well a cell is. A perturbation may move it, which argen check tests: where one "
                "does, compare with a fit without it."
            )

    def _guide(self, found: list[Candidate]) -> Column | None:
        target = self.target
        if target is None or target.is_table or target.is_of_guides or target.joined is not None:
            return None
        column = roles.guide_column(self.obs, target, found)
        if column is None:
            return None
        unnamed = self.obs[column.name].isna().to_numpy() & ~target.control_cells()
        if unnamed.any():
            self.notes.findings.append(
                f"obs[{column.name!r}] names no guide in {counted(int(unnamed.sum()), 'cell')} "
                "other than controls, so that guides are left out."
            )
            return None
        return column

    def _ask_about_controls(self, target: Candidate) -> None:
        notes, sizes = self.notes, target.sizes
        own = target.controls.found
        if not own and not (target.is_table and self.n_controls):
            notes.missing.append(
                "Controls: no label reads like one, as non-targeting, NT or AAVS1 do. Name it."
            )
        asked = target.controls.no_guide
        if asked:
            n_cells = int(sizes[sizes.index.isin(list(asked))].sum())
            beside = f", beside {first_few(own)}," if own else ""
            notes.questions.append(
                f"Are cells labelled {first_few(asked)} ({n_cells:,}) controls? That{beside} "
                "reads like cells in which no guide was seen, which is not the same as a guide "
                "that targets nothing. As it stands they are left out."
            )
        if self.guide is not None and not any(map(is_sure, own)):
            cells = target.control_cells()
            guides = self.obs[self.guide.name][cells]
            if roles.has_no_guide(guides):
                notes.questions.append(
                    f"Are cells labelled {first_few(own)} ({int(cells.sum()):,}) controls? None "
                    f"of them has a guide in obs[{self.guide.name!r}]: perhaps none was seen."
                )
        if target.is_table and self.n_controls:
            n_empty = int((np.diff(target.values.tocsr().indptr) == 0).sum())
            become = (
                "left out. Where cells carry many guides, of which few were recorded, do without "
                "control and add keep_others=True (--keep-others): then a perturbation is compared "
                "with every cell that is without it."
                if own
                else "the controls, although guides that were not recorded may be in them."
            )
            notes.findings.append(
                f"Cells that carry nothing that obsm[{target.name!r}] lists ({n_empty:,}) are "
                f"{become}"
            )

    def _depth(self) -> Column | None:
        sums = None if self.counts is None else self.counts.row_sums
        found = roles.depths(self.obs, sums)
        if not found:
            first = np.empty(0) if sums is None else sums
            n_empty = int((first == 0).sum())
            if n_empty:
                self.notes.missing.append(
                    f"Depth: no count of the genes in the matrix is in {n_empty} of the first "
                    f"{len(first):,} cells. Name a column of obs, or leave those cells out."
                )
            if self.counts is not None and len(self.counts.genes) < 2000:
                self.notes.findings.append(
                    "No column of depth: the sums of the counts are used, which is right where "
                    "the matrix has all genes."
                )
            return None
        best, *others = found
        for other in others:
            if other.grade == best.grade > 0 and roles.differ(self.obs, best.name, other.name):
                self.notes.questions.append(
                    f"Which is the depth of the cells, obs[{best.name!r}] ({best.evidence}) or "
                    f"obs[{other.name!r}] ({other.evidence})? They differ by more than a factor."
                )
                break
        return best


def is_sure(label: str) -> bool:
    """Whether a label can only be that of a control."""
    return kind_of_label(label) == "control"
