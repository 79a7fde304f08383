"""The result: a causal network with everything that it rests on."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from argen.config import InferenceConfig
from argen.errors import FitStatus, InputError, first_few, nearest
from argen.pvalues.normal import critical_value
from argen.steps.descendants import DescendantScreen
from argen.steps.order import CausalOrder
from argen.steps.parents import ParentTests
from argen.steps.rule import call_edges

if TYPE_CHECKING:
    import networkx
    from anndata import AnnData

    from argen.checks import Diagnostics
    from argen.data.perturbseq import PerturbSeqData
    from argen.network.paths import EffectPaths
    from argen.network.prediction import Change


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CausalNetwork:
    """Direct causal effects between genes, with their errors, tests and history.

    Effects are natural-log: an edge's ``effect`` is the change in the log mean of the target
    per unit of log mean of the source, the other candidate parents held fixed.
    """

    candidates: pd.DataFrame
    """One row per candidate edge: source, target, effect, std_error, ci_low, ci_high, z,
    p_value, log10_p, p_adjusted, batch, level, callable, selected, sink, status."""
    screen: DescendantScreen
    """Total effects of every ordered pair, and of each perturbation on its own gene."""
    causal_order: CausalOrder
    """Order, and who may act on whom, by number."""
    config: InferenceConfig
    """The options of the run."""
    left_out: pd.DataFrame
    """What of the input was not used: kind, name, n_cells, reason."""
    provenance: dict[str, Any]
    """Version, time, source, checksum, counts of cells, seconds per stage, command."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Genes of the network, in the column order of the input."""
        return self.screen.nodes

    @property
    def genes(self) -> tuple[str, ...]:
        """Every target: the nodes, then the sinks."""
        return self.screen.genes

    @property
    def sinks(self) -> tuple[str, ...]:
        """Targets that nobody perturbed: they can have parents, and are never one."""
        return self.genes[len(self.nodes) :]

    @property
    def edges(self) -> pd.DataFrame:
        """The selected candidates."""
        return self.candidates[self.candidates["selected"]].reset_index(drop=True)

    @property
    def order(self) -> list[str]:
        """Nodes in causal order, most upstream first; sinks come after them all."""
        return [self.nodes[node] for node in self.causal_order.order[: len(self.nodes)]]

    def to_frame(self) -> pd.DataFrame:
        """Return the selected edges; ``candidates`` has the tested ones too."""
        return self.edges

    def total_effects(self) -> pd.DataFrame:
        """Return the screen in long form: also whether the source may act on the target."""
        frame, pairs = self.screen.to_frame(), self.screen.pairs
        frame.insert(8, "possible", self.causal_order.possible[pairs])
        frame.insert(9, "sure", self.causal_order.sure[pairs])
        return frame

    def parents(self, gene: str) -> pd.DataFrame:
        """Return the selected edges into a gene, strongest evidence first."""
        return self._edges_at("target", gene)

    def children(self, gene: str) -> pd.DataFrame:
        """Return the selected edges out of a gene, strongest evidence first."""
        return self._edges_at("source", gene)

    def ancestors(self, gene: str) -> list[str]:
        """Return the candidate parents of a gene, most upstream first."""
        return [self.nodes[a] for a in self.causal_order.candidates(self._index(gene))]

    def check(self, data: PerturbSeqData | None = None, **options: Any) -> Diagnostics:
        """Check what the network rests on: findings, and the tables behind them.

        Without the screen that it was inferred from, only what needs no cells is checked.

        Parameters
        ----------
        data
            The screen.
        options
            Of ``argen.checks.check``.
        """
        from argen.checks import check, check_result

        if data is None and options:
            raise InputError(
                f"Without the screen there is nothing to do for {first_few(options)}: give the "
                "screen that the network was inferred from."
            )
        return check_result(self) if data is None else check(data, self, **options)

    def predict(
        self,
        interventions: str | Iterable[str] | Mapping[str, Change],
        *,
        confidence: float | None = None,
    ) -> pd.DataFrame:
        """Predict the log fold change of every gene under an intervention on some nodes.

        With B the direct effects of the edges, less those into the nodes that are intervened on
        (the do-operator: what is set is not moved by others any more), and x the log changes
        of these nodes::

            y = x (I - B)^-1

        Returns one row a gene: gene, intervened, effect (natural log of the fold change),
        std_error, ci_low, ci_high, fold_change, sink. Genes that no path reaches have effect
        and error 0: that is what the network says of them, and no interval can say whether
        an edge is missing.

        Errors follow from those of the direct effects by the delta method, with the correlations
        of ``argen.network.joint_errors``, and from that of the knock-down where it is
        ``"measured"``. They do not cover the choice of edges.

        Parameters
        ----------
        interventions
            What becomes of which node: a fold of its expression (0.2: a fifth remains, 2: twice
            as much); ``"measured"``: what its own perturbation did to it in the screen;
            ``"knock-out"``: 1 % remains, since nothing would be minus infinity on the log scale,
            on which effects are linear. Names alone stand for ``"measured"``. A knock-out that
            destroys the protein may leave the transcript: to predict what the guides of such a
            screen do, use ``"measured"``.
        confidence
            Coverage of the intervals; that of the run when None.

        Raises
        ------
        InputError
            When a gene is no node, a fold is not above 0 or is 1, a knock-down was not measured,
            or the edges form a cycle.

        Warns
        -----
        ArgenWarning
            When a node is moved farther than the screen moved it, or the other way.

        Examples
        --------
        >>> import argen
        >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=4000)
        >>> network = argen.infer_network(data)
        >>> table = network.predict({"X1": 0.5}).set_index("gene")
        >>> sorted(table.index[table["effect"] != 0])
        ['X1', 'X2', 'X3', 'X6']
        """
        from argen.network.prediction import predict

        return predict(self, interventions, confidence=confidence)

    def paths(self, source: str, target: str, *, most: int = 100) -> EffectPaths:
        """Split the total effect of a node on a gene by directed paths and by mediators.

        A path contributes the product of its direct effects, and the sum over all paths is the
        total effect, ``(I - B)^-1``. What goes through a gene is the product of the totals to
        it and from it; its share is over the total.

        Parameters
        ----------
        source, target
            A node, and another node or a sink.
        most
            How many paths to list, the largest contributions first; all are counted.
        """
        from argen.network.paths import effect_paths

        return effect_paths(self, source, target, most=most)

    def unusual_fits(self) -> pd.DataFrame:
        """Return every fit that failed or needed help: stage, source, target, status, advice."""
        tables = [
            ("screen", self.screen.to_frame()),
            ("parent search", self.candidates),
        ]
        parts = []
        for stage, table in tables:
            rows = table.loc[table["status"] != FitStatus.OK.name, ["source", "target", "status"]]
            parts.append(rows.assign(stage=stage))
        unusual = pd.concat(parts, ignore_index=True)
        unusual["advice"] = [FitStatus[name].advice for name in unusual["status"]]
        return unusual[["stage", "source", "target", "status", "advice"]]

    def summary(self) -> str:
        """Return the run in plain words: data, screen, edges, and what to look out for."""
        edges, screened = self.edges, self.screen
        n_pairs = int(screened.pairs.sum())
        run = self.provenance
        sinks = f" and {len(self.sinks)} sinks" if self.sinks else ""
        lines = [
            f"Causal network of {len(self.nodes)} genes{sinks}: {len(edges)} edges "
            f"selected of {len(self.candidates)} candidates",
            f"  method     {run.get('method', 'argen')}",
            f"  cells      {run['n_cells']:,} ({run['n_controls']:,} control)",
            f"  screen     {int(screened.is_descendant.sum())} of {n_pairs} ordered pairs are "
            f"descendants at {self.config.screen_adjustment} < {self.config.level_of_screen:g}",
            f"  selection  {run.get('selection', self._rule())}",
            f"  order      {_shorten(self.order)}",
        ]
        lines += [f"  note       {note}" for note in self._notes()]
        if len(edges):
            shown = edges.sort_values("log10_p").head(10)
            columns = ["source", "target", "effect", "std_error", "log10_p"]
            title = "Edges" if len(edges) <= 10 else "The ten edges with the strongest evidence"
            lines += ["", f"{title}:", shown[columns].to_string(index=False, float_format="%.3g")]
        return "\n".join(lines)

    def _rule(self) -> str:
        config = self.config
        if config.rule == "two-level":
            return f"two-level at {config.level_of_edges:g}, family {config.family}"
        return f"{config.edge_adjustment} at {config.level_of_edges:g}, family {config.family}"

    def _notes(self) -> list[str]:
        notes = []
        unusual = self.unusual_fits()
        for (stage, status), rows in unusual.groupby(["stage", "status"], sort=False):
            fits = "1 fit" if len(rows) == 1 else f"{len(rows)} fits"
            advice = FitStatus[str(status)].advice
            notes.append(f"{fits} of the {stage} ended as {status}: {advice}")
        between_nodes = self.screen.is_descendant[:, : len(self.nodes)]
        mutual = np.triu(between_nodes & between_nodes.T)
        if mutual.any():
            pairs = [f"{self.nodes[a]} and {self.nodes[b]}" for a, b in np.argwhere(mutual)]
            notes.append(
                f"{len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'} of genes affect each "
                "other both ways (feedback, or a false positive), and the order keeps one "
                f"direction: {first_few(pairs)}"
            )
        edges = self.edges
        doubtful = edges[(edges["ci_low"] <= 0.0) & (edges["ci_high"] >= 0.0)]
        if len(doubtful) and self.config.test_of_parents == "null-variance":
            names = [f"{row.source} -> {row.target}" for row in doubtful.itertuples()]
            notes.append(
                f"the intervals of {len(names)} {'edge' if len(names) == 1 else 'edges'} hold 0, "
                "since the perturbation of the source is weak: the p-value speaks for an effect, "
                f"whose size is uncertain (argen check has better intervals): {first_few(names)}"
            )
        for row in self.left_out.itertuples(index=False):
            if row.kind == "node":
                notes.append(f"gene {row.name} ({row.n_cells} cells) was dropped: {row.reason}")
        return notes

    def __repr__(self) -> str:
        return (
            f"<CausalNetwork: {len(self.nodes)} genes, {len(self.sinks)} sinks, "
            f"{len(self.edges)} edges of {len(self.candidates)} candidates>"
        )

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        edges = self.edges.sort_values("log10_p")
        columns = ["source", "target", "effect", "std_error", "p_value", "status"]
        head = html.escape(self.summary().split("\n\n")[0])
        table = edges[columns].to_html(index=False, escape=True, max_rows=30)
        return f"<pre>{head}</pre>{table}"

    def to_networkx(self, *, candidates: bool = False) -> networkx.DiGraph:
        """Return a directed graph; nodes know their position in the order, edges their numbers.

        A sink is in it when it has an edge, with ``sink`` true and no position.

        Parameters
        ----------
        candidates
            Include the candidates that were not selected.
        """
        from argen.network.views import as_networkx

        return as_networkx(self, candidates=candidates)

    def to_anndata(self, adata: AnnData | None = None) -> AnnData:
        """Write the network into an AnnData object.

        Keys: ``varp["argen_direct_effect"]`` and ``varp["argen_total_effect"]``, sparse,
        [source, target], with the effects of the edges and of the descendants;
        ``var["argen_position"]``, place in the causal order (missing for genes that are no
        nodes); ``var["argen_sink"]``; ``uns["argen"]`` with the tables ``candidates`` and
        ``descendants``, the ``order``, ``config`` and ``provenance``.

        Parameters
        ----------
        adata
            A copy of it gets the keys; its ``var_names`` must contain the nodes and sinks. None:
            a new object with these as its variables.
        """
        from argen.network.views import as_anndata

        return as_anndata(self, adata)

    def save(self, path: str | Path) -> Path:
        """Save the whole result as one file (see ``argen.network.files``); returns its path."""
        from argen.network.files import save_network

        return save_network(self, path)

    @classmethod
    def load(cls, path: str | Path) -> CausalNetwork:
        """Load a result that ``save`` wrote."""
        from argen.network.files import load_network

        return load_network(path)

    def write_results(self, folder: str | Path) -> Path:
        """Write the tables, the graph, the network file and the run's record into a folder."""
        from argen.network.files import write_results

        return write_results(self, folder)

    def _index(self, gene: str) -> int:
        if gene not in self.genes:
            kind = "neither a node nor a sink" if self.sinks else "not a node"
            raise InputError(
                f"{gene!r} is {kind} of this network.{nearest(gene, self.genes)} Nodes: "
                f"{first_few(self.nodes, 10)}."
            )
        return self.genes.index(gene)

    def _edges_at(self, end: str, gene: str) -> pd.DataFrame:
        self._index(gene)
        edges = self.edges
        return edges[edges[end] == gene].sort_values("log10_p").reset_index(drop=True)


