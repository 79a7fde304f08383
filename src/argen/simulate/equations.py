"""The structural equations of a simulated screen, and what guides do in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import expit, logit

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.simulate.cells import Cells
from argen.simulate.model import ScreenModel
from argen.simulate.truth import Truth


@dataclass(frozen=True, slots=True, eq=False)
class Equations:
    """Structural equations with all their coefficients; genes that act, then sinks.

    The last row of what belongs to a perturbation is that of the controls.
    """

    direct: FloatArray  # (n_acting, n_acting + n_sinks), [source, target]
    spread: FloatArray  # (n_acting, n_genes): total effects on what is measured, and on itself
    order: tuple[int, ...]  # (n_acting,) causal, if effects saturate
    saturation: float
    measured: IntArray  # (n_genes,) which genes are
    shift: FloatArray  # (n_nodes + 1, n_acting + n_sinks): what the guides of a node do
    penetrance: FloatArray  # (n_nodes + 1, n_guides): share of the cells in which a guide works
    strength: FloatArray  # (n_nodes + 1, n_guides): factor on the shift
    score: FloatArray  # (n_nodes + 1, n_programs): how far a perturbation sets a program off
    of_program: FloatArray  # (n_programs, n_acting + n_sinks): loadings
    noise: float
    of_covariate: FloatArray  # (n_columns, n_acting + n_sinks)
    of_factor: FloatArray  # (n_factors, n_acting + n_sinks)
    of_state: FloatArray  # (n_states, n_acting + n_sinks)
    share_of_state: FloatArray  # (n_states,)

    def works(self, cells: Cells, part: slice, rng: np.random.Generator) -> BoolArray:
        """Draw in which of some cells the guide works: (n_cells,), False for controls."""
        node, guide = cells.node_of_cell[part], cells.guide_of_cell[part]
        return np.asarray(rng.random(len(node)) < self.penetrance[node, guide])

    def log_means(self, cells: Cells, part: slice, rng: np.random.Generator) -> FloatArray:
        """Draw the log means of some cells, up to the level of each gene: (n_cells, n_genes)."""
        works = self.works(cells, part, rng)  # the first numbers of the stream
        acting_node = np.where(works, cells.node_of_cell[part], -1)
        state = rng.choice(len(self.share_of_state), size=len(works), p=self.share_of_state)
        cause = rng.standard_normal((len(works), self.shift.shape[1]))
        cause *= self.noise
        cause += self._done_by_guides(acting_node, cells.guide_of_cell[part])
        if cells.more is not None:
            # A stream of its own, so that the other numbers are those of a seed without more.
            self._add_further(cause, cells.more[part], rng.spawn(1)[0])
        cause += self.of_state[state]
        cause += cells.coded[part] @ self.of_covariate
        cause += rng.standard_normal((len(works), len(self.of_factor))) @ self.of_factor
        return self._passed_on(cause)

    def own_knockdown(self, cells: Cells) -> FloatArray:
        """Return how far a guide that works lowers the log mean of its own gene: (n_cells,)."""
        own = np.append(-np.diagonal(self.shift[:-1]), 0.0)
        return own[cells.node_of_cell] * self.strength[cells.node_of_cell, cells.guide_of_cell]

    def _passed_on(self, cause: FloatArray) -> FloatArray:
        """Let causes run through the network, to what is measured: (n_cells, n_genes)."""
        for gene in self.order:
            # Its parents have come before, so that the gene has all that it receives.
            acting = np.tanh(self.saturation * cause[:, gene]) / self.saturation
            children = np.flatnonzero(self.direct[gene])
            cause[:, children] += acting[:, None] * self.direct[gene, children]
        if self.order:
            return cause[:, self.measured]
        n_acting, n_genes = self.spread.shape
        log_means = cause[:, :n_acting] @ self.spread
        n_sinks = self.shift.shape[1] - n_acting
        log_means[:, n_genes - n_sinks :] += cause[:, n_acting:]
        return log_means

    def _add_further(
        self, cause: FloatArray, more: sparse.csr_array, rng: np.random.Generator
    ) -> None:
        """Add what the further perturbations of some cells do, where their guides work."""
        carried = more.tocoo()
        guide = carried.data - 1
        works = rng.random(len(guide)) < self.penetrance[carried.col, guide]
        done = self._done_by_guides(np.where(works, carried.col, -1), guide)
        np.add.at(cause, carried.row, done)

    def _done_by_guides(self, node: IntArray, guide: IntArray) -> FloatArray:
        """Return what guides that work do to the genes of a cell: (n_cells, n_acting + n_sinks)."""
        done = self.shift[node]
        done *= self.strength[node, guide][:, None]
        if len(self.of_program):
            done += self.score[node] @ self.of_program
        return done


def random_equations(
    model: ScreenModel, whole: Truth, measured: IntArray, n_columns: int, rng: np.random.Generator
) -> Equations:
    """Draw the coefficients of a network's equations; ``measured`` are the genes to be seen."""
    # Streams of their own, so that an option does not change what else is drawn.
    of_guides, of_programs = rng.spawn(2)
    n_acting, n_genes = whole.direct.shape
    # What a gene receives, it adds to its own level, and each sink gets its share of that.
    received = np.hstack([np.eye(n_acting), whole.direct[:, n_acting:]])
    spread = np.linalg.solve(np.eye(n_acting) - whole.direct[:, :n_acting], received)
    n_states = max(model.n_states, 1)
    of_state = rng.normal(0.0, model.state_effect, (n_states, n_genes))
    share = rng.dirichlet(np.full(n_states, 5.0))
    shift, failed = _shifts(model, n_acting, n_genes, rng)
    penetrance, strength = _guides(model, of_guides)
    penetrance[failed] = 0.0
    score, of_program = _programs(model, n_genes, of_programs)
    return Equations(
        direct=whole.direct,
        order=_causal_order(whole) if model.saturation else (),
        saturation=model.saturation,
        measured=measured,
        spread=np.asarray(spread[:, measured], dtype=np.float64),
        shift=shift,
        penetrance=penetrance,
        strength=strength,
        score=score,
        of_program=of_program,
        noise=model.noise,
        of_covariate=rng.normal(0.0, model.covariate_effect, (n_columns, n_genes)),
        of_factor=rng.normal(0.0, model.factor_effect, (model.n_factors, n_genes))
        / np.sqrt(max(model.n_factors, 1)),
        of_state=of_state if model.n_states > 1 else np.zeros((1, n_genes)),
        share_of_state=share,
    )


