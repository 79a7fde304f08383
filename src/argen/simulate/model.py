"""What a random screen is made of, in one frozen object."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from typing import Any, Literal, get_args

from argen.errors import InputError, first_few, nearest

Graph = Literal["erdos-renyi", "scale-free", "layered"]

# The least value of each whole number, and the bounds of each real one.
_LEAST = {
    "n_nodes": 2, "n_sinks": 0, "n_hidden_genes": 0, "n_feedback": 0, "cells_per_node": 2,
    "n_controls": 2, "n_numeric": 0, "n_batches": 0, "n_factors": 0, "n_states": 0,
    "n_guides": 1, "n_programs": 0,
}  # fmt: skip
_SHARES = ("positive", "failed", "penetrance", "off_target", "program_share", "doublets", "ambient")
_RANGES = ("effect", "knockdown")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenModel:
    """How to simulate a screen with a random network; validates itself.

    For cell i and gene j, the log means solve::

        log mu_ij = b_j - K_ij + P_ij + sum_k theta_kj log mu_ik + gamma_j' X_i + lambda_j' U_i
                    + s_j(state of i) + eps_ij
        Y_ij ~ Poisson(C_i ((1 - a) mu_ij G_ij + a m_j)),   G_ij ~ Gamma(1, dispersion)

    K_ij is the knock-down of gene j by what cell i carries, and P_ij what the response programs
    that it sets off do to gene j; both are 0 where the guide does not work. The library size C
    has mean 1, and b_j is such that gene j has its mean count in the control cells, before there
    are doublets and ambient counts: a share a of those of each cell, with the rates m of the
    average cell. G has mean 1 and the dispersion as its variance.

    Parameters
    ----------
    n_nodes
        Genes that are perturbed and measured.
    n_sinks
        Genes that are measured and not perturbed, and that act on nothing.
    n_hidden_genes
        Genes of the network that are neither perturbed nor measured.
    graph
        "erdos-renyi": every pair alike; "scale-free": genes with many children get more;
        "layered": parents in the layer above, of five.
    n_parents
        Mean number of parents of a gene.
    effect
        Least and largest size of a direct effect.
    positive
        Share of positive effects.
    n_feedback
        Edges from a descendant back to an ancestor; the method assumes that there are none.
    saturation
        0: effects add up however large they are. Else children of a gene receive
        tanh(saturation x) / saturation times theta, x the distance of its log mean from where it
        is when nothing acts: total effects then depend on the size of what is done, and the
        truth has those of small changes. Not with feedback.
    knockdown
        Least and largest drop of a perturbed gene's log mean.
    failed
        Share of the nodes whose guides do nothing.
    penetrance
        Share of the cells in which the guide that they carry works; where guides differ, the
        mean over guides. Guides that fail work in no cell.
    penetrance_sd
        Standard deviation of its logit over nodes.
    n_guides
        Guides for each node, of which a cell carries one at random.
    guide_penetrance_sd
        Standard deviation of the logit of the penetrance over the guides of a node.
    guide_strength_sd
        Standard deviation over guides of the log of a factor on K.
    off_target
        Share of the nodes whose guides lower another gene too, by off_target_effect.
    off_target_effect
        Drop of the log mean of the other gene.
    n_programs
        Response programs: perturbation k sets program r off by a score s_kr, and that adds
        s_kr w_jr to the log mean of gene j, beside what reaches it through the network.
    program_effect
        Standard deviation over genes of the loadings w, which nodes, hidden genes and sinks have.
    program_share
        Share of the perturbations that set a program off, each by the size of a standard normal
        number; the other scores are 0.
    cells_per_node
        Mean number of cells with the perturbation of a node, and at first no other.
    group_size_sd
        Standard deviation of its logarithm over nodes.
    n_controls
        Control cells.
    more_per_cell
        Mean number of further perturbations of a cell, of the controls too: each of a node drawn at
        random, with one of its guides. A cell carries none twice. Not with doublets or
        depth_effect, nor in a screen like a real one.
    more_per_cell_sd
        Standard deviation over cells of the log of that mean: cells that took up more.
    mean_count
        Median over genes of the mean count in control cells.
    mean_count_sd
        Standard deviation of its logarithm over genes.
    dispersion
        Overdispersion of the counts given their means, as in variance mu + dispersion mu^2.
    library_size_sd
        Standard deviation of the log of the library size.
    depth_effect
        How far the log of the library size falls, and with it all counts of the cell, per unit of
        the knock-down of the own gene by a guide that works.
    doublets
        Share of the cells that contain a second one, with the label of a random cell, whose
        counts and library size are added; the label stays that of the first.
    ambient
        Share of the counts of each cell that come from the average profile of all cells.
    noise
        Standard deviation of what moves each gene in each cell by itself.
    n_numeric
        Observed numeric covariates.
    n_batches
        Levels of an observed categorical covariate; 0 or 1: there is none.
    covariate_effect
        Standard deviation over genes of the effects of covariates.
    assignment
        How much covariates decide which cell carries what: standard deviation of the log odds
        of each label, per unit of a numeric covariate and per batch.
    n_factors
        Hidden Gaussian confounders.
    factor_effect
        Standard deviation of what all of them together add to a log mean.
    n_states
        Hidden discrete states of cells, such as the phases of the cell cycle; 0 or 1: none.
    state_effect
        Standard deviation over genes and states of what a state adds to a log mean.
    """

    n_nodes: int = 30
    n_sinks: int = 0
    n_hidden_genes: int = 0
    graph: Graph = "erdos-renyi"
    n_parents: float = 2.0
    effect: tuple[float, float] = (0.3, 0.8)
    positive: float = 0.5
    n_feedback: int = 0
    saturation: float = 0.0
    knockdown: tuple[float, float] = (2.0, 3.0)
    failed: float = 0.0
    penetrance: float = 1.0
    penetrance_sd: float = 0.0
    n_guides: int = 1
    guide_penetrance_sd: float = 0.0
    guide_strength_sd: float = 0.0
    off_target: float = 0.0
    off_target_effect: float = 1.0
    n_programs: int = 0
    program_effect: float = 0.2
    program_share: float = 0.8
    cells_per_node: int = 150
    group_size_sd: float = 0.0
    n_controls: int = 1500
    more_per_cell: float = 0.0
    more_per_cell_sd: float = 0.0
    mean_count: float = 2.0
    mean_count_sd: float = 1.0
    dispersion: float = 0.0
    library_size_sd: float = 0.4
    depth_effect: float = 0.0
    doublets: float = 0.0
    ambient: float = 0.0
    noise: float = 0.5
    n_numeric: int = 1
    n_batches: int = 0
    covariate_effect: float = 0.5
    assignment: float = 0.5
    n_factors: int = 1
    factor_effect: float = 0.5
    n_states: int = 0
    state_effect: float = 0.5

    def __post_init__(self) -> None:
        known = get_args(Graph)
        if self.graph not in known:
            raise InputError(
                f"graph must be one of {first_few(known)}, not {self.graph!r}."
                f"{nearest(str(self.graph), known)}"
            )
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in _LEAST:
                _check_whole(name, value, _LEAST[name])
            elif name in _RANGES:
                object.__setattr__(self, name, _checked_range(name, value))
            elif name != "graph":
                _check_real(name, value, 1.0 if name in _SHARES else None)
        if self.mean_count == 0:
            raise InputError("mean_count must be above 0: without counts there is no screen.")
        if self.saturation and self.n_feedback:
            raise InputError("saturation must be 0 with feedback: effects go round one by one.")
        if self.more_per_cell and (self.doublets or self.depth_effect):
            raise InputError(
                "more_per_cell must be 0 with doublets or depth_effect: they know of one "
                "perturbation in a cell."
            )
        most = (self.n_nodes + self.n_hidden_genes - 1) / 2
        if self.graph == "erdos-renyi" and self.n_parents > most:
            raise InputError(
                f"n_parents must be at most {most:g}, half the other genes of the network, not "
                f"{self.n_parents!r}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the options as plain values, for tables and files."""
        return asdict(self)


def _check_whole(name: str, value: Any, least: int) -> None:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < least:
        raise InputError(f"{name} must be a whole number from {least}, not {value!r}.")


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _check_real(name: str, value: Any, most: float | None) -> None:
    if not _is_real(value) or value < 0 or (most is not None and value > most):
        allowed = "from 0" if most is None else f"from 0 to {most:g}"
        raise InputError(f"{name} must be a number {allowed}, not {value!r}.")


def _checked_range(name: str, value: Any) -> tuple[float, float]:
    listed = list(value) if isinstance(value, tuple | list) else []
    if len(listed) != 2 or not all(map(_is_real, listed)) or not 0 <= listed[0] <= listed[1]:
        raise InputError(
            f"{name} must be two numbers, the least and the largest, from 0, not {value!r}."
        )
    return float(listed[0]), float(listed[1])