def select_edges(
    tests: ParentTests,
    screen: DescendantScreen,
    order: CausalOrder,
    config: InferenceConfig,
    *,
    left_out: pd.DataFrame,
    provenance: dict[str, Any],
) -> CausalNetwork:
    """Apply the rule of the configuration to the parent tests, and assemble the network."""
    selection, can, batch = call_edges(tests, screen, order, config)
    table = tests.to_frame()
    margin = critical_value(config.confidence) * table["std_error"]
    table.insert(4, "ci_low", table["effect"] - margin)
    table.insert(5, "ci_high", table["effect"] + margin)
    table.insert(9, "p_adjusted", selection.p_adjusted)
    table.insert(10, "batch", batch + 1)
    table.insert(11, "level", selection.level)
    table.insert(12, "callable", can)
    table.insert(13, "selected", selection.selected)
    table.insert(14, "sink", tests.target >= order.n_nodes)
    return CausalNetwork(
        candidates=table,
        screen=screen,
        causal_order=order,
        config=config,
        left_out=left_out,
        provenance=provenance | {"parent_fits": tests.fits},
    )


def _shorten(names: list[str], n_shown: int = 12) -> str:
    if len(names) <= n_shown:
        return " > ".join(names)
    return " > ".join(names[: n_shown - 1]) + f" > ... ({len(names)} in all)"
