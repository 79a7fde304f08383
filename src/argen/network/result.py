"""The result: a causal network with everything that it rests on."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from argen.config import InferenceConfig
from argen.corrections import Penetrance, Programs
from argen.errors import FitStatus, InputError, counted, first_few, nearest, printable, shown
from argen.network.findings import (
    STRONG,
    Finding,
    edge_findings,
    escape_findings,
    fit_findings,
    left_out_findings,
    penetrance_line,
    program_findings,
    programs_line,
)
from argen.network.loops import feedback_findings
from argen.steps import CausalOrder, DescendantScreen


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CausalNetwork:
    """Direct causal effects between genes, with their errors, tests and history.

    Effects are natural-log: an edge's ``effect`` is the change in the log mean of the target
    per unit of log mean of the source, the other candidate parents held fixed.
    """

    candidates: pd.DataFrame
    """One row per candidate edge: source, target, effect, std_error, ci_low, ci_high, z,
    p_value, log10_p, p_adjusted, batch, level, callable, p_held, selected, sink, status."""
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
    penetrance: Penetrance | None = None
    """In how many cells guides work, which was corrected for; None: not looked for."""
    programs: Programs | None = None
    """Response programs, which were taken out of all effects; None: not looked for."""
    two_stages: bool = True
    """Whether direct effects come from the two-stage regression, whose errors rest on the screen;
    those of other methods do not."""

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
    def escape_corrected(self) -> bool:
        """Whether the effects of some perturbation were corrected for cells that escape it."""
        return self.penetrance is not None and bool(self.penetrance.corrected.any())

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

    def knockdowns(self) -> pd.DataFrame:
        """Return what each perturbation does to its own gene, and in what share of its cells.

        Columns of ``screen.knockdown_frame()`` and, where it was looked for, ``penetrance``, its
        interval and test, ``n_telling_genes``, ``escape_corrected`` and ``penetrance_borrowed``.
        """
        own = self.screen.knockdown_frame()
        if self.penetrance is None:
            return own
        return pd.concat([own, self.penetrance.to_frame()], axis=1)

    def guide_strengths(self) -> pd.DataFrame | None:
        """Return how strong each guide is, and in what share of its cells it works.

        Columns ``node``, ``guide``, ``n_cells`` (those of guides of too few cells for a row may be
        counted with the last guide of a node), ``strength`` (1 in the mean over the cells of a
        node, and for all guides where they are not sure to differ, or cells escape),
        ``own_strength`` from the cells of the guide alone, with ``own_strength_error``,
        ``penetrance`` from them too, its interval and test. None where guides are not known, or no
        gene with several tells anything.
        """
        found = None if self.penetrance is None else self.penetrance.guides
        return None if found is None else found.to_frame(self.nodes)

    def parents(self, gene: str) -> pd.DataFrame:
        """Return the selected edges into a gene, strongest evidence first."""
        return self._edges_at("target", gene)

    def children(self, gene: str) -> pd.DataFrame:
        """Return the selected edges out of a gene, strongest evidence first."""
        return self._edges_at("source", gene)

    def ancestors(self, gene: str) -> list[str]:
        """Return the candidate parents of a gene, most upstream first."""
        return [self.nodes[a] for a in self.causal_order.candidates(self.number_of(gene))]

    def number_of(self, gene: str) -> int:
        """Return the number of a node or sink in all arrays, or say that it is none, and why."""
        if gene not in self.genes:
            kind = "neither a node nor a sink" if self.sinks else "not a node"
            out = self.left_out[self.left_out["name"] == gene]
            why = f" It was left out: {out['reason'].iloc[0]}." if len(out) else ""
            raise InputError(
                f"{gene!r} is {kind} of this network.{why or nearest(gene, self.genes)} Nodes: "
                f"{first_few(self.nodes, 10)}."
            )
        return self.genes.index(gene)

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
        sinks = f" and {counted(len(self.sinks), 'sink')}" if self.sinks else ""
        lines = [
            f"Causal network of {len(self.nodes)} genes{sinks}: {counted(len(edges), 'edge')} "
            f"selected of {len(self.candidates)} candidates",
            f"  method     {run.get('method', 'argen')}",
            f"  cells      {run['n_cells']:,} ({run['n_controls']:,} control)",
            f"  screen     {int(screened.is_descendant.sum())} of {n_pairs} ordered pairs are "
            f"descendants at {self.config.screen_adjustment} < {self.config.level_of_screen:g}",
            f"  power      {self._power()}",
            *([] if self.penetrance is None else [f"  penetrance {self.penetrance_line()}"]),
            *([] if self.programs is None else [f"  programs   {self.programs_line()}"]),
            f"  selection  {run.get('selection', self._rule())}",
            f"  order      {_shorten(self.order)}",
        ]
        lines += [f"  {f.severity:<9}  {f.evidence} {f.advice}" for f in self.findings()]
        if len(edges):
            shown = edges.sort_values("log10_p").head(10)
            columns = ["source", "target", "effect", "std_error", "log10_p"]
            title = "Edges" if len(edges) <= 10 else "The ten edges with the strongest evidence"
            lines += ["", f"{title}:", shown[columns].to_string(index=False, float_format="%.3g")]
        return printable("\n".join(lines))

    def penetrance_line(self) -> str:
        """Return in a few words in how many cells guides work, or why that is not known."""
        return penetrance_line(self.penetrance, self.config)

    def programs_line(self) -> str:
        """Return in a few words how many response programs there are, or why none is known."""
        return programs_line(self.programs, self.config)

    def _power(self) -> str:
        fall = self.screen.median_detectable(self.config.level_of_screen)
        if not np.isfinite(fall):
            return "in half of the pairs no fall can be seen: the counts are too few"
        return f"in half of the pairs falls by {fall:.2g} (natural log) are seen four times of five"

    def _rule(self) -> str:
        config = self.config
        if config.rule == "two-level":
            return f"two-level at {config.level_of_edges:g}, family {config.family}"
        return f"{config.edge_adjustment} at {config.level_of_edges:g}, family {config.family}"

    def feedback_pairs(self) -> pd.DataFrame:
        """Return the pairs of genes that affect each other both ways: first, second."""
        between = self.screen.is_descendant[:, : len(self.nodes)]
        first, second = np.nonzero(np.triu(between & between.T))
        names = np.array(self.nodes, dtype=object)
        return pd.DataFrame({"first": names[first], "second": names[second]})

    def findings(self) -> list[Finding]:
        """Return what the network says by itself of how far its edges can be trusted."""
        edges = edge_findings(self.candidates)
        if self.config.test_of_parents == "wald":  # whose p-values say the same as intervals
            edges = [finding for finding in edges if finding.assumption != STRONG]
        return [
            *edges,
            *feedback_findings(self.feedback_pairs(), self.screen, self.config),
            *escape_findings(self.penetrance, self.nodes),
            *program_findings(self.programs, self.screen),
            *fit_findings(self.unusual_fits(), self.edges),
            *left_out_findings(self.left_out),
        ]

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

    def _edges_at(self, end: str, gene: str) -> pd.DataFrame:
        self.number_of(gene)
        edges = self.edges
        return edges[edges[end] == gene].sort_values("log10_p").reset_index(drop=True)


def _shorten(names: list[str], n_shown: int = 12) -> str:
    names = [shown(name) for name in names]
    if len(names) <= n_shown:
        return " > ".join(names)
    return " > ".join(names[: n_shown - 1]) + f" > ... ({len(names)} in all)"
