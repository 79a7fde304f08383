"""What a check says: findings in words, the tables behind them, and weak points of edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from argen.errors import counted, printable
from argen.files import write_table, writing
from argen.network import CausalNetwork, Finding, Severity

Tables = Mapping[str, pd.DataFrame]
_SEVERITIES: tuple[Severity, ...] = ("serious", "warning", "note")


@dataclass(frozen=True, slots=True, eq=False)
class Diagnostics:
    """Findings, the most severe first, and a table for each check."""

    findings: tuple[Finding, ...]
    tables: dict[str, pd.DataFrame]
    measured: tuple[str, ...]
    """One line for each check: what was looked at, and what was found."""

    @classmethod
    def of(
        cls, findings: list[Finding], tables: dict[str, pd.DataFrame], measured: list[str]
    ) -> Diagnostics:
        """Sort the findings by severity, and within it as they come."""
        ordered = sorted(findings, key=lambda finding: _SEVERITIES.index(finding.severity))
        return cls(tuple(ordered), tables, tuple(measured))

    def joined(self, *others: Diagnostics) -> Diagnostics:
        """Put the findings and tables of other checks with these."""
        found = Found(list(self.findings), dict(self.tables), list(self.measured))
        for other in others:
            found.findings += other.findings
            found.tables |= other.tables
            found.measured += other.measured
        return found.all()

    def of_severity(self, severity: Severity) -> list[Finding]:
        """Return the findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    def summary(self) -> str:
        """Return the findings in words, the most severe first, and what was measured."""
        numbers = ", ".join(f"{len(self.of_severity(s))} {s}" for s in _SEVERITIES)
        head = [f"{counted(len(self.findings), 'finding')} ({numbers})"]
        return printable("\n".join([*map(str, self.findings), *head, *self.measured]))

    def __str__(self) -> str:
        return self.summary()

    def write(self, folder: str | Path) -> Path:
        """Write ``summary.txt`` and every table as ``NAME.tsv`` into a folder; returns it."""
        with writing(folder, "check") as beside:
            (beside / "summary.txt").write_text(self.summary() + "\n", encoding="utf-8")
            for name, table in self.tables.items():
                write_table(table, beside / f"{name}.tsv", float_format="%.6g")
        return Path(folder)


@dataclass
class Found:
    """What a check has said so far."""

    findings: list[Finding] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    measured: list[str] = field(default_factory=list)

    def all(self) -> Diagnostics:
        """Return it, the findings sorted by severity."""
        return Diagnostics.of(self.findings, self.tables, self.measured)


@dataclass(frozen=True, slots=True)
class WeakPoint:
    """What speaks against one edge, and what would settle it."""

    source: str
    target: str
    value: float
    """The number that shows it."""
    shows: str
    """What is the matter, with the number: continues "source -> target"."""
    settles: str
    """Which experiment or check would convince: continues with "would convince"."""
    unless: str = ""
    """A scenario of ``argen.sensitivity``: there is no doubt when it has the edge too."""


def edge_rows(network: CausalNetwork, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table that are about an edge, in the sequence of the edges.

    Parameters
    ----------
    table
        With source and target, or with one of them: then its rows are about each edge at the gene.
    """
    on = [end for end in ("source", "target") if end in table]
    rows = network.edges[["source", "target"]].merge(table, on=on).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def time_course(source: str, target: str) -> str:
    """Return the experiment that tells which of two genes acts on the other, to settle a point."""
    return f"a time course after a fast perturbation, in which {target} follows {source},"
