"""Response programs: what many perturbations set off, around the network.

With T the total effects over the network, the screen has ``R = T + s v'``: s how strongly each
perturbation sets a program off, v how the program moves each gene. A perturbation moves few genes
over the network, and a program many of them a little, so that s and v are found by robust fits to
the bulk of R, and most of all to the genes that are no nodes; and then again, with what parents
pass on in the regressions (see ``argen.corrections.loadings``).

Whether there is a program is asked first. R over its errors, with what is significant by itself set
to 0, has a largest singular value; how large it can be without a program is what random groups of
control cells say, posing as perturbations of others. They have all that cells of a group have in
common by chance: hidden factors and states, and the same controls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.corrections.chance import LARGEST_OF_BULK, Chance, bulk_of
from argen.corrections.loadings import fit_beside_network
from argen.corrections.slopes import robust_slopes, to_unit
from argen.data import PerturbSeqData
from argen.engine import using_threads
from argen.errors import InputError

# Fewer other genes than this cannot show a program, and more than the most add nothing.
FEWEST_GENES, MOST_GENES = 50, 1000
MOST_PROGRAMS = 5
# A program is there when the singular value is so many standard deviations, and so many times, that
# of chance. Without a program, effects over a network that are too weak to be significant reach 1.2
# to 1.45 times: these are not to pass for one.
BEYOND_CHANCE, TIMES_CHANCE = 3.0, 1.5
# A program is set off by so many perturbations, and such a part of them: what a few of them have in
# common is the network itself. One sets it off whose score is so many errors from 0, and so large.
FEWEST_PERTURBATIONS, LEAST_SHARE = 10, 0.25
SURE_SCORE, LEAST_SCORE = 3.0, 0.2
# Effects with larger errors are not used.
LARGEST_ERROR = 1.0
N_ROUNDS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Programs:
    """Programs, the strongest first, and how it was decided how many there are."""

    genes: tuple[str, ...]  # (n_genes,): the nodes, then the sinks, then the panel
    scores: FloatArray  # (n_nodes, n_programs): s, with mean square 1
    score_error: FloatArray  # (n_nodes, n_programs)
    loadings: FloatArray  # (n_genes, n_programs): v, natural-log units
    loading_error: FloatArray  # (n_genes, n_programs)
    share: FloatArray  # (n_programs,): of the variance of total effects, their errors aside
    n_other_genes: int  # genes that are no nodes, in which programs were looked for
    strength: FloatArray  # (n_tests,): largest singular value left after so many programs
    chance: FloatArray  # (n_tests,): mean of that without a program
    chance_sd: FloatArray  # (n_tests,)
    n_setting_off: IntArray  # (n_tests,): perturbations that set it off, if it is strong enough

    @classmethod
    def none(cls, genes: tuple[str, ...], n_nodes: int, n_other_genes: int) -> Programs:
        """There were too few other genes to look for any."""
        scores, loadings, no_test = np.empty((n_nodes, 0)), np.empty((len(genes), 0)), np.empty(0)
        return cls(
            genes, scores, scores, loadings, loadings, share=no_test, n_other_genes=n_other_genes,
            strength=no_test, chance=no_test, chance_sd=no_test,
            n_setting_off=np.empty(0, dtype=np.int64),
        )  # fmt: skip

    @property
    def n_programs(self) -> int:
        """Number of programs."""
        return int(self.scores.shape[1])

    @property
    def nodes(self) -> tuple[str, ...]:
        """Genes of the network: (n_nodes,)."""
        return self.genes[: len(self.scores)]

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each test.

        A program is found when its ``strength`` is what is ``needed``, and as many perturbations
        set it off (``n_setting_off``) as ``needed_setting_off``. Where as many were taken as
        stand out, the last row is of the one that was not there; without tests there is one row
        for each program.
        """
        n = max(len(self.strength), self.n_programs)
        columns = {
            "strength": self.strength,
            "chance": self.chance,
            "chance_sd": self.chance_sd,
            "n_setting_off": self.n_setting_off,
        }
        table = pd.DataFrame({"program": np.arange(1, n + 1)})
        for name, values in columns.items():
            table[name] = np.concatenate([values, np.full(n - len(values), np.nan)])
        table.insert(4, "needed", _needed(table["chance"], table["chance_sd"]))
        table["needed_setting_off"] = fewest_setting_off(len(self.scores))
        table["found"] = table["program"] <= self.n_programs
        table["share"] = np.concatenate([self.share, np.full(n - self.n_programs, np.nan)])
        return table

    def scores_frame(self) -> pd.DataFrame:
        """Return how strongly each perturbation sets each program off, the strongest first."""
        return _ranked(self.nodes, self.scores, self.score_error, "node", "score")

    def loadings_frame(self) -> pd.DataFrame:
        """Return how each program moves each gene, the strongest first."""
        return _ranked(self.genes, self.loadings, self.loading_error, "gene", "loading")


