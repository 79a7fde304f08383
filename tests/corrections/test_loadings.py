"""Loadings of programs beside the network: the regressions, and a network that is known."""

from __future__ import annotations

import numpy as np
import pytest

from argen.corrections.loadings import (
    LEAST_OWN_PART,
    MOST_OF_ROWS,
    SIGNIFICANT,
    beside_parents,
    fit_beside_network,
)
from argen.corrections.slopes import robust_slopes, to_unit

N_NODES, N_GENES = 30, 150
ERROR = 0.1


class Known:
    """A network with two programs around it, and what a screen says of it."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        chosen = rng.random((N_NODES, N_GENES)) < 2.0 / N_NODES
        chosen[:, :N_NODES] = np.triu(rng.random((N_NODES, N_NODES)) < 4.0 / N_NODES, 1)
        size = rng.uniform(0.3, 0.8, chosen.shape) * rng.choice([-1.0, 1.0], chosen.shape)
        self.direct = np.where(chosen, size, 0.0)
        between = np.linalg.inv(np.eye(N_NODES) - self.direct[:, :N_NODES])
        passed_on = np.hstack([between, between @ self.direct[:, N_NODES:]])
        self.total = -rng.uniform(2.0, 3.0, N_NODES)[:, None] * passed_on
        self.scores = to_unit(np.abs(rng.normal(size=(N_NODES, 2))))[0]
        own = rng.normal(0.0, 0.2, (N_GENES, 2))
        self.loadings = own.copy()
        self.loadings[:N_NODES] = between.T @ own[:N_NODES]
        self.loadings[N_NODES:] += self.direct[:, N_NODES:].T @ self.loadings[:N_NODES]
        effect = self.total + self.scores @ self.loadings.T
        effect += rng.normal(0.0, ERROR, effect.shape)
        self.known = rng.random(effect.shape) < 0.95
        np.fill_diagonal(self.known, False)
        self.own = effect.diagonal().copy()
        self.effect = np.where(self.known, effect, 0.0)
        self.error = np.full(effect.shape, ERROR)
        self.panel = np.arange(N_NODES, N_GENES)

    def robust(self) -> tuple[np.ndarray, np.ndarray]:
        """Robust loadings, with the true scores, and their errors."""
        loadings, errors = np.zeros((2, N_GENES, 2))
        for number in range(8):
            for c in range(2):
                rest = self.effect - self.scores[:, [1 - c]] @ loadings[:, [1 - c]].T
                before = loadings[:, c] if number else None
                found = robust_slopes(rest, self.error, self.known, self.scores[:, c], before)
                loadings[:, c], errors[:, c] = found
        return loadings, errors

    def fit(self, own: np.ndarray) -> tuple[np.ndarray, ...]:
        data = self.effect, self.error, self.known, own
        return fit_beside_network(*data, self.scores, *self.robust(), self.panel)


@pytest.fixture(scope="module")
def known() -> Known:
    return Known(1)


def literal(
    y: np.ndarray, error: np.ndarray, seen: np.ndarray, total: np.ndarray, scores: np.ndarray,
    variance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """All regressions with one more column, by least squares on the known rows and the prior."""
    columns = np.hstack([total, np.eye(len(y))])
    prior = np.diag(variance**-0.5)

    def design(some: list[int]) -> np.ndarray:
        x = np.hstack([scores, columns[:, some]])[seen] / error[seen, None]
        return np.vstack([x, np.hstack([prior, np.zeros((2, len(some)))])])

    def regress(some: list[int]) -> tuple[np.ndarray, np.ndarray]:
        x = design(some)
        slopes = np.linalg.lstsq(x, np.append(y[seen] / error[seen], [0.0, 0.0]), rcond=None)[0]
        return slopes, np.sqrt(np.diagonal(np.linalg.inv(x.T @ x)))

    chosen: list[int] = []
    while len(chosen) < int(MOST_OF_ROWS * seen.sum()) - 2:
        z = np.zeros(columns.shape[1])
        for number in set(range(len(z))) - set(chosen):
            others, column = np.split(design([*chosen, number]), [-1], axis=1)
            left = column - others @ np.linalg.lstsq(others, column, rcond=None)[0]
            if np.sum(left**2) > LEAST_OWN_PART * np.sum(column**2):
                slopes, errors = regress([*chosen, number])
                z[number] = abs(slopes[-1]) / errors[-1]
        if z.max() < SIGNIFICANT:
            break
        chosen.append(int(z.argmax()))
    slopes, errors = regress(chosen)
    return slopes[:2], errors[:2], columns[:, chosen] @ slopes[2:]


def test_the_regressions_are_those_of_least_squares(known):
    variance, rng = np.array([0.04, 0.06]), np.random.default_rng(2)
    error = rng.uniform(0.05, 0.2, N_NODES)
    n_moved = 0
    for gene in range(N_NODES, N_NODES + 12):
        seen = known.known[:, gene]
        precision = np.where(seen, 1.0 / error, 0.0)
        data = known.effect[:, gene], precision, known.total[:, :N_NODES], known.scores, variance
        found = beside_parents(*data, without=gene)
        expected = literal(
            known.effect[:, gene], error, seen, known.total[:, :N_NODES], known.scores, variance
        )
        for own, twin in zip(found, expected, strict=True):
            np.testing.assert_allclose(own, twin, rtol=1e-8, atol=1e-10)
        n_moved += bool(found[2].any())
    assert n_moved > 6


def test_a_gene_is_no_parent_of_its_own(known):
    """Its column of total effects would explain all there is."""
    between = known.total[:, :N_NODES]
    gene = int(np.count_nonzero(between, axis=0).argmax())
    precision = np.where(known.known[:, gene], 1.0 / ERROR, 0.0)
    data = between[:, gene], precision, between, known.scores, np.full(2, 0.04)
    taken = beside_parents(*data, without=N_NODES)[2]
    assert taken[gene] == pytest.approx(between[gene, gene])
    assert not beside_parents(*data, without=gene)[2][gene]


def test_loadings_are_those_of_the_program(known):
    """Where many perturbations act on genes, robust fits to single rows are far off."""
    robust, _ = known.robust()
    scores, of_scores, loadings, errors = known.fit(known.own)
    product = known.scores @ known.loadings.T

    def off(some: np.ndarray) -> float:
        return float(np.sqrt(np.mean((some - product) ** 2)))

    assert off(scores @ loadings.T) < 0.6 * off(known.scores @ robust.T)
    assert off(scores @ loadings.T) < 0.5 * ERROR
    # What is said of single ones holds for nearly all.
    variance = scores**2 @ errors.T**2 + of_scores**2 @ loadings.T**2
    z = (scores @ loadings.T - product) / np.sqrt(variance)
    assert np.std(z) < 1.3
    assert np.mean(np.abs(z) < 3.0) > 0.97


def test_knockdowns_that_are_not_seen(known):
    """Then what they do comes in one perturbation at a time, as outliers do."""
    unseen = known.fit(np.zeros(N_NODES))
    product = known.scores @ known.loadings.T
    robust = np.sqrt(np.mean((known.scores @ known.robust()[0].T - product) ** 2))
    assert np.sqrt(np.mean((unseen[0] @ unseen[2].T - product) ** 2)) < robust


def test_a_gene_of_which_nothing_is_known(known):
    nothing = np.zeros(N_NODES), np.zeros(N_NODES), known.total[:, :N_NODES], known.scores
    loading, error, passed_on = beside_parents(*nothing, np.array([0.04, 0.09]), without=N_GENES)
    assert not loading.any()
    assert not passed_on.any()
    np.testing.assert_allclose(error, [0.2, 0.3])


def test_without_programs(known):
    none, of_none = np.empty((N_NODES, 0)), np.empty((N_GENES, 0))
    data = known.effect, known.error, known.known, known.own
    found = fit_beside_network(*data, none, of_none, of_none, known.panel)
    assert [part.shape for part in found] == [none.shape, none.shape, of_none.shape, of_none.shape]
