"""Stability: how often the edges, their directions and the order come back in resampled cells."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy import sparse

from argen.arrays import BoolArray, IntArray
from argen.checks.cells import refuse_others_network
from argen.checks.findings import Diagnostics
from argen.data import PerturbSeqData, only_cells
from argen.errors import InputError, counted, first_few, listed, nearest
from argen.method import method_of
from argen.network import CausalNetwork, Finding
from argen.run import Progress

Scheme = Literal["subsample", "bootstrap"]
# An edge that is found less often, or points the other way more often, is called unstable.
LEAST_FREQUENCY, LEAST_DIRECTION = 0.5, 0.75
_STABLE = "stability (the same cells drawn again give the same network)"


def stability(
    network: CausalNetwork,
    data: PerturbSeqData,
    *,
    n_resamples: int = 100,
    scheme: Scheme = "subsample",
    fraction: float = 0.5,
    rng: np.random.Generator | int = 1,
    progress: Progress | None = None,
) -> Diagnostics:
    """Infer the network again from resampled cells, and count what comes back.

    Cells are drawn within each perturbation and among the controls, so that every resample has
    as many of each. Each is inferred with the options of the network, from screen to edges.

    Table ``stability`` has one row for each ordered pair that is an edge of the network or of a
    resample: ``frequency``, the share of resamples in which it is one; ``reverse_frequency``, in
    which its reverse is; ``direction_frequency``, of those in which either is, how many have
    this direction; ``candidate_frequency``, in which it is tested; ``order_frequency``, in which
    the causal order has the source first; and the mean and standard deviation of its effect
    where it is tested. Table ``resamples`` has one row a resample: edges, how many of them are
    the network's, and the share of pairs that its order has as the network's.

    Parameters
    ----------
    network, data
        The network, and the screen that it was inferred from.
    scheme
        ``"subsample"`` takes part of the cells without repeats (Meinshausen and Buehlmann 2010):
        frequencies are those of a smaller screen, so that weak edges come back less often.
        ``"bootstrap"`` draws as many as there are with repeats: repeats pass for evidence, so
        that edges come back more often than in a new screen.
    fraction
        Of the cells of each group, with ``"subsample"``.

    Raises
    ------
    InputError
        When an option is out of range, or the network is of another screen.

    Examples
    --------
    >>> import argen
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=4000)
    >>> found = argen.stability(argen.infer_network(data), data, n_resamples=10)
    >>> len(found.tables["resamples"])
    10
    """
    _check_options(n_resamples, scheme, fraction)
    refuse_others_network(network, data)
    infer = method_of(network)
    rng = np.random.default_rng(rng)
    drawing = Drawing(data, scheme, fraction)
    tally = _Tally(network)
    for number in range(n_resamples):
        cells = drawing.draw(rng)
        try:
            tally.add(infer(only_cells(data, cells), network.config))
        except InputError as error:
            tally.failed.append(str(error))
        if progress is not None:
            progress("resamples", number + 1, n_resamples)
    table, resamples = tally.table(), pd.DataFrame(tally.rows)
    how = f"{fraction:g} of the cells" if scheme == "subsample" else "bootstraps"
    return Diagnostics.of(
        stability_findings(table, tally.failed),
        {"stability": table, "resamples": resamples},
        [_line(table, resamples, how)],
    )


def _check_options(n_resamples: int, scheme: str, fraction: float) -> None:
    if n_resamples < 1:
        raise InputError(f"n_resamples must be 1 or more, not {n_resamples}.")
    if scheme not in get_args(Scheme):
        known = get_args(Scheme)
        raise InputError(
            f"scheme must be one of {first_few(known)}, not {scheme!r}.{nearest(scheme, known)}"
        )
    if not 0 < fraction < 1:
        raise InputError(f"fraction must be between 0 and 1, not {fraction!r}.")


class Drawing:
    """Draws cells within groups of those that carry the same perturbations."""

    def __init__(self, data: PerturbSeqData, scheme: Scheme, fraction: float) -> None:
        carried = sparse.csr_array(data.perturbations)
        carried.sort_indices()
        sets = np.split(carried.indices, carried.indptr[1:-1])
        codes, _ = pd.factorize(np.array([part.tobytes() for part in sets], dtype=object))
        order = np.argsort(codes, kind="stable")
        self.groups = np.split(order, np.cumsum(np.bincount(codes))[:-1])
        self.share = fraction if scheme == "subsample" else None

    def draw(self, rng: np.random.Generator) -> IntArray:
        """Return cells, in the sequence of the screen; some several times in a bootstrap."""
        parts = []
        for group in self.groups:
            if self.share is None:
                parts.append(rng.choice(group, len(group)))
            else:
                n = max(round(self.share * len(group)), 1)
                parts.append(rng.choice(group, n, replace=False))
        return np.sort(np.concatenate(parts))


class _Tally:
    """Counts over resamples, as matrices [source, target]."""

    def __init__(self, network: CausalNetwork) -> None:
        self.network = network
        self.shape = len(network.nodes), len(network.genes)
        self.number = {gene: k for k, gene in enumerate(network.genes)}
        self.selected, self.tested, self.before = np.zeros((3, *self.shape), dtype=np.int64)
        self.total, self.squares = np.zeros((2, *self.shape))
        self.failed: list[str] = []
        self.rows: list[dict[str, Any]] = []
        self.known = self._edges(network)
        self.first = self._is_before(network)

    def _at(self, table: pd.DataFrame) -> tuple[IntArray, IntArray]:
        ends = [table[end].map(self.number).to_numpy() for end in ("source", "target")]
        return np.asarray(ends[0], dtype=np.int64), np.asarray(ends[1], dtype=np.int64)

    def _edges(self, network: CausalNetwork) -> BoolArray:
        found = np.zeros(self.shape, dtype=bool)
        found[self._at(network.edges)] = True
        return found

    def _is_before(self, network: CausalNetwork) -> BoolArray:
        position = network.causal_order.position
        return np.asarray(position[: self.shape[0], None] < position[None, :])

    def add(self, found: CausalNetwork) -> None:
        """Count the network of a resample."""
        edges, before = self._edges(found), self._is_before(found)
        self.selected += edges
        self.before += before
        candidates = found.candidates[np.isfinite(found.candidates["effect"])]
        at = self._at(candidates)
        self.tested[at] += 1
        self.total[at] += candidates["effect"]
        self.squares[at] += candidates["effect"] ** 2
        n = self.shape[0]
        pairs = np.triu(np.ones((n, n), dtype=bool), 1)
        self.rows.append(
            {
                "n_edges": int(edges.sum()),
                "n_shared": int((edges & self.known).sum()),
                "order_agreement": float(np.mean((before == self.first)[:, :n][pairs])),
            }
        )

    def table(self) -> pd.DataFrame:
        """Return one row for each pair that was ever an edge, the most frequent first."""
        source, target = np.nonzero(self.known | (self.selected > 0))
        n = max(len(self.rows), 1)
        reverse = np.zeros(len(source), dtype=np.int64)
        is_node = target < self.shape[0]
        reverse[is_node] = self.selected[target[is_node], source[is_node]]
        found, tested = self.selected[source, target], self.tested[source, target]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.total[source, target] / tested
            spread = self.squares[source, target] / tested - mean**2
            direction = found / (found + reverse)
        names = np.array(self.network.genes, dtype=object)
        table = pd.DataFrame(
            {
                "source": names[source],
                "target": names[target],
                "edge": self.known[source, target],
                "frequency": found / n,
                "reverse_frequency": reverse / n,
                "direction_frequency": direction,
                "candidate_frequency": tested / n,
                "order_frequency": self.before[source, target] / n,
                "mean_effect": mean,
                "sd_effect": np.sqrt(np.maximum(spread, 0.0)),
            }
        )
        by = ["frequency", "candidate_frequency"]
        return table.sort_values(by, ascending=False, kind="stable", ignore_index=True)


def stability_findings(table: pd.DataFrame, failed: list[str]) -> list[Finding]:
    """Name the edges that do not come back, and those that turn round."""
    edges, findings = table[table["edge"]], []
    rare = edges[edges["frequency"] < LEAST_FREQUENCY]
    if len(rare):
        shown = _shares(rare, "frequency")
        findings.append(
            Finding(
                _STABLE,
                f"{len(rare)} of {len(edges)} edges are found in less than "
                f"{100 * LEAST_FREQUENCY:.0f} % of the resamples: {listed(shown)}.",
                "They rest on few cells, or on a choice that goes either way: take them as "
                "candidates for a larger screen.",
                "warning",
            )
        )
    turning = edges[edges["direction_frequency"] < LEAST_DIRECTION]
    if len(turning):
        shown = _shares(turning, "direction_frequency")
        findings.append(
            Finding(
                _STABLE,
                f"{len(turning)} of {len(edges)} edges keep their direction in less than "
                f"{100 * LEAST_DIRECTION:.0f} % of the resamples that have them: {listed(shown)}.",
                "Take them as undirected, and look for feedback in table feedback of argen check.",
                "warning",
            )
        )
    if failed:
        findings.append(
            Finding(
                _STABLE,
                f"{counted(len(failed), 'resample')} could not be inferred: {failed[0]}",
                "Take a larger fraction of the cells, or leave out what is rare.",
                "note",
            )
        )
    return findings


def _shares(table: pd.DataFrame, column: str) -> list[str]:
    return [
        f"{row['source']} -> {row['target']} ({100 * row[column]:.0f} %)"
        for row in table.to_dict("records")
    ]


def _line(table: pd.DataFrame, resamples: pd.DataFrame, how: str) -> str:
    edges, of_all = table[table["edge"]], counted(len(resamples), "resample")
    if not len(resamples) or not len(edges):
        return f"stability ({of_all}, {how}): {counted(len(edges), 'edge')}"
    agreement = np.mean(resamples["order_agreement"].to_numpy())
    return (
        f"stability ({of_all}, {how}): {counted(len(edges), 'edge')}, found in "
        f"{100 * np.median(edges['frequency'].to_numpy()):.0f} % of the resamples (median); "
        f"{int((edges['frequency'] >= LEAST_FREQUENCY).sum())} in half of them or more; "
        f"{int((~table['edge'] & (table['frequency'] >= LEAST_FREQUENCY)).sum())} other pairs too; "
        f"{100 * agreement:.0f} % of the pairs of nodes in the same order"
    )
