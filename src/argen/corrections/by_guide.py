"""The cells of a perturbation, guide by guide, in equations of one share.

Where the guides of a gene differ in strength, their cells together are a mixture also when all of
them work, which one set of rates for all would take for cells that escape. Here each guide g has
rates rho_gj of its own, which solve the equations of its own cells, and the share pi is that of
all of them: its equation is the sum of theirs, each guide with its part a_g of the cells. What a
perturbation leaves of gene j in working cells is ``sum_g a_g rho_gj``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from argen.arrays import FloatArray, IntArray
from argen.corrections.lowered import CellsOfPerturbations
from argen.corrections.mixture import (
    SHARES,
    AtShare,
    MixedCells,
    MixtureEquations,
    Prepared,
    profile_of,
)
from argen.data import PerturbSeqData
from argen.engine import in_threads

# Guides of fewer cells have no rates of their own: they are taken together.
FEWEST_CELLS = 20
# Between the seeds of the guides of a perturbation.
_NEXT_GUIDE = 1_000_003


@dataclass(frozen=True, slots=True, eq=False)
class GuidesOfCells:
    """Which guide each cell carries; several of one gene together are one."""

    names: tuple[str, ...]  # (n_guides,)
    code: IntArray  # (n_cells,), -1: none that is known

    @classmethod
    def of(cls, data: PerturbSeqData) -> GuidesOfCells | None:
        """Return the guides of the perturbed cells; None where they are not known."""
        if data.guides is None or not data.one_per_cell:
            return None
        labels = data.guides.labels()
        known = (labels != "") & ~data.controls
        names, code = np.unique(labels[known].astype(str), return_inverse=True)
        of_cell = np.full(data.n_cells, -1)
        of_cell[known] = code
        return cls(tuple(names.tolist()), of_cell)


class GuideEquations:
    """The equations of one perturbation with several guides; asked like ``MixtureEquations``.

    Parameters
    ----------
    cells
        Of all guides.
    places
        Which of them have each guide; see ``cells_by_guide``.
    """

    def __init__(
        self,
        cells: MixedCells,
        places: list[IntArray],
        seed: int,
        prepared: tuple[Prepared, ...] = (),
    ) -> None:
        self.places = places
        self.kept = np.arange(len(cells.dispersion))
        self.guides = [
            MixtureEquations(
                replace(cells, perturbed=cells.perturbed.some(place)),
                seed + (g + 1) * _NEXT_GUIDE,
                prepared[g : g + 1],
                all_genes=True,
            )
            for g, place in enumerate(places)
        ]
        sizes = np.array([len(place) for place in places])
        self.parts = sizes / sizes.sum()
        self.left = np.stack([guide.left for guide in self.guides])
        self.prepared = tuple(own for guide in self.guides for own in guide.prepared)

    @property
    def tell(self) -> bool:
        """Whether the cells of every guide, and controls like them, say something."""
        return all(guide.tell for guide in self.guides)

    def solve(self, share: float, start: FloatArray, *, n_steps: int = 1) -> AtShare:
        """Solve the equations of the rates of each guide at a share: (n_guides, n_low)."""
        pairs = zip(self.guides, start, strict=True)
        return self._joined([guide.solve(share, own, n_steps=n_steps) for guide, own in pairs])

    def _joined(self, guides: list[AtShare]) -> AtShare:
        """Add the equations of the share up, and take the mean of rates."""
        parts, column = self.parts, self.parts[:, None]
        influence, works = np.empty((2, sum(map(len, self.places))))
        for part, place, at in zip(parts, self.places, guides, strict=True):
            influence[place], works[place] = part * at.influence, at.works
        misfit, own_variance, control_influence, log_left, of_genes, of_controls = (
            np.stack([getattr(at, name) for at in guides])
            for name in (
                "misfit", "own_variance", "control_influence", "log_left", "gene_variance",
                "control_variance",
            )
        )  # fmt: skip
        left = column * np.exp(log_left)
        mean = left.sum(axis=0)
        left /= mean
        return AtShare(
            misfit=float(parts @ misfit),
            influence=influence,
            works=works,
            control_influence=parts @ control_influence,
            own_variance=float(parts**2 @ own_variance),
            log_left=np.log(mean),
            gene_variance=np.sum(left**2 * of_genes, axis=0),
            # Guides are compared with the same controls.
            control_variance=np.sum(left * np.sqrt(of_controls), axis=0) ** 2,
            guides=tuple(guides),
        )

    def profile(self, shares: FloatArray = SHARES, at_one: AtShare | None = None) -> list[AtShare]:
        """Solve the equations at shares from 1 down, until they are out of the question."""
        return profile_of(self, shares, at_one)


def cells_by_guide(guide: IntArray) -> list[tuple[int, IntArray]]:
    """Return the guides of a perturbation, and the places of their cells among its cells.

    Those of too few cells come last, together, as guide -1; if all of them are too few for rates
    of their own they go with the guide before.

    Parameters
    ----------
    guide
        (n_perturbed,) code of the guide of each cell; -1: unknown.
    """
    own, which, sizes = np.unique(guide, return_inverse=True, return_counts=True)
    enough = (sizes >= FEWEST_CELLS) & (own >= 0)
    found = [(int(own[k]), np.flatnonzero(which == k)) for k in np.flatnonzero(enough)]
    rest = np.flatnonzero(~enough[which])
    if len(rest) >= FEWEST_CELLS or (len(rest) and not found):
        found.append((-1, rest))
    elif len(rest):
        last, place = found[-1]
        found[-1] = last, np.sort(np.append(place, rest))
    return found


PerturbationEquations = MixtureEquations | GuideEquations
# What is prepared for equations, and what they are at share 1; by perturbation.
AtOne = tuple[tuple[Prepared, ...], AtShare]
AllAtOne = dict[int, AtOne]


@dataclass(frozen=True, slots=True, eq=False)
class EquationsOfScreen:
    """The equations of all perturbations, by guide where guides are known and tell."""

    cells: CellsOfPerturbations
    seed: int
    guides: GuidesOfCells | None

    def guides_of(self, node: int) -> list[tuple[int, IntArray]]:
        """Return the guides of a perturbation, and the places of their cells among its cells."""
        if self.guides is None:
            return []
        return cells_by_guide(self.guides.code[self.cells.members[node]])

    def by_guide(self, node: int, prepared: tuple[Prepared, ...] = ()) -> GuideEquations:
        """Set the equations of a perturbation with several guides up."""
        places = [place for _, place in self.guides_of(node)]
        return GuideEquations(self.cells.of(node), places, self.seed + node, prepared)

    def of(self, node: int, prepared: tuple[Prepared, ...] = ()) -> PerturbationEquations:
        """Set the equations of a perturbation up, of which something may be prepared."""
        if len(self.guides_of(node)) > 1 and len(prepared) != 1:
            equations = self.by_guide(node, prepared)
            if equations.tell:
                return equations
        return MixtureEquations(self.cells.of(node), self.seed + node, prepared)

    def at_one(self, n_genes: IntArray) -> AllAtOne:
        """Solve the equations of the perturbations that tell at share 1."""

        def solve(k: int) -> AtOne | None:
            equations = self.of(k)
            if not equations.tell:
                return None
            return equations.prepared, equations.solve(1.0, equations.left)

        some = np.flatnonzero(n_genes).tolist()
        solved = zip(some, in_threads(solve, some), strict=True)
        return {k: own for k, own in solved if own is not None}
