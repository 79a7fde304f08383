"""What a check says: findings in words, and the tables behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from argen.errors import printable
from argen.files import write_table, writing
from argen.network import Finding, Severity

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
        head = [f"{len(self.findings)} findings ({numbers})"]
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
