"""How the errors of direct effects go together.

With D the effects of the perturbations on the nodes, and A the candidates of a target t, the
second stage is just-identified, and to first order in the errors of D::

    D[A, A] theta = D[A, t],      d theta = W (dD[A, t] - dD[A, A] theta),   W = D[A, A]^-1

Direct effects are therefore correlated where they rest on the same effects of perturbations:
those on one target, and those on targets that share candidates. The correlations here take the
effects of the screen as independent of each other, each with its own standard error; standard
errors are those of the parent search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import solve_triangular

from argen.arrays import FloatArray, IntArray
from argen.errors import InputError, first_few
from argen.network.result import CausalNetwork
from argen.steps import transitive_closure

# Where the effects of the candidates' perturbations are closer to collinear, errors are taken as
# independent.
LARGEST_CONDITION = 1e10


@dataclass(frozen=True, slots=True, eq=False)
class JointErrors:
    """The edges of a network, and what each of them owes to the effects of the screen.

    Inputs are the effects of the screen, ``source * n_genes + target``, own effects included,
    and one more for each edge, for what it owes to nothing else.
    """

    n_nodes: int
    n_genes: int
    order: IntArray  # (n_nodes,): every node after all that reach it
    source: IntArray  # (n_edges,)
    target: IntArray  # (n_edges,)
    effect: FloatArray  # (n_edges,)
    rows: sparse.csr_array  # (n_edges, n_inputs): derivatives of the effects
    variance: FloatArray  # (n_inputs,)

    def direct(self) -> FloatArray:
        """Lay out the edges as a matrix: (n_nodes, n_genes), [source, target]."""
        matrix = np.zeros((self.n_nodes, self.n_genes))
        matrix[self.source, self.target] = self.effect
        return matrix

    def over_paths(self, direct: FloatArray) -> FloatArray:
        """Effect of each node on each gene over all paths, 1 on itself: (n_nodes, n_genes).

        Parameters
        ----------
        direct
            (n_nodes, n_genes), all of the edges or some.
        """
        ordered, identity = np.ix_(self.order, self.order), np.eye(self.n_nodes)
        # Triangular in this order, so that what no path reaches is 0 exactly.
        step = identity - direct[:, : self.n_nodes][ordered]
        between = np.empty_like(identity)
        between[ordered] = solve_triangular(step, identity, unit_diagonal=True)
        return np.asarray(np.hstack([between, between @ direct[:, self.n_nodes :]]))

    def own_effects(self, nodes: IntArray) -> sparse.csr_array:
        """Rows that stand for the effects of perturbations on their own genes."""
        columns = nodes * self.n_genes + nodes
        entries = (np.ones(len(nodes)), (np.arange(len(nodes)), columns))
        return sparse.csr_array(entries, shape=(len(nodes), len(self.variance)))

    def covariance(self, rows: sparse.csr_array) -> FloatArray:
        """Covariance of estimates with these derivatives: (n_rows, n_rows)."""
        scaled = sparse.csr_array(rows * np.sqrt(self.variance))
        return np.asarray((scaled @ scaled.T).toarray())


def joint_errors(network: CausalNetwork, *, as_in_table: bool = True) -> JointErrors:
    """Return the edges of a network with their errors.

    Edges of other methods, and those on effects that are not finite, have independent errors.

    Parameters
    ----------
    as_in_table
        Scale the derivatives so that standard errors are those of the table of candidates; else
        errors are those of the screen alone, so that what it fits exactly has none.

    Raises
    ------
    InputError
        When edges form a cycle or have no finite effect.
    """
    place = {gene: number for number, gene in enumerate(network.genes)}
    table = network.candidates
    source = np.array([place[gene] for gene in table["source"]], dtype=np.int64)
    target = np.array([place[gene] for gene in table["target"]], dtype=np.int64)
    effect, std_error = (table[name].to_numpy(dtype=np.float64) for name in ("effect", "std_error"))
    selected = np.flatnonzero(table["selected"])
    order = _checked_order(network, source[selected], target[selected], effect[selected])
    variance = _screen_variances(network)
    parts: dict[int, tuple[IntArray, FloatArray]] = {}
    for t in np.unique(target[selected]).tolist() if network.two_stages else []:
        members = np.asarray(np.flatnonzero((target == t) & np.isfinite(effect)), dtype=np.int64)
        columns, values = _derivatives(network, source[members], t, effect[members])
        with np.errstate(invalid="ignore"):  # effects of groups without counts
            size = np.sqrt(values**2 @ variance[columns])
        if not (np.isfinite(size) & (size > 0)).all():
            continue
        if as_in_table:
            values *= (std_error[members] / size)[:, None]
        parts |= {k: (columns, row) for k, row in zip(members.tolist(), values, strict=True)}
    own = np.zeros(len(selected))
    n_screen = len(variance)
    for k, edge in enumerate(selected.tolist()):
        if edge not in parts:
            parts[edge] = np.array([n_screen + k]), np.ones(1)
            own[k] = std_error[edge] ** 2
    chosen = [parts[edge] for edge in selected.tolist()]
    sizes = [len(columns) for columns, _ in chosen]
    at = (np.repeat(np.arange(len(selected)), sizes), _joined([c for c, _ in chosen], np.int64))
    shape = (len(selected), n_screen + len(selected))
    return JointErrors(
        n_nodes=len(network.nodes),
        n_genes=len(network.genes),
        order=order,
        source=source[selected],
        target=target[selected],
        effect=effect[selected],
        rows=sparse.csr_array((_joined([v for _, v in chosen], np.float64), at), shape=shape),
        variance=np.concatenate([np.where(np.isfinite(variance), variance, 0.0), own]),
    )


def _joined(parts: list[Any], dtype: Any) -> Any:
    return np.concatenate([np.empty(0, dtype), *parts])


def _screen_variances(network: CausalNetwork) -> FloatArray:
    std_error = network.screen.std_error.copy()
    np.fill_diagonal(std_error, network.screen.knockdown.std_error)
    return np.asarray(std_error.reshape(-1) ** 2)


def _derivatives(
    network: CausalNetwork, candidates: IntArray, target: int, theta: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Return the inputs of direct effects, and the derivatives: (n_candidates, n_found).

    Derivatives are NaN where the effects of the candidates' perturbations cannot be told apart.
    """
    n_candidates, among = len(candidates), np.ix_(candidates, candidates)
    first = network.screen.effect[among]
    np.fill_diagonal(first, network.screen.knockdown.effect[candidates])
    on_candidates = candidates[:, None] * len(network.genes) + candidates
    on_target = candidates * len(network.genes) + target
    columns = np.concatenate([on_candidates.reshape(-1), on_target])
    if not np.isfinite(first).all() or np.linalg.cond(first) > LARGEST_CONDITION:
        return columns, np.full((n_candidates, len(columns)), np.nan)
    inverse = np.linalg.solve(first, np.eye(n_candidates))
    on_first = -inverse[:, :, None] * theta
    return columns, np.hstack([on_first.reshape(n_candidates, -1), inverse])


def _checked_order(
    network: CausalNetwork, source: IntArray, target: IntArray, effect: FloatArray
) -> IntArray:
    """Return the nodes, each after all that reach it, or say why they have no order."""
    method = network.provenance.get("method", "argen")
    bad = np.flatnonzero(~np.isfinite(effect))
    if len(bad):
        pairs = [f"{network.genes[source[k]]} to {network.genes[target[k]]}" for k in bad]
        raise InputError(
            f"{len(bad)} edges of this network (method {method}) have no finite effect: "
            f"{first_few(pairs)}. Expected a network whose edges have effects."
        )
    n_nodes = len(network.nodes)
    between = np.zeros((n_nodes, n_nodes), dtype=bool)
    inner = target < n_nodes
    between[source[inner], target[inner]] = True
    closure = transitive_closure(between)
    is_mutual = (closure & closure.T).any(axis=1)
    if is_mutual.any():
        loop = [network.nodes[k] for k in np.flatnonzero(is_mutual)]
        raise InputError(
            f"Edges of this network (method {method}) form a cycle among {first_few(loop)}, so "
            "that there is no sum over paths. Expected a network without cycles, such as "
            "infer_network makes."
        )
    return np.argsort(closure.sum(axis=0), kind="stable")