def fewest_setting_off(n_nodes: int) -> int:
    """How many perturbations must set a program off."""
    return max(FEWEST_PERTURBATIONS, int(np.ceil(LEAST_SHARE * n_nodes)))


def _needed(chance: Any, sd: Any) -> Any:
    """Strength of a program that is one."""
    return np.maximum(chance + BEYOND_CHANCE * sd, TIMES_CHANCE * chance)


def _ranked(
    names: tuple[str, ...], values: FloatArray, error: FloatArray, what: str, value: str
) -> pd.DataFrame:
    """One row per program and name: program, name, value, std_error, z."""
    parts = []
    for c in range(values.shape[1]):
        rank = np.argsort(-np.abs(values[:, c]), kind="stable")
        columns = {what: np.array(names, dtype=object)[rank], value: values[rank, c]}
        columns |= {"std_error": error[rank, c], "z": values[rank, c] / error[rank, c]}
        parts.append(pd.DataFrame({"program": c + 1} | columns))
    if not parts:
        return pd.DataFrame(columns=["program", what, value, "std_error", "z"])
    return pd.concat(parts, ignore_index=True)


@using_threads(None)
def find_programs(
    data: PerturbSeqData,
    effect: FloatArray,
    std_error: FloatArray,
    *,
    n_programs: int | None = None,
    rng: np.random.Generator | int = 1,
) -> Programs:
    """Find response programs in total effects.

    Parameters
    ----------
    effect, std_error
        (n_nodes, n_genes): total effects as the screen has them, NaN where not known; those of
        perturbations on their own genes on the diagonal.
    n_programs
        How many; when None, as many as stand out from chance. InputError where fewer other genes
        can be used.
    rng
        Generator or seed of the random groups of controls.
    """
    n_nodes = data.n_nodes
    # Sums have the same last bit in arrays of the same layout alone.
    effect, std_error = np.ascontiguousarray(effect), np.ascontiguousarray(std_error)
    known = np.isfinite(effect) & (std_error > 0.0) & (std_error < LARGEST_ERROR)
    own = np.where(known.diagonal(), effect.diagonal(), 0.0)
    np.fill_diagonal(known, False)
    effect, std_error = np.where(known, effect, 0.0), np.where(known, std_error, 1.0)
    panel = panel_genes(known, std_error, n_nodes)
    if n_programs is not None and len(panel) < n_programs:
        raise InputError(
            f"programs={n_programs} needs as many genes that are no nodes, with effects that are "
            f"known, and there are {len(panel)}: read more genes as sinks, or choose programs=0."
        )
    if n_programs is None and len(panel) < FEWEST_GENES:
        return Programs.none(data.genes, n_nodes, len(panel))
    some = effect[:, panel], std_error[:, panel], known[:, panel]
    scores, loadings = np.empty((n_nodes, 0)), np.empty((len(panel), 0))
    tests: list[tuple[float, float, float, int]] = []
    if n_programs is None:
        chance = Chance(data, panel, known[:, panel], np.random.default_rng(rng))
        while scores.shape[1] < MOST_PROGRAMS:
            strength, mean, sd = chance.compare(bulk_of(some[0] - scores @ loadings.T, *some[1:]))
            if strength < _needed(mean, sd):
                tests.append((strength, mean, sd, 0))
                break
            more = _fit(*some, scores, loadings)
            tests.append((strength, mean, sd, _n_setting_off(*some, *more)))
            if tests[-1][-1] < fewest_setting_off(n_nodes):
                break
            scores, loadings = more
    for _ in range(n_programs or 0):
        scores, loadings = _fit(*some, scores, loadings)
    robust = _loadings(effect, std_error, known, scores)
    estimates = fit_beside_network(effect, std_error, known, own, scores, *robust, panel)
    explained = np.sum((estimates[0] ** 2).T @ known * (estimates[2] ** 2).T, axis=1) / known.size
    variance = max(float(np.mean(known * (effect**2 - std_error**2))), 1e-300)
    columns = np.reshape(np.array(tests, dtype=np.float64), (-1, 4)).T
    return Programs(
        data.genes,
        *estimates,
        share=explained / variance,
        n_other_genes=len(panel),
        strength=columns[0],
        chance=columns[1],
        chance_sd=columns[2],
        n_setting_off=columns[3].astype(np.int64),
    )


