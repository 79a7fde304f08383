"""What a check says: findings in words, and the tables behind them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

Severity = Literal["serious", "warning", "note"]
_SEVERITIES: tuple[Severity, ...] = ("serious", "warning", "note")


def listed(items: Iterable[object], n_shown: int = 5) -> str:
    """Return the first of some items in words, and how many more there are."""
    words = [str(item) for item in items]
    more = f" and {len(words) - n_shown} more" if len(words) > n_shown else ""
    return ", ".join(words[:n_shown]) + more


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know before an edge is trusted."""

    assumption: str
    """What the method assumes, in a few words."""
    evidence: str
    """What in the data speaks against it, with the numbers."""
    advice: str
    """What to do."""
    severity: Severity
    """"serious": p-values or edges are wrong; "warning": some are in doubt; "note": good to know,
    or a check that could not be done."""

    def __str__(self) -> str:
        return f"[{self.severity}] {self.assumption}: {self.evidence} {self.advice}"


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
        head = [f"{len(self.findings)} findings ({numbers})"]
        return "\n".join([*map(str, self.findings), *head, *self.measured])

    def __str__(self) -> str:
        return self.summary()

    def write(self, folder: str | Path) -> Path:
        """Write ``summary.txt`` and every table as ``NAME.tsv`` into a folder; returns it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.txt").write_text(self.summary() + "\n", encoding="utf-8")
        for name, table in self.tables.items():
            table.to_csv(folder / f"{name}.tsv", sep="\t", index=False, float_format="%.6g")
        return folder


@dataclass
class Found:
    """What a check has said so far."""

    findings: list[Finding] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    measured: list[str] = field(default_factory=list)

    def all(self) -> Diagnostics:
        """Return it, the findings sorted by severity."""
        return Diagnostics.of(self.findings, self.tables, self.measured)