def _causal_order(whole: Truth) -> tuple[int, ...]:
    return tuple(whole.genes.index(gene) for gene in whole.order)


def _shifts(
    model: ScreenModel, n_acting: int, n_genes: int, rng: np.random.Generator
) -> tuple[FloatArray, IntArray]:
    """Draw what the guides of each node do by themselves, and the nodes whose guides fail."""
    shift = np.zeros((model.n_nodes + 1, n_genes))
    nodes = np.arange(model.n_nodes)
    shift[nodes, nodes] = -rng.uniform(*model.knockdown, model.n_nodes)
    n_failed = round(model.failed * model.n_nodes)
    n_off_target = round(model.off_target * model.n_nodes)
    for node in rng.choice(model.n_nodes, n_off_target, replace=False):
        others = np.delete(np.arange(n_acting), node)
        shift[node, rng.choice(others)] -= model.off_target_effect
    failed = rng.choice(model.n_nodes, n_failed, replace=False)
    shift[failed] = 0.0
    return shift, failed


def _guides(model: ScreenModel, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Draw penetrance and strength of each guide: (n_nodes + 1, n_guides) each.

    The logits of the penetrances are moved together such that their mean is the model's.
    """
    shape = (model.n_nodes, model.n_guides)
    logits = rng.normal(0.0, model.penetrance_sd, (model.n_nodes, 1))
    logits = logits + rng.normal(0.0, model.guide_penetrance_sd, shape)
    strength, penetrance = np.ones((shape[0] + 1, shape[1])), np.zeros((shape[0] + 1, shape[1]))
    strength[:-1] = np.exp(rng.normal(0.0, model.guide_strength_sd, shape))
    penetrance[:-1] = model.penetrance
    if 0.0 < model.penetrance < 1.0 and logits.any():
        penetrance[:-1] = expit(logits + _centre(logits, model.penetrance))
    return penetrance, strength


def _centre(logits: FloatArray, mean: float) -> float:
    """Find what is to be added to logits for their shares to have a mean."""
    from scipy.optimize import brentq

    least, most = logit(mean) - logits.max() - 1.0, logit(mean) - logits.min() + 1.0
    return float(brentq(lambda added: expit(logits + added).mean() - mean, least, most))


def _programs(
    model: ScreenModel, n_genes: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw how far each perturbation sets each program off, and the loadings of all genes."""
    score = np.zeros((model.n_nodes + 1, model.n_programs))
    n_set_off = round(model.program_share * model.n_nodes)
    for program in range(model.n_programs):
        chosen = rng.choice(model.n_nodes, n_set_off, replace=False)
        score[chosen, program] = np.abs(rng.standard_normal(n_set_off))
    return score, rng.normal(0.0, model.program_effect, (model.n_programs, n_genes))