def panel_genes(known: BoolArray, std_error: FloatArray, n_nodes: int) -> IntArray:
    """Return the best measured of the genes that are no nodes, in their sequence."""
    others = np.arange(n_nodes, known.shape[1])
    others = others[known[:, others].mean(axis=0) > 0.5]
    error = np.median(std_error[:, others], axis=0) if len(others) else np.empty(0)
    return np.sort(others[np.argsort(error, kind="stable")[:MOST_GENES]])


def _fit(
    effect: FloatArray, std_error: FloatArray, known: BoolArray, scores: FloatArray,
    loadings: FloatArray,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Add a program to others, and fit all of them again, in turn."""
    left = (effect - scores @ loadings.T) / std_error
    clipped = np.clip(np.where(known, left, 0.0), -LARGEST_OF_BULK, LARGEST_OF_BULK)
    first = np.linalg.svd(clipped, full_matrices=False)[0][:, :1]
    scores = np.hstack([scores, to_unit(first)[0]])
    loadings = np.hstack([loadings, np.zeros((len(loadings), 1))])
    for number in range(N_ROUNDS):
        for c in range(scores.shape[1]):
            others = np.arange(scores.shape[1]) != c
            rest = effect - scores[:, others] @ loadings[:, others].T
            before = (loadings[:, c], scores[:, c]) if number > 0 else (None, None)
            loadings[:, c], _ = robust_slopes(rest, std_error, known, scores[:, c], before[0])
            own = rest.T, std_error.T, known.T
            scores[:, c], _ = to_unit(robust_slopes(*own, loadings[:, c], before[1])[0])
    return scores, loadings


def _n_setting_off(
    effect: FloatArray, std_error: FloatArray, known: BoolArray, scores: FloatArray,
    loadings: FloatArray,
) -> int:  # fmt: skip
    """Count the perturbations that set the last program off."""
    rest = effect - scores[:, :-1] @ loadings[:, :-1].T
    score, error = robust_slopes(rest.T, std_error.T, known.T, loadings[:, -1])
    sure = np.abs(score) > np.maximum(SURE_SCORE * error, LEAST_SCORE * np.sqrt(np.mean(score**2)))
    return int(sure.sum())


def _loadings(
    effect: FloatArray, std_error: FloatArray, known: BoolArray, scores: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return loadings of all genes by robust fits, and their errors."""
    n = scores.shape[1]
    loadings, errors = np.zeros((2, effect.shape[1], n))
    for number in range(N_ROUNDS if n > 1 else 1):
        for c in range(n):
            others = np.arange(n) != c
            rest = effect - scores[:, others] @ loadings[:, others].T
            before = loadings[:, c] if number > 0 else None
            found = robust_slopes(rest, std_error, known, scores[:, c], before)
            loadings[:, c], errors[:, c] = found
    return loadings, errors
